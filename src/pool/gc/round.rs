//! One round: segments are condemned, emptied and deleted.

use std::time::Duration;

use super::marks::{Marks, Needed};
use super::walk::Walk;
use super::{GcOptions, GcReport, Patience, still_wanted};
use crate::base::pace::Pace;
use crate::base::progress::{Progress, Silent};
use crate::base::{Lsn, Place, Pointer, SegmentId};
use crate::block::{Moved, Reach, SegmentFrame};
use crate::disk::{Step, performs};
use crate::pool::{Pool, PoolError, PoolResult};

/// A wait for the rate is cut into pieces of this length, so that it can be broken off.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Condemned segments; spared again when this is dropped.
pub(in crate::pool) struct Round<'a> {
    pool: &'a Pool,
    segments: Vec<SegmentId>,
    /// No record before this refers to a frame that is not marked.
    condemned_at: Lsn,
    moved: Reach,
    moved_bytes: u64,
}

impl<'a> Round<'a> {
    /// The whole round.
    pub(super) fn run(
        pool: &'a Pool,
        segments: Vec<SegmentId>,
        options: &GcOptions,
        report: &mut GcReport,
        watch: (&dyn Progress, u64),
    ) -> PoolResult<()> {
        let mut round = Round::condemn(pool, segments, options.patience, watch.0)?;
        let needed = round.mark()?;
        round.empty(&needed, options, report, watch)?;
        round.remove(report)
    }

    /// From now on nobody begins to refer to a frame in these segments.
    pub(in crate::pool) fn condemn(
        pool: &'a Pool,
        segments: Vec<SegmentId>,
        patience: Patience,
        progress: &dyn Progress,
    ) -> PoolResult<Round<'a>> {
        let mut round = Round {
            pool,
            segments,
            condemned_at: Lsn(0),
            moved: Reach::default(),
            moved_bytes: 0,
        };
        pool.shared.store.condemn(&round.segments);
        round.condemned_at = pool.journal()?.appended().lsn;
        round.publish(patience, progress)?;
        Ok(round)
    }

    /// Publishes a state from behind the condemnation.
    fn publish(&self, patience: Patience, progress: &dyn Progress) -> PoolResult<()> {
        self.pool.publish_patiently(patience, progress)?;
        // What was under way already may have begun before.
        if patience != Patience::default() && !self.is_published() {
            self.pool.checkpoint()?;
        }
        match self.is_published() {
            true => Ok(()),
            false => Err(PoolError::Held),
        }
    }

    fn is_published(&self) -> bool {
        let newest = self.pool.published.lock().newest;
        newest.replay_from.lsn >= self.condemned_at
    }

    /// Finds out what in these segments is needed; of several frames with one id one is enough.
    /// Segments are spared in which somebody names a frame that their tables of contents do not.
    pub(in crate::pool) fn mark(&mut self) -> PoolResult<Vec<Needed>> {
        let store = &self.pool.shared.store;
        let mut frames = Vec::new();
        for segment in &self.segments {
            frames.append(&mut store.frames(*segment)?);
        }
        let mut marks = Marks::new(&self.segments, frames);
        let catalog = self.pool.published.lock().newest.catalog;
        Walk::new(&*self.pool.shared.nodes).catalog(catalog.as_ref(), &mut |pointer| {
            marks.note(pointer);
            Ok(())
        })?;
        let unlisted: Vec<SegmentId> = marks.unlisted.iter().copied().collect();
        for segment in &unlisted {
            log::warn!("segment {segment} stays: its table of contents lacks what is needed");
        }
        self.spare(&unlisted);
        let stays = |place: &Place| !self.segments.contains(&place.segment);
        let mut needed = marks.needed(&|pointer| {
            let located = store.locate(&pointer.id);
            let places = [Some(pointer.place), located].into_iter().flatten();
            let id = pointer.id;
            let mut others = places.filter(stays).map(|place| Pointer { id, place });
            others.any(|other| store.is_sound_at(&other))
        });
        needed.retain(|one| self.segments.contains(&one.frame.place.segment));
        needed.sort_unstable_by_key(|one| one.frame.place);
        Ok(needed)
    }

    fn spare(&mut self, segments: &[SegmentId]) {
        self.pool.shared.store.spare(segments);
        self.segments.retain(|segment| !segments.contains(segment));
    }

    /// Moves what is needed; durable when this returns. A segment with a frame that is needed and
    /// damaged is spared.
    pub(in crate::pool) fn empty(
        &mut self,
        needed: &[Needed],
        options: &GcOptions,
        report: &mut GcReport,
        (progress, total): (&dyn Progress, u64),
    ) -> PoolResult<()> {
        let store = &self.pool.shared.store;
        let mut pace = Pace::new(options.bytes_per_second);
        let mut damaged = Vec::new();
        for one in needed {
            still_wanted(progress)?;
            let moved = match store.move_frame(&one.frame)? {
                Moved::Damaged if one.other != one.frame.place => {
                    store.move_frame(&SegmentFrame {
                        place: one.other,
                        ..one.frame
                    })?
                }
                moved => moved,
            };
            match moved {
                Moved::To(to) => self.moved.add(&to),
                Moved::Damaged => {
                    damaged.push(one.frame.place.segment);
                    continue;
                }
            }
            let bytes = u64::from(one.frame.place.len);
            self.moved_bytes += bytes;
            report.moved_frames += 1;
            report.moved_bytes += bytes;
            progress.update(report.moved_bytes, total.max(report.moved_bytes));
            self.wait(&mut pace, bytes, progress);
        }
        damaged.dedup();
        self.spare(&damaged);
        report.damaged.extend(damaged);
        self.pool.shared.store.settle_moved(&self.moved)?;
        Ok(())
    }

    fn wait(&self, pace: &mut Pace, bytes: u64, progress: &dyn Progress) {
        let clock = &self.pool.shared.clock;
        let wait = pace.spend(bytes, clock.monotonic());
        let until = clock.monotonic() + wait;
        while !progress.is_cancelled() {
            let rest = until.saturating_sub(clock.monotonic());
            if rest.is_zero() {
                return;
            }
            std::thread::sleep(rest.min(WAIT_MAX));
        }
    }

    /// Deletes the segments.
    pub(in crate::pool) fn remove(mut self, report: &mut GcReport) -> PoolResult<()> {
        if performs(&*self.pool.shared.disk, Step::RemovalBehindSlots) {
            self.publish(Patience::default(), &Silent)?;
        }
        let segments = std::mem::take(&mut self.segments);
        let removed = self.pool.shared.store.remove(&segments);
        if removed.is_err() {
            self.segments = segments;
            return Ok(removed.map(drop)?);
        }
        report.removed += segments.len() as u64;
        report.freed_bytes += removed?.saturating_sub(self.moved_bytes);
        Ok(())
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.pool.shared.store.spare(&self.segments);
    }
}
