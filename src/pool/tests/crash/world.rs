//! A pool on a simulated medium beside its model.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::model::{Floor, PoolModel};
use super::reading::read_pool;
use crate::base::progress::Silent;
use crate::base::{Clock, PoolId, SplitMix64, Timestamp};
use crate::disk::SimDisk;
use crate::journal::JournalOptions;
use crate::pool::recovery::Ground;
use crate::pool::settings::PoolFile;
use crate::pool::{Pool, PoolError, PoolOptions, PoolResult, Violation};

const ID: PoolId = PoolId([0x51; 16]);
/// Bytes of a segment: some rollovers in each run.
const SEGMENT_BYTES: u32 = 300 << 10;

/// Each look at it is a millisecond later.
#[derive(Default)]
pub(super) struct StepClock(pub(super) AtomicU64);

impl Clock for StepClock {
    fn now(&self) -> Timestamp {
        let millis = self.0.fetch_add(1, Ordering::Relaxed);
        Timestamp {
            secs: 1_700_000_000 + (millis / 1000) as i64,
            nanos: (millis % 1000) as u32 * 1_000_000,
        }
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// What never changes about a run.
#[derive(Clone)]
pub(super) struct Setting {
    journal: JournalOptions,
    workers: usize,
    file: PoolFile,
    pub(super) clock: Arc<StepClock>,
}

/// See the module's text. When it is dropped by a panic it tells how it came to it.
pub(super) struct World {
    seed: u64,
    pub(super) random: SplitMix64,
    pub(super) setting: Setting,
    pub(super) disk: SimDisk,
    pool: Option<Arc<Pool>>,
    pub(super) model: PoolModel,
    told: Vec<String>,
    /// Names that were given out.
    pub(super) names: u64,
    pub(super) operations: u64,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("VOLFS_SEEDS={} did:\n{}", self.seed, self.told.join("\n"));
        }
    }
}

fn path() -> PathBuf {
    Path::new("simulated").to_owned()
}

impl World {
    /// An empty medium; the pool is still to be created. `threads`: in some runs a thread makes
    /// journal files and one helps with sealing, and then a seed repeats a run almost only.
    pub(super) fn new(seed: u64, threads: bool) -> World {
        let mut random = SplitMix64::new(seed);
        let (grows, helps) = (random.chance(20), random.chance(20));
        let (grows, helps) = (grows && threads, helps && threads);
        let setting = Setting {
            journal: JournalOptions {
                file_bytes: if grows { 128 << 10 } else { 256 << 10 },
                files_max: if grows { 4 } else { 2 },
            },
            workers: usize::from(helps),
            file: PoolFile::new(ID, Timestamp::default()),
            clock: Arc::default(),
        };
        World {
            seed,
            random,
            setting,
            disk: SimDisk::new(),
            pool: None,
            model: PoolModel::default(),
            told: Vec::new(),
            names: 0,
            operations: 0,
        }
    }

    pub(super) fn tell(&mut self, text: String) {
        self.told.push(format!("  {:4} {text}", self.operations));
    }

    /// Makes the pool on the present medium.
    pub(super) fn create(&mut self) -> PoolResult<()> {
        Pool::create_on(
            &self.disk,
            &path(),
            &self.setting.file,
            &self.setting.journal,
        )
    }

    /// Forgets the process that used the medium, and goes on with another one.
    pub(super) fn replace_disk(&mut self, disk: SimDisk) {
        self.pool = None;
        self.disk = disk;
    }

    /// An empty medium of the same kind.
    pub(super) fn clear(&mut self) {
        self.replace_disk(self.disk.cleared());
    }

    fn open_on(&self, disk: &SimDisk) -> PoolResult<Arc<Pool>> {
        let file = PoolFile::read(disk, &path())?;
        let ground = Ground {
            disk: Arc::new(disk.clone()),
            path: path(),
            lock: None,
            index_dir: None,
            journal: self.setting.journal.clone(),
            segment_bytes: SEGMENT_BYTES,
            workers: self.setting.workers,
            clock: self.setting.clock.clone(),
            fresh_key: || Ok([3; 16]),
        };
        let options = PoolOptions {
            block_cache_bytes: 1 << 20,
            node_cache_bytes: 1 << 20,
            ..PoolOptions::default()
        };
        Pool::open_on(ground, &file, &options)
    }

    /// Opens the pool: recovery.
    pub(super) fn open(&mut self) -> PoolResult<()> {
        self.pool = None;
        self.pool = Some(self.open_on(&self.disk)?);
        Ok(())
    }

    /// Whether the medium holds a pool.
    pub(super) fn exists(&self) -> bool {
        let read = PoolFile::read(&self.disk, &path());
        !matches!(read, Err(PoolError::NotAPool { .. }))
    }

    /// Orderly end: everything is durable.
    pub(super) fn close(&mut self) {
        self.tell("close".to_owned());
        self.pool().close().expect("the medium works");
        self.model.make_durable(|_| true);
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        self.pool.as_ref().expect("the pool is open")
    }

    /// Compares the open pool with the model, and takes over what it holds.
    pub(super) fn verify(&mut self, floor: Floor, with_check: bool) {
        let found = read_pool(self.pool());
        let wrong = self.model.check(&found, floor);
        assert!(wrong.is_empty(), "{}", wrong.join("\n  "));
        if with_check {
            // On a copy, so that what a check publishes does not hide anything here.
            let copy = self.disk.kill();
            let pool = self.open_on(&copy).expect("the copy opens");
            let report = pool.check(&Silent).expect("the check comes to its end");
            assert_eq!(report.violations, Vec::<Violation>::new());
        }
        self.model = PoolModel::restart(found);
    }
}

pub(super) fn text(error: impl std::error::Error) -> String {
    crate::pool::checkpoint::chain(&error)
}
