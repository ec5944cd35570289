//! Snapshots and clones of a working database.

use fuse_tests::chance::rounds;
use fuse_tests::databases::mariadb::ledger::{self, Entries};
use fuse_tests::databases::mariadb::sysbench::{self, Sysbench};
use fuse_tests::databases::mariadb::{self, MariaDb, pages};
use fuse_tests::fixture::text;
use fuse_tests::run::{eventually, run};

use crate::common::{LIMIT, fixture};

/// A snapshot taken under sysbench starts as a database: its clone recovers, passes every check
/// and works beside the original, which goes on.
#[test]
fn mariadb_starts_from_a_snapshot_under_load() {
    let fixture = fixture();
    let volume = fixture.mount("db");
    mariadb::install(&volume);
    let origin = MariaDb::start(&volume, fixture.folder(), "origin");
    Sysbench::prepare(&origin);
    ledger::create(&origin, true);
    let load = Sysbench::on(&origin).load();
    let entries = Entries::start(&origin, 1);
    for number in 1..=rounds(2) {
        eventually("work is done", LIMIT, || {
            entries.acknowledged() > number * 100 && sysbench::commits(&origin) > number * 300
        });
        let before = entries.acknowledged();
        fixture.ok(&["snapshot", "create", &format!("db@s{number}")]);
        let after = ledger::check(&origin);
        let name = format!("clone-{number}");
        fixture.ok(&["clone", &format!("db@s{number}"), &name]);

        let copy = fixture.mount(&name);
        let clone = MariaDb::start(&copy, fixture.folder(), &name);
        clone.check_tables();
        sysbench::check(&clone);
        let found = ledger::check(&clone);
        assert!(
            (before..=after).contains(&found),
            "{found} is not in {before}..={after}"
        );
        Sysbench::on(&clone).work(1);
        sysbench::check(&clone);
        clone.stop();
        pages::check_pages(&copy);
    }
    origin.kill();
    let acknowledged = entries.finish();
    load.stop();
    let origin = MariaDb::start(&volume, fixture.folder(), "origin");
    assert!(ledger::check(&origin) >= acknowledged);
    origin.check_tables();
    origin.stop();
    super::record("snapshot under load, clone", rounds(2));
}

/// `--quiesce mysql` holds commits back until the cut, and no longer: the load goes on behind it.
#[test]
fn commits_go_on_behind_a_quiesced_snapshot() {
    let fixture = fixture();
    let volume = fixture.mount("db");
    mariadb::install(&volume);
    let origin = MariaDb::start(&volume, fixture.folder(), "origin");
    ledger::create(&origin, true);
    let settings = format!("[client]\nuser=root\nsocket={}\n", text(origin.socket()));
    std::fs::write(fixture.folder().join(".my.cnf"), settings).unwrap();
    let entries = Entries::start(&origin, 1);
    for number in 1..=3 {
        eventually("work is done", LIMIT, || {
            entries.acknowledged() > number * 50
        });
        let mut command = fixture.command();
        command.env("HOME", fixture.folder());
        let name = format!("db@s{number}");
        run(command.args(["snapshot", "create", &name, "--quiesce", "mysql"])).ok();
    }
    let before = entries.acknowledged();
    eventually("commits go on", LIMIT, || {
        entries.acknowledged() > before + 20
    });
    origin.kill();
    entries.finish();
    fixture.ok(&["clone", "db@s2", "copy"]);
    let copy = fixture.mount("copy");
    let clone = MariaDb::start(&copy, fixture.folder(), "clone");
    assert!(ledger::check(&clone) >= 100);
    clone.stop();
}
