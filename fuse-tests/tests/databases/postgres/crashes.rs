//! SIGKILL of the server. Of the daemon, and power loss: `outages/`.

use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::chance::{Chance, rounds, seed};
use fuse_tests::databases::postgres::{self, Postgres};
use fuse_tests::run::eventually;

use crate::common::LIMIT;

/// Clients of pgbench, each of which may have had one commit whose answer it did not get.
const CLIENTS: u64 = 4;

/// Killed with all its processes again and again, it recovers with every acknowledged
/// transaction, agreeing sums, and sound pages, tables and indexes.
#[test]
fn postgres_recovers_from_its_own_death() {
    let fixture = Fixture::with_limit(Duration::from_secs(300));
    fixture.ok(&["volume", "create", "db"]);
    let data = fixture.mount("db");
    postgres::initdb(&data);
    let mut server = Postgres::start(&data, fixture.folder(), "pg");
    server.fill(1);
    let mut chance = Chance::new(seed());
    for _ in 0..rounds(4) {
        let before = server.transactions();
        let load = server.load(120);
        eventually("transactions are committed", LIMIT, || {
            server.transactions() > before + 50
        });
        chance.pause(Duration::from_millis(700));
        server.kill();
        let acknowledged = load.finish(LIMIT);
        server = Postgres::start(&data, fixture.folder(), "pg");
        server.check();
        let found = server.transactions();
        assert!(
            (acknowledged..=acknowledged + CLIENTS).contains(&found),
            "{found} transactions, {acknowledged} acknowledged"
        );
    }
    server.stop();
    postgres::check_pages(&data);
}
