//! What a healthy copy of a frame is good for.
//!
//! A frame is healed by writing the bytes that were there before. So every pointer, table of
//! contents and index entry that names it is right again, and a crash at any moment leaves either
//! the healed frame or one that is as damaged as before; the copy is not touched.

use std::collections::{HashMap, HashSet};

use crate::base::{BlockId, Place, Pointer, SegmentId};
use crate::disk::{DiskError, Step};

use super::compress::{unpack_to_vec, with_payload};
use super::frame::{FrameHeader, FrameKind};
use super::read::{Fault, Reading, parse, verified_block};
use super::segment::{Observer, SegmentKind};
use super::store::Core;
use super::{BlockError, BlockResult, BlockStore};

/// How a frame was healed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Healed {
    /// Where it was.
    InPlace,
    /// In a new place, which the content index knows: it did not fit where it was.
    Moved {
        /// The new place.
        to: Place,
    },
}

/// A frame that was read from a copy and verified.
struct Copied {
    kind: FrameKind,
    /// The frame as it is stored.
    frame: Vec<u8>,
    content: Vec<u8>,
}

impl BlockStore {
    /// Where else frames with these ids lie, by the segments' tables of contents and frame
    /// headers; nothing there is verified. `observe` hears of each segment, and may break it off.
    pub fn find_copies(
        &self,
        wanted: &HashSet<BlockId>,
        observe: &mut Observer<'_>,
    ) -> HashMap<BlockId, Vec<Place>> {
        let mut found: HashMap<BlockId, Vec<Place>> = HashMap::new();
        for segment in self.core.set.all() {
            match self.core.set.places_of(&segment, &|id| wanted.contains(id)) {
                Ok(places) => {
                    for (id, place) in places {
                        found.entry(id).or_default().push(place);
                    }
                }
                Err(error) => log::warn!("segment {} is not searched: {error}", segment.id()),
            }
            if observe(0).is_break() {
                break;
            }
        }
        found
    }

    /// The first of `places` that holds the very frame that `pointer` names, other than the
    /// pointer's own place. `accept` judges the content of a node.
    pub fn sound_copy(
        &self,
        pointer: &Pointer,
        places: &[Place],
        accept: &dyn Fn(&[u8]) -> bool,
    ) -> Option<Place> {
        let mut others = places.iter().filter(|place| **place != pointer.place);
        others
            .find(|place| self.core.copy_at(&pointer.id, place, accept).is_some())
            .copied()
    }

    /// Heals the frame that `pointer` names from one of `places`, or from the block cache; none
    /// if there is no healthy copy. It is durable when this returns.
    pub fn heal(
        &self,
        pointer: &Pointer,
        places: &[Place],
        accept: &dyn Fn(&[u8]) -> bool,
    ) -> BlockResult<Option<Healed>> {
        self.check_open()?;
        let mut others = places.iter().filter(|place| **place != pointer.place);
        let copied = others
            .find_map(|place| self.core.copy_at(&pointer.id, place, accept))
            .or_else(|| self.core.cached_copy(&pointer.id));
        let Some(copied) = copied else {
            return Ok(None);
        };
        if self.core.fits(pointer, &copied) && self.core.rewrite(pointer, &copied.frame)? {
            return Ok(Some(Healed::InPlace));
        }
        let segment = match copied.kind {
            FrameKind::Block => SegmentKind::Data,
            FrameKind::Node => SegmentKind::Node,
        };
        let to = self
            .core
            .append(segment, copied.kind, pointer.id, &copied.content)?;
        self.sync(&[to.place.segment], Step::FrameHealed)?;
        self.core.recent.insert(&pointer.id, to.place);
        if let Some(index) = &self.core.index {
            index.notify(to.place.segment);
        }
        Ok(Some(Healed::Moved { to: to.place }))
    }

    /// Writes the header of a segment's file anew: it says nothing that the file's name does not.
    /// Durable when this returns; a crash leaves the old or the new one, or a mix to do it again.
    pub fn rewrite_header(&self, segment: SegmentId) -> BlockResult<()> {
        self.check_open()?;
        self.core.set.rewrite_header(segment)
    }

    /// Writes the table of contents of a segment anew, so that it names exactly the frames that
    /// are sound. `false`: nothing was to be done. For a pool that nobody else uses.
    pub fn rewrite_contents(&self, segment: SegmentId) -> BlockResult<bool> {
        self.check_open()?;
        self.core.set.rewrite_contents(segment)
    }
}

impl Core {
    fn copy_at(
        &self,
        id: &BlockId,
        place: &Place,
        accept: &dyn Fn(&[u8]) -> bool,
    ) -> Option<Copied> {
        let copied = self.read_place(place, Reading::Other, |bytes| {
            let (header, payload) = parse(bytes, id, None)?;
            let content = match header.kind {
                FrameKind::Block => verified_block(&header, payload)?.to_vec(),
                FrameKind::Node => unpack_to_vec(&header, payload).map_err(Fault::Damaged)?,
            };
            let (kind, frame) = (header.kind, bytes.to_vec());
            Ok(Copied {
                kind,
                frame,
                content,
            })
        });
        copied
            .ok()
            .filter(|copied| copied.kind == FrameKind::Block || accept(&copied.content))
    }

    /// A block that was verified when it was read.
    fn cached_copy(&self, id: &BlockId) -> Option<Copied> {
        let content = self.cache.get(id)?.to_vec();
        let frame = with_payload(&content, |codec, payload| {
            let header = FrameHeader::of(FrameKind::Block, codec, content.len(), *id, payload);
            [header.encode().as_slice(), payload].concat()
        });
        Some(Copied {
            kind: FrameKind::Block,
            frame,
            content,
        })
    }

    /// Whether the frame may be written to where it was: what is there is damaged and nobody
    /// else's, and the room is as long as the frame.
    fn fits(&self, pointer: &Pointer, copied: &Copied) -> bool {
        let place = &pointer.place;
        let there = self.read_place(place, Reading::Other, |bytes| {
            parse(bytes, &pointer.id, None).map(drop)
        });
        let is_own = match there {
            Ok(()) | Err(Fault::Damaged(_) | Fault::Disk(_)) => true,
            Err(Fault::Gone | Fault::Other(_)) => false,
        };
        is_own && copied.frame.len() == place.len as usize && self.set.is_frames_room(place)
    }

    /// Writes the frame to where it was and reads it back from the medium; whether it is there.
    fn rewrite(&self, pointer: &Pointer, frame: &[u8]) -> BlockResult<bool> {
        let place = &pointer.place;
        let fail = |source: DiskError| BlockError::Disk {
            segment: place.segment,
            source,
        };
        let Some(file) = self.set.file(place.segment).map_err(fail)? else {
            return Ok(false);
        };
        file.write_at(&[frame], u64::from(place.offset))
            .map_err(fail)?;
        file.sync(Step::FrameHealed).map_err(fail)?;
        file.drop_cache(Step::FrameReread);
        self.set.forget_table(place.segment);
        Ok(self.verify(pointer).is_ok())
    }
}
