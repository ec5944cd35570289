//! Examining a whole segment file: its header, every frame, its table of contents.
//!
//! What was never synced may be torn after a power loss, and nobody refers to it: that is no
//! fault. It is told from damage by its sectors: a write that a sector missed left it as it was
//! before, which in a file that only grows is zeros. So broken bytes count as torn if they have a
//! whole sector of zeros, or lie behind the file's end. A frame that somebody refers to is judged
//! by the reference, torn or not.

use std::ops::ControlFlow;

use crate::base::{BlockId, Place, Pointer, SegmentId};
use crate::block::compress::{unpack, unpack_to_vec};
use crate::block::frame::{FRAME_HEADER_BYTES, FrameHeader, FrameKind, decode_frame};
use crate::block::{block_id, read::with_buffer};
use crate::disk::{DiskError, DiskFile, DiskResult};

use super::layout::{
    ENTRY_BYTES, FRAMES_MAX, HEADER_BYTES, Owner, TRAILER_BYTES, TRAILER_MAGIC, Trailer,
};
use super::rebuild::is_header_torn;
use super::{FrameEntry, Segment, SegmentSet, scan};

/// Unit in which a medium writes, in bytes.
const SECTOR_BYTES: u64 = 512;
/// Bytes that a search reads at once.
const SEARCH_BYTES: u64 = 1 << 20;

/// How thoroughly frames are examined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// Their headers: that they are where they should be.
    Headers,
    /// Their whole content: checksums, and for blocks the id.
    Contents,
}

/// What is wrong in a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SegmentFault {
    /// The file's header.
    Header {
        /// What is wrong with it.
        problem: String,
        /// It was never written: a power loss leaves that of a segment that was never synced.
        is_torn: bool,
    },
    /// A frame, or bytes where a frame should be.
    Frame {
        /// Its byte offset.
        offset: u32,
        /// The id that it has, as far as that is known.
        id: Option<BlockId>,
        /// What is wrong with it.
        problem: String,
    },
    /// A frame whose content has another id than its header says.
    Content {
        /// Its byte offset.
        offset: u32,
        /// The id in its header.
        id: BlockId,
        /// The id of what it holds.
        found: BlockId,
    },
    /// The table of contents or the trailer.
    Table {
        /// What is wrong with it.
        problem: String,
    },
    /// The file cannot be read.
    Unreadable {
        /// What the medium said.
        problem: String,
    },
}

/// Told the bytes that were read for each frame; may break the work off.
pub type Observer<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

/// What a segment holds.
#[derive(Clone, Debug, Default)]
pub struct SegmentFindings {
    /// What is wrong.
    pub faults: Vec<SegmentFault>,
    /// Sound frames, ascending: byte offset, and a digest of id and length.
    sound: Vec<(u32, u32)>,
}

impl SegmentFindings {
    /// Frames that were found to be sound.
    pub fn frames(&self) -> u64 {
        self.sound.len() as u64
    }

    /// Whether the frame that `pointer` names, in this segment, was found sound.
    pub fn holds(&self, pointer: &Pointer) -> bool {
        let place = &pointer.place;
        let at = self
            .sound
            .binary_search_by_key(&place.offset, |frame| frame.0);
        at.is_ok_and(|at| self.sound[at].1 == digest(&pointer.id, place.len))
    }
}

/// Tells frames at one offset apart; a pointer that came out of a verified node cannot be wrong
/// by chance, so that 32 bits are plenty.
fn digest(id: &BlockId, len: u32) -> u32 {
    u32::from_le_bytes([id.0[0], id.0[1], id.0[2], id.0[3]]) ^ len
}

/// What the file is, beside its frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// No table of contents, as a crash leaves it.
    Unclosed,
    /// A table of contents that can be used.
    Closed {
        /// Where it is, in bytes.
        offset: u64,
    },
    /// A damaged table of contents.
    Damaged {
        /// Where the table must have been, in bytes.
        offset: u64,
    },
}

/// Everything that was found in a file.
pub(super) struct Examined {
    pub(super) faults: Vec<SegmentFault>,
    pub(super) sound: Vec<FrameEntry>,
    pub(super) end: End,
}

