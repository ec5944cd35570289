//! Real databases on a volume: snapshots, clones and rollbacks under load. Outages are in
//! `outages/`.

use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::databases::postgres::{self, Postgres};
use fuse_tests::databases::sqlite::{self, Inserts, Journal};
use fuse_tests::run::eventually;

const LIMIT: Duration = Duration::from_secs(60);

fn fixture() -> Fixture {
    let fixture = Fixture::with_limit(Duration::from_secs(300));
    fixture.ok(&["volume", "create", "db"]);
    fixture
}

/// A snapshot taken under pgbench starts as a database: its clone recovers and passes the check
/// while the original goes on working.
#[test]
fn postgres_starts_from_a_snapshot_under_load() {
    let fixture = fixture();
    let data = fixture.mount("db");
    postgres::initdb(&data);
    let postgres = Postgres::start(&data, fixture.folder(), "pg");
    postgres.fill(5);
    let load = postgres.load(120);
    for number in 1..=2_u64 {
        eventually("transactions are committed", LIMIT, || {
            postgres.transactions() > 300 * number
        });
        let before = postgres.transactions();
        fixture.ok(&["snapshot", "create", &format!("db@s{number}")]);
        let after = postgres.transactions();
        let name = format!("clone-{number}");
        fixture.ok(&["clone", &format!("db@s{number}"), &name]);

        let clone = Postgres::start_copy(&fixture.mount(&name), fixture.folder(), &name);
        clone.check();
        let found = clone.transactions();
        assert!(
            (before..=after).contains(&found),
            "{found} is not in {before}..={after}"
        );
        clone.work(2);
        clone.check();
        clone.stop();
    }
    postgres.crash();
    load.finish(LIMIT);
    let postgres = Postgres::start(&data, fixture.folder(), "pg");
    postgres.check();
    postgres.stop();
}

/// A rollback undoes a disaster: the database starts with exactly the rows of the snapshot.
#[test]
fn postgres_is_rolled_back() {
    let fixture = fixture();
    let data = fixture.mount("db");
    postgres::initdb(&data);
    let postgres = Postgres::start(&data, fixture.folder(), "pg");
    postgres.fill(1);
    postgres.work(2);
    let sum = "select count(*), sum(abalance) from pgbench_accounts";
    let before = postgres.query(sum);
    fixture.ok(&["snapshot", "create", "db@before"]);
    postgres.query("update pgbench_accounts set abalance = 0; drop table pgbench_history");
    postgres.stop();

    fixture.ok(&["rollback", "db@before"]);
    let postgres = Postgres::start(&data, fixture.folder(), "pg");
    assert_eq!(postgres.query(sum), before);
    postgres.check();
    postgres.stop();
}

/// SQLite's snapshot under load passes its integrity check.
#[test]
fn sqlite_snapshot_under_load_is_sound() {
    let fixture = fixture();
    let database = fixture.mount("db").join("file.db");
    sqlite::create(&database, Journal::Wal);
    let inserts = Inserts::start(&database, 1);
    for number in 1..=3 {
        eventually("rows are inserted", LIMIT, || {
            let count = sqlite::query(&database, "select count(*) from t");
            count.parse::<u64>().expect("a number") > number * 50
        });
        fixture.ok(&["clone", "db", &format!("copy-{number}")]);
        let copy = fixture.mount(&format!("copy-{number}")).join("file.db");
        assert!(sqlite::check(&copy) >= number * 50);
    }
    inserts.kill();
}
