//! Each way in which Postgres makes its log durable, and none.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::chance::{Chance, rounds, seed};
use fuse_tests::databases::postgres::wal::{self, SyncMethod};
use fuse_tests::databases::postgres::{self, Postgres};
use fuse_tests::fixture::text;
use fuse_tests::run::eventually;

use crate::common::{LIMIT, fixture};

/// Clients of pgbench, each of which may have had one commit whose answer it did not get.
const CLIENTS: u64 = 4;

/// A stopped cluster with pgbench's tables.
struct Cluster {
    fixture: Fixture,
    data: PathBuf,
    /// Of `volfs mount`.
    options: &'static [&'static str],
    chance: Chance,
}

impl Cluster {
    fn new(options: &'static [&'static str]) -> Cluster {
        let fixture = Fixture::with_limit(Duration::from_secs(300));
        fixture.ok(&["volume", "create", "db"]);
        let data = fixture.mount_point("db");
        let chance = Chance::new(seed());
        let cluster = Cluster {
            fixture,
            data,
            options,
            chance,
        };
        cluster.mount();
        postgres::initdb(&cluster.data);
        let server = cluster.start(&[]);
        server.fill(1);
        server.stop();
        cluster
    }

    fn mount(&self) {
        let place = text(&self.data);
        let arguments = [&["mount", "db", place], self.options].concat();
        self.fixture.ok(&arguments);
    }

    fn start(&self, settings: &[&str]) -> Postgres {
        Postgres::start_with(&self.data, self.fixture.folder(), "pg", settings)
    }

    /// With these settings no acknowledged transaction is lost when daemon and server are killed
    /// under pgbench, and all is sound. `looked_at` sees the server at work.
    #[track_caller]
    fn survive_kills(&mut self, settings: &[&str], looked_at: impl FnOnce(&Postgres)) {
        let server = self.start(settings);
        let before = server.transactions();
        let load = server.load(120);
        eventually("transactions are committed", LIMIT, || {
            server.transactions() > before + 50
        });
        looked_at(&server);
        self.chance.pause(Duration::from_millis(300));
        self.fixture.kill_daemon();
        let acknowledged = load.finish(LIMIT);
        server.kill();

        self.mount();
        let server = self.start(settings);
        server.check();
        let found = server.transactions();
        assert!(
            (acknowledged..=acknowledged + CLIENTS).contains(&found),
            "{settings:?}: {found} transactions, {acknowledged} acknowledged"
        );
        server.stop();
        postgres::check_pages(&self.data);
    }
}

/// Each `wal_sync_method` keeps what was committed, and the log is really open as it says.
#[test]
fn every_wal_sync_method_keeps_what_was_committed() {
    let mut cluster = Cluster::new(&[]);
    for method in (0..rounds(1)).flat_map(|_| SyncMethod::ALL) {
        cluster.survive_kills(method.settings(), |server| {
            let flags = BTreeSet::from([method.flags()]);
            assert_eq!(server.log_flags(), flags, "{method:?}");
        });
    }
}

/// On a mount that hands each write to the daemon at once, Postgres keeps what was committed also
/// when it syncs nothing: not through power loss, but through the death of the daemon.
#[test]
fn write_through_keeps_commits_that_nobody_synced() {
    let mut cluster = Cluster::new(&["--write-through"]);
    for _ in 0..rounds(2) {
        cluster.survive_kills(&["fsync=off"], |_| {});
    }
}

/// Postgres' own test of sync methods works with all of them, also with sizes of many pages.
#[test]
fn pg_test_fsync_runs_every_method() {
    let fixture = fixture();
    let folder = fixture.mount("db");
    postgres::give(&folder);
    println!("{}", wal::test_fsync(&folder.join("file")));
}