impl Examined {
    /// What others may know.
    pub(super) fn findings(self) -> SegmentFindings {
        let sound = self.sound.iter();
        SegmentFindings {
            sound: sound
                .map(|one| (one.offset, digest(&one.id, one.len)))
                .collect(),
            faults: self.faults,
        }
    }
}

impl SegmentSet {
    /// Examines a segment; one that is being written up to what is durable. None: broken off.
    /// Takes 40 bytes of memory a frame.
    pub(in crate::block) fn examine(
        &self,
        id: SegmentId,
        depth: Depth,
        observe: &mut Observer<'_>,
    ) -> Option<SegmentFindings> {
        let unreadable = |problem: String| SegmentFindings {
            faults: vec![SegmentFault::Unreadable { problem }],
            sound: Vec::new(),
        };
        let file = match self.file(id) {
            Ok(Some(file)) => file,
            Ok(None) => return Some(unreadable("the file is missing".to_owned())),
            Err(error) => return Some(unreadable(told(&error))),
        };
        let segment = self.get(id)?;
        let owner = self.owner(id, segment.kind());
        let mut examiner = Examiner::new(&*file, &owner, depth, observe);
        let durable = segment.durable_bytes();
        if let Some(mut written) = segment.frames_in_memory(0) {
            written.retain(|frame| frame.end() <= durable);
            let outcome = examiner.listed(&written, false);
            return match outcome {
                Ok(ControlFlow::Continue(())) => {
                    Some(examiner.into_examined(End::Unclosed).findings())
                }
                Ok(ControlFlow::Break(())) => None,
                Err(error) => Some(unreadable(told(&error))),
            };
        }
        match examiner.whole() {
            Ok(ControlFlow::Continue(end)) => Some(examiner.into_examined(end).findings()),
            Ok(ControlFlow::Break(())) => None,
            Err(error) => Some(unreadable(told(&error))),
        }
    }

    /// The places of these contents in a segment, as far as its table of contents, or its frames'
    /// own headers, tell.
    pub(in crate::block) fn places_of(
        &self,
        segment: &Segment,
        is_wanted: &dyn Fn(&BlockId) -> bool,
    ) -> DiskResult<Vec<(BlockId, Place)>> {
        let id = segment.id();
        let frames = match segment.frames_in_memory(0) {
            Some(frames) => frames,
            None => {
                let Some(file) = self.file(id)? else {
                    return Ok(Vec::new());
                };
                let owner = self.owner(id, segment.kind());
                let mut go_on = |_| ControlFlow::Continue(());
                let mut examiner = Examiner::new(&*file, &owner, Depth::Headers, &mut go_on);
                // It is not broken off.
                let _ = examiner.whole()?;
                examiner.sound
            }
        };
        let wanted = frames.iter().filter(|frame| is_wanted(&frame.id));
        Ok(wanted.map(|frame| (frame.id, frame.place(id))).collect())
    }

    /// Whether the table of contents names this frame, and a power loss may have taken it.
    pub(in crate::block) fn is_torn_frame(&self, id: &BlockId, place: &Place) -> bool {
        let is_torn = || -> DiskResult<bool> {
            let (Some(segment), Some(file)) = (self.get(place.segment), self.file(place.segment)?)
            else {
                return Ok(false);
            };
            let owner = self.owner(place.segment, segment.kind());
            let mut listed = scan::table(&*file, &owner)?.unwrap_or_default().into_iter();
            let is_listed =
                listed.any(|frame| frame.id == *id && frame.place(place.segment) == *place);
            let mut go_on = |_| ControlFlow::Continue(());
            let examiner = Examiner::new(&*file, &owner, Depth::Headers, &mut go_on);
            let from = u64::from(place.offset);
            let end = from + u64::from(place.len);
            Ok(is_listed && examiner.is_torn(from, end)?)
        };
        is_torn().unwrap_or(false)
    }

