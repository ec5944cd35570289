//! What is needed of the segments that are to go.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use crate::base::{BlockId, Place, Pointer, SegmentId};
use crate::block::SegmentFrame;

/// A frame to move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pool) struct Needed {
    /// It.
    pub(super) frame: SegmentFrame,
    /// Where it lies as well, if it is damaged here; else its own place.
    pub(super) other: Place,
}

/// The frames of some segments, by id, and who needs them. About 80 bytes of memory a frame.
pub(super) struct Marks {
    /// By id, each once.
    marks: Vec<Mark>,
    /// Where those begin in `marks` whose ids have a prefix, and at last the end: ids are hashes,
    /// so that few share one.
    starts: Vec<u32>,
    /// Offsets of the frames of each segment, ascending.
    listed: HashMap<SegmentId, Vec<u32>>,
    /// Segments in which somebody names a frame that is not listed.
    pub(super) unlisted: HashSet<SegmentId>,
}

/// Bits of a prefix.
const PREFIX_BITS: u32 = 16;

struct Mark {
    id: BlockId,
    /// Of the newest frame with this id.
    newest: Place,
    need: Need,
}

/// Who needs a frame of this id; the greater the more.
#[derive(Clone, Copy)]
enum Need {
    /// Nobody.
    None,
    /// Who names it at this place in another segment: this is a copy, needed if the frame is not
    /// there, or not where it was moved to from there.
    Elsewhere(Place),
    /// Who names it here.
    Here(Place),
}

fn prefix(id: &BlockId) -> usize {
    usize::from(u16::from_be_bytes([id.0[0], id.0[1]]))
}

impl Marks {
    /// Nobody needs the frames of these segments yet.
    pub(super) fn new(segments: &[SegmentId], frames: Vec<SegmentFrame>) -> Marks {
        let mut listed: HashMap<SegmentId, Vec<u32>> =
            segments.iter().map(|id| (*id, Vec::new())).collect();
        let mut marks = Vec::with_capacity(frames.len());
        for SegmentFrame { id, place } in frames {
            listed.entry(place.segment).or_default().push(place.offset);
            marks.push(Mark {
                id,
                newest: place,
                need: Need::None,
            });
        }
        listed
            .values_mut()
            .for_each(|offsets| offsets.sort_unstable());
        marks.sort_unstable_by_key(|mark| (mark.id, Reverse(mark.newest)));
        marks.dedup_by_key(|mark| mark.id);
        let mut starts = vec![0; (1 << PREFIX_BITS) + 1];
        for mark in &marks {
            starts[prefix(&mark.id) + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        Marks {
            marks,
            starts,
            listed,
            unlisted: HashSet::new(),
        }
    }

    fn mark_of(&mut self, id: &BlockId) -> Option<&mut Mark> {
        let prefix = prefix(id);
        let (from, to) = (self.starts[prefix], self.starts[prefix + 1]);
        let mut marks = self.marks[from as usize..to as usize].iter_mut();
        marks.find(|mark| mark.id == *id)
    }

    /// Somebody names this frame.
    pub(super) fn note(&mut self, pointer: &Pointer) {
        let place = &pointer.place;
        let offsets = self.listed.get(&place.segment);
        let is_here = offsets.is_some_and(|all| all.binary_search(&place.offset).is_ok());
        if offsets.is_some() && !is_here {
            // Its segment stays; what it names there may be what is damaged.
            self.unlisted.insert(place.segment);
        }
        let Some(mark) = self.mark_of(&pointer.id) else {
            return;
        };
        mark.need = match mark.need {
            Need::Here(other) if is_here => Need::Here(other.max(*place)),
            _ if is_here => Need::Here(*place),
            need @ Need::Here(_) => need,
            Need::None | Need::Elsewhere(_) => Need::Elsewhere(*place),
        };
    }

    /// What is to be moved. `is_sound` says whether what a pointer names can be read in a segment
    /// that stays.
    pub(super) fn needed(self, is_sound: &dyn Fn(&Pointer) -> bool) -> Vec<Needed> {
        let needed = self.marks.into_iter().filter_map(|mark| {
            let (id, newest) = (mark.id, mark.newest);
            let place = match mark.need {
                Need::None => return None,
                Need::Elsewhere(place) if is_sound(&Pointer { id, place }) => return None,
                Need::Elsewhere(_) => newest,
                Need::Here(place) => place,
            };
            Some(Needed {
                frame: SegmentFrame { id, place },
                other: newest,
            })
        });
        needed.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let frames = vec![
            frame(1, 1, 64),
            frame(2, 1, 164),
            frame(3, 1, 264),
            frame(6, 1, 364),
            frame(1, 2, 64),
            frame(4, 2, 164),
            frame(5, 2, 264),
            frame(3, 2, 364),
        ];
        // The last one's table of contents names nothing.
        let segments = [1, 2, 3].map(SegmentId);
        let mut marks = Marks::new(&segments, frames);
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
        marks.note(&pointer(7, 3, 64));
        assert_eq!(marks.unlisted, HashSet::from([2, 3].map(SegmentId)));
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
