//! One segment: who may append where, what has been written, and what is on the medium.

use std::sync::Arc;

use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::base::sync::{Condvar, Mutex};
#[cfg(test)]
use crate::base::sync::{Sabotage, is_sabotaged};
use crate::base::{BlockId, SegmentId};
use crate::block::batch::BatchFrame;
use crate::block::{BlockError, BlockResult, SegmentInfo};
use crate::disk::DiskFile;

use super::layout::{ENTRY_BYTES, FRAMES_MAX, HEADER_BYTES, TRAILER_BYTES};
use super::reservation::{Content, Reservation};
use super::{FrameEntry, SegmentKind, path};

/// Written bytes after which their write-out is started, so that a sync finds little to do.
const WRITEBACK_BYTES: u32 = 4 << 20;
/// Durable bytes after which a segment's new frames are worth the index feeder's attention.
const FEED_BYTES: u32 = 1 << 20;

/// A segment file and its state.
pub(in crate::block) struct Segment {
    id: SegmentId,
    kind: SegmentKind,
    state: Mutex<State>,
    /// A write or a sync has ended.
    changed: Condvar,
    tally: Arc<Tally>,
}

/// Counts over all segments of a store.
#[derive(Default)]
pub(super) struct Tally {
    /// Bytes that are not known to be on the medium; those of poisoned segments apart.
    pub(super) unsynced: AtomicU64,
    /// Segments that were poisoned.
    pub(super) poisonings: AtomicU64,
}

/// What may still happen to a segment's file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    /// Frames are appended.
    Open,
    /// No more frames; the table of contents is still to come.
    Full,
    /// The table of contents is being written.
    Closing,
    /// Nothing is ever written again.
    Ended {
        /// Whether it has a table of contents.
        closed: bool,
    },
}

struct State {
    life: Life,
    /// End of the last reservation, in bytes.
    end: u32,
    /// Offsets of the reservations that are being written.
    in_flight: Vec<u32>,
    /// Frames in ascending order of offset, until the table of contents is in the file.
    frames: Vec<FrameEntry>,
    /// What is on the medium: all that was written below.
    durable: u32,
    /// The folder's entry of the file is on the medium.
    listed: bool,
    /// What the file holds is known to be what the medium holds; false for a found file until it
    /// has been synced and its cached pages dropped.
    settled: bool,
    /// A sync is under way.
    syncing: bool,
    poisoned: bool,
    /// It is to go; nobody may begin to refer to a frame in it.
    condemned: bool,
    /// The handle that was written through, kept until all is durable: a write-back error must
    /// find the descriptor that it is to be reported to.
    file: Option<Arc<dyn DiskFile>>,
    /// End of the range whose write-out was started.
    written_back: u32,
    /// Durable bytes when the index feeder was told last.
    fed_notice: u32,
}

impl State {
    /// Everything below was written by its owner, or given up by it.
    fn whole_end(&self) -> u32 {
        self.in_flight.iter().copied().min().unwrap_or(self.end)
    }

    fn is_at_rest(&self) -> bool {
        matches!(self.life, Life::Ended { .. })
            && !self.poisoned
            && self.durable == self.end
            && self.listed
            && self.settled
    }

    /// Whether all below byte `end` is on the medium, and the file's name with it.
    fn covers(&self, end: u32) -> bool {
        self.durable >= end && self.listed && self.settled
    }

    fn land(&mut self, offset: u32) {
        self.in_flight.retain(|&other| other != offset);
    }
}

/// What a sync has to do; see [`Segment::sync`].
pub(super) struct SyncPlan {
    /// The handle that was written through; none for a found segment.
    pub(super) file: Option<Arc<dyn DiskFile>>,
    /// Whether the folder must be synced as well.
    pub(super) list: bool,
    /// Whether cached pages must be dropped after the sync.
    pub(super) settle: bool,
}

impl Segment {
    /// A new segment whose header has been written through `file`.
    pub(super) fn created(
        id: SegmentId,
        kind: SegmentKind,
        file: Arc<dyn DiskFile>,
        tally: Arc<Tally>,
    ) -> Segment {
        let state = State {
            life: Life::Open,
            end: HEADER_BYTES as u32,
            in_flight: Vec::new(),
            frames: Vec::new(),
            durable: 0,
            listed: false,
            settled: true,
            syncing: false,
            poisoned: false,
            condemned: false,
            file: Some(file),
            written_back: 0,
            fed_notice: 0,
        };
        Segment::with(id, kind, state, tally)
    }

