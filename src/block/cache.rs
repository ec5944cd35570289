//! Cache of decompressed, verified blocks: capped in bytes, in shards, each a CLOCK.

use std::collections::HashMap;
use std::mem::size_of;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::{BlockId, CacheUse, allocated};

/// Most shards; fewer when the cap is small, so that one shard still holds several blocks.
const SHARDS_MAX: usize = 16;
/// Smallest share of the cap that is worth a shard of its own, in bytes.
const SHARD_BYTES_MIN: usize = 1 << 20;
/// What an entry costs beside its content: the slot, and the map's entry.
const ENTRY_BYTES: usize = size_of::<Slot>() + size_of::<(BlockId, usize)>();
/// The counts of an Arc, in front of its content.
const COUNT_BYTES: usize = 2 * size_of::<usize>();

/// A cache of blocks. Readers put blocks in; writers do not, so that a bulk load evicts nothing.
pub(super) struct BlockCache {
    shards: Vec<Mutex<Shard>>,
    shard_bytes_max: usize,
}

#[derive(Default)]
struct Shard {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    by_id: HashMap<BlockId, usize>,
    bytes: usize,
    hand: usize,
    /// Counted under the lock that a look-up takes anyway.
    hits: u64,
    misses: u64,
}

struct Slot {
    id: BlockId,
    content: Arc<[u8]>,
    /// Read since the hand came by last.
    used: bool,
}

/// Memory that a cached block takes, in bytes.
fn cost(content: &[u8]) -> usize {
    allocated(COUNT_BYTES + content.len()) + ENTRY_BYTES
}

impl BlockCache {
    /// A cache of at most `bytes_max` bytes, its own book-keeping included.
    pub(super) fn new(bytes_max: usize) -> BlockCache {
        let count = (bytes_max / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX);
        let shards = (0..count).map(|_| Mutex::default()).collect();
        BlockCache {
            shards,
            shard_bytes_max: bytes_max / count,
        }
    }

    fn shard(&self, id: &BlockId) -> &Mutex<Shard> {
        &self.shards[usize::from(id.0[0]) % self.shards.len()]
    }

    /// The block, if it is here.
    pub(super) fn get(&self, id: &BlockId) -> Option<Arc<[u8]>> {
        let mut shard = self.shard(id).lock();
        let found = shard.get(id);
        match found {
            Some(_) => shard.hits += 1,
            None => shard.misses += 1,
        }
        found
    }

    /// Keeps a verified block, at the cost of some that were not read lately.
    pub(super) fn insert(&self, id: &BlockId, content: &Arc<[u8]>) {
        let cost = cost(content);
        if cost > self.shard_bytes_max {
            return;
        }
        let mut shard = self.shard(id).lock();
        if shard.by_id.contains_key(id) {
            return;
        }
        let mut evicted = Vec::new();
        while shard.bytes + cost > self.shard_bytes_max {
            evicted.extend(shard.evict());
        }
        shard.insert(*id, content.clone(), cost);
        drop(shard);
        // Contents are freed outside of the lock.
        drop(evicted);
    }

    /// What it holds, and how often it was asked.
    pub(super) fn usage(&self) -> CacheUse {
        let shards = self.shards.iter().map(|shard| shard.lock().usage());
        shards.fold(CacheUse::default(), CacheUse::plus)
    }
}

impl Shard {
    fn get(&mut self, id: &BlockId) -> Option<Arc<[u8]>> {
        let at = *self.by_id.get(id)?;
        let slot = self.slots[at].as_mut()?;
        slot.used = true;
        Some(slot.content.clone())
    }

    fn usage(&self) -> CacheUse {
        CacheUse {
            bytes: self.bytes as u64,
            hits: self.hits,
            misses: self.misses,
        }
    }

    fn insert(&mut self, id: BlockId, content: Arc<[u8]>, cost: usize) {
        let slot = Some(Slot {
            id,
            content,
            used: false,
        });
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.by_id.insert(id, at);
        self.bytes += cost;
    }

    /// Moves the hand one slot on and takes out what was not used since it came by last.
    fn evict(&mut self) -> Option<Arc<[u8]>> {
        let at = self.hand % self.slots.len();
        self.hand = at + 1;
        let slot = &mut self.slots[at];
        if let Some(slot) = slot
            && slot.used
        {
            slot.used = false;
            return None;
        }
        let Slot { id, content, .. } = slot.take()?;
        self.by_id.remove(&id);
        self.free.push(at);
        self.bytes -= cost(&content);
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> BlockId {
        crate::block::block_id(&number.to_le_bytes())
    }

    /// Whatever goes in, the bytes stay below the cap, and what is there is what was put.
    #[test]
    fn bytes_stay_below_the_cap() {
        let cache = BlockCache::new(1 << 20);
        for number in 0..1000 {
            let content = Arc::from(vec![number as u8; 1000 + number as usize * 10]);
            cache.insert(&id(number), &content);
            assert!(cache.usage().bytes <= 1 << 20);
            assert_eq!(cache.get(&id(number)).unwrap(), content);
        }
        assert!(cache.usage().bytes > (1 << 20) - 20_000);
        let kept = (0..1000)
            .filter(|&number| cache.get(&id(number)).is_some())
            .count();
        assert!((80..200).contains(&kept), "{kept} blocks kept");
    }

    /// A block that is read again and again survives a stream of others.
    #[test]
    fn used_blocks_survive_a_scan() {
        let cache = BlockCache::new(100_000);
        cache.insert(&id(0), &Arc::from([1; 1000]));
        for number in 1..1000 {
            assert!(cache.get(&id(0)).is_some());
            cache.insert(&id(number), &Arc::from([2; 1000]));
        }
        assert!(cache.get(&id(1)).is_none());
    }

    /// A block above a shard's share is not kept, and a cap of nothing keeps nothing.
    #[test]
    fn giants_are_not_kept() {
        let cache = BlockCache::new(10_000);
        cache.insert(&id(1), &Arc::from([1; 10_000]));
        assert!(cache.get(&id(1)).is_none());
        let none = BlockCache::new(0);
        none.insert(&id(1), &Arc::from([1]));
        assert_eq!((none.get(&id(1)), none.usage().bytes), (None, 0));
    }

    /// Each look-up is a hit or a miss, in whatever shard.
    #[test]
    fn look_ups_are_counted() {
        let cache = BlockCache::new(SHARDS_MAX * SHARD_BYTES_MIN);
        for number in 0..100 {
            assert!(cache.get(&id(number)).is_none());
            cache.insert(&id(number), &Arc::from([1; 1000]));
        }
        for number in 50..200 {
            cache.get(&id(number));
        }
        let usage = cache.usage();
        assert_eq!((usage.hits, usage.misses), (50, 200));
    }
}
