//! What is fed at once: the new frames of several segments, in the order of their ids.
//!
//! Neighbours in that order share pages of the database. Fed in the order in which they were
//! stored, each would take a page of its own, which has to be read and written for it.

use std::path::Path;

use crate::base::SegmentId;
use crate::block::segment::FrameEntry;

use super::content::{ContentIndex, Coverage, IndexError};

/// So many frames are fed at once as soon as there are so many, or what there is of them.
/// Tests have several rounds of several batches also of few frames.
const ROUND_FRAMES: usize = if cfg!(test) { 32 } else { 1 << 17 };
/// So many frames are inserted before it is seen whether the feeder is to stop.
const BATCH_FRAMES: usize = if cfg!(test) { 16 } else { 4096 };

/// Frames of several segments.
#[derive(Default)]
pub(super) struct Round {
    frames: Vec<(SegmentId, FrameEntry)>,
    /// What the index has of each segment once the round is fed.
    coverage: Vec<(SegmentId, Coverage)>,
}

impl Round {
    /// Adds frames of a segment.
    pub(super) fn add(
        &mut self,
        segment: SegmentId,
        coverage: Coverage,
        frames: impl IntoIterator<Item = FrameEntry>,
    ) {
        let frames = frames.into_iter().map(|frame| (segment, frame));
        self.frames.extend(frames);
        self.coverage.push((segment, coverage));
    }

    /// Whether it is large enough.
    pub(super) fn is_full(&self) -> bool {
        self.frames.len() >= ROUND_FRAMES
    }

    /// Inserts the frames, and records then what the index has of their segments; false when it was
    /// interrupted before.
    pub(super) fn feed(
        &mut self,
        content: &ContentIndex,
        dir: &Path,
        is_interrupted: impl Fn() -> bool,
    ) -> Result<bool, IndexError> {
        // Of one content in two segments the later place is the one that stays: the collection of
        // garbage moves frames there.
        self.frames
            .sort_unstable_by_key(|(segment, frame)| (frame.id, *segment));
        for batch in self.frames.chunks(BATCH_FRAMES) {
            if is_interrupted() {
                return Ok(false);
            }
            reach(dir)?;
            content.insert(batch)?;
        }
        for (segment, coverage) in &self.coverage {
            content.cover(*segment, *coverage)?;
        }
        Ok(true)
    }

    /// What the index has of each segment now.
    pub(super) fn into_coverage(self) -> Vec<(SegmentId, Coverage)> {
        self.coverage
    }
}

/// What a test has happen here.
#[cfg(test)]
fn reach(dir: &Path) -> Result<(), IndexError> {
    Ok(super::upset::reach(dir).map_err(sled::Error::from)?)
}

#[cfg(not(test))]
fn reach(_dir: &Path) -> Result<(), IndexError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::PoolId;

    /// Frames of several segments are fed together, each with its own place and what two have with
    /// the later one, and only then are the segments recorded; an interrupted round records none.
    #[test]
    fn segments_are_fed_together() {
        let dir = tempfile::tempdir().unwrap();
        let content = ContentIndex::open(&dir.path().join("index"), PoolId([1; 16])).unwrap();
        let segments = [
            (SegmentId(1), Coverage::Whole),
            (SegmentId(2), Coverage::Until(800)),
        ];
        let frame = |segment: SegmentId, number: u32| FrameEntry {
            id: crate::block::block_id(&[segment.0 as u8, number as u8]),
            offset: number * 100,
            len: 100,
        };
        let moved = frame(SegmentId(3), 9);
        let round = || {
            let mut round = Round::default();
            // The later one first: the order in which they are added does not count.
            for (segment, coverage) in segments.into_iter().rev() {
                let own = (0..8).map(|number| frame(segment, number));
                round.add(segment, coverage, own.chain([moved]));
            }
            round
        };
        assert!(!round().feed(&content, dir.path(), || true).unwrap());
        assert!(content.coverage().unwrap().is_empty());

        let mut fed = round();
        assert!(fed.feed(&content, dir.path(), || false).unwrap());
        assert_eq!(content.coverage().unwrap(), segments.into());
        let later = moved.place(SegmentId(2));
        assert_eq!(content.get(&moved.id).unwrap(), Some(later));
        assert_eq!(
            fed.into_coverage().into_iter().rev().collect::<Vec<_>>(),
            segments
        );
        for (segment, _) in segments {
            for number in 0..8 {
                let frame = frame(segment, number);
                let found = content.get(&frame.id).unwrap();
                assert_eq!(found, Some(frame.place(segment)));
            }
        }
    }
}