    /// A segment that was there when the store was opened: nothing is known to be durable.
    pub(super) fn found(
        id: SegmentId,
        kind: SegmentKind,
        bytes: u32,
        closed: bool,
        tally: Arc<Tally>,
    ) -> Segment {
        let state = State {
            life: Life::Ended { closed },
            end: bytes,
            in_flight: Vec::new(),
            frames: Vec::new(),
            durable: 0,
            listed: false,
            settled: false,
            syncing: false,
            poisoned: false,
            condemned: false,
            file: None,
            written_back: bytes,
            fed_notice: 0,
        };
        Segment::with(id, kind, state, tally)
    }

    fn with(id: SegmentId, kind: SegmentKind, state: State, tally: Arc<Tally>) -> Segment {
        let end = u64::from(state.end);
        tally.unsynced.fetch_add(end, Ordering::Relaxed);
        Segment {
            id,
            kind,
            state: Mutex::new(state),
            changed: Condvar::new(),
            tally,
        }
    }

    /// Its number.
    pub(in crate::block) fn id(&self) -> SegmentId {
        self.id
    }

    /// Its kind.
    pub(in crate::block) fn kind(&self) -> SegmentKind {
        self.kind
    }

    /// For status.
    pub(in crate::block) fn info(&self) -> SegmentInfo {
        let state = self.state.lock();
        SegmentInfo {
            segment: self.id,
            kind: self.kind,
            bytes: state.end,
            durable_bytes: state.durable,
            closed: state.life == Life::Ended { closed: true },
            poisoned: state.poisoned,
        }
    }

    /// Bytes known to be on the medium.
    pub(in crate::block) fn durable_bytes(&self) -> u32 {
        self.state.lock().durable
    }

    /// Whether a new pointer to a frame in here may still become durable, and what can be read
    /// here is what the medium has or will get.
    pub(in crate::block) fn takes_references(&self) -> bool {
        let state = self.state.lock();
        state.settled && !state.poisoned
    }

    /// Says that it is to go, or not after all.
    pub(super) fn condemn(&self, is_condemned: bool) {
        self.state.lock().condemned = is_condemned;
    }

    /// Whether it is to go.
    pub(in crate::block) fn is_condemned(&self) -> bool {
        self.state.lock().condemned
    }

    /// Whether all of it is on the medium and nothing will be added.
    pub(in crate::block) fn is_at_rest(&self) -> bool {
        self.state.lock().is_at_rest()
    }

    /// Whether it was found at the opening and may still be settled.
    pub(in crate::block) fn is_unsettled(&self) -> bool {
        let state = self.state.lock();
        !state.settled && !state.poisoned
    }

    /// Whether enough has become durable since the last time for the index feeder to be told.
    pub(in crate::block) fn is_feed_due(&self) -> bool {
        let mut state = self.state.lock();
        let news = state.durable - state.fed_notice;
        let due = news >= FEED_BYTES || (news > 0 && state.is_at_rest());
        if due {
            state.fed_notice = state.durable;
        }
        due
    }

    /// The frames from byte `from` on, while they are held in memory; once the segment has ended
    /// its file has them.
    pub(super) fn frames_in_memory(&self, from: u32) -> Option<Vec<FrameEntry>> {
        let state = self.state.lock();
        match state.life {
            Life::Open | Life::Full | Life::Closing => {
                let first = state.frames.partition_point(|frame| frame.offset < from);
                Some(state.frames[first..].to_vec())
            }
            Life::Ended { .. } => None,
        }
    }

    /// Those of the frames in memory that have this id; none of all that once the table of
    /// contents is in the file.
    pub(super) fn frames_in_memory_of(&self, id: &BlockId) -> Option<Vec<FrameEntry>> {
        let state = self.state.lock();
        match state.life {
            Life::Open | Life::Full | Life::Closing => {
                let named = state.frames.iter().filter(|frame| frame.id == *id);
                Some(named.copied().collect())
            }
            Life::Ended { .. } => None,
        }
    }

    /// Whether somebody still writes to it, be it that it was poisoned meanwhile.
    pub(super) fn has_writes(&self) -> bool {
        !self.state.lock().in_flight.is_empty()
    }

