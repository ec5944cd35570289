//! How much of each segment is alive, and which are worth cleaning.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::GcOptions;
use super::walk::Walk;
use crate::base::{Place, Pointer, SegmentId};
use crate::block::{BlockResult, BlockStore};
use crate::pool::PoolResult;
use crate::tree::{NodeStore, TreeRoot};

/// Blocks whose places are looked up together, in the order of the medium.
const BATCH: usize = 64 << 10;
/// Memory of the frames' offsets that are kept while others are looked up, in bytes.
const TABLES_BYTES: usize = 16 << 20;
/// Frames and bytes that one round moves at most: bounds memory, and the room that copies take
/// before their segments go.
const ROUND_FRAMES: u64 = 1 << 17;
const ROUND_BYTES: u64 = 1 << 30;
/// A round moves no more than this part of what is alive, as both places take room until it ends;
/// but a segment at least.
const ROUND_SHARE: u64 = 4;
const ROUND_BYTES_MIN: u64 = 64 << 20;

/// What a segment holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Use {
    /// Of all frames, in bytes.
    pub(super) bytes: u64,
    /// Of those that somebody refers to, in bytes.
    pub(super) live_bytes: u64,
    frames: u64,
    live_frames: u64,
    /// A bit for each frame.
    live: Vec<u64>,
}

impl Use {
    fn garbage(&self) -> u64 {
        self.bytes - self.live_bytes
    }

    fn take(&mut self, number: usize, len: u32) {
        let (word, bit) = (number / 64, 1 << (number % 64));
        if self.live[word] & bit == 0 {
            self.live[word] |= bit;
            self.live_frames += 1;
            self.live_bytes += u64::from(len);
        }
    }
}

/// What a plan found.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) uses: BTreeMap<SegmentId, Use>,
}

impl Plan {
    /// Walks all that is published. One bit of memory a frame, and what the walk and the tables
    /// take.
    pub(super) fn make(
        store: &BlockStore,
        nodes: &dyn NodeStore,
        catalog: Option<&TreeRoot>,
    ) -> PoolResult<Plan> {
        let mut making = Making {
            store,
            plan: Plan::default(),
            tables: Tables::default(),
            batch: Vec::with_capacity(BATCH),
        };
        for segment in store.segments() {
            making.open(segment.segment)?;
        }
        Walk::new(nodes).catalog(catalog, &mut |pointer| {
            making.batch.push(*pointer);
            match making.batch.len() < BATCH {
                true => Ok(()),
                false => making.take_batch(),
            }
        })?;
        making.take_batch()?;
        Ok(making.plan)
    }

    /// Frames that somebody refers to, in bytes.
    pub(super) fn live_bytes(&self) -> u64 {
        self.uses.values().map(|one| one.live_bytes).sum()
    }

    /// Frames that nobody refers to, in bytes.
    pub(super) fn garbage_bytes(&self) -> u64 {
        self.uses.values().map(Use::garbage).sum()
    }

    /// All segments.
    pub(super) fn all(&self) -> Vec<SegmentId> {
        self.uses.keys().copied().collect()
    }

    /// Garbage that is to go at least, in bytes: down to half of the share from which on anything
    /// is done, so that it takes a while until that is reached again.
    fn wanted(&self, options: &GcOptions) -> u64 {
        let may_stay = self.live_bytes() * u64::from(options.garbage_percent) / 200;
        self.garbage_bytes() - may_stay.min(self.garbage_bytes())
    }

    /// Whether these segments hold the garbage that is to go.
    pub(super) fn is_enough(&self, candidates: &[SegmentId], options: &GcOptions) -> bool {
        let chosen = self.choose(candidates, options);
        let garbage: u64 = chosen.iter().map(|(_, one)| one.garbage()).sum();
        options.garbage_percent > 0 && garbage >= self.wanted(options)
    }

