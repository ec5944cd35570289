//! What is needed of the segments that are to go.

use std::collections::{HashMap, HashSet};

use super::walk::half;
use crate::base::{Place, Pointer, SegmentId};
use crate::block::SegmentFrame;

/// A frame to move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pool) struct Needed {
    /// It.
    pub(super) frame: SegmentFrame,
    /// Where it lies as well, if it is damaged here; else its own place.
    pub(super) other: Place,
}

/// The frames of some segments, by half of their ids, and who needs them. About 100 bytes of memory
/// a frame.
#[derive(Default)]
pub(super) struct Marks {
    frames: HashMap<u128, Mark>,
    listed: HashSet<(SegmentId, u32)>,
    segments: HashSet<SegmentId>,
    /// Segments in which somebody names a frame that is not listed.
    pub(super) unlisted: HashSet<SegmentId>,
}

struct Mark {
    /// The newest frame with this id.
    newest: SegmentFrame,
    need: Need,
}

/// Who needs a frame of this id; the greater the more.
#[derive(Clone, Copy)]
enum Need {
    /// Nobody.
    None,
    /// Who names it in another segment: this is a copy, needed if the frame is not there, or not
    /// where it was moved to from there.
    Elsewhere(Pointer),
    /// Who names it here.
    Here(Place),
}

impl Marks {
    /// The frames of a segment.
    pub(super) fn add(&mut self, segment: SegmentId, frames: &[SegmentFrame]) {
        self.segments.insert(segment);
        for frame in frames {
            self.listed.insert((segment, frame.place.offset));
            let new = || Mark {
                newest: *frame,
                need: Need::None,
            };
            let mark = self.frames.entry(half(&frame.id)).or_insert_with(new);
            if mark.newest.place < frame.place {
                mark.newest = *frame;
            }
        }
    }

    /// Somebody names this frame.
    pub(super) fn note(&mut self, pointer: &Pointer) {
        let place = &pointer.place;
        let is_listed = self.listed.contains(&(place.segment, place.offset));
        let is_here = self.segments.contains(&place.segment) && is_listed;
        if self.segments.contains(&place.segment) && !is_listed {
            // Its segment stays; what it names there may be what is damaged.
            self.unlisted.insert(place.segment);
        }
        let Some(mark) = self.frames.get_mut(&half(&pointer.id)) else {
            return;
        };
        mark.need = match mark.need {
            Need::Here(other) if is_here => Need::Here(other.max(*place)),
            _ if is_here => Need::Here(*place),
            need @ Need::Here(_) => need,
            Need::None | Need::Elsewhere(_) => Need::Elsewhere(*pointer),
        };
    }

    /// What is to be moved. `is_sound` says whether what a pointer names can be read in a segment
    /// that stays.
    pub(super) fn needed(self, is_sound: &dyn Fn(&Pointer) -> bool) -> Vec<Needed> {
        let frames = self.frames.into_values();
        let needed = frames.filter_map(|mark| {
            let newest = mark.newest;
            let place = match mark.need {
                Need::None => return None,
                Need::Elsewhere(pointer) if is_sound(&pointer) => return None,
                Need::Elsewhere(_) => newest.place,
                Need::Here(place) => place,
            };
            let frame = SegmentFrame { place, ..newest };
            Some(Needed {
                frame,
                other: newest.place,
            })
        });
        needed.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::BlockId;

    fn frame(id: u8, segment: u64, offset: u32) -> SegmentFrame {
        SegmentFrame {
            id: BlockId([id; 32]),
            place: Place {
                segment: SegmentId(segment),
                offset,
                len: 100,
            },
        }
    }

    fn pointer(id: u8, segment: u64, offset: u32) -> Pointer {
        let SegmentFrame { id, place } = frame(id, segment, offset);
        Pointer { id, place }
    }

    /// What is named here is moved from there, once; what is named elsewhere only if it is not
    /// sound there, or not listed, and then from the newest place.
    #[test]
    fn one_frame_of_each_id_that_is_needed_is_moved() {
        let mut marks = Marks::default();
        marks.add(
            SegmentId(1),
            &[
                frame(1, 1, 64),
                frame(2, 1, 164),
                frame(3, 1, 264),
                frame(6, 1, 364),
            ],
        );
        marks.add(
            SegmentId(2),
            &[
                frame(1, 2, 64),
                frame(4, 2, 164),
                frame(5, 2, 264),
                frame(3, 2, 364),
            ],
        );
        for named in [
            pointer(1, 1, 64),
            pointer(1, 5, 64),
            pointer(3, 4, 64),
            pointer(4, 5, 64),
            pointer(5, 5, 164),
            pointer(9, 5, 264),
        ] {
            marks.note(&named);
        }
        assert!(marks.unlisted.is_empty());
        marks.note(&pointer(6, 2, 500));
        assert_eq!(marks.unlisted, HashSet::from([SegmentId(2)]));
        let mut needed = marks.needed(&|pointer| pointer.id.0[0] == 4);
        needed.sort_by_key(|one| one.frame.id);
        let moved: Vec<SegmentFrame> = needed.iter().map(|one| one.frame).collect();
        let wanted = [
            frame(1, 1, 64),
            frame(3, 2, 364),
            frame(5, 2, 264),
            frame(6, 1, 364),
        ];
        assert_eq!(moved, wanted);
        assert_eq!(needed[0].other, frame(1, 2, 64).place);
    }
}