    /// Room for the first of the frames, as many as fit, and how many those are; none if the
    /// segment takes no more, or not the first of these. `end_max` is where its frames must end,
    /// unless there is but one.
    pub(super) fn reserve(
        self: &Arc<Segment>,
        frames: &[BatchFrame],
        end_max: u32,
    ) -> Option<(usize, Reservation)> {
        let mut state = self.state.lock();
        if state.life != Life::Open {
            return None;
        }
        let start = state.end;
        let mut end = start;
        let mut count = 0;
        for frame in frames {
            let fits = end.checked_add(frame.len).is_some_and(|end| end <= end_max);
            if (!fits && !state.frames.is_empty()) || state.frames.len() >= FRAMES_MAX {
                break;
            }
            state.frames.push(FrameEntry {
                id: frame.id,
                offset: end,
                len: frame.len,
            });
            end += frame.len;
            count += 1;
        }
        if count == 0 {
            state.life = Life::Full;
            return None;
        }
        let reservation = self.reserve_bytes(&mut state, end - start, Content::Frames)?;
        Some((count, reservation))
    }

    /// Waits for the frames in flight and reserves the room for the table of contents behind
    /// them; none if there is no table to be written (any more).
    pub(super) fn reserve_contents(
        self: &Arc<Segment>,
    ) -> Option<(Vec<FrameEntry>, u32, Reservation)> {
        let mut state = self.state.lock();
        if !matches!(state.life, Life::Open | Life::Full) {
            return None;
        }
        state.life = Life::Closing;
        while !state.in_flight.is_empty() && !state.poisoned {
            self.changed.wait(&mut state);
        }
        if state.poisoned {
            return None;
        }
        let frames = state.frames.clone();
        let offset = state.end;
        let len = (frames.len() * ENTRY_BYTES + TRAILER_BYTES) as u32;
        let reservation = self.reserve_bytes(&mut state, len, Content::Contents)?;
        Some((frames, offset, reservation))
    }

    fn reserve_bytes(
        self: &Arc<Segment>,
        state: &mut State,
        len: u32,
        content: Content,
    ) -> Option<Reservation> {
        let file = state.file.clone()?;
        let offset = state.end;
        state.end += len;
        state.in_flight.push(offset);
        let bytes = u64::from(len);
        self.tally.unsynced.fetch_add(bytes, Ordering::Relaxed);
        Some(Reservation {
            segment: self.clone(),
            file,
            offset,
            len,
            content,
            ended: false,
        })
    }

    /// The reservation was written: what is to be written out to the medium now, if anything.
    pub(super) fn complete(&self, reservation: &Reservation) -> Option<(u64, u64)> {
        let mut state = self.state.lock();
        state.land(reservation.offset);
        if reservation.content == Content::Contents && !state.poisoned {
            state.life = Life::Ended { closed: true };
            state.frames = Vec::new();
        }
        let (from, to) = (state.written_back, state.whole_end());
        let ended = matches!(state.life, Life::Ended { .. });
        let due = to > from && (to - from >= WRITEBACK_BYTES || ended);
        if due {
            state.written_back = to;
        }
        drop(state);
        self.changed.notify_all();
        due.then(|| (u64::from(from), u64::from(to - from)))
    }

    /// The reservation could not be written.
    ///
    /// A full medium has taken nothing back of what was written before, so the range is given up
    /// and nobody refers to it: it is taken back if it is the last, otherwise it stays as a gap
    /// and the segment ends. After any other error nothing is known: the segment is poisoned.
    pub(super) fn abandon(&self, reservation: &Reservation, medium_is_full: bool) {
        let mut state = self.state.lock();
        state.land(reservation.offset);
        if medium_is_full && !state.poisoned {
            let range = reservation.offset..reservation.offset + reservation.len;
            state.frames.retain(|frame| !range.contains(&frame.offset));
            // Frames of which the first were written must not show behind what comes next.
            if state.end == range.end && reservation.cut().is_ok() {
                state.end = range.start;
                let bytes = u64::from(reservation.len);
                self.tally.unsynced.fetch_sub(bytes, Ordering::Relaxed);
            } else if state.life == Life::Open {
                state.life = Life::Full;
            }
            if reservation.content == Content::Contents {
                state.life = Life::Ended { closed: false };
                state.frames = Vec::new();
            }
        } else {
            self.poison(&mut state);
        }
        drop(state);
        self.changed.notify_all();
    }

