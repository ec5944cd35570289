//! A pool on a simulated medium beside its model.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::aside::{self, Aside};
use super::change::Change;
use super::habits::Habits;
use super::index::IndexFolder;
use super::model::{Floor, Found, PoolModel};
use super::reading::read_pool;
use super::steps::SnapshotKey;
use crate::base::progress::Silent;
use crate::base::{Clock, PoolId, SplitMix64, Timestamp};
use crate::disk::{Rates, SimDisk};
use crate::pool::create;
use crate::pool::recovery::Ground;
use crate::pool::settings::PoolFile;
use crate::pool::{Pool, PoolError, PoolOptions, PoolResult, Violation};
use crate::volume::core::admission::Room;

pub(super) const ID: PoolId = PoolId([0x51; 16]);
/// How long the index is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a segment: some rollovers in each run.
const SEGMENT_BYTES: u32 = 300 << 10;

/// Each look at it is a millisecond later.
#[derive(Default)]
pub(in crate::pool::tests) struct StepClock {
    /// Milliseconds since the autumn of 2023; may be put back.
    pub(in crate::pool::tests) wall: AtomicU64,
    steady: AtomicU64,
}

impl StepClock {
    /// A clock whose next look shows the same time as this one's.
    pub(super) fn copy(&self) -> StepClock {
        StepClock {
            wall: AtomicU64::new(self.wall.load(Ordering::Relaxed)),
            steady: AtomicU64::new(self.steady.load(Ordering::Relaxed)),
        }
    }
}

impl Clock for StepClock {
    fn now(&self) -> Timestamp {
        let millis = self.wall.fetch_add(1, Ordering::Relaxed);
        Timestamp {
            secs: 1_700_000_000 + (millis / 1000) as i64,
            nanos: (millis % 1000) as u32 * 1_000_000,
        }
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.steady.fetch_add(1, Ordering::Relaxed))
    }
}

/// What never changes about a run.
#[derive(Clone)]
pub(in crate::pool::tests) struct Setting {
    /// What goes wrong now and then for ever.
    rates: Rates,
    pub(in crate::pool::tests) file: PoolFile,
    pub(in crate::pool::tests) clock: Arc<StepClock>,
}

/// See the module's text. When it is dropped by a panic it tells how it came to it.
pub(in crate::pool::tests) struct World {
    pub(super) seed: u64,
    pub(super) random: SplitMix64,
    pub(super) habits: Habits,
    pub(in crate::pool::tests) setting: Setting,
    pub(in crate::pool::tests) disk: SimDisk,
    pool: Option<Arc<Pool>>,
    /// None: the pool has no content index.
    pub(in crate::pool::tests) index: Option<IndexFolder>,
    pub(super) model: PoolModel,
    told: Vec<String>,
    /// Names that were given out.
    pub(super) names: u64,
    pub(super) operations: u64,
    pub(super) aside: Aside,
    /// A large write that was to be cut short: its volume, and what it was.
    pub(super) cut_short: Option<(String, Change)>,
    /// A snapshot that is held, perhaps, in a volume that is protected, perhaps.
    pub(super) kept: Option<SnapshotKey>,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("VOLFS_SEEDS={} did:\n{}", self.seed, self.told.join("\n"));
        }
    }
}

pub(super) fn path() -> PathBuf {
    Path::new("simulated").to_owned()
}

impl World {
    /// An empty medium; the pool is still to be created. With threads it is to live inside of
    /// [`once`](crate::base::sync::once).
    pub(super) fn new(seed: u64, habits: Habits) -> World {
        let setting = Setting {
            rates: Rates {
                interrupted: if habits.is_interrupted { 50 } else { 0 },
                ..Rates::default()
            },
            file: PoolFile::new(ID, Timestamp::default()),
            clock: Arc::default(),
        };
        let world = World {
            seed,
            random: SplitMix64::new(seed),
            setting,
            disk: SimDisk::new(),
            pool: None,
            index: habits.has_index.then(IndexFolder::new),
            model: PoolModel::default(),
            told: Vec::new(),
            names: 0,
            operations: 0,
            aside: Aside::new(seed),
            habits,
            cut_short: None,
            kept: None,
        };
        world.calm();
        world
    }

