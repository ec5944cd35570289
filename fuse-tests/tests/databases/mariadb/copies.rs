//! mariadb-backup, each server on a volume of its own.

use fuse_tests::databases::mariadb::ledger::{self, Entries};
use fuse_tests::databases::mariadb::sysbench::{self, Sysbench};
use fuse_tests::databases::mariadb::{self, MariaDb, copies, pages};
use fuse_tests::run::eventually;

use crate::common::{LIMIT, fixture};

/// A backup taken under load to another volume starts, is sound, and works beside its origin.
#[test]
fn mariadb_backup_under_load_starts_on_another_volume() {
    let fixture = fixture();
    fixture.ok(&["volume", "create", "copy"]);
    let (volume, copy) = (fixture.mount("db"), fixture.mount("copy"));
    mariadb::install(&volume);
    let origin = MariaDb::start(&volume, fixture.folder(), "origin");
    Sysbench::prepare(&origin);
    ledger::create(&origin, true);
    // A checkpoint, so that the backup finds nothing of the tables' making in the log: preparing it
    // would make them anew. It failed once at that; the cause was not looked into further.
    origin.stop();
    let origin = MariaDb::start(&volume, fixture.folder(), "origin");
    let load = Sysbench::on(&origin).load();
    let entries = Entries::start(&origin, 1);
    eventually("work is done", LIMIT, || {
        entries.acknowledged() > 50 && sysbench::commits(&origin) > 100
    });
    let before = entries.acknowledged();
    copies::backup(&origin, &copy);
    let after = ledger::check(&origin);

    let server = MariaDb::start(&copy, fixture.folder(), "copy");
    server.check_tables();
    sysbench::check(&server);
    let found = ledger::check(&server);
    assert!(
        (before..=after).contains(&found),
        "{found} is not in {before}..={after}"
    );
    Sysbench::on(&server).work(1);
    sysbench::check(&server);
    server.stop();
    pages::check_pages(&copy);
    load.stop();
    entries.kill();
    origin.stop();
    pages::check_pages(&volume);
}
