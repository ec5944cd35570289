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
