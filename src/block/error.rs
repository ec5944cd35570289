//! Errors of the block store.

use std::io;

use crate::base::{BlockId, Nature, Place, SegmentId};
use crate::disk::DiskError;

/// Result of a call on the block store.
pub type BlockResult<T> = Result<T, BlockError>;

/// A call on the block store failed.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// The medium failed.
    #[error("segment {segment}: the medium failed")]
    Disk {
        /// The segment.
        segment: SegmentId,
        /// What failed.
        #[source]
        source: DiskError,
    },
    /// The segments' folder could not be read or changed.
    #[error("the pool's segments folder cannot be used")]
    Folder(#[source] DiskError),
    /// A frame is not what its pointer promises, and no other copy was found.
    #[error("block {id} in segment {} at byte {}: {problem}", place.segment, place.offset)]
    Corrupt {
        /// The id that was asked for.
        id: BlockId,
        /// Where it was looked for last.
        place: Place,
        /// What is wrong there.
        problem: String,
    },
    /// A sync or an append of the segment failed earlier.
    #[error("an earlier write or sync of '{file}' (segment {segment}) failed")]
    Poisoned {
        /// The segment.
        segment: SegmentId,
        /// Its file, relative to the pool.
        file: String,
    },
    /// Content that no frame can hold.
    #[error("a content of {len} bytes cannot be stored: it must have 1 to {max}")]
    Length {
        /// Its length in bytes.
        len: usize,
        /// The longest there may be, in bytes.
        max: usize,
    },
    /// A segment that was never made.
    #[error("segment {segment} does not exist")]
    UnknownSegment {
        /// Its number.
        segment: SegmentId,
    },
    /// The store's threads could not be started.
    #[error("the block store's threads cannot be started")]
    Threads(#[source] io::Error),
    /// The store was closed.
    #[error("the block store is closed")]
    Closed,
}

impl BlockError {
    /// What kind of trouble this is.
    pub fn nature(&self) -> Nature {
        match self {
            BlockError::Corrupt { .. } => Nature::Corrupt,
            BlockError::Length { .. } | BlockError::UnknownSegment { .. } => Nature::Refused,
            BlockError::Disk { .. }
            | BlockError::Folder(_)
            | BlockError::Poisoned { .. }
            | BlockError::Threads(_)
            | BlockError::Closed => Nature::Environment,
        }
    }

    /// Whether the medium is full.
    pub fn is_no_space(&self) -> bool {
        match self {
            BlockError::Disk { source, .. } | BlockError::Folder(source) => source.is_no_space(),
            _ => false,
        }
    }
}
