//! Real databases.

use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use fuse_tests::databases::postgres::wal::SyncMethod;
use fuse_tests::databases::postgres::{self, Postgres};
use fuse_tests::databases::redis::Redis;
use fuse_tests::databases::sqlite::{self, Inserts, Journal};
use fuse_tests::run::eventually;

use super::{LIMIT, Load, Site};

/// Clients of pgbench, each of which may have had one commit whose answer it did not get.
const CLIENTS: u64 = 4;

/// Postgres under pgbench: acknowledged transactions and sums of balances.
#[derive(Default)]
pub struct Pgbench {
    server: Option<Postgres>,
    load: Option<postgres::Load>,
    acknowledged: u64,
    starts: usize,
}

impl Pgbench {
    /// Starts the server, each time with another way to make its log durable.
    fn start_server(&mut self, site: &Site) -> &Postgres {
        let method = SyncMethod::ALL[self.starts % SyncMethod::ALL.len()];
        self.starts += 1;
        let settings = method.settings();
        let server = Postgres::start_with(&site.data, &site.outside, "pg", settings);
        self.server.insert(server)
    }
}

impl Load for Pgbench {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn prepare(&mut self, site: &Site) {
        postgres::initdb(&site.data);
        self.start_server(site).fill(1);
    }

    fn start(&mut self, _site: &Site) {
        let server = self.server.as_ref().expect("it was prepared");
        let before = server.transactions();
        self.load = Some(server.load(300));
        eventually("transactions are committed", LIMIT, || {
            server.transactions() > before + 20
        });
    }

    fn end(&mut self, _site: &Site) {
        self.acknowledged = self.load.take().expect("it was started").finish(LIMIT);
        self.server.take().expect("it was prepared").crash();
    }

    fn verify(&mut self, site: &Site) {
        let acknowledged = self.acknowledged;
        let server = self.start_server(site);
        server.check_sums();
        let found = server.transactions();
        assert!(
            (acknowledged..=acknowledged + CLIENTS).contains(&found),
            "{found} transactions, {acknowledged} acknowledged"
        );
    }

    fn finish(&mut self, site: &Site) {
        let server = self.server.take().expect("it was verified");
        server.check();
        server.stop();
        postgres::check_pages(&site.data);
    }
}

/// SQLite: rows without a gap, and two tables that agree.
pub struct SqliteRows {
    journal: Journal,
    rows: u64,
    inserts: Option<Inserts>,
    acknowledged: u64,
}

impl SqliteRows {
    /// With a write-ahead log or with a rollback journal.
    pub fn new(journal: Journal) -> SqliteRows {
        SqliteRows {
            journal,
            rows: 0,
            inserts: None,
            acknowledged: 0,
        }
    }
}

fn database(site: &Site) -> PathBuf {
    site.data.join("file.db")
}

impl Load for SqliteRows {
    fn name(&self) -> &'static str {
        match self.journal {
            Journal::Wal => "sqlite-wal",
            Journal::Delete => "sqlite-delete",
        }
    }

    fn prepare(&mut self, site: &Site) {
        sqlite::create(&database(site), self.journal);
    }

    fn start(&mut self, site: &Site) {
        self.inserts = Some(Inserts::start(&database(site), self.rows + 1));
        eventually("rows are inserted", LIMIT, || {
            let count = sqlite::query(&database(site), "select count(*) from t");
            count.parse::<u64>().expect("a number") > self.rows + 10
        });
    }

    fn end(&mut self, _site: &Site) {
        let last = self.inserts.take().expect("it was started").finish();
        assert!(last > 0, "no row was acknowledged");
        self.acknowledged = last;
    }

    fn verify(&mut self, site: &Site) {
        self.rows = sqlite::check(&database(site));
        assert!(
            (self.acknowledged..=self.acknowledged + 1).contains(&self.rows),
            "{} rows, {} acknowledged",
            self.rows,
            self.acknowledged
        );
    }
}

/// Redis with `appendfsync always`.
#[derive(Default)]
pub struct RedisKeys {
    acknowledged: u64,
    running: Option<(Redis, JoinHandle<u64>)>,
}

impl Load for RedisKeys {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn start(&mut self, site: &Site) {
        let redis = Redis::start(&site.data, &site.outside);
        let mut client = redis.connect().expect("it has just answered");
        let last = self.acknowledged;
        let setting = thread::spawn(move || client.set_until_error(last, |_| {}));
        let mut watching = redis.connect().expect("it has just answered");
        eventually("keys are set", LIMIT, || {
            let size = watching.ask("DBSIZE").expect("Redis answers");
            size[1..].parse::<u64>().expect("a number") > last + 10
        });
        self.running = Some((redis, setting));
    }

    fn end(&mut self, _site: &Site) {
        let (redis, setting) = self.running.take().expect("it was started");
        self.acknowledged = setting.join().expect("the client does not panic");
        redis.kill();
    }

    fn verify(&mut self, site: &Site) {
        let redis = Redis::start(&site.data, &site.outside);
        let mut client = redis.connect().expect("it has just answered");
        client.check(self.acknowledged);
        redis.kill();
    }
}
