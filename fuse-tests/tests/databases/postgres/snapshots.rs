//! Snapshots, clones and rollbacks of a working database.

use fuse_tests::chance::rounds;
use fuse_tests::databases::postgres::{self, Postgres};
use fuse_tests::run::{eventually, run};

use crate::common::{LIMIT, fixture};

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
    for number in 1..=rounds(2) {
        eventually("transactions are committed", LIMIT, || {
            postgres.transactions() > 300 * number
        });
        let before = postgres.transactions();
        fixture.ok(&["snapshot", "create", &format!("db@s{number}")]);
        let after = postgres.transactions();
        let name = format!("clone-{number}");
        fixture.ok(&["clone", &format!("db@s{number}"), &name]);

        let copy = fixture.mount(&name);
        let clone = Postgres::start_copy(&copy, fixture.folder(), &name);
        clone.check();
        let found = clone.transactions();
        assert!(
            (before..=after).contains(&found),
            "{found} is not in {before}..={after}"
        );
        clone.work(2);
        clone.check();
        clone.stop();
        postgres::check_pages(&copy);
    }
    postgres.crash();
    load.finish(LIMIT);
    let postgres = Postgres::start(&data, fixture.folder(), "pg");
    postgres.check();
    postgres.stop();
}

/// `--quiesce postgres` makes a checkpoint before the cut, so that the copy has little to recover;
/// where no server answers, there is no snapshot.
#[test]
fn a_snapshot_can_come_behind_a_checkpoint() {
    let fixture = fixture();
    let data = fixture.mount("db");
    postgres::initdb(&data);
    let postgres = Postgres::start(&data, fixture.folder(), "pg");
    let checkpoint = || postgres.query("select checkpoint_lsn from pg_control_checkpoint()");
    postgres.fill(1);
    let before = checkpoint();
    let create = |snapshot: &str, host: &str| {
        let mut command = fixture.command();
        command.env("PGHOST", host).env("PGUSER", "postgres");
        run(command.args(["snapshot", "create", snapshot, "--quiesce", "postgres"]))
    };
    create("db@quiet", postgres.host()).ok();
    assert_ne!(checkpoint(), before);
    create("db@none", "/nowhere").expect_code(1);
    assert_eq!(fixture.ok(&["snapshot", "ls", "-q"]), "db@quiet");
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
