//! Reading and verifying one frame, wherever it is by now.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::base::{BlockId, Buffers, Place, Pointer};
use crate::disk::{DiskError, DiskFile, DiskResult};

use super::compress::{unpack, unpack_into, unpack_to_vec};
use super::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameHeader, FrameKind, decode_frame};
use super::segment::SegmentKind;
use super::store::Core;
use super::{BlockError, BlockResult, block_id};

/// Times that a pointer is resolved before its content is called corrupt: garbage collection may
/// move a frame between two looks, and only once in a while.
const ROUNDS: usize = 2;
/// Most bytes of a read that counts as one of single blocks; whoever reads more at once reads in
/// order, and the host reads ahead of him.
const SINGLE_BYTES_MAX: usize = 32 << 10;
static BUFFERS: Buffers = Buffers::new();

/// Calls `work` with a buffer of `len` bytes of any content.
pub(super) fn with_buffer<R>(len: usize, work: impl FnOnce(&mut [u8]) -> R) -> R {
    BUFFERS.with(len, work)
}

/// Whether the file has no room for the frame. Where it has, a read that ended early says nothing
/// about the frame.
fn ends_before(file: &dyn DiskFile, place: &Place) -> bool {
    let end = u64::from(place.offset) + u64::from(place.len);
    file.len().is_ok_and(|len| len < end)
}

/// What is read of a segment.
#[derive(Clone, Copy)]
pub(super) enum Reading {
    /// A block, for somebody who uses the volume: others around it may be wanted too.
    Block,
    /// A node, or what is verified.
    Other,
}

/// Why a frame is not at a place.
#[derive(Debug)]
pub(super) enum Fault {
    /// There is no such segment.
    Gone,
    /// Another frame is there.
    Other(String),
    /// The frame that is there is damaged.
    Damaged(String),
    /// The medium failed.
    Disk(DiskError),
}

impl Fault {
    /// Whether the place is out of date rather than what lies there damaged.
    fn is_stale(&self) -> bool {
        matches!(self, Fault::Gone | Fault::Other(_))
    }

    fn into_error(self, id: BlockId, place: Place) -> BlockError {
        let problem = match self {
            Fault::Disk(source) => {
                return BlockError::Disk {
                    segment: place.segment,
                    source,
                };
            }
            Fault::Gone => "the segment is gone, and no other names it".to_owned(),
            Fault::Other(problem) | Fault::Damaged(problem) => problem,
        };
        BlockError::Corrupt { id, place, problem }
    }
}

/// The frame that `bytes` are, if it is the one that is looked for.
pub(super) fn parse<'a>(
    bytes: &'a [u8],
    id: &BlockId,
    kind: Option<FrameKind>,
) -> Result<(FrameHeader, &'a [u8]), Fault> {
    let (header, payload) =
        decode_frame(bytes).map_err(|error| Fault::Damaged(error.to_string()))?;
    if header.id != *id {
        return Err(Fault::Other(format!("the frame there is {}", header.id)));
    }
    if kind.is_some_and(|kind| kind != header.kind) {
        return Err(Fault::Other(format!(
            "the frame there is a {:?}",
            header.kind
        )));
    }
    Ok((header, payload))
}

/// The content of a block's frame, checked against its id.
pub(super) fn verified_block(header: &FrameHeader, payload: &[u8]) -> Result<Arc<[u8]>, Fault> {
    let content = unpack(header, payload).map_err(Fault::Damaged)?;
    let found = block_id(&content);
    if found != header.id {
        return Err(Fault::Damaged(format!("the content there is {found}")));
    }
    Ok(content)
}

/// As [`verified_block`], to the start of `out`; returns the content's length. After an error
/// `out` holds anything.
pub(super) fn verified_into(
    header: &FrameHeader,
    payload: &[u8],
    out: &mut [u8],
) -> Result<usize, Fault> {
    let len = unpack_into(header, payload, out).map_err(Fault::Damaged)?;
    let found = block_id(&out[..len]);
    if found != header.id {
        return Err(Fault::Damaged(format!("the content there is {found}")));
    }
    Ok(len)
}

impl Core {
    /// Frames are read from a segment.
    pub(super) fn note_read(&self) {
        if let Some(index) = &self.index {
            index.note_read();
        }
    }

    /// Fills `buffer` from a place's offset on.
    pub(super) fn read_in(
        &self,
        file: &Arc<dyn DiskFile>,
        place: &Place,
        reading: Reading,
        buffer: &mut [u8],
    ) -> DiskResult<()> {
        let offset = u64::from(place.offset);
        if matches!(reading, Reading::Block) && buffer.len() <= SINGLE_BYTES_MAX {
            if file.read_cached_at(buffer, offset) {
                return Ok(());
            }
            let began = Instant::now();
            self.around.missed(file, place, began);
            let read = file.read_exact_at(buffer, offset);
            self.around.waited(began, Instant::now());
            return read;
        }
        file.read_exact_at(buffer, offset)
    }

