//! Real databases on a volume: SIGKILL of the daemon, recovery, snapshots under load.

use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::databases::postgres::{self, Postgres};
use fuse_tests::databases::redis::Redis;
use fuse_tests::databases::sqlite::{self, Inserts, Journal};
use fuse_tests::run::eventually;

const LIMIT: Duration = Duration::from_secs(60);

fn fixture() -> Fixture {
    let fixture = Fixture::with_limit(Duration::from_secs(300));
    fixture.ok(&["volume", "create", "db"]);
    fixture
}

/// Postgres loses no acknowledged transaction when the daemon is killed under pgbench, and
/// pg_amcheck finds every table and index sound.
#[test]
fn postgres_survives_sigkill_of_the_daemon() {
    let fixture = fixture();
    let data = fixture.mount("db");
    postgres::initdb(&data);
    let mut postgres = Postgres::start(&data, fixture.folder(), "pg");
    postgres.fill(5);
    for round in 0..2 {
        let before = postgres.transactions();
        let load = postgres.load(120);
        eventually("transactions are committed", LIMIT, || {
            postgres.transactions() > before + 300
        });
        fixture.kill_daemon();
        let acknowledged = load.finish(LIMIT);
        postgres.crash();

        fixture.mount("db");
        postgres = Postgres::start(&data, fixture.folder(), "pg");
        postgres.check();
        let found = postgres.transactions();
        // Each client may have had one commit whose answer it did not get.
        let possible = acknowledged..=acknowledged + 4;
        assert!(
            possible.contains(&found),
            "round {round}: {acknowledged} acknowledged, {found}"
        );
    }
    postgres.stop();
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

/// SQLite keeps every acknowledged row and its integrity, with a write-ahead log and with a
/// rollback journal.
#[test]
fn sqlite_survives_sigkill_of_the_daemon() {
    for journal in [Journal::Wal, Journal::Delete] {
        let fixture = fixture();
        let database = fixture.mount("db").join("file.db");
        sqlite::create(&database, journal);
        let mut rows = 0;
        for round in 0..3 {
            let inserts = Inserts::start(&database, rows + 1);
            eventually("rows are inserted", LIMIT, || {
                let count = sqlite::query(&database, "select count(*) from t");
                count.parse::<u64>().expect("a number") > rows + 100
            });
            fixture.kill_daemon();
            let acknowledged = inserts.finish();
            fixture.mount("db");
            rows = sqlite::check(&database);
            let name = journal.name();
            assert!(
                rows >= acknowledged,
                "{name}, round {round}: {rows} of {acknowledged} rows"
            );
        }
    }
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

/// Redis with `appendfsync always` has every key that it acknowledged.
#[test]
fn redis_survives_sigkill_of_the_daemon() {
    let fixture = fixture();
    let data = fixture.mount("db");
    let redis = Redis::start(&data, fixture.folder());
    let mut client = redis.connect().unwrap();
    let acknowledged = client.set_until_error(|number| {
        if number == 1000 {
            fixture.kill_daemon();
        }
    });
    assert!(acknowledged >= 1000, "only {acknowledged} keys were set");
    redis.kill();

    fixture.mount("db");
    let redis = Redis::start(&data, fixture.folder());
    redis.connect().unwrap().check(acknowledged);
    redis.kill();
}
