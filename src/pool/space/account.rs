//! Frames and their owners, by one walk over the trees of all states.
//!
//! What states share is walked once for each change of what is known of its owners: a node that is
//! met again by a state which owns it already, or that several families own, is not read again. So
//! the walk reads each node three times at most, however many snapshots share it.

use std::collections::{BTreeMap, HashMap};

use super::frames::{Frame, Frames};
use super::owners::{Families, Owner, StateNumber};
use crate::base::progress::Progress;
use crate::base::{Place, Pointer, SegmentId};
use crate::block::BlockStore;
use crate::pool::gc::half;
use crate::pool::{PoolError, PoolResult};
use crate::tree::{NodeStore, TreeRoot};

/// Nodes between two looks whether anybody still waits.
const LOOK_EVERY: usize = 1024;

/// What the frames are that a tree names, each as often as it is named.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Named {
    /// Blocks and nodes, as stored, in bytes.
    pub(super) bytes: u64,
    /// Of these the blocks.
    pub(super) block_bytes: u64,
}

impl Named {
    fn add(&mut self, other: Named) {
        self.bytes += other.bytes;
        self.block_bytes += other.block_bytes;
    }
}

/// Owners and sizes, as the walk goes on.
pub(super) struct Account<'a> {
    store: &'a BlockStore,
    nodes: &'a dyn NodeStore,
    families: &'a Families,
    progress: &'a dyn Progress,
    /// Of the segments that there are; a pointer to another one is out of date.
    frames: Vec<Frames>,
    /// Their numbers in `frames`.
    segments: HashMap<SegmentId, usize>,
    /// The segment looked up last: neighbours in a file mostly lie in one.
    latest: (SegmentId, usize),
    seen: HashMap<u128, (Owner, Named)>,
    reads: usize,
}

impl<'a> Account<'a> {
    /// Nothing is counted yet. The caller pins the segments.
    pub(super) fn new(
        store: &'a BlockStore,
        nodes: &'a dyn NodeStore,
        families: &'a Families,
        progress: &'a dyn Progress,
    ) -> Account<'a> {
        let segments: Vec<_> = store.segments();
        Account {
            store,
            nodes,
            families,
            progress,
            frames: segments.iter().map(|_| Frames::default()).collect(),
            latest: (SegmentId(0), usize::MAX),
            segments: (segments.iter().map(|one| one.segment)).zip(0..).collect(),
            seen: HashMap::new(),
            reads: 0,
        }
    }

    /// Counts the frames of a state.
    ///
    /// # Errors
    /// `Tree` for a node that cannot be read; `BrokenOff` when nobody waits any more.
    pub(super) fn state(
        &mut self,
        state: StateNumber,
        root: Option<&TreeRoot>,
    ) -> PoolResult<Named> {
        match root {
            Some(root) => self.node(&root.node, root.height, Owner::State(state)),
            None => Ok(Named::default()),
        }
    }

    fn node(&mut self, pointer: &Pointer, height: u8, by: Owner) -> PoolResult<Named> {
        let key = half(&pointer.id);
        let known = self.seen.get(&key).copied();
        let owner = known.map_or(by, |(owner, _)| self.families.join(owner, by));
        if let Some((before, named)) = known
            && before == owner
        {
            return Ok(named);
        }
        self.look()?;
        let mut named = Named {
            bytes: self.take(pointer, by),
            block_bytes: 0,
        };
        for below in self.nodes.read_pointers(pointer, height)? {
            named.add(match height.checked_sub(1) {
                Some(height) => self.node(&below, height, by)?,
                None => {
                    let bytes = self.take(&below, by);
                    Named {
                        bytes,
                        block_bytes: bytes,
                    }
                }
            });
        }
        self.seen.insert(key, (owner, named));
        Ok(named)
    }

    fn look(&mut self) -> PoolResult<()> {
        self.reads += 1;
        match self.reads.is_multiple_of(LOOK_EVERY) && self.progress.is_cancelled() {
            true => Err(PoolError::BrokenOff),
            false => Ok(()),
        }
    }

    /// The frame belongs to `owner`, too; its bytes.
    fn take(&mut self, pointer: &Pointer, owner: Owner) -> u64 {
        let (place, number) = self.place_of(pointer);
        let frame = Frame {
            offset: place.offset,
            len: place.len,
            owner,
        };
        self.frames[number].add(frame, self.families);
        u64::from(place.len)
    }

    /// Where the frame is, and the number of that segment.
    fn place_of(&mut self, pointer: &Pointer) -> (Place, usize) {
        let mut place = pointer.place;
        if self.number_of(place.segment).is_none() {
            place = self.store.locate(&pointer.id).unwrap_or(place);
        }
        let number = self.number_of(place.segment).unwrap_or_else(|| {
            // Made since the walk began, or lost: it counts all the same.
            self.frames.push(Frames::default());
            self.segments.insert(place.segment, self.frames.len() - 1);
            self.frames.len() - 1
        });
        (place, number)
    }

    fn number_of(&mut self, segment: SegmentId) -> Option<usize> {
        let (latest, number) = self.latest;
        if latest == segment && number != usize::MAX {
            return Some(number);
        }
        let number = *self.segments.get(&segment)?;
        self.latest = (segment, number);
        Some(number)
    }

    /// Bytes of the frames that each owner has alone.
    pub(super) fn sums(mut self) -> Sums {
        let mut sums = Sums::default();
        for frames in &mut self.frames {
            for frame in frames.all(self.families) {
                let len = u64::from(frame.len);
                sums.total += len;
                if let Owner::State(state) = frame.owner {
                    *sums.states.entry(state).or_default() += len;
                }
                if let Some(family) = self.families.of(frame.owner) {
                    *sums.families.entry(family).or_default() += len;
                }
            }
        }
        sums
    }
}

/// Frames in bytes, each counted once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Sums {
    /// All of them.
    pub(super) total: u64,
    /// What a state has alone.
    pub(super) states: BTreeMap<StateNumber, u64>,
    /// What a family has alone.
    pub(super) families: BTreeMap<u32, u64>,
}