    /// Whether frames, and nothing else, lie or lay in this range of a segment.
    pub(in crate::block) fn is_frames_room(&self, place: &Place) -> bool {
        let end = u64::from(place.offset) + u64::from(place.len);
        let room = || -> DiskResult<bool> {
            let Some(segment) = self.get(place.segment) else {
                return Ok(false);
            };
            let Some(file) = self.file(place.segment)? else {
                return Ok(false);
            };
            if segment.frames_in_memory(0).is_some() {
                return Ok(end <= u64::from(segment.durable_bytes()));
            }
            let file_bytes = file.len()?;
            let Some(at) = file_bytes.checked_sub(TRAILER_BYTES as u64) else {
                return Ok(true);
            };
            let mut trailer = [0; TRAILER_BYTES];
            file.read_exact_at(&mut trailer, at)?;
            let owner = self.owner(place.segment, segment.kind());
            Ok(match owner.decode_trailer(&trailer, file_bytes) {
                Ok(trailer) => end <= u64::from(trailer.offset),
                Err(_) => true,
            })
        };
        place.offset as usize >= HEADER_BYTES && room().unwrap_or(false)
    }

    /// Frames that a segment has, roughly and without reading it; for progress.
    pub(in crate::block) fn frame_count(&self, id: SegmentId) -> u64 {
        let count = || -> Option<u64> {
            let segment = self.get(id)?;
            if let Some(written) = segment.frames_in_memory(0) {
                return Some(written.len() as u64);
            }
            let file = self.file(id).ok()??;
            let file_bytes = file.len().ok()?;
            let mut bytes = [0; TRAILER_BYTES];
            file.read_exact_at(&mut bytes, file_bytes.checked_sub(TRAILER_BYTES as u64)?)
                .ok()?;
            let owner = self.owner(id, segment.kind());
            let trailer = owner.decode_trailer(&bytes, file_bytes).ok()?;
            Some(u64::from(trailer.count))
        };
        count().unwrap_or(0)
    }
}

/// An error of the medium with its cause.
fn told(error: &DiskError) -> String {
    format!("{error}: {}", error.source)
}

/// Why a frame cannot be used.
struct BadFrame {
    problem: String,
    /// The id of its content, if all else is right.
    content: Option<BlockId>,
}

/// Examines one file.
pub(super) struct Examiner<'a, 'o> {
    file: &'a dyn DiskFile,
    owner: &'a Owner,
    depth: Depth,
    observe: &'a mut Observer<'o>,
    faults: Vec<SegmentFault>,
    sound: Vec<FrameEntry>,
}

impl<'a, 'o> Examiner<'a, 'o> {
    pub(super) fn new(
        file: &'a dyn DiskFile,
        owner: &'a Owner,
        depth: Depth,
        observe: &'a mut Observer<'o>,
    ) -> Examiner<'a, 'o> {
        Examiner {
            file,
            owner,
            depth,
            observe,
            faults: Vec::new(),
            sound: Vec::new(),
        }
    }

    pub(super) fn into_examined(self, end: End) -> Examined {
        Examined {
            faults: self.faults,
            sound: self.sound,
            end,
        }
    }

    /// Header, frames and table of contents of a file that nobody writes.
    pub(super) fn whole(&mut self) -> DiskResult<ControlFlow<(), End>> {
        let file_bytes = self.file.len()?.min(u64::from(u32::MAX));
        let end = match self.frames_and_end(file_bytes)? {
            ControlFlow::Continue(end) => end,
            ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
        };
        let mut header = [0; HEADER_BYTES];
        let read = self.file.read_at(&mut header, 0)?;
        // A file that ends within its header has no frames either.
        if let Err(error) = self.owner.check_header(&header[..read])
            && read == HEADER_BYTES
        {
            let (problem, is_torn) = (error.to_string(), is_header_torn(self.file)?);
            let fault = SegmentFault::Header { problem, is_torn };
            self.faults.insert(0, fault);
        }
        Ok(ControlFlow::Continue(end))
    }

    fn frames_and_end(&mut self, file_bytes: u64) -> DiskResult<ControlFlow<(), End>> {
        let Some(at) = file_bytes.checked_sub((HEADER_BYTES + TRAILER_BYTES) as u64) else {
            return Ok(ControlFlow::Continue(End::Unclosed));
        };
        let at = at + HEADER_BYTES as u64;
        let mut trailer = [0; TRAILER_BYTES];
        self.file.read_exact_at(&mut trailer, at)?;
        match self.owner.decode_trailer(&trailer, file_bytes) {
            Ok(trailer) => self.closed(&trailer),
            Err(error) => {
                let named = trailer[..TRAILER_MAGIC.len()] == TRAILER_MAGIC;
                self.without_trailer(file_bytes, named, &error.to_string())
            }
        }
    }

