use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::ledger::{self, Entries};
use super::sysbench::{self, Sysbench};
use super::*;

fn fails(check: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(check)).is_err()
}

/// On the host's filesystem a server fills, works, recovers from SIGKILL and passes the checks,
/// and each check notices what is wrong.
#[test]
fn checks_pass_and_fail_when_they_should() {
    let fixture = crate::Fixture::new();
    let volume = fixture.folder().join("volume");
    fs::create_dir(&volume).unwrap();
    install(&volume);
    let database = MariaDb::start(&volume, fixture.folder(), "db");
    Sysbench::prepare(&database);
    ledger::create(&database, false);
    let load = Sysbench::on(&database).load();
    let entries = Entries::start(&database, 1);
    eventually("work is done", START_LIMIT, || {
        entries.acknowledged() > 50 && sysbench::commits(&database) > 200
    });
    database.kill();
    let acknowledged = entries.finish();
    load.stop();

    let database = MariaDb::start(&volume, fixture.folder(), "db");
    database.check_tables();
    sysbench::check(&database);
    let found = ledger::check(&database);
    assert!((acknowledged..=acknowledged + 1).contains(&found));

    database.query("delete from ledger.entry where n = 7");
    assert!(fails(|| {
        ledger::check(&database);
    }));
    database.query("delete from sbtest.sbtest2 where id = 7");
    assert!(fails(|| sysbench::check(&database)));
    database.stop();

    assert!(pages::check_pages(&volume) > 4);
    let file = data_folder(&volume).join("sbtest/sbtest1.ibd");
    let mut bytes = fs::read(&file).unwrap();
    bytes[16384 * 5 + 100] ^= 0xff;
    fs::write(&file, bytes).unwrap();
    assert!(fails(|| {
        pages::check_pages(&volume);
    }));
}

/// A leftover of purge is no fault; whatever else mariadb-check says of a table is one.
#[test]
fn reports_of_tables_are_judged() {
    let sound: String = (0..31).map(|n| format!("mysql.t{n}     OK\n")).collect();
    assert!(tables_are_sound(&sound));
    assert!(
        !tables_are_sound("mysql.db    OK\n"),
        "there are more tables"
    );
    let with = |lines: &[&str]| {
        let about = format!("sbtest.sbtest1\n{}\n", lines.join("\n"));
        tables_are_sound(&format!("{about}{sound}"))
    };
    let warning = |bits: u8| {
        format!(
            "Warning  : InnoDB: Clustered index record not found for index `k_1` of table \
             `sbtest`.`sbtest1`: COMPACT RECORD(info_bits={bits}, 2 fields): {{[4]    (0x8000137F)}}"
        )
    };
    let ok = "status   : OK";
    assert!(with(&[&warning(32), ok]));
    assert!(!with(&[&warning(0), ok]), "it is in use");
    assert!(!with(&[&warning(32)]), "no status");
    assert!(!with(&[&warning(32), "error    : Corrupt"]));
    assert!(!with(&[
        "Warning  : InnoDB: The B-tree of index k_1 is corrupted.",
        ok
    ]));
    assert!(!tables_are_sound(&format!("{sound}sbtest.sbtest1\n")));
}
