//! Frames that are appended together, with one write.
//!
//! A write of a few KiB costs a filesystem as much as one of many: ext4 takes the file's lock for
//! each, and walks all buffers of the (large) folio that it falls into.

use std::cell::Cell;

use crate::base::BlockId;

use super::frame::FrameHeader;

/// Buffers above this length in bytes are not kept.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Frames, one behind the other.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    frames: Vec<BatchFrame>,
    content_bytes: u64,
}

/// What is known of a frame before it has a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BatchFrame {
    /// Name of its content.
    pub(super) id: BlockId,
    /// Length of the whole frame in bytes.
    pub(super) len: u32,
}

thread_local! {
    static BATCH: Cell<Batch> = Cell::default();
}

impl Batch {
    /// Calls `work` with an empty batch, whose memory is kept by the thread.
    pub(super) fn with<R>(work: impl FnOnce(&mut Batch) -> R) -> R {
        let mut batch = BATCH.take();
        batch.bytes.clear();
        batch.frames.clear();
        batch.content_bytes = 0;
        let result = work(&mut batch);
        if batch.bytes.capacity() <= KEPT_BYTES_MAX {
            BATCH.set(batch);
        }
        result
    }

    /// Adds a frame; returns its number.
    pub(super) fn push(&mut self, header: &FrameHeader, payload: &[u8]) -> usize {
        self.bytes.extend_from_slice(&header.encode());
        self.bytes.extend_from_slice(payload);
        self.content_bytes += u64::from(header.content_len);
        self.frames.push(BatchFrame {
            id: header.id,
            len: header.frame_len(),
        });
        self.frames.len() - 1
    }

    /// The number of the frame with this content, if there is one.
    pub(super) fn find(&self, id: &BlockId) -> Option<usize> {
        self.frames.iter().position(|frame| frame.id == *id)
    }

    /// The frames, in order.
    pub(super) fn frames(&self) -> &[BatchFrame] {
        &self.frames
    }

    /// Their content, before compression.
    pub(super) fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// All of them as they are written.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