    fn closed(&mut self, trailer: &Trailer) -> DiskResult<ControlFlow<(), End>> {
        let mut bytes = vec![0; trailer.table_bytes()];
        let offset = u64::from(trailer.offset);
        self.file.read_exact_at(&mut bytes, offset)?;
        match trailer.decode_table(&bytes) {
            Ok(frames) => Ok(match self.listed(&frames, true)? {
                ControlFlow::Continue(()) => ControlFlow::Continue(End::Closed { offset }),
                ControlFlow::Break(()) => ControlFlow::Break(()),
            }),
            Err(error) => {
                if !self.is_torn(offset, offset + bytes.len() as u64)? {
                    let problem = error.to_string();
                    self.faults.push(SegmentFault::Table { problem });
                }
                Ok(match self.walk(offset)? {
                    ControlFlow::Continue(_) => ControlFlow::Continue(End::Damaged { offset }),
                    ControlFlow::Break(()) => ControlFlow::Break(()),
                })
            }
        }
    }

    /// A file that does not end with a trailer: never closed, or with a damaged one, which has
    /// the trailer's name still, or whose frames leave just the room for a table of them all.
    fn without_trailer(
        &mut self,
        file_bytes: u64,
        is_named: bool,
        problem: &str,
    ) -> DiskResult<ControlFlow<(), End>> {
        let offset = match self.walk(file_bytes)? {
            ControlFlow::Continue(offset) => offset,
            ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
        };
        let frames = self.sound.len() + self.faults.len();
        let rest = file_bytes - offset;
        let fits = rest == (frames * ENTRY_BYTES + TRAILER_BYTES) as u64;
        let fits = fits && frames > 0 && !self.is_frame_cut_short(offset)?;
        if !(is_named || fits) || self.is_torn(offset, file_bytes)? {
            return Ok(ControlFlow::Continue(End::Unclosed));
        }
        let problem = problem.to_owned();
        self.faults.push(SegmentFault::Table { problem });
        Ok(ControlFlow::Continue(End::Damaged { offset }))
    }

    /// Whether the file ends within a frame: a write that failed halfway.
    fn is_frame_cut_short(&self, offset: u64) -> DiskResult<bool> {
        let mut header = [0; FRAME_HEADER_BYTES];
        let read = self.file.read_at(&mut header, offset)?;
        Ok(FrameHeader::decode(&header[..read]).is_ok())
    }

