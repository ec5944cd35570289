//! What tables of contents said, for whoever looks for a frame that is not where a tree names it.
//!
//! Such frames come in crowds: all that a collection has moved, or all that was lost with a
//! segment. Reading every table again for each of them would make a check of such a pool take
//! their product.
//!
//! A reading may go wrong once, by a flipped bit or a read that ends early, and recovery gives up
//! what it does not find. So only what two readings agree on is kept.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::{BlockId, SegmentId};

use super::FrameEntry;

/// Bytes that the summaries of all segments may take; those of the segments that were asked for
/// last are not kept beyond it.
const SUMMARY_BYTES_MAX: usize = 32 << 20;
/// Whole tables that are kept: what was moved together lies together.
const WHOLE_MAX: usize = 4;

/// Tables of contents of segments that nobody writes to any more.
pub(super) struct Tables {
    state: Mutex<State>,
    summary_bytes_max: usize,
}

#[derive(Default)]
struct State {
    summaries: HashMap<SegmentId, Summary>,
    summary_bytes: usize,
    /// The one used last comes last.
    whole: Vec<(SegmentId, Whole)>,
    /// How often a segment was forgotten: what was read before that may be out of date.
    forgotten: u64,
}

/// The frames of a segment by id, those with the same one by offset.
#[derive(Clone)]
struct Whole(Arc<[FrameEntry]>);

impl Whole {
    fn of(mut frames: Vec<FrameEntry>) -> Whole {
        frames.sort_by_key(|frame| frame.id);
        Whole(frames.into())
    }

    fn named(&self, id: &BlockId) -> Vec<FrameEntry> {
        let first = self.0.partition_point(|frame| frame.id < *id);
        let rest = self.0[first..].iter();
        rest.take_while(|frame| frame.id == *id).copied().collect()
    }
}

/// The first 32 bits of each id, ascending: one in four billion hits is a mistake, which costs a
/// look at the table.
struct Summary {
    prefixes: Box<[u32]>,
    /// Two readings agree on it; before that it says nothing.
    is_certain: bool,
}

impl Summary {
    fn of(frames: &[FrameEntry]) -> Summary {
        let mut prefixes: Vec<u32> = frames.iter().map(|frame| prefix(&frame.id)).collect();
        prefixes.sort_unstable();
        Summary {
            prefixes: prefixes.into_boxed_slice(),
            is_certain: false,
        }
    }

    fn bytes(&self) -> usize {
        self.prefixes.len() * size_of::<u32>()
    }

    fn rules_out(&self, id: &BlockId) -> bool {
        self.is_certain && self.prefixes.binary_search(&prefix(id)).is_err()
    }
}

fn prefix(id: &BlockId) -> u32 {
    u32::from_le_bytes([id.0[0], id.0[1], id.0[2], id.0[3]])
}

impl State {
    fn use_whole(&mut self, segment: SegmentId) -> Option<Whole> {
        let at = self.whole.iter().position(|(id, _)| *id == segment)?;
        let used = self.whole.remove(at);
        let whole = used.1.clone();
        self.whole.push(used);
        Some(whole)
    }

    fn remove(&mut self, segment: SegmentId) {
        if let Some(summary) = self.summaries.remove(&segment) {
            self.summary_bytes -= summary.bytes();
        }
        self.whole.retain(|(other, _)| *other != segment);
    }
}

impl Tables {
    /// None is known yet.
    pub(super) fn new() -> Tables {
        Tables::with_limit(SUMMARY_BYTES_MAX)
    }

    fn with_limit(summary_bytes_max: usize) -> Tables {
        Tables {
            state: Mutex::default(),
            summary_bytes_max,
        }
    }

    /// The frames with this id in the segment; `read` is called if it may have any, as far as is
    /// known, and its table is not kept.
    ///
    /// # Errors
    /// What `read` says; nothing is kept then.
    pub(super) fn frames_of<E>(
        &self,
        segment: SegmentId,
        id: &BlockId,
        read: impl FnOnce() -> Result<Vec<FrameEntry>, E>,
    ) -> Result<Vec<FrameEntry>, E> {
        let kept = {
            let mut state = self.state.lock();
            let summary = state.summaries.get(&segment);
            if summary.is_some_and(|known| known.rules_out(id)) {
                return Ok(Vec::new());
            }
            state.use_whole(segment).ok_or(state.forgotten)
        };
        let forgotten = match kept {
            Ok(kept) => return Ok(kept.named(id)),
            Err(forgotten) => forgotten,
        };
        let whole = Whole::of(read()?);
        let found = whole.named(id);
        self.keep(segment, whole, forgotten);
        Ok(found)
    }

