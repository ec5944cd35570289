//! Every frame that a published state needs.

use std::collections::HashSet;

use crate::base::{BlockId, Pointer, ValueRef};
use crate::pool::PoolResult;
use crate::pool::catalog::at_key;
use crate::pool::records::{ROOT, RootRecord, SNAPSHOT_ROOT};
use crate::tree::{NodeStore, TreeRoot};

/// Told of each frame: of a node once, of a block as often as nodes name it.
pub(super) type Visitor<'v> = dyn FnMut(&Pointer) -> PoolResult<()> + 'v;

/// Says which blocks a leaf names.
type LeafReader<'r> = dyn FnMut(&dyn NodeStore, &Pointer) -> PoolResult<Vec<Pointer>> + 'r;

/// Goes through trees; what they share it reads once. Takes about 28 bytes of memory a node.
pub(super) struct Walk<'a> {
    nodes: &'a dyn NodeStore,
    /// Half of each id: by chance two of 2^32 nodes have the same one in 1 of 2^65 cases.
    seen: HashSet<u128>,
}

impl<'a> Walk<'a> {
    /// Nothing is seen yet.
    pub(super) fn new(nodes: &'a dyn NodeStore) -> Walk<'a> {
        Walk {
            nodes,
            seen: HashSet::new(),
        }
    }

    /// The catalog's tree, and those of all volumes and snapshots that it has. A node that cannot
    /// be read is an error: what lies below it is not known.
    pub(super) fn catalog(
        &mut self,
        catalog: Option<&TreeRoot>,
        visit: &mut Visitor<'_>,
    ) -> PoolResult<()> {
        let mut roots = Vec::new();
        self.tree(catalog, visit, &mut |nodes, pointer| {
            let node = nodes.read_node_uncached(pointer, 0)?;
            for (key, value) in node.keys().iter().zip(node.values()) {
                if matches!(key.kind(), ROOT | SNAPSHOT_ROOT) {
                    let record = RootRecord::decode(value.bytes);
                    let record = record.map_err(at_key(key))?;
                    roots.extend(record.root);
                }
            }
            Ok(node.values().filter_map(ValueRef::pointer).collect())
        })?;
        for root in &roots {
            self.tree(Some(root), visit, &mut |nodes, pointer| {
                Ok(nodes.read_pointers(pointer, 0)?)
            })?;
        }
        Ok(())
    }

    fn tree(
        &mut self,
        root: Option<&TreeRoot>,
        visit: &mut Visitor<'_>,
        read_leaf: &mut LeafReader<'_>,
    ) -> PoolResult<()> {
        let mut left: Vec<(Pointer, u8)> = root
            .map(|root| (root.node, root.height))
            .into_iter()
            .collect();
        while let Some((pointer, height)) = left.pop() {
            if !self.seen.insert(half(&pointer.id)) {
                continue;
            }
            visit(&pointer)?;
            match height.checked_sub(1) {
                Some(below) => {
                    let children = self.nodes.read_pointers(&pointer, height)?;
                    left.extend(children.into_iter().map(|child| (child, below)));
                }
                None => {
                    let blocks = read_leaf(self.nodes, &pointer)?;
                    blocks.iter().try_for_each(&mut *visit)?;
                }
            }
        }
        Ok(())
    }
}

/// Half of an id.
pub(in crate::pool) fn half(id: &BlockId) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&id.0[..16]);
    u128::from_le_bytes(half)
}
