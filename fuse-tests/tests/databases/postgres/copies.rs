//! Base backups, standbys and rewinding, each cluster on a volume of its own.

use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::databases::postgres::{self, Postgres, copies};
use fuse_tests::run::eventually;

use crate::common::LIMIT;

fn two_volumes() -> Fixture {
    let fixture = Fixture::with_limit(Duration::from_secs(300));
    for name in ["one", "two"] {
        fixture.ok(&["volume", "create", name]);
    }
    fixture
}

/// A standby has replayed everything that its primary has committed.
#[track_caller]
fn wait_for_replay(primary: &Postgres, standby: &Postgres) {
    let position = primary.query("select pg_current_wal_flush_lsn()");
    let replayed = format!("select pg_last_wal_replay_lsn() >= '{position}'");
    eventually("the standby has replayed it", LIMIT, || {
        standby.query(&replayed) == "t"
    });
}

/// A base backup taken under load to another volume verifies, starts and is sound; its server
/// works beside its origin.
#[test]
fn base_backup_under_load_starts_on_another_volume() {
    let fixture = two_volumes();
    let (one, two) = (fixture.mount("one"), fixture.mount("two"));
    postgres::initdb(&one);
    let origin = Postgres::start(&one, fixture.folder(), "origin");
    origin.fill(2);
    let load = origin.load(120);
    eventually("transactions are committed", LIMIT, || {
        origin.transactions() > 100
    });
    let before = origin.transactions();
    copies::base_backup(&origin, &two, &[]);
    let after = origin.transactions();

    let copy = Postgres::start(&two, fixture.folder(), "copy");
    copy.check();
    let found = copy.transactions();
    assert!(
        (before..=after).contains(&found),
        "{found} is not in {before}..={after}"
    );
    copy.work(2);
    copy.check();
    copy.stop();
    postgres::check_pages(&two);
    origin.crash();
    load.finish(LIMIT);
}

/// A primary whose history has parted from its promoted standby's is rewound to that, follows it,
/// and has what the standby has and nothing else.
#[test]
fn pg_rewind_brings_a_parted_primary_back() {
    let fixture = two_volumes();
    let (one, two) = (fixture.mount("one"), fixture.mount("two"));
    postgres::initdb(&one);
    // pg_rewind reads its log from before the histories parted.
    let settings = ["wal_keep_size=256MB"];
    let old = Postgres::start_with(&one, fixture.folder(), "old", &settings);
    old.fill(1);
    copies::base_backup(&old, &two, &["--write-recovery-conf"]);
    let new = Postgres::start(&two, fixture.folder(), "new");
    old.work(1);
    wait_for_replay(&old, &new);
    new.query("select pg_promote()");
    // pg_rewind reads the new timeline from the control file.
    new.query("checkpoint");

    old.query("create table lost as select generate_series(1, 10000) as n");
    old.work(1);
    new.work(1);
    new.query("create table kept as select generate_series(1, 10000) as n");
    old.stop();
    copies::rewind(&one, &new);
    let old = Postgres::start(&one, fixture.folder(), "old");
    assert_eq!(old.query("select pg_is_in_recovery()"), "t");
    new.work(1);
    wait_for_replay(&new, &old);
    new.stop();

    old.query("select pg_promote()");
    old.check();
    let tables = "select relname from pg_class where relname in ('lost', 'kept')";
    assert_eq!(old.query(tables), "kept");
    assert_eq!(old.query("select count(*) from kept"), "10000");
    old.stop();
    postgres::check_pages(&one);
}
