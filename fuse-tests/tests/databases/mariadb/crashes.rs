//! SIGKILL of the server. Of the daemon, and power loss: `outages/`.

use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::chance::{Chance, rounds, seed};
use fuse_tests::databases::mariadb::ledger::{self, Entries};
use fuse_tests::databases::mariadb::sysbench::{self, Sysbench};
use fuse_tests::databases::mariadb::{self, MariaDb, pages};
use fuse_tests::run::eventually;

use crate::common::LIMIT;

/// Killed under sysbench again and again, it recovers with every acknowledged entry, all rows, and
/// tables that pass `check table extended`; stopped, every page of its files has its checksum.
/// Pages are written through io_uring and by its own threads in turn.
#[test]
fn mariadb_recovers_from_its_own_death() {
    let fixture = Fixture::with_limit(Duration::from_secs(300));
    // A page of InnoDB.
    fixture.ok(&["volume", "create", "--block-size", "16K", "db"]);
    let volume = fixture.mount("db");
    mariadb::install(&volume);
    let start = |round: u64| {
        let way = format!("--innodb-use-native-aio={}", (round + 1) % 2);
        MariaDb::start_with(&volume, fixture.folder(), "db", &[&way])
    };
    let mut server = start(0);
    Sysbench::prepare(&server);
    ledger::create(&server, false);
    let mut chance = Chance::new(seed());
    let mut entries = 0;
    for round in 0..rounds(4) {
        let load = Sysbench::on(&server).load();
        let client = Entries::start(&server, entries + 1);
        eventually("work is done", LIMIT, || {
            client.acknowledged() > entries + 20 && sysbench::commits(&server) > 100
        });
        chance.pause(Duration::from_millis(700));
        server.kill();
        let acknowledged = client.finish();
        load.stop();
        server = start(round);
        server.check_tables();
        sysbench::check(&server);
        entries = ledger::check(&server);
        assert!(
            (acknowledged..=acknowledged + 1).contains(&entries),
            "{entries} entries, {acknowledged} acknowledged"
        );
    }
    server.stop();
    pages::check_pages(&volume);
    super::record("killed under sysbench", rounds(4));
}