    /// Segments that are worth cleaning, until enough garbage goes: those with the smallest share
    /// of live bytes first.
    fn choose(&self, candidates: &[SegmentId], options: &GcOptions) -> Vec<(SegmentId, &Use)> {
        let worth = |one: &Use| {
            one.garbage() > 0
                && one.garbage() * 100 >= one.bytes * u64::from(options.segment_garbage_percent)
        };
        let mut chosen: Vec<(SegmentId, &Use)> = candidates
            .iter()
            .filter_map(|id| Some((*id, self.uses.get(id)?)))
            .filter(|(_, one)| worth(one) || one.frames == 0)
            .collect();
        chosen.sort_by_key(|(id, one)| (one.live_bytes * 1000 / one.bytes.max(1), *id));
        let mut wanted = self.wanted(options);
        chosen.retain(|(_, one)| {
            let goes = wanted > 0 || one.live_frames == 0;
            wanted = wanted.saturating_sub(one.garbage());
            goes
        });
        chosen
    }

    /// What [`Self::choose`] says, in rounds. Only what finds place in `room` free bytes of the
    /// disk and in what the rounds before give back.
    pub(super) fn rounds(
        &self,
        candidates: &[SegmentId],
        options: &GcOptions,
        mut room: u64,
    ) -> Vec<Vec<SegmentId>> {
        let moved_max = (self.live_bytes() / ROUND_SHARE).clamp(ROUND_BYTES_MIN, ROUND_BYTES);
        let mut rounds = vec![Vec::new()];
        let mut round = RoundSize::default();
        for (id, one) in self.choose(candidates, options) {
            if !round.is_empty() && !round.takes(one, room, moved_max) {
                room = room
                    .saturating_add(round.bytes)
                    .saturating_sub(round.live_bytes);
                round = RoundSize::default();
                rounds.push(Vec::new());
            }
            if !round.takes(one, room, moved_max) {
                continue;
            }
            round.add(one);
            rounds.last_mut().expect("there is one").push(id);
        }
        rounds.retain(|round| !round.is_empty());
        rounds
    }
}

/// What the segments of a round hold.
#[derive(Default)]
struct RoundSize {
    frames: u64,
    bytes: u64,
    live_bytes: u64,
}

impl RoundSize {
    fn is_empty(&self) -> bool {
        self.frames == 0 && self.bytes == 0
    }

    /// Whether a further segment fits, into memory, into so many free bytes of the disk, and into
    /// the bytes that a round moves. Those without anything to move go first, before others need
    /// room.
    fn takes(&self, one: &Use, room: u64, moved_max: u64) -> bool {
        let live_bytes = self.live_bytes + one.live_bytes;
        let is_first_to_move = self.live_bytes == 0 && live_bytes > 0;
        if self.is_empty() {
            return live_bytes <= room;
        }
        !is_first_to_move
            && self.frames + one.frames <= ROUND_FRAMES
            && live_bytes <= moved_max.min(room)
    }

    fn add(&mut self, one: &Use) {
        self.frames += one.frames;
        self.bytes += one.bytes;
        self.live_bytes += one.live_bytes;
    }
}

struct Making<'a> {
    store: &'a BlockStore,
    plan: Plan,
    tables: Tables,
    batch: Vec<Pointer>,
}

impl Making<'_> {
    fn open(&mut self, segment: SegmentId) -> BlockResult<()> {
        let table = self.tables.of(self.store, segment)?;
        let one = self.plan.uses.entry(segment).or_default();
        one.bytes = table.iter().map(|frame| u64::from(frame.1)).sum();
        one.frames = table.len() as u64;
        one.live = vec![0; table.len().div_ceil(64)];
        Ok(())
    }

    fn take_batch(&mut self) -> PoolResult<()> {
        let mut batch = std::mem::take(&mut self.batch);
        batch.sort_unstable_by_key(|pointer| pointer.place);
        for pointer in batch.drain(..) {
            if self.take(&pointer.place)? {
                continue;
            }
            // It was moved since the pointer was written.
            if let Some(place) = self.store.locate(&pointer.id) {
                self.take(&place)?;
            }
        }
        self.batch = batch;
        Ok(())
    }

    /// Whether the frame is where it should be.
    fn take(&mut self, place: &Place) -> PoolResult<bool> {
        let Some(one) = self.plan.uses.get_mut(&place.segment) else {
            return Ok(false);
        };
        let table = self.tables.of(self.store, place.segment)?;
        let Ok(number) = table.binary_search(&(place.offset, place.len)) else {
            return Ok(false);
        };
        // A segment that is written has more frames by now.
        if number < one.live.len() * 64 {
            one.take(number, place.len);
        }
        Ok(true)
    }
}

