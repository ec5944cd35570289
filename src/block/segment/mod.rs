//! Segments: append-only files of frames.
//!
//! A segment is written by this process, ended (full, or at the store's close) with a table of
//! contents, and never changed again. One found at the opening of a store is only read: what a
//! crash left without a table of contents is scanned frame by frame. Numbers are never reused.

mod appender;
mod examine;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;
mod handles;
mod layout;
mod rebuild;
mod reservation;
mod scan;
mod set;
mod state;
mod tables;

use std::fmt;

use crate::base::{BlockId, Place, SegmentId};

pub(super) use appender::Appender;
pub use examine::{Depth, Observer, SegmentFault, SegmentFindings};
pub(super) use set::SegmentSet;
pub(super) use state::Segment;

/// Folder of the segments within the pool.
pub(super) const SEGMENTS_DIR: &str = "segments";

/// Segments' numbers stay below this, so that there is always a next one.
const NUMBER_LIMIT: u64 = 1 << 62;

/// What a segment's frames are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum SegmentKind {
    /// Blocks: file content.
    Data = 1,
    /// Nodes of trees.
    Node = 2,
}

impl SegmentKind {
    /// Every kind.
    pub(super) const ALL: [SegmentKind; 2] = [SegmentKind::Data, SegmentKind::Node];
}

impl fmt::Display for SegmentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SegmentKind::Data => "data",
            SegmentKind::Node => "node",
        })
    }
}

/// One line of a table of contents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FrameEntry {
    /// Name of the frame's content.
    pub(super) id: BlockId,
    /// Byte offset of the frame in the segment.
    pub(super) offset: u32,
    /// Length of the whole frame in bytes.
    pub(super) len: u32,
}

impl FrameEntry {
    /// Byte offset behind the frame.
    pub(super) fn end(&self) -> u32 {
        self.offset + self.len
    }

    /// The frame's place, if it lies in `segment`.
    pub(super) fn place(&self, segment: SegmentId) -> Place {
        Place {
            segment,
            offset: self.offset,
            len: self.len,
        }
    }
}

/// Path of a segment's file within the pool.
fn path(segment: SegmentId, kind: SegmentKind) -> String {
    format!("{SEGMENTS_DIR}/{:016x}.{kind}", segment.0)
}

/// The segment that a file's name stands for; none for other names.
fn parse_name(name: &str) -> Option<(SegmentId, SegmentKind)> {
    let (number, extension) = name.split_once('.')?;
    let kind = SegmentKind::ALL
        .into_iter()
        .find(|kind| kind.to_string() == extension)?;
    let number = u64::from_str_radix(number, 16).ok()?;
    // Only the one spelling: no sign, no capitals; and numbers that leave room for others.
    let canonical = format!("{number:016x}.{kind}") == name && number < NUMBER_LIMIT;
    canonical.then_some((SegmentId(number), kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file's name stands for one segment, and only its canonical spelling does.
    #[test]
    fn names_are_parsed_strictly() {
        assert_eq!(
            path(SegmentId(255), SegmentKind::Node),
            "segments/00000000000000ff.node"
        );
        assert_eq!(
            parse_name("00000000000000ff.node"),
            Some((SegmentId(255), SegmentKind::Node))
        );
        for other in [
            "00000000000000FF.node",
            "ff.data",
            "+0000000000000ff.data",
            "00000000000000ff",
            "00000000000000ff.data.tmp",
            "ffffffffffffffff.data",
            "",
        ] {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }
}
