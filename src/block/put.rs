//! Storing blocks and nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::{BlockId, Place, Pointer};

use super::batch::Batch;
use super::compress::with_payload;
use super::frame::{CONTENT_BYTES_MAX, FrameHeader, FrameKind};
use super::read::{Reading, parse};
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

/// Where a block of a chunk is.
enum Stored {
    /// At a place that was known before.
    There(Pointer),
    /// In this frame of the batch.
    New(BlockId, usize),
}

impl Core {
    /// Stores blocks, or finds them stored; all new frames are written at once.
    fn put_chunk<'a>(&self, contents: impl Iterator<Item = &'a [u8]>) -> BlockResult<Vec<Pointer>> {
        Batch::with(|batch| {
            let stored: Vec<Stored> = contents
                .map(|content| self.put_into(batch, content))
                .collect::<BlockResult<_>>()?;
            let places = self.appender.append_batch(SegmentKind::Data, batch)?;
            self.counters.count_new(batch);
            for (frame, place) in batch.frames().iter().zip(&places) {
                self.recent.insert(&frame.id, *place);
            }
            let pointer = |stored| match stored {
                Stored::There(pointer) => pointer,
                Stored::New(id, frame) => Pointer {
                    id,
                    place: places[frame],
                },
            };
            Ok(stored.into_iter().map(pointer).collect())
        })
    }

    /// Finds a block stored, or adds it to the batch.
    fn put_into(&self, batch: &mut Batch, content: &[u8]) -> BlockResult<Stored> {
        check_len(content, FRAME_CONTENT_MAX)?;
        let id = block_id(content);
        let bytes = content.len() as u64;
        let count = |counter: &AtomicU64, by| counter.fetch_add(by, Ordering::Relaxed);
        count(&self.counters.blocks_put, 1);
        count(&self.counters.bytes_put, bytes);
        let in_batch = batch.find(&id).map(|frame| Stored::New(id, frame));
        let known = || self.stored_already(&id, content.len()).map(Stored::There);
        if let Some(stored) = in_batch.or_else(known) {
            count(&self.counters.dedup_hits, 1);
            count(&self.counters.dedup_bytes, bytes);
            return Ok(stored);
        }
        let frame = with_payload(content, |codec, payload| {
            let header = FrameHeader::of(FrameKind::Block, codec, content.len(), id, payload);
            batch.push(&header, payload)
        });
        Ok(Stored::New(id, frame))
    }

    /// Stores a block, or finds it stored.
    pub(super) fn put_block(&self, content: &[u8]) -> BlockResult<Pointer> {
        let mut pointers = self.put_chunk(std::iter::once(content))?;
        Ok(pointers.pop().expect("a pointer for each content"))
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
            let frame = self.read_place(place, Reading::Other, |bytes| {
                parse(bytes, id, Some(FrameKind::Block)).map(|(header, _)| header)
            });
            let found = frame.is_ok_and(|header| header.content_len as usize == content_len);
            found && self.set.takes_references(place.segment)
        };
        let recent = self.recent.get(id).filter(holds);
        let indexed = || {
            let index = self.index.as_ref()?;
            index.note_stored();
            index.lookup(id).filter(holds)
        };
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
