//! What a check is asked for, and what it answers.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::violation::Violation;
use crate::base::{BlockId, Place, SegmentId, VolumeName};
use crate::pool::JournalCut;

/// Violations that are listed; further ones are counted.
const VIOLATIONS_MAX: usize = 10_000;

/// What to check, and how.
#[derive(Clone, Debug, Default)]
pub struct CheckOptions {
    /// Read and verify the content of every frame; otherwise headers and places only. Tree nodes
    /// are always read.
    pub read_data: bool,
    /// Only what these volumes and their snapshots refer to; none: everything there is.
    pub volumes: Vec<VolumeName>,
    /// Bytes that are read a second, at most; 0: no limit.
    pub bytes_per_second: u64,
    /// Heal frames of which there is a healthy copy.
    pub heal: bool,
}

/// What a check found. The names in JSON stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Volumes walked.
    pub volumes: u64,
    /// Snapshots walked.
    pub snapshots: u64,
    /// Entries of trees read.
    pub entries: u64,
    /// References to blocks verified; what snapshots share counts once.
    pub blocks: u64,
    /// The blocks' bytes as stored.
    pub bytes: u64,
    /// Segments examined.
    pub segments: u64,
    /// Frames in them that are sound.
    pub frames: u64,
    /// What is wrong and could not be repaired.
    pub violations: Vec<Violation>,
    /// How many more there are than are listed.
    pub unlisted: u64,
    /// What was wrong and was repaired.
    pub repaired: Vec<Repair>,
    /// What a repair gave up to cut a damaged journal off.
    #[serde(default)]
    pub journal_cut: Option<JournalCut>,
}

impl CheckReport {
    /// Whether nothing is wrong (any more).
    pub fn is_sound(&self) -> bool {
        self.violations.is_empty()
    }

    /// Adds a violation to the list, or to the count behind it.
    pub(crate) fn add(&mut self, violation: Violation) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(violation);
        } else {
            self.unlisted += 1;
        }
    }
}

/// Something that was repaired.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Repair {
    /// A damaged frame was written anew from a healthy copy.
    Frame {
        /// The content's id.
        id: BlockId,
        /// The segment.
        segment: SegmentId,
        /// Byte offset of the frame in the segment.
        offset: u32,
        /// Where it is now, if not there.
        moved_to: Option<Place>,
    },
    /// The header of a segment's file was written anew.
    SegmentHeader {
        /// The segment.
        segment: SegmentId,
    },
    /// The table of contents of a segment was written anew.
    TableOfContents {
        /// The segment.
        segment: SegmentId,
    },
    /// A slot of the superblock was written anew.
    SuperblockSlot {
        /// 0 or 1.
        slot: u8,
    },
    /// The content index was built anew.
    Index {},
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Repair::Frame {
                segment,
                offset,
                moved_to: None,
                ..
            } => write!(
                f,
                "frame: segment {segment} at {offset}: healed from a copy"
            ),
            Repair::Frame {
                segment,
                offset,
                moved_to: Some(to),
                ..
            } => write!(
                f,
                "frame: segment {segment} at {offset}: stored anew in segment {} at {}",
                to.segment, to.offset
            ),
            Repair::SegmentHeader { segment } => {
                write!(f, "segment_header: segment {segment}: written anew")
            }
            Repair::TableOfContents { segment } => {
                write!(f, "table_of_contents: segment {segment}: written anew")
            }
            Repair::SuperblockSlot { slot } => {
                write!(f, "superblock_slot: slot {slot}: written anew")
            }
            Repair::Index {} => f.write_str("index: built anew"),
        }
    }
}
