//! What a volume's records name that may not be durable yet.

use std::collections::BTreeMap;

use crate::base::{Lsn, Place, SegmentId};
use crate::block::Reach;

/// Segments, how far they are needed, and the last record that named them.
#[derive(Default)]
pub(super) struct Unsynced(BTreeMap<SegmentId, Named>);

#[derive(Clone, Copy)]
struct Named {
    /// End of the last frame that was named, in bytes.
    end: u32,
    last: Lsn,
}

impl Unsynced {
    /// A record that ends at `at` names a frame.
    pub(super) fn name(&mut self, place: &Place, at: Lsn) {
        self.name_until(place.segment, place.offset.saturating_add(place.len), at);
    }

    fn name_until(&mut self, segment: SegmentId, end: u32, at: Lsn) {
        let named = self.0.entry(segment).or_insert(Named { end, last: at });
        named.end = end.max(named.end);
        named.last = at.max(named.last);
    }

    /// Everything that another volume has here is needed by a record that ends at `at`, too.
    pub(super) fn inherit(&mut self, source: &Unsynced, at: Lsn) {
        for (segment, named) in &source.0 {
            self.name_until(*segment, named.end, at);
        }
    }

    /// The frames in question.
    pub(super) fn reach(&self) -> Reach {
        let mut reach = Reach::default();
        for (segment, named) in &self.0 {
            reach.add_until(*segment, named.end);
        }
        reach
    }

    /// These are durable now. What was named again by records behind `at` stays.
    pub(super) fn synced(&mut self, reach: &Reach, at: Lsn) {
        for (segment, _) in reach.iter() {
            if self.0.get(&segment).is_some_and(|named| named.last <= at) {
                self.0.remove(&segment);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(segment: u64, end: u32) -> Place {
        Place {
            segment: SegmentId(segment),
            offset: end - 10,
            len: 10,
        }
    }

    /// A segment is forgotten once all that named it is durable, and not before.
    #[test]
    fn what_is_named_again_stays() {
        let mut unsynced = Unsynced::default();
        unsynced.name(&place(1, 100), Lsn(10));
        unsynced.name(&place(2, 100), Lsn(10));
        let reach = unsynced.reach();
        unsynced.name(&place(2, 50), Lsn(20));
        unsynced.synced(&reach, Lsn(10));
        let left: Vec<_> = unsynced.reach().iter().collect();
        assert_eq!(left, [(SegmentId(2), 100)]);
        unsynced.synced(&reach, Lsn(20));
        assert!(unsynced.reach().is_empty());
    }

    /// A copy needs what its source needs, for as long as its own records say.
    #[test]
    fn a_copy_inherits() {
        let mut source = Unsynced::default();
        source.name(&place(1, 100), Lsn(10));
        let mut copy = Unsynced::default();
        copy.name(&place(1, 60), Lsn(5));
        copy.inherit(&source, Lsn(30));
        let reach = copy.reach();
        assert_eq!(reach, source.reach());
        copy.synced(&reach, Lsn(10));
        assert!(!copy.reach().is_empty());
    }
}
