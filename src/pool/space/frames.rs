//! The frames of one segment that are in use, and whose they are.

use super::owners::{Families, Owner};

/// Frames that are told of in no order, at least, before they are put in order.
const UNSORTED_MIN: usize = 256;

/// A frame of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    /// Its byte offset.
    pub(super) offset: u32,
    /// Its length in bytes.
    pub(super) len: u32,
    /// Whose it is.
    pub(super) owner: Owner,
}

/// Frames by offset. 16 bytes of memory a frame, and up to as much again for what is not in order
/// yet.
///
/// Files mostly name blocks in the order in which they were written, and copies name them in that
/// order again, so that the next one told of is the one behind the last.
#[derive(Default)]
pub(super) struct Frames {
    /// Ascending and each once, up to `sorted`; behind that as they came.
    frames: Vec<Frame>,
    sorted: usize,
    /// Behind the one that was told of last, if that is in order.
    next: usize,
}

impl Frames {
    /// `frame.owner` owns this frame, too.
    pub(super) fn add(&mut self, frame: Frame, families: &Families) {
        match self.find(frame.offset) {
            Some(at) => {
                let known = &mut self.frames[at];
                known.owner = families.join(known.owner, frame.owner);
                self.next = at + 1;
            }
            None => {
                let extends = self.sorted == self.frames.len()
                    && self
                        .frames
                        .last()
                        .is_none_or(|last| last.offset < frame.offset);
                self.frames.push(frame);
                if extends {
                    self.sorted += 1;
                    self.next = self.sorted;
                } else if self.frames.len() > 2 * self.sorted + UNSORTED_MIN {
                    self.sort(families);
                }
            }
        }
    }

    /// Where a frame is known in order, if it is.
    fn find(&self, offset: u32) -> Option<usize> {
        let sorted = &self.frames[..self.sorted];
        if sorted.last().is_none_or(|last| last.offset < offset) {
            return None;
        }
        match sorted
            .get(self.next)
            .is_some_and(|next| next.offset == offset)
        {
            true => Some(self.next),
            false => sorted
                .binary_search_by_key(&offset, |known| known.offset)
                .ok(),
        }
    }

    fn sort(&mut self, families: &Families) {
        // Stable, because that makes use of what is in order already.
        self.frames.sort_by_key(|frame| frame.offset);
        self.frames.dedup_by(|next, kept| {
            let is_same = next.offset == kept.offset;
            if is_same {
                kept.owner = families.join(kept.owner, next.owner);
            }
            is_same
        });
        (self.sorted, self.next) = (self.frames.len(), self.frames.len());
    }

    /// Each frame once, with all of its owners, in ascending order of offset.
    pub(super) fn all(&mut self, families: &Families) -> &[Frame] {
        self.sort(families);
        &self.frames
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// In whatever runs frames are told of, each is there once, with all of its owners.
        #[test]
        fn each_frame_is_kept_once(
            runs in proptest::collection::vec(
                (0..3000u32, 1..700u32, 0..4u32, any::<bool>()),
                1..12,
            ),
        ) {
            let families = Families::new(vec![0, 0, 1, 2]);
            let (mut frames, mut expected) = (Frames::default(), BTreeMap::new());
            for (first, count, state, is_reversed) in runs {
                for at in 0..count {
                    let number = first + if is_reversed { count - 1 - at } else { at };
                    let (offset, owner) = (64 + number * 100, Owner::State(state));
                    frames.add(Frame { offset, len: 100, owner }, &families);
                    expected
                        .entry(offset)
                        .and_modify(|known| *known = families.join(*known, owner))
                        .or_insert(owner);
                }
            }
            let expected: Vec<Frame> = expected
                .into_iter()
                .map(|(offset, owner)| Frame { offset, len: 100, owner })
                .collect();
            prop_assert_eq!(frames.all(&families), &expected[..]);
        }
    }

    /// What comes in order, and again in order, is never sorted and takes no room twice.
    #[test]
    fn copies_take_no_room() {
        let families = Families::new(vec![0]);
        let mut frames = Frames::default();
        for _ in 0..3 {
            for offset in (0..100_000).step_by(10) {
                let owner = Owner::State(0);
                frames.add(
                    Frame {
                        offset,
                        len: 10,
                        owner,
                    },
                    &families,
                );
            }
        }
        assert_eq!((frames.frames.len(), frames.sorted), (10_000, 10_000));
    }
}
