//! A pool with a volume for each load, and what happens to it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::chance::Chance;
use fuse_tests::fixture::kill;

use crate::loads::{Load, Site};

/// An outage comes this long after all loads are under way, at the latest.
const LATEST: Duration = Duration::from_millis(700);
/// A volume without a load.
const IDLE: &str = "idle";

/// What ends the volumes' life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// SIGKILL of the daemon.
    Kill,
    /// The pool's disk loses power; the daemon lives on until nothing more can be synced.
    PowerLoss,
}

/// Loads on volumes of one pool.
pub struct Scene {
    fixture: Fixture,
    loads: Vec<(Site, Box<dyn Load>)>,
    chance: Chance,
}

impl Scene {
    /// A mounted volume for each load, prepared.
    pub fn new(fixture: Fixture, seed: u64, loads: Vec<Box<dyn Load>>) -> Scene {
        fixture.ok(&["volume", "create", IDLE]);
        fixture.mount(IDLE);
        let mut chance = Chance::new(seed);
        let prepare = |mut load: Box<dyn Load>| {
            let outside = fixture.folder().join(load.name());
            fs::create_dir(&outside).expect("each load has a name of its own");
            fixture.ok(&["volume", "create", load.name()]);
            let site = Site {
                data: fixture.mount(load.name()),
                outside,
                seed: chance.below(1 << 32),
            };
            load.prepare(&site);
            (site, load)
        };
        let loads = loads.into_iter().map(prepare).collect();
        Scene {
            fixture,
            loads,
            chance,
        }
    }

    /// So many outages, each under all loads, and after each the proof that nothing is missing.
    pub fn suffer(mut self, rounds: u64, outage: Outage) {
        for round in 0..rounds {
            eprintln!("round {round} of {rounds}");
            for (site, load) in &mut self.loads {
                load.start(site);
            }
            self.chance.pause(LATEST);
            match outage {
                Outage::Kill => {
                    self.fixture.kill_daemon();
                    self.end_loads();
                }
                Outage::PowerLoss => self.lose_power(),
            }
            self.fixture.mount(IDLE);
            self.fixture.ok(&["check"]);
            for (site, load) in &mut self.loads {
                self.fixture.mount(load.name());
                load.verify(site);
            }
        }
        for (site, load) in &mut self.loads {
            load.finish(site);
        }
        self.fixture.ok(&["check"]);
    }

    fn end_loads(&mut self) {
        for (site, load) in &mut self.loads {
            load.end(site);
        }
    }

    fn lose_power(&mut self) {
        let daemon = self.fixture.daemon_pid().expect("a daemon runs");
        let idle = self.fixture.mount_point(IDLE).join("file");
        let file = File::create(&idle).expect("the volume is mounted");
        self.fixture.disk().lose_power();
        // They must end by themselves: none is told that it wrote when it did not.
        self.end_loads();
        assert_unsyncable(&file);
        drop(file);
        kill(daemon);
        self.fixture.disk().restart();
    }
}

/// No fsync is answered with success, also not one that follows a failed one.
#[track_caller]
fn assert_unsyncable(file: &File) {
    for attempt in 1..=3 {
        let written = file.write_all_at(b"late", 0);
        let synced = written.and_then(|()| file.sync_all());
        let error = synced.expect_err("a disk without power has taken a sync");
        assert_eq!(error.raw_os_error(), Some(5), "attempt {attempt}: {error}");
        let again = file
            .sync_data()
            .expect_err("the failed write was forgotten");
        assert_eq!(again.raw_os_error(), Some(5), "attempt {attempt}: {again}");
    }
}
