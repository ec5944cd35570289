//! What must be durable for something to be.

use std::collections::BTreeMap;

use crate::base::{Place, SegmentId};

/// Frames that something stands on: per segment the end of the last of them, in bytes. It is on
/// the medium once each segment is durable up to there, whatever happens to what lies behind.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Reach(BTreeMap<SegmentId, u32>);

impl Reach {
    /// Takes up a frame.
    pub fn add(&mut self, place: &Place) {
        self.add_until(place.segment, place.offset.saturating_add(place.len));
    }

    /// Takes up a segment up to byte `end`.
    pub fn add_until(&mut self, segment: SegmentId, end: u32) {
        let last = self.0.entry(segment).or_default();
        *last = end.max(*last);
    }

    /// Takes up all that `other` has.
    pub fn merge(&mut self, other: &Reach) {
        for (segment, end) in other.iter() {
            self.add_until(segment, end);
        }
    }

    /// Segments and ends, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (SegmentId, u32)> {
        self.0.iter().map(|(segment, end)| (*segment, *end))
    }

    /// Whether it stands on nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each segment the farthest end counts, in whatever order frames are taken up.
    #[test]
    fn the_farthest_end_counts() {
        let place = |segment, offset, len| Place {
            segment: SegmentId(segment),
            offset,
            len,
        };
        let mut reach = Reach::default();
        assert!(reach.is_empty());
        reach.add(&place(7, 500, 100));
        reach.add(&place(7, 64, 36));
        let mut other = Reach::default();
        other.add(&place(3, 64, 1));
        other.add_until(SegmentId(7), 599);
        reach.merge(&other);
        let ends: Vec<_> = reach.iter().collect();
        assert_eq!(ends, [(SegmentId(3), 65), (SegmentId(7), 600)]);
    }
}
