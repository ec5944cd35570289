//! Places of frames that were appended, or found to have moved, lately.

use hashbrown::HashTable;
use parking_lot::Mutex;

use crate::base::{BlockId, Place};

const SHARDS: usize = 16;
/// Frames remembered by all shards together; about 8 MiB of memory.
pub(super) const FRAMES_MAX: usize = 128 * 1024;

/// A bounded map from id to place; the oldest entries make room. It bridges the time until frames
/// are on the medium and in the content index.
pub(in crate::block) struct RecentFrames {
    shards: [Mutex<Shard>; SHARDS],
    shard_frames_max: usize,
}

#[derive(Default)]
struct Shard {
    /// In the order in which they came; once it is full, from `oldest` on and around.
    frames: Vec<(BlockId, Place)>,
    oldest: usize,
    /// Numbers of the frames.
    by_id: HashTable<u32>,
}

/// Ids are hashes already; the first byte has chosen the shard.
fn hash(id: &BlockId) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&id.0[1..9]);
    u64::from_le_bytes(bytes)
}

impl Shard {
    fn find(&self, id: &BlockId) -> Option<usize> {
        let is_it = |&at: &u32| self.frames[at as usize].0 == *id;
        let at = self.by_id.find(hash(id), is_it)?;
        Some(*at as usize)
    }

    /// Adds a frame that is not there; at most `frames_max` are kept.
    fn add(&mut self, id: &BlockId, place: Place, frames_max: usize) {
        let at = if self.frames.len() < frames_max {
            self.frames.push((*id, place));
            self.frames.len() - 1
        } else {
            let at = self.oldest;
            self.oldest = (at + 1) % frames_max;
            let (old, _) = std::mem::replace(&mut self.frames[at], (*id, place));
            let is_it = |&number: &u32| number as usize == at;
            if let Ok(entry) = self.by_id.find_entry(hash(&old), is_it) {
                entry.remove();
            }
            at
        };
        let frames = &self.frames;
        let rehash = |&at: &u32| hash(&frames[at as usize].0);
        self.by_id.insert_unique(hash(id), at as u32, rehash);
    }
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
        let shard = self.shard(id).lock();
        shard.find(id).map(|at| shard.frames[at].1)
    }

    /// The frame is at `place` now.
    pub(in crate::block) fn insert(&self, id: &BlockId, place: Place) {
        let mut shard = self.shard(id).lock();
        match shard.find(id) {
            Some(at) => shard.frames[at].1 = place,
            None => shard.add(id, place, self.shard_frames_max),
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
            assert_eq!((shard.frames.len(), shard.by_id.len()), (4, 4));
        }
    }
}
