//! Taking segments away: what is alive in them is moved first, what is not goes with them.
//!
//! The order, which the pool's collector keeps:
//! 1. [`BlockStore::condemn`]: from when it returns nobody refers to a frame in there who did not
//!    refer to it before.
//! 2. The pool finds out what is alive, from a state that is published after that.
//! 3. [`BlockStore::move_frame`] for each such frame, and a sync of where they went.
//! 4. [`BlockStore::remove`], when no published state is older than the condemnation.
//!
//! A crash before the last step leaves frames that are there twice, or that nobody refers to.

use std::time::Duration;

use crate::base::{BlockId, Place, Pointer, SegmentId, chain};

use super::frame::{FrameKind, decode_frame};
use super::read::{Fault, Reading};
use super::segment::SegmentKind;
use super::{BlockError, BlockResult, BlockStore, Reach};
use crate::disk::Step;

/// How long a removal waits for the content index to forget a segment. What it does not forget
/// leads nowhere, and is found out by whoever follows it.
const FORGET_PATIENCE: Duration = Duration::from_secs(10);

/// A frame as the table of contents of its segment says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentFrame {
    /// What it holds.
    pub id: BlockId,
    /// Where it is.
    pub place: Place,
}

/// What came of moving a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moved {
    /// It is here now as well.
    To(Place),
    /// It is damaged, and no other copy of it can be used.
    Damaged,
}

impl BlockStore {
    /// The frames of a segment, in the order of their offsets; none of one that is gone. Of a
    /// segment without a table of contents those up to the first that is not whole.
    pub fn frames(&self, segment: SegmentId) -> BlockResult<Vec<SegmentFrame>> {
        self.check_open()?;
        let Some(found) = self.core.set.get(segment) else {
            return Ok(Vec::new());
        };
        let frames = self.core.set.frames(&found, 0)?;
        let frames = frames.iter().map(|frame| SegmentFrame {
            id: frame.id,
            place: frame.place(segment),
        });
        Ok(frames.collect())
    }

    /// Ends the segments that are written to, so that they may be taken away after a sync.
    pub fn end_open_segments(&self) -> BlockResult<()> {
        self.check_open()?;
        self.core.appender.end_open();
        Ok(())
    }

    /// Segments that may be taken away as far as the store knows: on the medium wholly, with
    /// nothing that will be added, and not failed.
    pub fn at_rest(&self) -> Vec<SegmentId> {
        let all = self.core.set.all();
        let at_rest = all.iter().filter(|segment| segment.is_at_rest());
        at_rest.map(|segment| segment.id()).collect()
    }

    /// From when this returns no block is found in these segments any more, and what was found in
    /// them before is committed, or given up ([`BlockStore::pin`]).
    pub fn condemn(&self, segments: &[SegmentId]) {
        self.core.set.condemn(segments, true);
        self.pins.drain();
    }

    /// The opposite of [`BlockStore::condemn`].
    pub fn spare(&self, segments: &[SegmentId]) {
        self.core.set.condemn(segments, false);
    }

    /// Where recent appends and the content index believe the content to be; not verified.
    pub fn locate(&self, id: &BlockId) -> Option<Place> {
        let indexed = || self.core.index.as_ref()?.lookup(id);
        self.core.recent.get(id).or_else(indexed)
    }

    /// Whether the frame lies where the pointer says, sound, and on the medium for good: what a
    /// failed sync has lost may still be read.
    pub fn is_sound_at(&self, pointer: &Pointer) -> bool {
        let mut reach = Reach::default();
        reach.add(&pointer.place);
        self.is_durable(&reach) && self.core.verify_at(&pointer.id, &pointer.place).is_ok()
    }

    /// Appends the frame to an open segment as it is. One that is damaged is searched for
    /// elsewhere. Not durable before a sync of where it went.
    pub fn move_frame(&self, frame: &SegmentFrame) -> BlockResult<Moved> {
        self.check_open()?;
        match self.core.move_from(&frame.id, &frame.place) {
            Ok(to) => return Ok(Moved::To(to?)),
            Err(Fault::Disk(source)) => {
                return Err(BlockError::Disk {
                    segment: frame.place.segment,
                    source,
                });
            }
            Err(fault) => log::warn!(
                "the frame of {} in segment {} at byte {} cannot be moved: {fault:?}",
                frame.id,
                frame.place.segment,
                frame.place.offset
            ),
        }
        let other = self.locate(&frame.id);
        let other = other.filter(|other| *other != frame.place);
        match other.and_then(|other| self.core.move_from(&frame.id, &other).ok()) {
            Some(to) => Ok(Moved::To(to?)),
            None => Ok(Moved::Damaged),
        }
    }

    /// Makes moved frames durable and tells the index of them.
    pub fn settle_moved(&self, reach: &Reach) -> BlockResult<()> {
        self.sync_reach(reach, Step::CopyBeforeRemoval)?;
        if let Some(index) = &self.core.index {
            reach.iter().for_each(|(segment, _)| index.notify(segment));
        }
        Ok(())
    }

    /// Takes condemned segments away, for good: waits for whoever reads by pointers that were
    /// found before, lets the index forget what it has of them, and deletes their files. Returns
    /// the bytes that these had.
    ///
    /// The files' names are not synced: one that comes back after a power loss is a segment of
    /// which nothing is alive.
    pub fn remove(&self, segments: &[SegmentId]) -> BlockResult<u64> {
        self.check_open()?;
        self.pins.drain();
        if let Some(index) = &self.core.index {
            index.forget(segments, FORGET_PATIENCE);
        }
        let mut bytes = 0;
        for segment in segments.iter().filter_map(|id| self.core.set.get(*id)) {
            self.core.set.remove(&segment)?;
            bytes += u64::from(segment.info().bytes);
        }
        Ok(bytes)
    }
}

impl super::store::Core {
    /// Appends what lies at a place; the outer error is that of the place.
    fn move_from(&self, id: &BlockId, place: &Place) -> Result<BlockResult<Place>, Fault> {
        self.read_place(place, Reading::Other, |bytes| {
            let (header, payload) =
                decode_frame(bytes).map_err(|error| Fault::Damaged(chain(&error)))?;
            if header.id != *id {
                return Err(Fault::Other(format!("the frame there is {}", header.id)));
            }
            let kind = match header.kind {
                FrameKind::Block => SegmentKind::Data,
                FrameKind::Node => SegmentKind::Node,
            };
            let moved = self.appender.append(kind, &header, payload);
            if let Ok(to) = &moved {
                self.recent.insert(id, *to);
            }
            Ok(moved)
        })
    }
}