    /// A new pool without threads, open.
    pub(in crate::pool::tests) fn started(seed: u64) -> World {
        let mut world = World::new(seed, Habits::plain());
        world.create().expect("the medium works");
        world.open().expect("a new pool opens");
        world
    }

    /// The same with a content index.
    pub(in crate::pool::tests) fn with_index(seed: u64) -> World {
        let mut world = World::new(seed, Habits::plain());
        world.create().expect("the medium works");
        world.index = Some(IndexFolder::new());
        world.open_as_it_is();
        world
    }

    /// Opens the pool with the index folder as it is.
    pub(in crate::pool::tests) fn open_as_it_is(&mut self) {
        self.pool = None;
        let opened = self.open_on(&self.disk, self.index.as_ref());
        self.pool = Some(opened.expect("the pool opens"));
    }

    /// Nothing goes wrong any more, but what never stops.
    pub(in crate::pool::tests) fn calm(&self) {
        self.disk.disarm();
        self.disk.set_capacity(None);
        self.disk.set_rates(self.setting.rates, self.seed);
    }

    /// Beside what never stops, this goes wrong now and then.
    pub(super) fn disturb(&self, rates: Rates) {
        let rates = Rates {
            interrupted: self.setting.rates.interrupted,
            ..rates
        };
        self.disk.set_rates(rates, self.seed);
    }

    /// What was done up to here is not of interest.
    pub(super) fn forget_told(&mut self) {
        self.told.clear();
    }

    /// Whether something was told that has this in it.
    pub(super) fn has_told(&self, text: &str) -> bool {
        self.told.iter().any(|line| line.contains(text))
    }

    pub(super) fn tell(&mut self, text: String) {
        self.told.push(format!("  {:4} {text}", self.operations));
    }

    /// Makes the pool on the present medium, as [`Pool::create`] does: where the creation of one
    /// was cut short, its remains go first.
    pub(in crate::pool::tests) fn create(&mut self) -> PoolResult<()> {
        self.make_folder();
        create::clear_leftovers(&self.disk, &path())?;
        Pool::create_on(
            &self.disk,
            &path(),
            &self.setting.file,
            &self.habits.journal,
        )
    }

    /// Forgets the process that used the medium, and goes on with another one.
    pub(in crate::pool::tests) fn replace_disk(&mut self, disk: SimDisk) {
        self.pool = None;
        self.disk = disk;
    }

    /// An empty medium of the same kind.
    pub(in crate::pool::tests) fn clear(&mut self) {
        self.replace_disk(self.disk.cleared());
        self.calm();
    }

    /// Opens the pool on this medium; without an index where it is not the world's own.
    fn open_on(&self, disk: &SimDisk, index: Option<&IndexFolder>) -> PoolResult<Arc<Pool>> {
        let file = PoolFile::read(disk, &path())?;
        let workers = self.habits.workers;
        let ground = self.ground(disk, index.map(IndexFolder::path), workers);
        let options = PoolOptions {
            block_cache_bytes: 1 << 20,
            node_cache_bytes: 1 << 20,
            ..PoolOptions::default()
        };
        Pool::open_on(ground, &file, &options)
    }

    /// What a pool on this medium stands on.
    pub(super) fn ground(
        &self,
        disk: &SimDisk,
        index_dir: Option<PathBuf>,
        workers: usize,
    ) -> Ground {
        Ground {
            disk: Arc::new(disk.clone()),
            path: path(),
            lock: None,
            index_dir,
            journal: self.habits.journal.clone(),
            segment_bytes: SEGMENT_BYTES,
            unsynced_max: aside::UNSYNCED_MAX,
            workers,
            clock: self.setting.clock.clone(),
            fresh_key: || Ok([3; 16]),
        }
    }

    /// Opens the pool: recovery.
    pub(in crate::pool::tests) fn open(&mut self) -> PoolResult<()> {
        self.pool = None;
        if let Some(index) = &mut self.index {
            let what = index.suffer(&mut self.random);
            self.tell(format!("index: {what}"));
        }
        self.pool = Some(self.open_on(&self.disk, self.index.as_ref())?);
        if self.index.is_some() && self.aside.is_due(60) {
            self.tell("the index is waited for".to_owned());
            assert!(self.pool().shared.store.wait_for_index(PATIENCE));
        }
        // A table that could not be read is not missing.
        if !self.disk.has_failed() {
            self.check_closed_segments();
        }
        Ok(())
    }