    /// Reads the bytes of a place with one pread.
    pub(super) fn read_place<R>(
        &self,
        place: &Place,
        reading: Reading,
        work: impl FnOnce(&[u8]) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let len = place.len as usize;
        if len <= FRAME_HEADER_BYTES || len > FRAME_BYTES_MAX {
            return Err(Fault::Damaged(format!("no frame has {len} bytes")));
        }
        let file = self
            .set
            .file(place.segment)
            .map_err(Fault::Disk)?
            .ok_or(Fault::Gone)?;
        self.note_read();
        with_buffer(len, |buffer| {
            self.read_in(&file, place, reading, buffer)
                .map_err(|error| match error.source.kind() {
                    io::ErrorKind::UnexpectedEof if ends_before(&*file, place) => {
                        Fault::Damaged("the segment ends before the frame".to_owned())
                    }
                    _ => Fault::Disk(error),
                })?;
            work(buffer)
        })
    }

    fn block_at(&self, id: &BlockId, place: &Place) -> Result<Arc<[u8]>, Fault> {
        self.read_place(place, Reading::Block, |bytes| {
            let (header, payload) = parse(bytes, id, Some(FrameKind::Block))?;
            verified_block(&header, payload)
        })
    }

    /// Reads, verifies and caches a block.
    pub(super) fn read_block(&self, pointer: &Pointer) -> BlockResult<Arc<[u8]>> {
        if let Some(content) = self.cache.get(&pointer.id) {
            return Ok(content);
        }
        let content = self.resolve(pointer, &[SegmentKind::Data], |place| {
            self.block_at(&pointer.id, place)
        })?;
        self.cache.insert(&pointer.id, &content);
        Ok(content)
    }

    /// Reads a node's payload; the frame's checksum and id are verified.
    ///
    /// A node has the places of its blocks and children beside their ids, and an older copy of it
    /// may have places that a failed sync has lost since. So where the medium only fails to read,
    /// which may pass, no older copy is served: whoever edits it would publish these places.
    pub(super) fn read_node(&self, pointer: &Pointer) -> BlockResult<Vec<u8>> {
        self.resolve(pointer, &[SegmentKind::Node], |place| {
            self.read_place(place, Reading::Other, |bytes| {
                let (header, payload) = parse(bytes, &pointer.id, Some(FrameKind::Node))?;
                unpack_to_vec(&header, payload).map_err(Fault::Damaged)
            })
        })
    }

    /// Verifies a frame of either kind. Only a place that is out of date is looked up elsewhere:
    /// damage is reported even where another copy would serve a reader.
    pub(super) fn verify(&self, pointer: &Pointer) -> BlockResult<()> {
        let attempt = |place: &Place| self.verify_at(&pointer.id, place);
        match attempt(&pointer.place) {
            Ok(()) => Ok(()),
            Err(fault) if fault.is_stale() => self.resolve(pointer, &SegmentKind::ALL, attempt),
            Err(fault) => Err(fault.into_error(pointer.id, pointer.place)),
        }
    }

    /// Verifies a frame of either kind at one place.
    pub(super) fn verify_at(&self, id: &BlockId, place: &Place) -> Result<(), Fault> {
        self.read_place(place, Reading::Other, |bytes| {
            let (header, payload) = parse(bytes, id, None)?;
            match header.kind {
                FrameKind::Block => verified_block(&header, payload).map(drop),
                FrameKind::Node => unpack_to_vec(&header, payload)
                    .map(drop)
                    .map_err(Fault::Damaged),
            }
        })
    }

    /// Asks `attempt` for the frame: at the pointer's place, where recent appends and the content
    /// index say it is, and if the place is out of date, where the tables of contents do. What is
    /// damaged at its place is searched for in all tables only as long as no index is ready that
    /// would know of a healed copy: it did not move.
    fn resolve<T>(
        &self,
        pointer: &Pointer,
        kinds: &[SegmentKind],
        attempt: impl Fn(&Place) -> Result<T, Fault>,
    ) -> BlockResult<T> {
        let id = &pointer.id;
        let mut round = 1;
        loop {
            let fault = match attempt(&pointer.place) {
                Ok(found) => return Ok(found),
                Err(fault) => fault,
            };
            let hints = [
                self.recent.get(id),
                self.index.as_ref().and_then(|index| index.lookup(id)),
            ];
            let is_excluded = |place: &Place| {
                let is_node = kinds == [SegmentKind::Node];
                let is_older = is_node && *place < pointer.place;
                *place == pointer.place || (is_older && matches!(fault, Fault::Disk(_)))
            };
            for place in hints
                .into_iter()
                .flatten()
                .filter(|place| !is_excluded(place))
            {
                if let Ok(found) = attempt(&place) {
                    self.note_detour(pointer, &place, &fault);
                    return Ok(found);
                }
            }
            let is_index_ready = self.index.as_ref().is_some_and(|index| index.is_ready());
            if fault.is_stale() || !is_index_ready {
                for &kind in kinds {
                    let found = self.set.find(id, kind, |place| {
                        let found = attempt(place).ok().filter(|_| !is_excluded(place));
                        found.map(|found| (found, *place))
                    })?;
                    if let Some((found, place)) = found {
                        self.recent.insert(id, place);
                        return Ok(found);
                    }
                }
            }
            if round == ROUNDS {
                return Err(fault.into_error(*id, pointer.place));
            }
            round += 1;
        }
    }

    /// A frame that was damaged was found elsewhere.
    fn note_detour(&self, pointer: &Pointer, place: &Place, fault: &Fault) {
        if !fault.is_stale() {
            log::warn!(
                "block {} in segment {} at byte {} cannot be used ({fault:?}); its copy in \
                 segment {} at byte {} can",
                pointer.id,
                pointer.place.segment,
                pointer.place.offset,
                place.segment,
                place.offset
            );
        }
    }
}
