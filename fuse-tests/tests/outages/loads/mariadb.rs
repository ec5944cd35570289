//! MariaDB.

use fuse_tests::databases::mariadb::ledger::{self, Entries};
use fuse_tests::databases::mariadb::sysbench::{self, Sysbench};
use fuse_tests::databases::mariadb::{self, MariaDb, pages};
use fuse_tests::run::eventually;

use super::{LIMIT, Load, Site};

/// Acknowledged entries beside sysbench.
#[derive(Default)]
pub struct Ledger {
    server: Option<MariaDb>,
    working: Option<(sysbench::Load, Entries)>,
    acknowledged: u64,
    entries: u64,
}

impl Load for Ledger {
    fn name(&self) -> &'static str {
        "mariadb"
    }

    fn prepare(&mut self, site: &Site) {
        mariadb::install(&site.data);
        let server = MariaDb::start(&site.data, &site.outside, "db");
        Sysbench::prepare(&server);
        ledger::create(&server, true);
        self.server = Some(server);
    }

    fn start(&mut self, _site: &Site) {
        let server = self.server.as_ref().expect("it was prepared");
        let load = Sysbench::on(server).load();
        let entries = Entries::start(server, self.entries + 1);
        eventually("work is done", LIMIT, || {
            entries.acknowledged() > self.entries + 10 && sysbench::commits(server) > 50
        });
        self.working = Some((load, entries));
    }

    fn end(&mut self, _site: &Site) {
        let (load, entries) = self.working.take().expect("it was started");
        self.acknowledged = entries.finish();
        load.stop();
        self.server.take().expect("it was prepared").kill();
    }

    fn verify(&mut self, site: &Site) {
        let server = MariaDb::start(&site.data, &site.outside, "db");
        sysbench::check(&server);
        self.entries = ledger::check(&server);
        assert!(
            (self.acknowledged..=self.acknowledged + 1).contains(&self.entries),
            "{} entries, {} acknowledged",
            self.entries,
            self.acknowledged
        );
        self.server = Some(server);
    }

    fn finish(&mut self, site: &Site) {
        let server = self.server.take().expect("it was verified");
        server.check_tables();
        server.stop();
        pages::check_pages(&site.data);
    }
}