/// Offsets and lengths of frames, of the segments that were asked for lately.
#[derive(Default)]
struct Tables {
    kept: HashMap<SegmentId, (Arc<Table>, u64)>,
    bytes: usize,
    uses: u64,
}

type Table = Vec<(u32, u32)>;

impl Tables {
    fn of(&mut self, store: &BlockStore, segment: SegmentId) -> BlockResult<Arc<Table>> {
        self.uses += 1;
        if let Some((table, used)) = self.kept.get_mut(&segment) {
            *used = self.uses;
            return Ok(table.clone());
        }
        let frames = store.frames(segment)?;
        let table: Table = frames
            .iter()
            .map(|frame| (frame.place.offset, frame.place.len))
            .collect();
        let table = Arc::new(table);
        self.bytes += size_of_val(&table[..]);
        self.kept.insert(segment, (table.clone(), self.uses));
        while self.bytes > TABLES_BYTES && self.kept.len() > 1 {
            let oldest = self.kept.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(id, _)| *id) else {
                break;
            };
            if let Some((table, _)) = self.kept.remove(&oldest) {
                self.bytes -= size_of_val(&table[..]);
            }
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Segments of 64 MiB with so many MiB alive, numbered from 1.
    fn plan(live: &[u64]) -> Plan {
        let one = |live: &u64| Use {
            bytes: 64 * MIB,
            live_bytes: live * MIB,
            frames: 64,
            live_frames: *live,
            live: Vec::new(),
        };
        let numbers = (1..).map(SegmentId);
        Plan {
            uses: numbers.zip(live.iter().map(one)).collect(),
        }
    }

    fn chosen(plan: &Plan, options: &GcOptions, room: u64) -> Vec<Vec<u64>> {
        let rounds = plan.rounds(&plan.all(), options, room).into_iter();
        let numbers = |round: Vec<SegmentId>| round.into_iter().map(|id| id.0).collect();
        rounds.map(numbers).collect()
    }

    /// By itself it cleans the emptiest segments until half of the share is left from which on it
    /// works; by command it cleans all that is worth it. A round moves a quarter of what is alive,
    /// or a segment, and no more than there is room for.
    #[test]
    fn no_more_is_cleaned_than_is_needed() {
        // 224 MiB are alive, 160 MiB are garbage, of which 33.6 MiB may stay.
        let plan = plan(&[60, 10, 64, 0, 40, 50]);
        let by_itself = GcOptions {
            segment_garbage_percent: 15,
            garbage_percent: 30,
            ..GcOptions::default()
        };
        assert_eq!(chosen(&plan, &by_itself, u64::MAX), [vec![4], vec![2, 5]]);
        assert!(plan.is_enough(&plan.all(), &by_itself));
        let others: Vec<SegmentId> = [1, 2, 3, 5, 6].map(SegmentId).into();
        assert!(!plan.is_enough(&others, &by_itself));

        let by_command = GcOptions::default();
        let all = [vec![4], vec![2, 5], vec![6], vec![1]];
        assert_eq!(chosen(&plan, &by_command, u64::MAX), all);
        assert!(!plan.is_enough(&plan.all(), &by_command));
        // The first round gives back 64 MiB.
        assert_eq!(chosen(&plan, &by_itself, 0), [vec![4], vec![2, 5]]);
        let full = Plan {
            uses: plan.uses.into_iter().filter(|(id, _)| id.0 != 4).collect(),
        };
        assert_eq!(chosen(&full, &by_itself, 9 * MIB), Vec::<Vec<u64>>::new());
    }
}