    /// The frames that a table names; `may_be_torn`: none of them need ever have been synced.
    fn listed(&mut self, frames: &[FrameEntry], may_be_torn: bool) -> DiskResult<ControlFlow<()>> {
        for frame in frames {
            match self.frame(frame) {
                Ok(()) => self.sound.push(*frame),
                Err(bad) => {
                    let (from, to) = (u64::from(frame.offset), u64::from(frame.end()));
                    if !(may_be_torn && self.is_torn(from, to)?) {
                        self.note(frame.offset, Some(frame.id), bad);
                    }
                }
            }
            if self.observed(frame.len).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Goes from frame to frame up to `end`, and over what is none to the next; where the last
    /// one ends.
    fn walk(&mut self, end: u64) -> DiskResult<ControlFlow<(), u64>> {
        let mut offset = HEADER_BYTES as u64;
        while offset + (FRAME_HEADER_BYTES as u64) < end && self.sound.len() < FRAMES_MAX {
            let mut header = [0; FRAME_HEADER_BYTES];
            self.file.read_exact_at(&mut header, offset)?;
            let header = FrameHeader::decode(&header);
            let fits = |header: &FrameHeader| offset + u64::from(header.frame_len()) <= end;
            let at = offset as u32;
            let Some(header) = header.as_ref().ok().filter(|header| fits(header)) else {
                let Some(next) = self.next_frame(offset + 1, end)? else {
                    break;
                };
                if !self.is_torn(offset, next)? {
                    let problem = match header {
                        Ok(_) => "the frame is longer than its room".to_owned(),
                        Err(error) => error.to_string(),
                    };
                    let content = None;
                    self.note(at, None, BadFrame { problem, content });
                }
                offset = next;
                continue;
            };
            let frame = FrameEntry {
                id: header.id,
                offset: at,
                len: header.frame_len(),
            };
            let behind = u64::from(frame.end());
            match self.frame(&frame) {
                Ok(()) => self.sound.push(frame),
                Err(bad) => {
                    if !self.is_torn(offset, behind)? {
                        self.note(at, Some(frame.id), bad);
                    }
                }
            }
            if self.observed(frame.len).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            offset = behind;
        }
        Ok(ControlFlow::Continue(offset))
    }

    fn note(&mut self, offset: u32, id: Option<BlockId>, bad: BadFrame) {
        let BadFrame { problem, content } = bad;
        self.faults.push(match (id, content) {
            (Some(id), Some(found)) => SegmentFault::Content { offset, id, found },
            _ => SegmentFault::Frame {
                offset,
                id,
                problem,
            },
        });
    }

    fn observed(&mut self, frame_len: u32) -> ControlFlow<()> {
        (self.observe)(match self.depth {
            Depth::Headers => FRAME_HEADER_BYTES as u64,
            Depth::Contents => u64::from(frame_len),
        })
    }

    /// The frame that must be there.
    fn frame(&self, frame: &FrameEntry) -> Result<(), BadFrame> {
        let bad = |problem: String| BadFrame {
            problem,
            content: None,
        };
        let len = match self.depth {
            Depth::Headers => FRAME_HEADER_BYTES,
            Depth::Contents => frame.len as usize,
        };
        with_buffer(len, |bytes| {
            self.file
                .read_exact_at(bytes, u64::from(frame.offset))
                .map_err(|error| bad(told(&error)))?;
            let header = FrameHeader::decode(bytes).map_err(|error| bad(error.to_string()))?;
            if header.id != frame.id {
                return Err(bad(format!("the frame there is {}", header.id)));
            }
            if header.frame_len() != frame.len {
                let found = header.frame_len();
                return Err(bad(format!("the frame there has {found} bytes")));
            }
            if self.depth == Depth::Headers {
                return Ok(());
            }
            let (header, payload) = decode_frame(bytes).map_err(|error| bad(error.to_string()))?;
            content(&header, payload)
        })
    }

    /// The next place at which a frame starts that fits.
    fn next_frame(&self, from: u64, end: u64) -> DiskResult<Option<u64>> {
        let mut start = from;
        let mut bytes = vec![0; SEARCH_BYTES as usize];
        while start + (FRAME_HEADER_BYTES as u64) < end {
            let len = SEARCH_BYTES.min(end - start) as usize;
            self.file.read_exact_at(&mut bytes[..len], start)?;
            let found = bytes[..len].windows(FRAME_HEADER_BYTES).position(|window| {
                // Most bytes are no start of a frame, and the first one says so.
                window[0] == b'V' && FrameHeader::decode(window).is_ok()
            });
            if let Some(at) = found {
                return Ok(Some(start + at as u64));
            }
            if start + len as u64 == end {
                break;
            }
            start += (len - FRAME_HEADER_BYTES + 1) as u64;
        }
        Ok(None)
    }

    /// Whether a power loss may have left these bytes: a part of the file that lies in one
    /// sector is all zeros, or behind the file's end.
    fn is_torn(&self, from: u64, to: u64) -> DiskResult<bool> {
        let file_bytes = self.file.len()?;
        if to > file_bytes {
            return Ok(true);
        }
        let mut sector = [0; SECTOR_BYTES as usize];
        let mut at = from;
        while at < to {
            let next = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
            let part = &mut sector[..(next.min(to) - at) as usize];
            // What cannot be read was not left by a power loss.
            if self.file.read_exact_at(part, at).is_ok() && part.iter().all(|byte| *byte == 0) {
                return Ok(true);
            }
            at = next;
        }
        Ok(false)
    }
}

/// A frame's content, checked as far as its header tells: a node's id is the tree's.
fn content(header: &FrameHeader, payload: &[u8]) -> Result<(), BadFrame> {
    let bad = |problem: String, content| BadFrame { problem, content };
    match header.kind {
        FrameKind::Node => unpack_to_vec(header, payload)
            .map(drop)
            .map_err(|problem| bad(problem, None)),
        FrameKind::Block => {
            let content = unpack(header, payload).map_err(|problem| bad(problem, None))?;
            let found = block_id(&content);
            let problem = || format!("the content there is {found}");
            (found == header.id)
                .then_some(())
                .ok_or_else(|| bad(problem(), Some(found)))
        }
    }
}