    /// `forgotten` is from before the segment was read.
    fn keep(&self, segment: SegmentId, whole: Whole, forgotten: u64) {
        let mut summary = Summary::of(&whole.0);
        let mut state = self.state.lock();
        if state.forgotten != forgotten {
            return;
        }
        let before = state.summaries.get(&segment);
        summary.is_certain = before.is_some_and(|known| known.prefixes == summary.prefixes);
        let is_certain = summary.is_certain;
        state.remove(segment);
        if state.summary_bytes + summary.bytes() <= self.summary_bytes_max {
            state.summary_bytes += summary.bytes();
            state.summaries.insert(segment, summary);
        }
        if !is_certain {
            return;
        }
        if state.whole.len() >= WHOLE_MAX {
            state.whole.remove(0);
        }
        state.whole.push((segment, whole));
    }

    /// The segment is gone, or was mended.
    pub(super) fn forget(&self, segment: SegmentId) {
        let mut state = self.state.lock();
        state.forgotten += 1;
        state.remove(segment);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use super::*;

    fn id(number: u64) -> BlockId {
        let mut bytes = [0; 32];
        // Beside the prefix too: two numbers may share that.
        bytes[..4].copy_from_slice(&(number as u32 / 2).to_le_bytes());
        bytes[8..16].copy_from_slice(&number.to_le_bytes());
        BlockId(bytes)
    }

    fn frame(number: u64) -> FrameEntry {
        FrameEntry {
            id: id(number),
            offset: 4096 + 64 * number as u32,
            len: 64,
        }
    }

    /// Reads segments of the frames `first..first + 100`, and counts that.
    struct Reads<'a>(&'a Tables, Cell<usize>);

    impl Reads<'_> {
        fn find(&self, segment: u64, number: u64) -> Vec<u32> {
            let read = || {
                self.1.set(self.1.get() + 1);
                let first = 100 * segment;
                Ok::<_, Infallible>((first..first + 100).map(frame).collect())
            };
            let Ok(found) = self.0.frames_of(SegmentId(segment), &id(number), read);
            found.iter().map(|frame| frame.offset).collect()
        }
    }

    /// A table is read twice for all frames that it does not name, and for those that it names as
    /// long as few others are asked for; what is forgotten is read again.
    #[test]
    fn tables_are_not_read_for_each_frame() {
        let tables = Tables::new();
        let reads = Reads(&tables, Cell::new(0));
        for number in 100..200 {
            for segment in 0..8 {
                let expected = (segment == 1).then(|| frame(number).offset);
                let found = reads.find(segment, number);
                assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
            }
        }
        // The second one had been pushed out by the first rounds.
        assert_eq!(reads.1.get(), 2 * 8 + 1);
        tables.forget(SegmentId(1));
        for _ in 0..3 {
            assert_eq!(reads.find(1, 100), [frame(100).offset]);
        }
        assert_eq!(reads.1.get(), 2 * 8 + 3);
    }

    /// A reading that went wrong hides nothing from the next one, wherever it comes.
    #[test]
    fn one_wrong_reading_is_not_kept() {
        let whole: Vec<FrameEntry> = (0..100).map(frame).collect();
        for wrong in 0..4 {
            let tables = Tables::new();
            let find = |frames: &[FrameEntry]| {
                let read = || Ok::<_, Infallible>(frames.to_vec());
                let Ok(found) = tables.frames_of(SegmentId(1), &id(80), read);
                found.len()
            };
            for at in 0..4 {
                let cut = if at == wrong { &whole[..50] } else { &whole };
                // Once it is certain nothing is read any more.
                let expected = usize::from(at != wrong || wrong >= 2);
                assert_eq!(find(cut), expected, "reading {at}, wrong {wrong}");
            }
        }
    }

    /// Beyond the limit a table is read as often as it is asked for, and nothing is missed.
    #[test]
    fn summaries_stay_within_their_limit() {
        let tables = Tables::with_limit(2 * 400);
        let reads = Reads(&tables, Cell::new(0));
        for round in 1..=3 {
            for segment in 0..8 {
                assert!(reads.find(segment, 5000).is_empty());
            }
            let of_two = usize::min(round, 2) * 2;
            assert_eq!(reads.1.get(), of_two + round * 6);
        }
        assert_eq!(reads.find(7, 750), [frame(750).offset]);
        tables.forget(SegmentId(0));
        let read = || {
            tables.forget(SegmentId(9));
            Ok::<_, Infallible>(Vec::new())
        };
        assert_eq!(tables.frames_of(SegmentId(9), &id(1), read), Ok(Vec::new()));
        assert_eq!(tables.state.lock().summaries.len(), 1, "out of date");
        assert!(reads.find(2, 5000).is_empty());
        let state = tables.state.lock();
        assert_eq!((state.summaries.len(), state.summary_bytes), (2, 800));
    }
}
