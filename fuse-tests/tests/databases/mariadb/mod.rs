//! MariaDB 10.11: InnoDB with O_DIRECT and doublewrite, log and binary log synced at each commit.

mod compression;
mod copies;
mod crashes;
mod snapshots;
mod temporary;

use fuse_tests::databases::engine::version_of;
use fuse_tests::report::Suite;

/// For the report: a round that failed has ended the test.
fn record(what: &str, rounds: u64) {
    let version = version_of("mariadbd", &["--version"]);
    let name = format!("mariadb: {what}");
    Suite::new(&name, &version).passed(rounds).record();
}
