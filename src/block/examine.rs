//! Verifying whole segments and the content index.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use crate::base::{BlockId, Place, PoolId, SegmentId};

use super::frame::{FRAME_HEADER_BYTES, FrameHeader};
use super::index::{Index, walk_closed};
use super::segment::{Depth, Observer, SegmentFindings};
use super::store::Core;
use super::{BlockResult, BlockStore};

/// An entry of the content index that leads nowhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IndexFault {
    /// The content's id.
    pub id: BlockId,
    /// Where the index believes it to be.
    pub place: Place,
    /// What is there.
    pub problem: String,
}

impl BlockStore {
    /// Examines a segment: header, every frame, table of contents; of one that is being written
    /// what is durable. `observe` hears the bytes read for each frame, and may break it off: then
    /// there are no findings. Takes 40 bytes of memory a frame while it works.
    pub fn examine(
        &self,
        segment: SegmentId,
        depth: Depth,
        observe: &mut Observer<'_>,
    ) -> BlockResult<Option<SegmentFindings>> {
        self.check_open()?;
        Ok(self.core.set.examine(segment, depth, observe))
    }

    /// About how many frames a segment has, for progress: nothing but its end is read.
    pub fn frame_count(&self, segment: SegmentId) -> u64 {
        self.core.set.frame_count(segment)
    }

    /// Compares every entry of the content index with the segments, and says what is wrong, or why
    /// the index cannot be read. Nothing while the index is being built.
    pub fn check_index(
        &self,
        found: &mut dyn FnMut(IndexFault) -> ControlFlow<()>,
    ) -> Result<(), String> {
        let Some(index) = &self.core.index else {
            return Ok(());
        };
        index.walk(&mut |id, place| self.core.check_entry(id, place, found))
    }

    /// The same for the index in `dir`, when this store was opened without one and nobody else
    /// has it open. Nothing but sled's own files may change.
    pub fn check_closed_index(
        &self,
        dir: &Path,
        pool: PoolId,
        found: &mut dyn FnMut(IndexFault) -> ControlFlow<()>,
    ) -> Result<(), String> {
        walk_closed(dir, pool, &mut |id, place| {
            self.core.check_entry(id, place, found)
        })
    }

    /// Waits until the content index covers every segment that is at rest, or is given up, up to
    /// `patience`; whether it came to that. True without an index.
    pub fn wait_for_index(&self, patience: Duration) -> bool {
        let wait = |index: &Index| index.wait_ready(patience);
        self.core.index.as_ref().is_none_or(wait)
    }
}

impl Core {
    fn check_entry(
        &self,
        id: BlockId,
        place: Place,
        found: &mut dyn FnMut(IndexFault) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self.entry_problem(&id, &place) {
            // It says what the table of contents says, which was never acknowledged either.
            Some(_) if self.set.is_torn_frame(&id, &place) => ControlFlow::Continue(()),
            Some(problem) => found(IndexFault { id, place, problem }),
            None => ControlFlow::Continue(()),
        }
    }

    /// Why the frame is not there, by its header.
    fn entry_problem(&self, id: &BlockId, place: &Place) -> Option<String> {
        let file = match self.set.file(place.segment) {
            Ok(Some(file)) => file,
            // Taken away, and the index has not heard of it, or has lost that in a crash.
            Ok(None) if place.segment < self.set.next() => return None,
            Ok(None) => return Some("there is no such segment".to_owned()),
            Err(error) => return Some(error.to_string()),
        };
        let mut header = [0; FRAME_HEADER_BYTES];
        if let Err(error) = file.read_exact_at(&mut header, u64::from(place.offset)) {
            return Some(error.to_string());
        }
        match FrameHeader::decode(&header) {
            Err(error) => Some(error.to_string()),
            Ok(header) if header.id != *id => Some(format!("the frame there is {}", header.id)),
            Ok(header) if header.frame_len() != place.len => {
                Some(format!("the frame there has {} bytes", header.frame_len()))
            }
            Ok(_) => None,
        }
    }
}
