//! Storing blocks and nodes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::base::{BlockId, Place, Pointer};

use super::compress::with_payload;
use super::frame::{CONTENT_BYTES_MAX, FrameHeader, FrameKind};
use super::read::parse;
use super::segment::SegmentKind;
use super::store::Core;
use super::workers::Workers;
use super::{BlockError, BlockResult, FRAME_CONTENT_MAX, block_id};

/// Content that one worker takes over at once, in bytes: some times what waking it costs.
const CHUNK_BYTES: usize = 128 << 10;

/// Stores the blocks, in order; the first error is reported.
pub(super) fn put_blocks(
    core: &Arc<Core>,
    workers: &Workers,
    contents: &[&[u8]],
) -> BlockResult<Vec<Pointer>> {
    let chunks = chunks(contents);
    let stored = workers.map(
        &chunks,
        |chunk| core.put_chunk(chunk.iter().copied()),
        |chunk| {
            // A worker may outlive this call's borrow, so it gets a copy; that costs a few
            // percent of what hashing and compressing do.
            let lens: Vec<usize> = chunk.iter().map(|content| content.len()).collect();
            let (core, bytes) = (core.clone(), chunk.concat());
            Box::new(move || {
                let mut rest = bytes.as_slice();
                core.put_chunk(lens.iter().map(|&len| {
                    let (content, behind) = rest.split_at(len);
                    rest = behind;
                    content
                }))
            })
        },
    );
    let mut pointers = Vec::with_capacity(contents.len());
    for chunk in stored {
        pointers.extend(chunk?);
    }
    Ok(pointers)
}

/// Cuts the contents into pieces of about [`CHUNK_BYTES`].
fn chunks<'a, 'b>(contents: &'a [&'b [u8]]) -> Vec<&'a [&'b [u8]]> {
    let mut chunks = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, content) in contents.iter().enumerate() {
        bytes += content.len();
        if bytes >= CHUNK_BYTES {
            chunks.push(&contents[start..=at]);
            (start, bytes) = (at + 1, 0);
        }
    }
    if start < contents.len() {
        chunks.push(&contents[start..]);
    }
    chunks
}

impl Core {
    fn put_chunk<'a>(&self, contents: impl Iterator<Item = &'a [u8]>) -> BlockResult<Vec<Pointer>> {
        contents.map(|content| self.put_block(content)).collect()
    }

    /// Stores a block, or finds it stored.
    pub(super) fn put_block(&self, content: &[u8]) -> BlockResult<Pointer> {
        check_len(content, FRAME_CONTENT_MAX)?;
        let id = block_id(content);
        self.counters.blocks_put.fetch_add(1, Ordering::Relaxed);
        self.counters
            .bytes_put
            .fetch_add(content.len() as u64, Ordering::Relaxed);
        if let Some(pointer) = self.stored_already(&id, content.len()) {
            self.counters.dedup_hits.fetch_add(1, Ordering::Relaxed);
            self.counters
                .dedup_bytes
                .fetch_add(content.len() as u64, Ordering::Relaxed);
            return Ok(pointer);
        }
        let pointer = self.append(SegmentKind::Data, FrameKind::Block, id, content)?;
        self.recent.insert(&id, pointer.place);
        Ok(pointer)
    }

    /// Stores a node's payload under the tree's id for it.
    pub(super) fn put_node(&self, id: BlockId, payload: &[u8]) -> BlockResult<Pointer> {
        check_len(payload, CONTENT_BYTES_MAX)?;
        self.append(SegmentKind::Node, FrameKind::Node, id, payload)
    }

    /// Compresses and appends.
    pub(super) fn append(
        &self,
        segment: SegmentKind,
        kind: FrameKind,
        id: BlockId,
        content: &[u8],
    ) -> BlockResult<Pointer> {
        let place = with_payload(content, |codec, payload| {
            let header = FrameHeader::of(kind, codec, content.len(), id, payload);
            self.appender.append(segment, &header, payload)
        })?;
        Ok(Pointer { id, place })
    }

    /// A frame of this content that a new pointer may name. Whoever knew of it may be out of date,
    /// so the frame itself is read and its checksums, id and length compared; anything wrong is a
    /// miss, and the block is stored once more.
    fn stored_already(&self, id: &BlockId, content_len: usize) -> Option<Pointer> {
        let holds = |place: &Place| {
            let frame = self.read_place(place, |bytes| {
                parse(bytes, id, Some(FrameKind::Block)).map(|(header, _)| header)
            });
            let found = frame.is_ok_and(|header| header.content_len as usize == content_len);
            found && self.set.takes_references(place.segment)
        };
        let recent = self.recent.get(id).filter(holds);
        let indexed = || self.index.as_ref()?.lookup(id).filter(holds);
        recent
            .or_else(indexed)
            .map(|place| Pointer { id: *id, place })
    }
}

fn check_len(content: &[u8], max: usize) -> BlockResult<()> {
    if content.is_empty() || content.len() > max {
        return Err(BlockError::Length {
            len: content.len(),
            max,
        });
    }
    Ok(())
}