    fn poison(&self, state: &mut State) {
        if state.poisoned {
            return;
        }
        state.poisoned = true;
        state.life = Life::Ended { closed: false };
        state.frames = Vec::new();
        state.file = None;
        // They will never be synced, so they must not hold back writers for ever.
        let lost = u64::from(state.end - state.durable);
        self.tally.unsynced.fetch_sub(lost, Ordering::Relaxed);
        // Whoever sees the new count sees the state that goes with it: it is under the lock.
        self.tally.poisonings.fetch_add(1, Ordering::Release);
        log::error!(
            "a write or a sync of '{}' failed: of its {} bytes {} are on the medium, and it takes \
             no more",
            self.path(),
            state.end,
            state.durable
        );
    }

    /// Whether all below byte `end` is on the medium, for good.
    pub(in crate::block) fn is_durable(&self, end: u32) -> bool {
        self.state.lock().covers(end)
    }

    /// Whether something below byte `end` can never become durable any more.
    pub(in crate::block) fn has_lost(&self, end: u32) -> bool {
        let state = self.state.lock();
        state.poisoned && !state.covers(end)
    }

    /// The refusal of whoever needs what was lost.
    pub(in crate::block) fn poisoned_error(&self) -> BlockError {
        BlockError::Poisoned {
            segment: self.id,
            file: self.path(),
        }
    }

    fn path(&self) -> String {
        path(self.id, self.kind)
    }

    /// Makes durable what lies below byte `end`, or what had been written when this was called;
    /// `flush` does it.
    ///
    /// What is durable stays so, also after a later write or sync of the segment has failed.
    ///
    /// 1. Wait until every reservation below the mark has been written. An fdatasync covers what
    ///    was completely written when it was issued, and nothing else may be called durable.
    /// 2. One thread flushes, others wait for it. Who came after the flush was issued and has more
    ///    to be made durable leads the next one.
    /// 3. Raise the durable mark, or poison the segment: after a failed sync the kernel may have
    ///    marked the lost pages clean, so that a second sync would succeed without them.
    pub(super) fn sync(
        &self,
        end: Option<u32>,
        mut flush: impl FnMut(&SyncPlan) -> BlockResult<()>,
    ) -> BlockResult<()> {
        let mut state = self.state.lock();
        let mut wanted = end.unwrap_or(state.end);
        loop {
            if !state.poisoned {
                // A range that was taken back is waited for by nobody.
                wanted = wanted.min(state.end);
            }
            if state.covers(wanted) {
                if state.is_at_rest() {
                    state.file = None;
                }
                return Ok(());
            }
            if state.poisoned {
                return Err(self.poisoned_error());
            }
            if state.syncing || state.in_flight.iter().any(|&offset| offset < wanted) {
                self.changed.wait(&mut state);
                continue;
            }
            let mark = state.whole_end();
            #[cfg(test)]
            let mark = match is_sabotaged(Sabotage::ReservedIsWritten) {
                true => state.end,
                false => mark,
            };
            state.syncing = true;
            let plan = SyncPlan {
                file: state.file.clone(),
                list: !state.listed,
                settle: !state.settled,
            };
            drop(state);
            let leader = SyncLeader { segment: self };
            let result = flush(&plan);
            std::mem::forget(leader);
            state = self.state.lock();
            self.end_sync(&mut state, result.is_ok().then_some(mark));
            result?;
        }
    }

    /// A sync ended; `mark` is what is durable now, or none if the sync failed.
    fn end_sync(&self, state: &mut State, mark: Option<u32>) {
        state.syncing = false;
        match mark {
            Some(mark) if !state.poisoned => {
                let news = mark.saturating_sub(state.durable);
                state.durable += news;
                let bytes = u64::from(news);
                self.tally.unsynced.fetch_sub(bytes, Ordering::Relaxed);
                state.listed = true;
                state.settled = true;
            }
            Some(_) => {}
            None => self.poison(state),
        }
        self.changed.notify_all();
    }

    /// The caller knows that a found segment is wholly on the medium.
    pub(super) fn declare_durable(&self) {
        let mut state = self.state.lock();
        if !state.settled && !state.poisoned {
            let end = state.end;
            self.end_sync(&mut state, Some(end));
        }
    }
}

/// Poisons the segment if the thread that flushes it panics.
struct SyncLeader<'a> {
    segment: &'a Segment,
}

impl Drop for SyncLeader<'_> {
    fn drop(&mut self) {
        self.segment.end_sync(&mut self.segment.state.lock(), None);
    }
}
