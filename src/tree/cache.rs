//! Cache of decoded nodes: capped in bytes, in shards, each a CLOCK.

use std::collections::HashMap;
use std::mem::size_of;
use std::sync::Arc;

use parking_lot::Mutex;

use super::node::Node;
use crate::base::{BlockId, CacheUse};

/// Most shards; fewer when the cap is small, so that one shard still holds many nodes.
const SHARDS_MAX: usize = 16;
/// Smallest share of the cap that is worth a shard of its own, in bytes.
const SHARD_BYTES_MIN: usize = 1 << 20;
/// What an entry costs beside its node: the slot, the map's entry at its usual load.
const ENTRY_BYTES: usize = size_of::<Slot>() + 2 * size_of::<(BlockId, usize)>();

/// Verified nodes by id.
pub(super) struct NodeCache {
    shards: Vec<Mutex<Shard>>,
    shard_bytes_max: usize,
}

#[derive(Default)]
struct Shard {
    slots: Vec<Slot>,
    by_id: HashMap<BlockId, usize>,
    bytes: usize,
    hand: usize,
    /// Counted under the lock that a look-up takes anyway.
    hits: u64,
    misses: u64,
}

struct Slot {
    id: BlockId,
    node: Arc<Node>,
    /// What the entry counts for, in bytes.
    cost: usize,
    /// Read since the hand came by last.
    used: bool,
}

impl NodeCache {
    /// A cache of at most `bytes_max` bytes, its own book-keeping included.
    pub(super) fn new(bytes_max: usize) -> NodeCache {
        let count = (bytes_max / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX);
        let shards = (0..count).map(|_| Mutex::default()).collect();
        NodeCache {
            shards,
            shard_bytes_max: bytes_max / count,
        }
    }

    fn shard(&self, id: &BlockId) -> &Mutex<Shard> {
        &self.shards[usize::from(id.0[0]) % self.shards.len()]
    }

    /// The node, if it is here.
    pub(super) fn get(&self, id: &BlockId) -> Option<Arc<Node>> {
        let mut shard = self.shard(id).lock();
        let found = shard.get(id);
        match found {
            Some(_) => shard.hits += 1,
            None => shard.misses += 1,
        }
        found
    }

    /// Keeps a node that was read, unless another reader has already brought it.
    pub(super) fn insert(&self, id: BlockId, node: &Arc<Node>) {
        self.store(id, node, false);
    }

    /// Keeps a node that was written, in place of one with the same id.
    pub(super) fn replace(&self, id: BlockId, node: &Arc<Node>) {
        self.store(id, node, true);
    }

    fn store(&self, id: BlockId, node: &Arc<Node>, replace: bool) {
        let cost = node.memory_bytes() + ENTRY_BYTES;
        let mut shard = self.shard(&id).lock();
        let mut dropped = Vec::new();
        match shard.by_id.get(&id).copied() {
            Some(_) if !replace => return,
            Some(at) => dropped.push(shard.remove(at)),
            None => {}
        }
        if cost <= self.shard_bytes_max {
            while shard.bytes + cost > self.shard_bytes_max {
                dropped.push(shard.evict());
            }
            shard.push(Slot {
                id,
                node: node.clone(),
                cost,
                used: false,
            });
        }
        drop(shard);
        // Nodes are freed outside of the lock.
        drop(dropped);
    }

    /// Forgets all nodes.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let empty = Shard {
                hits: shard.hits,
                misses: shard.misses,
                ..Shard::default()
            };
            let cleared = std::mem::replace(&mut *shard, empty);
            drop(shard);
            drop(cleared);
        }
    }

    /// What it holds, and how often it was asked.
    pub(super) fn usage(&self) -> CacheUse {
        let shards = self.shards.iter().map(|shard| shard.lock().usage());
        shards.fold(CacheUse::default(), CacheUse::plus)
    }
}

impl Shard {
    fn get(&mut self, id: &BlockId) -> Option<Arc<Node>> {
        let at = *self.by_id.get(id)?;
        let slot = &mut self.slots[at];
        slot.used = true;
        Some(slot.node.clone())
    }

