//! Appending frames: one open segment of each kind.

use std::sync::Arc;

use crate::base::Place;
use crate::base::sync::Mutex;
use crate::block::batch::{Batch, BatchFrame};
use crate::block::frame::{FRAME_BYTES_MAX, FrameHeader};
use crate::block::{BlockError, BlockResult};

use super::layout::FRAMES_END_MAX;
use super::reservation::Reservation;
use super::{Segment, SegmentKind, SegmentSet};

/// Where the next frame of a kind goes.
enum Slot {
    /// To a segment that is still to be created.
    Empty,
    /// To this one, while it takes frames.
    Open(Arc<Segment>),
    /// Nowhere: the store was closed.
    Shut,
}

/// How many frames there is room for, the room, and the segment that is full now.
type Reserved = (usize, Reservation, Option<Arc<Segment>>);

/// Appends frames to the open segments. Room is reserved under a short lock and written outside
/// of it, so that several threads append at once.
pub(in crate::block) struct Appender {
    set: Arc<SegmentSet>,
    slots: [Mutex<Slot>; SegmentKind::ALL.len()],
    segment_bytes: u32,
}

impl Appender {
    /// Appends to new segments, each ended after about `segment_bytes`.
    pub(in crate::block) fn new(set: Arc<SegmentSet>, segment_bytes: u32) -> Appender {
        let segment_bytes = segment_bytes.min(FRAMES_END_MAX - FRAME_BYTES_MAX as u32);
        let slots = SegmentKind::ALL.map(|_| Mutex::new(Slot::Empty));
        Appender {
            set,
            slots,
            segment_bytes,
        }
    }

    fn slot(&self, kind: SegmentKind) -> &Mutex<Slot> {
        match kind {
            SegmentKind::Data => &self.slots[0],
            SegmentKind::Node => &self.slots[1],
        }
    }

    /// Writes a frame and returns its place. After an error nothing refers to what was written.
    pub(in crate::block) fn append(
        &self,
        kind: SegmentKind,
        header: &FrameHeader,
        payload: &[u8],
    ) -> BlockResult<Place> {
        let frame = BatchFrame {
            id: header.id,
            len: header.frame_len(),
        };
        let (_, reservation, replaced) = self.reserve(kind, &[frame])?;
        let place = reservation.place();
        self.write(reservation, replaced, &[&header.encode(), payload])?;
        Ok(place)
    }

    /// Writes all frames of the batch, with one write where they fit into one segment, and returns
    /// their places. After an error nothing refers to what was written.
    pub(in crate::block) fn append_batch(
        &self,
        kind: SegmentKind,
        batch: &Batch,
    ) -> BlockResult<Vec<Place>> {
        let mut places = Vec::with_capacity(batch.frames().len());
        let mut bytes = batch.bytes();
        while places.len() < batch.frames().len() {
            let frames = &batch.frames()[places.len()..];
            let (count, reservation, replaced) = self.reserve(kind, frames)?;
            let range = reservation.place();
            let (written, rest) = bytes.split_at(range.len as usize);
            self.write(reservation, replaced, &[written])?;
            bytes = rest;
            let mut offset = range.offset;
            for frame in &frames[..count] {
                places.push(Place {
                    segment: range.segment,
                    offset,
                    len: frame.len,
                });
                offset += frame.len;
            }
        }
        Ok(places)
    }

    fn write(
        &self,
        reservation: Reservation,
        replaced: Option<Arc<Segment>>,
        parts: &[&[u8]],
    ) -> BlockResult<()> {
        let segment = reservation.place().segment;
        let written = reservation.write(parts);
        if let Some(full) = replaced {
            self.end(&full);
        }
        written.map_err(|source| BlockError::Disk { segment, source })
    }

    /// Room for the first of the frames, as many as fit into the open segment, or into a new one;
    /// then the one that it replaces as well.
    fn reserve(&self, kind: SegmentKind, frames: &[BatchFrame]) -> BlockResult<Reserved> {
        let mut slot = self.slot(kind).lock();
        let replaced = match &*slot {
            Slot::Shut => return Err(BlockError::Closed),
            Slot::Empty => None,
            Slot::Open(segment) => match segment.reserve(frames, self.segment_bytes) {
                Some((count, reservation)) => return Ok((count, reservation, None)),
                None => Some(segment.clone()),
            },
        };
        let segment = self.set.create(kind)?;
        let reserved = segment.reserve(frames, self.segment_bytes);
        *slot = Slot::Open(segment);
        let (count, reservation) = reserved.expect("a new segment takes any frame");
        Ok((count, reservation, replaced))
    }

    /// Ends a segment: its table of contents goes behind its last frame, and is durable, as
    /// anything else, with the next sync of the segment. Without it the segment is scanned.
    fn end(&self, segment: &Arc<Segment>) {
        let Some((frames, offset, reservation)) = segment.reserve_contents() else {
            return;
        };
        let owner = self.set.owner(segment.id(), segment.kind());
        if let Err(error) = reservation.write(&[&owner.encode_contents(&frames, offset)]) {
            log::warn!(
                "segment {} stays without a table of contents: {error}",
                segment.id()
            );
        }
    }

    /// Ends the open segments; every later append fails.
    pub(in crate::block) fn shut(&self) {
        for slot in &self.slots {
            let last = std::mem::replace(&mut *slot.lock(), Slot::Shut);
            if let Slot::Open(segment) = last {
                self.end(&segment);
            }
        }
    }

    /// Ends the open segments; later appends go to new ones.
    pub(in crate::block) fn end_open(&self) {
        for slot in &self.slots {
            let ended = {
                let mut slot = slot.lock();
                match &*slot {
                    Slot::Open(segment) => {
                        let segment = segment.clone();
                        *slot = Slot::Empty;
                        segment
                    }
                    Slot::Empty | Slot::Shut => continue,
                }
            };
            self.end(&ended);
        }
    }
}
