//! Where nodes are kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cache::NodeCache;
use super::codec;
use super::error::{TreeError, TreeResult};
use super::node::Node;
use crate::base::{BlockId, CacheUse, DecodeError, Pointer, ValueRef};
use crate::block::BlockStore;

/// Where nodes are kept: [`BlockNodes`], or in tests the memory.
pub trait NodeStore: Send + Sync {
    /// The node, possibly from a cache. Its id and its height are verified.
    fn read_node(&self, node: &Pointer, expected_height: u8) -> TreeResult<Arc<Node>>;

    /// The node as it is stored now, past every cache of nodes, and without filling one. Its id
    /// and its height are verified.
    fn read_node_uncached(&self, node: &Pointer, expected_height: u8) -> TreeResult<Arc<Node>>;

    /// The frames that a node names, read as by [`NodeStore::read_node_uncached`]: blocks of a
    /// leaf, or children of an internal node. For walks over all that there is.
    fn read_pointers(&self, node: &Pointer, expected_height: u8) -> TreeResult<Vec<Pointer>> {
        let node = self.read_node_uncached(node, expected_height)?;
        let blocks = node.values().filter_map(ValueRef::pointer);
        Ok(blocks.chain(node.children().iter().copied()).collect())
    }

    /// Stores a node. It is not durable before the segment of the returned pointer is synced.
    fn write_node(&self, node: Node) -> TreeResult<Pointer>;

    /// How its cache is used; nothing where there is none.
    fn cache_use(&self) -> CacheUse {
        CacheUse::default()
    }
}

/// Nodes in the block store, with a byte-capped cache of decoded nodes.
pub struct BlockNodes {
    store: Arc<BlockStore>,
    cache: NodeCache,
    /// The store's count of poisoned segments when the cache was looked through last.
    poisonings_seen: AtomicU64,
}

impl BlockNodes {
    /// Nodes in `store`; decoded ones are kept in at most `cache_bytes` of memory.
    pub fn new(store: Arc<BlockStore>, cache_bytes: usize) -> BlockNodes {
        BlockNodes {
            store,
            cache: NodeCache::new(cache_bytes),
            poisonings_seen: AtomicU64::new(0),
        }
    }

    /// Forgets all nodes after a segment was poisoned: a cached node may bear places of frames
    /// that were lost with it, and an edit would carry them into trees whose own nodes of the same
    /// ids point to sound copies.
    fn forget_lost_places(&self) {
        let poisonings = self.store.poisonings();
        if self.poisonings_seen.swap(poisonings, Ordering::AcqRel) != poisonings {
            self.cache.clear();
        }
    }
}

impl NodeStore for BlockNodes {
    fn read_node(&self, node: &Pointer, expected_height: u8) -> TreeResult<Arc<Node>> {
        self.forget_lost_places();
        if let Some(cached) = self.cache.get(&node.id) {
            verify_height(node, expected_height, cached.height())?;
            return Ok(cached);
        }
        let read = self.read_node_uncached(node, expected_height)?;
        self.cache.insert(node.id, &read);
        Ok(read)
    }

    fn read_node_uncached(&self, node: &Pointer, expected_height: u8) -> TreeResult<Arc<Node>> {
        let payload = self.store.read_node(node)?;
        verified(node, expected_height, &payload).map(Arc::new)
    }

    fn read_pointers(&self, node: &Pointer, expected_height: u8) -> TreeResult<Vec<Pointer>> {
        let payload = self.store.read_node(node)?;
        let named = codec::decode_named(&payload).map_err(|source| malformed(node, source))?;
        verify_id(node, &named.id)?;
        verify_height(node, expected_height, named.height)?;
        Ok(named.pointers)
    }

    fn write_node(&self, node: Node) -> TreeResult<Pointer> {
        let (id, payload) = node.encode();
        let pointer = self.store.put_node(id, &payload)?;
        // The next batch edits what this one wrote. A cached node of the same id differs at most
        // in its places, and these are older.
        self.cache.replace(id, &Arc::new(node));
        Ok(pointer)
    }

    fn cache_use(&self) -> CacheUse {
        self.cache.usage()
    }
}

/// Passes on, and counts what is read: how far somebody had to look.
pub struct CountedNodes<'a> {
    nodes: &'a dyn NodeStore,
    read: AtomicU64,
}

impl<'a> CountedNodes<'a> {
    /// Nothing is read yet.
    pub fn new(nodes: &'a dyn NodeStore) -> CountedNodes<'a> {
        CountedNodes {
            nodes,
            read: AtomicU64::new(0),
        }
    }

    /// Nodes that were read so far, from the cache or not; one that was read twice counts twice.
    pub fn count(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl NodeStore for CountedNodes<'_> {
    fn read_node(&self, node: &Pointer, expected_height: u8) -> TreeResult<Arc<Node>> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.nodes.read_node(node, expected_height)
    }

    fn read_node_uncached(&self, node: &Pointer, expected_height: u8) -> TreeResult<Arc<Node>> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.nodes.read_node_uncached(node, expected_height)
    }

