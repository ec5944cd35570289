//! Many volumes in one folder: superblock, catalog, checkpoint, recovery, snapshot, clone,
//! rollback, check.

mod catalog;
mod check;
mod checkpoint;
mod copies;
mod create;
mod cut;
mod earlier;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod gc;
mod new_life;
mod policy;
mod records;
mod recovery;
mod repair;
mod reserve;
mod seal;
mod settings;
mod snapshots;
mod space;
mod superblock;
#[cfg(test)]
pub(crate) mod tests;
mod trash;
mod types;
mod volumes;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use check::{CheckOptions, CheckReport, InodeRule, Repair, StateName, Violation};
pub use earlier::StateOf;
pub use error::{PoolError, PoolResult};
pub use gc::{GcOptions, GcReport, Patience};
pub use policy::Policy;
pub use records::MadeBy;
pub use repair::RepairOptions;
pub use types::{
    Collected, DiffReport, DroppedRecords, JournalCut, LostRecords, NewSnapshot, NewVolume,
    PoolOptions, PoolSpace, PoolStatus, Rollback, SetVolume, SnapshotInfo, SpaceUse, TrashInfo,
    VolumeInfo,
};

use self::catalog::Catalog;
use self::superblock::{FORMAT_VERSION, Superblock, SuperblockFile};
use crate::base::progress::Progress;
use crate::base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::base::sync::thread::{self, JoinHandle};
use crate::base::sync::{Mutex, MutexGuard};
use crate::base::{PoolId, VolumeId};
use crate::disk::PoolLock;
use crate::journal::{Journal, JournalOptions};
use crate::volume::Volume;
use crate::volume::core::admission::Room;
use crate::volume::core::shared::Shared;
use crate::volume::core::volume::State;

/// How often who waits for a check or a collection of garbage to end looks whether it has.
const TURN_EVERY: Duration = Duration::from_millis(50);

/// An open pool; one process owns it.
///
/// Locks are taken in this order: `checkpointing`, `catalog`, volumes by ascending number, the
/// journal's own, `published`.
pub struct Pool {
    path: PathBuf,
    id: PoolId,
    default_block_size: u32,
    shared: Arc<Shared>,
    catalog: Mutex<Catalog>,
    published: Mutex<Published>,
    /// One at a time of what goes through all segments: collecting garbage, checking. Taken before
    /// all others.
    maintenance: Mutex<()>,
    /// How many wait for that.
    maintenance_waiters: AtomicU64,
    gc: gc::GcWorker,
    /// One checkpoint at a time.
    checkpointing: Mutex<()>,
    checkpoints: AtomicU64,
    /// Both slots are behind what recovery has replayed.
    is_recovered: AtomicBool,
    /// The last checkpoint left something out that the next one may be able to publish.
    is_unfinished: AtomicBool,
    reserve: reserve::Reserve,
    journal_cut: Option<JournalCut>,
    dropped: Vec<DroppedRecords>,
    worker: Mutex<Option<JoinHandle<()>>>,
    is_closed: AtomicBool,
    trash_stay: Duration,
    poll_idle_cores: bool,
    fresh_key: recovery::FreshKey,
    journal_options: JournalOptions,
    lock: Mutex<Option<PoolLock>>,
}

/// What the superblock's two slots say.
struct Published {
    file: SuperblockFile,
    newest: Superblock,
    /// Of this life: what the next state bears.
    incarnation: u64,
}

impl Pool {
    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether mounts of its volumes keep idle cores from halting while requests come fast.
    pub fn polls_idle_cores(&self) -> bool {
        self.poll_idle_cores
    }

    /// Its state in numbers.
    pub fn status(&self) -> PoolStatus {
        let journal = self.shared.journal.get();
        let (journal_bytes, journal_capacity) = journal.map_or((0, 0), |journal| journal.fill());
        let store = self.shared.store.stats();
        PoolStatus {
            id: self.id,
            path: self.path.clone(),
            format_version: FORMAT_VERSION,
            dirty_bytes: self.shared.admission.dirty(),
            journal_bytes,
            journal_capacity,
            journal_appended: journal.map_or(0, |journal| journal.end().0),
            journal_syncs: journal.map_or(0, Journal::syncs),
            segment_bytes: store.stored_bytes,
            segments: store.segments,
            blocks_put: store.blocks_put,
            bytes_put: store.bytes_put,
            free_bytes: self.shared.disk.space().map_or(0, |space| space.free),
            dedup_hits: store.dedup_hits,
            dedup_bytes: store.dedup_bytes,
            new_bytes: store.new_bytes,
            new_frame_bytes: store.new_frame_bytes,
            block_cache: store.cache,
            node_cache: self.shared.nodes.cache_use(),
            checkpoints: self.checkpoints.load(Ordering::Relaxed),
            collected: self.gc.collected(),
            is_full: self.shared.admission.room() < Room::Enough,
            poisoned: self
                .volumes()
                .into_iter()
                .filter_map(|info| Some((info.name, info.poisoned?)))
                .collect(),
        }
    }

    /// Checkpoint and orderly end. Later changes fail.
    pub fn close(&self) -> PoolResult<()> {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // Before the last checkpoint, which would wait for what it does.
        self.gc.stop();
        let published = self.checkpoint();
        self.stop();
        self.shared.store.close()?;
        *self.lock.lock() = None;
        published
    }

    /// What was given up when it was opened, if its journal was damaged.
    pub fn journal_cut(&self) -> Option<&JournalCut> {
        self.journal_cut.as_ref()
    }

    /// The newest records of volumes that were not durable when it was opened, and were dropped.
    pub fn dropped_records(&self) -> &[DroppedRecords] {
        &self.dropped
    }

    /// The log, which is there from the end of recovery on.
    fn journal(&self) -> PoolResult<&Journal> {
        self.shared.journal.get().ok_or(PoolError::Closed)
    }

    /// Waits for its turn at what goes through all segments, which may take hours, as long as
    /// somebody waits for the result.
    fn maintain(&self, progress: &dyn Progress) -> PoolResult<MutexGuard<'_, ()>> {
        if let Some(turn) = self.maintenance.try_lock() {
            return Ok(turn);
        }
        // For a collection that waits for a checkpoint: it goes on then.
        self.maintenance_waiters.fetch_add(1, Ordering::Relaxed);
        let turn = loop {
            if let Some(turn) = self.maintenance.try_lock() {
                break Ok(turn);
            }
            if progress.is_cancelled() {
                break Err(PoolError::BrokenOff);
            }
            std::thread::sleep(TURN_EVERY);
        };
        self.maintenance_waiters.fetch_sub(1, Ordering::Relaxed);
        turn
    }

    fn stop(&self) {
        self.gc.stop();
        self.shared.admission.close();
        if let Some(worker) = self.worker.lock().take()
            // The last reference may be the worker's own, taken for one checkpoint.
            && worker.thread().id() != thread::current().id()
            && worker.join().is_err()
        {
            log::error!("the checkpoint thread panicked");
        }
    }
}

/// A pool that is dropped without `close` is as after a crash: recovery replays its journal.
impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Takes the locks of these volumes in the order of their numbers.
fn lock_states(volumes: &[Arc<Volume>]) -> catalog::Locked<'_> {
    debug_assert!(volumes.is_sorted_by_key(|volume| volume.id()));
    volumes
        .iter()
        .map(|volume| (volume.id(), volume.lock()))
        .collect()
}

/// A locked volume's state.
fn state_of<'a>(locked: &'a mut catalog::Locked<'_>, id: VolumeId) -> Option<&'a mut State> {
    locked.get_mut(&id).map(|guard| &mut **guard)
}
