//! Places of frames that were appended, or found to have moved, lately.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use crate::base::{BlockId, Place};

const SHARDS: usize = 16;
/// Frames remembered by all shards together; about 8 MiB of memory.
const FRAMES_MAX: usize = 64 * 1024;

/// A bounded map from id to place; the oldest entries make room. It bridges the time until frames
/// are on the medium and in the content index.
pub(in crate::block) struct RecentFrames {
    shards: [Mutex<Shard>; SHARDS],
    shard_frames_max: usize,
}

#[derive(Default)]
struct Shard {
    places: HashMap<BlockId, Place>,
    /// Ids in the order in which they came.
    order: VecDeque<BlockId>,
}

impl RecentFrames {
    /// An empty map of the usual size.
    pub(in crate::block) fn new() -> RecentFrames {
        RecentFrames::with_capacity(FRAMES_MAX)
    }

    fn with_capacity(frames_max: usize) -> RecentFrames {
        RecentFrames {
            shards: Default::default(),
            shard_frames_max: frames_max / SHARDS,
        }
    }

    fn shard(&self, id: &BlockId) -> &Mutex<Shard> {
        &self.shards[usize::from(id.0[0]) % SHARDS]
    }

    /// Where the frame was put lately.
    pub(in crate::block) fn get(&self, id: &BlockId) -> Option<Place> {
        self.shard(id).lock().places.get(id).copied()
    }

    /// The frame is at `place` now.
    pub(in crate::block) fn insert(&self, id: &BlockId, place: Place) {
        let mut shard = self.shard(id).lock();
        if shard.places.insert(*id, place).is_some() {
            return;
        }
        shard.order.push_back(*id);
        if shard.order.len() > self.shard_frames_max
            && let Some(oldest) = shard.order.pop_front()
        {
            shard.places.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SegmentId;

    /// The newest frames are remembered, at their newest place, and no more than the bound.
    #[test]
    fn the_oldest_frames_are_forgotten() {
        let recent = RecentFrames::with_capacity(64);
        let id = |number: u32| crate::block::block_id(&number.to_le_bytes());
        let place = |offset| Place {
            segment: SegmentId(1),
            offset,
            len: 100,
        };
        for number in 0..1000 {
            recent.insert(&id(number), place(number));
            recent.insert(&id(number), place(number + 1));
            assert_eq!(recent.get(&id(number)), Some(place(number + 1)));
        }
        let remembered = (0..1000)
            .filter(|&number| recent.get(&id(number)).is_some())
            .count();
        assert_eq!(remembered, 64);
        assert_eq!(recent.get(&id(0)), None);
        for shard in &recent.shards {
            let shard = shard.lock();
            assert_eq!((shard.places.len(), shard.order.len()), (4, 4));
        }
    }
}
