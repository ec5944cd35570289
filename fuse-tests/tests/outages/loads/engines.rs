//! Storage engines that keep numbered records.

use fuse_tests::databases::engine::{self, Engine, Progress, Writing};
use fuse_tests::run::eventually;

use super::{LIMIT, Load, Site};

/// One engine: records that it called durable.
pub struct Records {
    engine: Box<dyn Engine>,
    writing: Option<Box<dyn Writing>>,
    promised: Progress,
    last: u64,
}

impl Records {
    /// Nothing is written yet.
    pub fn new(engine: impl Engine + 'static) -> Records {
        Records {
            engine: Box::new(engine),
            writing: None,
            promised: Progress::default(),
            last: 0,
        }
    }
}

fn place(site: &Site) -> engine::Site {
    engine::Site::new(site.data.clone(), site.outside.clone())
}

impl Load for Records {
    fn name(&self) -> &str {
        self.engine.name()
    }

    fn start(&mut self, site: &Site) {
        let mut writing = self.engine.start(&place(site));
        eventually("records are durable", LIMIT, || {
            writing.progress().durable > self.last + 10
        });
        self.writing = Some(writing);
    }

    fn end(&mut self, _site: &Site) {
        self.promised = self.writing.take().expect("it was started").fail();
    }

    fn verify(&mut self, site: &Site) {
        self.last = self.engine.check(&place(site));
        let possible = self.promised.durable..=self.promised.taken + self.engine.in_flight();
        assert!(
            possible.contains(&self.last),
            "{}: record {} is the last, expected one of {possible:?}",
            self.name(),
            self.last
        );
    }
}
