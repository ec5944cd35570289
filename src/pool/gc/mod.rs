//! Garbage collection: frames that no published state refers to give their room back.
//!
//! ```text
//! walk      every frame that a published state needs
//! plan      how much of each segment is alive, and which are worth cleaning
//! patience  waiting for checkpoints
//! marks     what is needed of the segments that are to go
//! round     one round: condemn, checkpoint, mark, move, checkpoint, remove
//! worker    the thread that does it by itself
//! ```
//!
//! There are no counts of references that could be wrong: what is alive is what can be reached from
//! the catalog. Why that is enough beside everybody who works:
//!
//! * From the condemnation of a segment on nobody refers to a frame in it who did not before, so
//!   what is alive in it only ever becomes less. (Blocks that are found stored are not found there
//!   any more, and who has found one before has committed it: [`BlockStore::pin`].)
//! * A checkpoint that begins after that publishes all there is. So whatever is ever needed of the
//!   segment again is reached from its catalog, and is moved; by its id it is found wherever it is.
//! * After the next checkpoint no superblock slot knows an older state, and no replay starts before
//!   the condemnation. Then the segment goes.
//!
//! What is alive is told by ids, not by places: so a pointer that is out of date, or a frame that
//! was healed elsewhere, keeps what it needs.
//!
//! [`BlockStore::pin`]: crate::block::BlockStore::pin

mod marks;
mod patience;
mod plan;
mod round;
mod walk;
mod worker;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::patience::Patience;
use self::plan::Plan;
pub(super) use self::round::Round;
pub(super) use self::walk::half;
pub(super) use self::worker::GcWorker;
use super::{Collected, Pool, PoolError, PoolResult};
use crate::base::SegmentId;
use crate::base::progress::Progress;

/// Between two looks whether anybody still waits for the index.
const INDEX_LOOK: Duration = Duration::from_millis(100);

/// How garbage is collected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GcOptions {
    /// Only say what there is to collect.
    pub dry_run: bool,
    /// Bytes that are moved a second at most; 0: as fast as it goes.
    pub bytes_per_second: u64,
    /// Percentage of a segment that must be garbage for it to be cleaned.
    pub segment_garbage_percent: u8,
    /// Garbage in percent of what is alive from which on anything is done. Then half of it may
    /// stay.
    pub garbage_percent: u8,
    /// How long it waits for others' checkpoints: before it looks at what there is. Once it has
    /// begun to collect, up to twice `garbage_percent`.
    pub patience: Patience,
}

impl Default for GcOptions {
    fn default() -> GcOptions {
        GcOptions {
            dry_run: false,
            bytes_per_second: 0,
            segment_garbage_percent: 5,
            garbage_percent: 0,
            patience: Patience::default(),
        }
    }
}

/// What a collection found and did. Bytes are those of frames: as stored, with their headers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct GcReport {
    /// Segments there were.
    pub segments: u64,
    /// Frames that somebody referred to, in bytes.
    pub live_bytes: u64,
    /// Frames that nobody referred to, in bytes.
    pub garbage_bytes: u64,
    /// Segments that were chosen.
    pub chosen: u64,
    /// Frames that were moved.
    pub moved_frames: u64,
    /// These in bytes.
    pub moved_bytes: u64,
    /// Segments that were deleted.
    pub removed: u64,
    /// Bytes that this gave back to the disk, after what was moved.
    pub freed_bytes: u64,
    /// Segments that stay, because a frame in them is needed and damaged.
    pub damaged: Vec<SegmentId>,
}

impl GcReport {
    fn collected(&self) -> Collected {
        Collected {
            moved_bytes: self.moved_bytes,
            removed_segments: self.removed,
            freed_bytes: self.freed_bytes,
        }
    }
}

impl Pool {
    /// Collects garbage, while everybody goes on. Takes 64 MiB of memory and a bit a frame.
    ///
    /// # Errors
    /// `BrokenOff` when `progress` says that nobody waits any more: what was done by then stays.
    /// `Tree` where a node cannot be read, as what lies below it cannot be told from garbage, and
    /// `Held` while a volume cannot be sealed: nothing is deleted then.
    pub fn collect_garbage(
        &self,
        options: &GcOptions,
        progress: &dyn Progress,
    ) -> PoolResult<GcReport> {
        let _one = self.maintain(progress)?;
        self.collect(options, progress)
    }

    /// Waits until frames that were moved are found where they are, as long as somebody waits for
    /// the result: before that a plan takes them for garbage. Behind an outage that takes a while.
    ///
    /// # Errors
    /// `BrokenOff` when `progress` says that nobody waits any more.
    pub fn await_index(&self, progress: &dyn Progress) -> PoolResult<()> {
        while !self.shared.store.wait_for_index(INDEX_LOOK) {
            still_wanted(progress)?;
        }
        Ok(())
    }

    /// As [`Pool::collect_garbage`]; the caller has `maintenance`.
    fn collect(&self, options: &GcOptions, progress: &dyn Progress) -> PoolResult<GcReport> {
        self.publish_patiently(options.patience, progress)?;
        let (store, nodes) = (&self.shared.store, &*self.shared.nodes);
        let catalog = self.published.lock().newest.catalog;
        let plan = Plan::make(store, nodes, catalog.as_ref())?;
        let mut report = GcReport {
            segments: plan.uses.len() as u64,
            live_bytes: plan.live_bytes(),
            garbage_bytes: plan.garbage_bytes(),
            ..GcReport::default()
        };
        let percent = u64::from(options.garbage_percent);
        let is_worth_it = report.garbage_bytes * 100 >= report.live_bytes * percent;
        let works = is_worth_it && !options.dry_run;
        let rounds = match works {
            true => self.choose(&plan, options, progress)?,
            false => plan.rounds(&plan.all(), options, self.free_bytes()),
        };
        report.chosen = rounds.iter().map(|round| round.len() as u64).sum();
        let total = rounds.iter().flatten();
        let total: u64 = total.map(|id| plan.uses[id].live_bytes).sum();
        drop(plan);
        if works {
            let mut options = options.clone();
            if options.patience != Patience::default() {
                options.patience.stored_bytes_max = report.live_bytes * (100 + 2 * percent) / 100;
            }
            for segments in rounds {
                let before = report.collected();
                let outcome = Round::run(self, segments, &options, &mut report, (progress, total));
                self.gc.note(before, report.collected());
                outcome?;
            }
            self.look_for_room();
        }
        Ok(report)
    }

    /// Segments to clean, in rounds. Half of what is garbage in a small pool may be in the segments
    /// that are written to: these are ended where the others are not enough.
    fn choose(
        &self,
        plan: &Plan,
        options: &GcOptions,
        progress: &dyn Progress,
    ) -> PoolResult<Vec<Vec<SegmentId>>> {
        let store = &self.shared.store;
        if !plan.is_enough(&store.at_rest(), options) {
            store.end_open_segments()?;
            self.publish_patiently(options.patience, progress)?;
        }
        Ok(plan.rounds(&store.at_rest(), options, self.free_bytes()))
    }

    fn free_bytes(&self) -> u64 {
        let space = self.shared.disk.space();
        space.map_or(u64::MAX, |space| space.free)
    }
}

fn still_wanted(progress: &dyn Progress) -> PoolResult<()> {
    match progress.is_cancelled() {
        true => Err(PoolError::BrokenOff),
        false => Ok(()),
    }
}