    /// Whether the medium holds a pool.
    pub(in crate::pool::tests) fn exists(&self) -> bool {
        self.exists_on(&self.disk)
    }

    pub(super) fn exists_on(&self, disk: &SimDisk) -> bool {
        let read = PoolFile::read(disk, &path());
        !matches!(read, Err(PoolError::NotAPool { .. }))
    }

    /// Orderly end: everything is durable.
    pub(in crate::pool::tests) fn close(&mut self) {
        self.tell("close".to_owned());
        self.pool().close().expect("the medium works");
        self.note_closed_segments();
        self.model.make_durable(|_| true);
    }

    pub(in crate::pool::tests) fn pool(&self) -> &Arc<Pool> {
        self.pool.as_ref().expect("the pool is open")
    }

    /// Others have taken all room of the medium, and a checkpoint that of the reserve.
    pub(in crate::pool::tests) fn fill_the_disk(&mut self) {
        self.tell("the medium is full".to_owned());
        let pool = self.pool();
        assert!(pool.reserve.release(&self.disk), "there was no reserve");
        pool.shared.admission.set_room(Room::None);
        let used = self.disk.files().iter().map(|(_, len)| len).sum();
        self.disk.set_capacity(Some(used));
    }

    /// Compares the open pool with the model, and takes over what it holds.
    pub(super) fn verify(&mut self, floor: Floor, with_check: bool) {
        self.verify_list();
        let found = self.compare(floor);
        assert_no_orphans(self.pool(), &found);
        if with_check {
            // On a copy, so that what a check publishes does not hide anything here.
            let copy = self.disk.kill();
            let pool = self.open_on(&copy, None).expect("the copy opens");
            self.check(&pool);
        }
        self.check_index();
        self.model = PoolModel::restart(found);
    }

    /// Compares the open pool with the model.
    pub(in crate::pool::tests) fn compare(&self, floor: Floor) -> Found {
        let found = read_pool(self.pool());
        self.judge(&found, floor);
        found
    }

    fn judge(&self, found: &Found, floor: Floor) {
        let wrong = self.model.check(found, floor);
        assert!(wrong.is_empty(), "{}", wrong.join("\n  "));
    }

    /// Every entry of the index leads to its frame.
    fn check_index(&self) {
        let mut faults = Vec::new();
        let checked = self.pool().shared.store.check_index(&mut |fault| {
            faults.push(fault);
            ControlFlow::Continue(())
        });
        checked.expect("the index can be read");
        assert!(faults.is_empty(), "{faults:#?}");
    }

    /// Nothing is wrong.
    fn check(&self, pool: &Pool) {
        let report = pool.check(&Silent).expect("the check comes to its end");
        assert_eq!(report.violations, Vec::<Violation>::new());
    }

    /// Another thing that a power loss at this moment could leave: the pool, if it was created,
    /// opens, and holds what it must. Nothing changes here.
    pub(super) fn try_power_loss(&mut self, copy: &SimDisk, is_created: bool) {
        let exists = self.exists_on(copy);
        assert!(exists || !is_created, "the created pool is gone");
        if exists {
            self.try_medium(copy, Floor::Durable);
        }
    }

    /// What an outage has left opens, and holds what it must.
    pub(in crate::pool::tests) fn try_medium(&self, medium: &SimDisk, floor: Floor) {
        let pool = self.open_on(medium, None);
        let pool = pool.unwrap_or_else(|error| panic!("the copy does not open: {error:?}"));
        let found = read_pool(&pool);
        self.judge(&found, floor);
        assert_no_orphans(&pool, &found);
        self.check(&pool);
    }

    /// Opens the pool on another medium, which may be damaged.
    pub(in crate::pool::tests) fn open_copy(&self, medium: &SimDisk) -> PoolResult<Arc<Pool>> {
        self.open_on(medium, None)
    }
}

/// Of a pool that was just recovered: every inode of a volume has a name. What was unlinked while
/// somebody had it open is gone with them.
fn assert_no_orphans(pool: &Pool, found: &Found) {
    for info in pool.volumes() {
        let named = found.inodes(&info.name.to_string());
        assert_eq!(info.inodes, named, "inodes of volume {}", info.name);
    }
}

pub(super) fn text(error: impl std::error::Error) -> String {
    crate::pool::checkpoint::chain(&error)
}