    fn usage(&self) -> CacheUse {
        CacheUse {
            bytes: self.bytes as u64,
            hits: self.hits,
            misses: self.misses,
        }
    }

    fn push(&mut self, slot: Slot) {
        self.bytes += slot.cost;
        self.by_id.insert(slot.id, self.slots.len());
        self.slots.push(slot);
    }

    fn remove(&mut self, at: usize) -> Slot {
        let slot = self.slots.swap_remove(at);
        self.bytes -= slot.cost;
        self.by_id.remove(&slot.id);
        if let Some(moved) = self.slots.get(at) {
            self.by_id.insert(moved.id, at);
        }
        slot
    }

    /// Removes the first slot at or behind the hand that was not used since the hand came by
    /// last. There is a slot: the shard is above its cap.
    fn evict(&mut self) -> Slot {
        loop {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            let slot = &mut self.slots[self.hand];
            if !slot.used {
                let at = self.hand;
                // The slot that is moved here from the end is the youngest: it waits a round.
                self.hand += 1;
                return self.remove(at);
            }
            slot.used = false;
            self.hand += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Key, Value};

    fn node(number: u8, place_bytes: usize) -> (BlockId, Arc<Node>) {
        let value = Value::record(vec![number; place_bytes]);
        (
            BlockId([number; 32]),
            Arc::new(Node::leaf(vec![Key::new(1, 1, 1)], vec![value])),
        )
    }

    /// The cap holds whatever is put in, and a node that is read again and again stays.
    #[test]
    fn cap_holds_and_used_nodes_stay() {
        let cache = NodeCache::new(10_000);
        let (hot_id, hot) = node(255, 1000);
        cache.insert(hot_id, &hot);
        for number in 0..200 {
            let (id, cold) = node(number, 1000);
            cache.insert(id, &cold);
            assert!(cache.usage().bytes <= 10_000);
            assert!(cache.get(&hot_id).is_some(), "evicted at {number}");
        }
        assert!(cache.get(&BlockId([0; 32])).is_none());
        assert!(cache.get(&BlockId([199; 32])).is_some());
    }

    /// A node above the cap is not kept and evicts nothing.
    #[test]
    fn oversized_node_is_not_kept() {
        let cache = NodeCache::new(10_000);
        let (small_id, small) = node(1, 100);
        let (large_id, large) = node(2, 20_000);
        cache.insert(small_id, &small);
        cache.insert(large_id, &large);
        assert!(cache.get(&large_id).is_none());
        assert!(cache.get(&small_id).is_some());
    }

    /// A node that was read never replaces one that was written, whose places are newer; one that
    /// was written replaces any.
    #[test]
    fn written_node_replaces_and_read_node_does_not() {
        let cache = NodeCache::new(1 << 20);
        let (id, first) = node(1, 100);
        let second = Arc::new(Node::clone(&first));
        cache.insert(id, &first);
        cache.insert(id, &second);
        assert!(Arc::ptr_eq(&cache.get(&id).unwrap(), &first));
        let bytes = cache.usage().bytes;
        cache.replace(id, &second);
        assert!(Arc::ptr_eq(&cache.get(&id).unwrap(), &second));
        assert_eq!(cache.usage().bytes, bytes);
    }

    /// Each look-up is a hit or a miss; forgetting the nodes keeps the counts.
    #[test]
    fn look_ups_are_counted() {
        let cache = NodeCache::new(SHARDS_MAX * SHARD_BYTES_MIN);
        for number in 0..10 {
            let (id, kept) = node(number, 100);
            assert!(cache.get(&id).is_none());
            cache.insert(id, &kept);
            assert!(cache.get(&id).is_some());
        }
        cache.clear();
        assert!(cache.get(&BlockId([3; 32])).is_none());
        let usage = cache.usage();
        assert_eq!((usage.bytes, usage.hits, usage.misses), (0, 10, 11));
    }
}
