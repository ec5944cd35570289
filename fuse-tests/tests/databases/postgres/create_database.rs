//! CREATE DATABASE, which copies a template's files or logs its pages.

use fuse_tests::databases::postgres::{self, Postgres};

use crate::common::fixture;

const STRATEGIES: [&str; 2] = ["file_copy", "wal_log"];

/// A database made by each strategy has everything of its template and is sound, right after and
/// after a crash of daemon and server that follows at once.
#[test]
fn databases_made_by_each_strategy_survive_a_crash() {
    let fixture = fixture();
    let data = fixture.mount("db");
    postgres::initdb(&data);
    let server = Postgres::start(&data, fixture.folder(), "pg");
    server.fill(2);
    server.work(1);
    let content = "select count(*), sum(hashtext(t::text)) from pgbench_accounts t";
    let wanted = server.query(content);
    server.query("create database origin template postgres strategy wal_log");
    for strategy in STRATEGIES {
        server.query(&format!(
            "create database by_{strategy} template origin strategy {strategy}"
        ));
    }
    fixture.kill_daemon();
    server.kill();

    fixture.mount("db");
    let server = Postgres::start(&data, fixture.folder(), "pg");
    for strategy in STRATEGIES {
        let name = format!("by_{strategy}");
        assert_eq!(server.query_in(&name, content), wanted, "{name}");
    }
    server.check_structure(&["--all"]);
    server.query("drop database by_file_copy");
    server.query("drop database by_wal_log");
    server.stop();
    postgres::check_pages(&data);
}
