//! Content-addressed store of blocks and tree nodes.
//!
//! A block is named by the BLAKE3 of its content and stored once, as a *frame* (header, checksums,
//! LZ4 or raw payload) in an append-only *segment* file. Whoever stores one gets a
//! [`Pointer`](crate::base::Pointer): the id, which is the truth, and the place, which is a hint.
//! Reading goes straight to the place; a frame that is no longer there is found through the content
//! index, or the segments' tables of contents. Nothing is returned unverified.
//!
//! ```text
//! store      the facade             put, read, read_many, read_into   what its calls do
//! around, pace      which stretches are read as a whole, and how often
//! segment/   files of frames: appending, durability, tables of contents, scanning
//! index/     id -> place in sled: derived, behind everything, for deduplication
//! collect, pins     moving what is alive out of segments, and deleting them
//! examine, heal     verifying segments and index, and what healthy copies are good for
//! frame, compress   one frame's bytes         cache, workers   memory and threads
//! ```
//!
//! Order of writes: a frame is in its file (page cache) before its pointer is returned, so a crash
//! of the process loses nothing; it is on the medium once [`BlockStore::sync`] of its segment has
//! returned, and only then may anything durable refer to it.

mod around;
mod batch;
mod cache;
mod collect;
mod compress;
mod error;
mod examine;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod heal;
mod index;
mod pace;
mod pins;
mod put;
mod reach;
mod read;
mod read_into;
mod read_many;
mod segment;
mod store;
mod workers;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::base::{BlockId, CacheUse, SegmentId};

pub use collect::{Moved, SegmentFrame};
pub use error::{BlockError, BlockResult};
pub use examine::IndexFault;
pub use heal::Healed;
pub use index::discard as discard_index;
#[cfg(test)]
pub(crate) use index::upset;
pub use pins::Pin;
pub use reach::Reach;
pub use read_into::Target;
pub use segment::{Depth, Observer, SegmentFault, SegmentFindings, SegmentKind};
pub use store::BlockStore;

/// Largest content of a block in bytes. (A node may be somewhat larger.)
pub const FRAME_CONTENT_MAX: usize = 1 << 20;

/// Settings of a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Cap of the block cache in bytes.
    pub cache_bytes: usize,
    /// Threads that help with large requests, beside the thread that brings one.
    pub workers: usize,
    /// Bytes of frames after which a segment is closed; at most 2 GiB count.
    pub segment_bytes: u32,
    /// The lowest number that a new segment may get: what the superblock recorded of
    /// [`BlockStore::next_segment`], so that a number is not used again whose file is lost.
    pub first_segment: SegmentId,
    /// Where sled keeps the content index; none: no dedup beyond the recent frames.
    pub index_dir: Option<PathBuf>,
}

/// Numbers for status and metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreStats {
    /// Segment files.
    pub segments: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Blocks that were to be stored since the opening, those found stored among them.
    pub blocks_put: u64,
    /// Content of these blocks in bytes.
    pub bytes_put: u64,
    /// How many of these blocks were found stored already.
    pub dedup_hits: u64,
    /// Content in bytes that was not stored again.
    pub dedup_bytes: u64,
    /// Content in bytes that was stored because it was not there.
    pub new_bytes: u64,
    /// What this took, in bytes: frames, compressed, with their headers.
    pub new_frame_bytes: u64,
    /// How the block cache is used.
    pub cache: CacheUse,
    /// Whether the content index answers for every segment that is closed and durable (false
    /// while it is being opened or rebuilt, and without one).
    pub index_ready: bool,
}

/// What a durable watermark is: the bytes of a segment known to be on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentMark {
    /// The segment.
    pub segment: SegmentId,
    /// Everything below this byte offset is on the medium.
    pub durable_bytes: u32,
}

/// A segment, for status and check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub segment: SegmentId,
    /// What its frames are.
    pub kind: SegmentKind,
    /// Its length in bytes, as far as it is written or being written.
    pub bytes: u32,
    /// How many of these are known to be on the medium.
    pub durable_bytes: u32,
    /// Whether it ends with a table of contents.
    pub closed: bool,
    /// Whether a write or a sync of it failed.
    pub poisoned: bool,
}

/// The id of these uncompressed bytes.
pub fn block_id(content: &[u8]) -> BlockId {
    BlockId(*blake3::hash(content).as_bytes())
}