    fn write_node(&self, node: Node) -> TreeResult<Pointer> {
        self.nodes.write_node(node)
    }
}

/// The node in a payload that was read for `pointer`.
pub(super) fn verified(pointer: &Pointer, expected_height: u8, payload: &[u8]) -> TreeResult<Node> {
    let (id, node) = Node::decode(payload).map_err(|source| malformed(pointer, source))?;
    verify_id(pointer, &id)?;
    verify_height(pointer, expected_height, node.height())?;
    Ok(node)
}

fn malformed(pointer: &Pointer, source: DecodeError) -> TreeError {
    TreeError::Malformed {
        id: pointer.id,
        place: pointer.place,
        source,
    }
}

/// Whether a payload is the node that `pointer` names, in a tree at this height.
pub fn is_node(pointer: &Pointer, height: u8, payload: &[u8]) -> bool {
    verified(pointer, height, payload).is_ok()
}

fn verify_id(pointer: &Pointer, id: &BlockId) -> TreeResult<()> {
    if *id == pointer.id {
        return Ok(());
    }
    Err(TreeError::invalid(
        pointer,
        format!("its bytes have the id {id}"),
    ))
}

fn verify_height(pointer: &Pointer, expected: u8, height: u8) -> TreeResult<()> {
    if height == expected {
        return Ok(());
    }
    let problem = format!("its height is {height} where {expected} is due");
    Err(TreeError::invalid(pointer, problem))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    use super::*;
    use crate::base::{Key, PoolId, SegmentId, Value};
    use crate::block::StoreOptions;
    use crate::disk::{Disk, FileDisk, Step};
    use crate::tree::{Cursor, Edits, TreeRoot, check, edit, get};

    fn open(dir: &Path) -> Arc<BlockStore> {
        let options = StoreOptions {
            cache_bytes: 1 << 20,
            workers: 1,
            segment_bytes: 64 << 20,
            index_dir: None,
            first_segment: SegmentId(1),
        };
        let disk = FileDisk::new(dir);
        disk.create_dir("segments").unwrap();
        BlockStore::open(Arc::new(disk), PoolId([1; 16]), options).unwrap()
    }

    fn value(at: u64) -> Value {
        Value::record(at.to_be_bytes().repeat(4))
    }

    fn grown(nodes: &BlockNodes) -> TreeRoot {
        let points = (0..5000)
            .map(|at| (Key::new(1, 1, at), Some(value(at))))
            .collect();
        edit(
            nodes,
            None,
            &Edits {
                ranges: Vec::new(),
                points,
            },
        )
        .unwrap()
        .unwrap()
    }

    /// A tree written to a pool's segments is there when the pool is opened again.
    #[test]
    fn tree_is_read_back_from_segments() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let root = grown(&BlockNodes::new(store.clone(), 1 << 20));
        store.sync_all(Step::SegmentBeforeSuperblock).unwrap();
        store.close().unwrap();
        drop(store);

        let nodes = BlockNodes::new(open(dir.path()), 1 << 20);
        assert_eq!(
            get(&nodes, Some(&root), &Key::new(1, 1, 777)).unwrap(),
            Some(value(777))
        );
        let mut cursor = Cursor::seek(&nodes, Some(&root), &Key::new(1, 1, 4000)).unwrap();
        for at in 4000..5000 {
            assert_eq!(
                cursor.next().unwrap(),
                Some((Key::new(1, 1, at), value(at)))
            );
        }
        assert_eq!(cursor.next().unwrap(), None);
        assert!(nodes.cache_use().bytes <= 1 << 20);
    }

    /// `check` sees what is wrong on the medium even when the cache holds the sound nodes.
    #[test]
    fn check_reads_past_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let nodes = BlockNodes::new(store.clone(), 1 << 20);
        let root = grown(&nodes);
        store.sync_all(Step::SegmentBeforeSuperblock).unwrap();
        let place = root.node.place;
        let middle = u64::from(place.offset) + u64::from(place.len / 2);
        for entry in fs::read_dir(dir.path().join("segments")).unwrap() {
            let path = entry.unwrap().path();
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(path)
                .unwrap();
            let mut bytes = [0; 4];
            file.read_exact_at(&mut bytes, middle).unwrap();
            file.write_all_at(&bytes.map(|byte| !byte), middle).unwrap();
        }

        assert_eq!(
            get(&nodes, Some(&root), &Key::new(1, 1, 777)).unwrap(),
            Some(value(777))
        );
        let mut violations = Vec::new();
        check(&nodes, Some(&root), &mut |_, _| {}, &mut |error| {
            violations.push(error.error)
        });
        assert_eq!(violations.len(), 1);
        assert!(
            matches!(violations[0], TreeError::Block(_)),
            "{:?}",
            violations[0]
        );
    }
}
