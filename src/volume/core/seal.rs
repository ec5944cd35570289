//! Sealing: frozen changes become blocks and tree nodes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::sync::Mutex;
#[cfg(test)]
use crate::base::sync::{Sabotage, is_sabotaged};

use super::changes::{Changes, Point};
use super::dirty_block::{DirtyBlock, Under};
use super::layer::Layer;
use super::shared::Shared;
use super::volume::{BlockState, seal_pieces};
use crate::base::{Key, Pointer, Value};
use crate::block::Reach;
use crate::tree::{self, Edits, Node, NodeStore, TreeResult, TreeRoot};
use crate::volume::FsResult;

/// Blocks that are merged and sealed at a time: bounds the memory beside the changes themselves.
const BATCH_BLOCKS: usize = 512;

/// The sealing of one checkpoint.
///
/// Layers show their trees only when these are durable ([`Sealing::show_durable`]). Until then
/// their changes stay in memory, so that a tree that the medium lost is made once more from them,
/// and nobody is poisoned for it: what the layers hold is in the journal.
pub(crate) struct Sealing<'a> {
    shared: &'a Shared,
    /// By the address of the layer, which is kept alive here.
    layers: HashMap<usize, SealedLayer>,
}

struct SealedLayer {
    layer: Arc<Layer>,
    tree: SealedTree,
}

/// A tree, and the frames that it stands on as far as they may not be durable: those of its new
/// nodes and all that these point to.
#[derive(Clone, Default)]
pub(crate) struct SealedTree {
    /// Its root; none if it is empty.
    pub(crate) root: Option<TreeRoot>,
    /// What must be durable before the root may be published.
    pub(crate) reach: Reach,
}

impl<'a> Sealing<'a> {
    /// Nothing is sealed yet.
    pub(crate) fn new(shared: &'a Shared) -> Sealing<'a> {
        Sealing {
            shared,
            layers: HashMap::new(),
        }
    }

    /// Seals a layer and what lies below it. A layer that several volumes share is sealed once.
    pub(crate) fn seal(&mut self, layer: &Arc<Layer>, block_size: u32) -> FsResult<SealedTree> {
        let Some((changes, below)) = layer.unsealed() else {
            return Ok(SealedTree {
                root: layer.root().flatten(),
                reach: Reach::default(),
            });
        };
        let address = Arc::as_ptr(layer) as usize;
        if let Some(sealed) = self.layers.get(&address) {
            return Ok(sealed.tree.clone());
        }
        let base = self.seal(&below, block_size)?;
        #[cfg(test)]
        if is_sabotaged(Sabotage::ChangesGivenBackEarly) {
            layer.seal(base.root);
        }
        let tree = seal_changes(self.shared, &changes, &base, block_size)?;
        let sealed = SealedLayer {
            layer: layer.clone(),
            tree: tree.clone(),
        };
        self.layers.insert(address, sealed);
        Ok(tree)
    }

    /// Layers whose trees are durable show them from now on, and give back their memory.
    pub(crate) fn show_durable(self) {
        for sealed in self.layers.into_values() {
            if self.shared.store.is_durable(&sealed.tree.reach) {
                sealed.layer.seal(sealed.tree.root);
            }
        }
    }
}

/// Applies edits to a tree; what the new nodes stand on is added to `reach`.
pub(crate) fn edit_tree(
    nodes: &dyn NodeStore,
    base: Option<&TreeRoot>,
    edits: &Edits,
    reach: &mut Reach,
) -> TreeResult<Option<TreeRoot>> {
    let recorder = Recorder {
        nodes,
        reach: Mutex::new(std::mem::take(reach)),
    };
    let root = tree::edit(&recorder, base, edits);
    *reach = std::mem::take(&mut *recorder.reach.lock());
    root
}

/// Notes where nodes are written and where they point to. With that a published tree is sound by
/// induction: an old node points to durable frames, or it would not have been published.
struct Recorder<'a> {
    nodes: &'a dyn NodeStore,
    reach: Mutex<Reach>,
}

impl NodeStore for Recorder<'_> {
    fn read_node(&self, node: &Pointer, expected_height: u8) -> TreeResult<Arc<Node>> {
        self.nodes.read_node(node, expected_height)
    }

    fn read_node_uncached(&self, node: &Pointer, expected_height: u8) -> TreeResult<Arc<Node>> {
        self.nodes.read_node_uncached(node, expected_height)
    }

    fn write_node(&self, node: Node) -> TreeResult<Pointer> {
        let mut reach = self.reach.lock();
        let blocks = node.values().filter_map(|value| value.place);
        let children = node.children().iter().map(|child| child.place);
        blocks.chain(children).for_each(|place| reach.add(&place));
        let written = self.nodes.write_node(node)?;
        reach.add(&written.place);
        Ok(written)
    }
}

fn seal_changes(
    shared: &Shared,
    changes: &Changes,
    base: &SealedTree,
    block_size: u32,
) -> FsResult<SealedTree> {
    let mut edits = Edits {
        ranges: changes.removed().collect(),
        points: Vec::new(),
    };
    let below = base.root.as_ref();
    let mut batch: Vec<(Key, &DirtyBlock)> = Vec::with_capacity(BATCH_BLOCKS);
    for (key, point) in changes.points() {
        match point {
            Point::Put(value) => edits.points.push((*key, Some(kept(shared, value)?))),
            Point::Delete => edits.points.push((*key, None)),
            Point::Block(block) => {
                // The place in the order is taken now, the value comes with its batch.
                edits.points.push((*key, None));
                batch.push((*key, block));
                if batch.len() == BATCH_BLOCKS {
                    seal_batch(shared, &mut batch, below, block_size, &mut edits)?;
                }
            }
        }
    }
    seal_batch(shared, &mut batch, below, block_size, &mut edits)?;
    let mut reach = base.reach.clone();
    let root = edit_tree(&*shared.nodes, below, &edits, &mut reach)?;
    Ok(SealedTree { root, reach })
}

/// The value, whose frame is stored once more if the medium lost it. Its content is verified: in
/// the host's cache it may still be what was written.
fn kept(shared: &Shared, value: &Value) -> FsResult<Value> {
    let pointer = value.pointer().filter(|_| shared.store.poisonings() > 0);
    let Some(pointer) = pointer else {
        return Ok(value.clone());
    };
    let mut reach = Reach::default();
    reach.add(&pointer.place);
    if shared.store.lost(&reach).is_none() {
        return Ok(value.clone());
    }
    let content = shared.store.read_block(&pointer)?;
    let stored = shared.store.put_block(&content)?;
    Ok(value_of_state(&BlockState::Stored(stored)))
}

/// Merges each block with what shows through, stores it and fills in its value.
fn seal_batch(
    shared: &Shared,
    batch: &mut Vec<(Key, &DirtyBlock)>,
    below: Option<&TreeRoot>,
    block_size: u32,
    edits: &mut Edits,
) -> FsResult<()> {
    let mut bottoms: Vec<Option<Pointer>> = Vec::with_capacity(batch.len());
    for (key, block) in batch.iter() {
        bottoms.push(bottom_of(shared, key, block, below)?);
    }
    let pointers: Vec<Pointer> = bottoms.iter().flatten().copied().collect();
    let mut contents = shared.store.read_blocks(&pointers)?.into_iter();

    let mut merged: Vec<Option<Vec<u8>>> = Vec::with_capacity(batch.len());
    for ((_, block), bottom) in batch.iter().zip(&bottoms) {
        merged.push(match block.whole() {
            Some(_) => None,
            None => {
                let mut content = vec![0; block_size as usize];
                if bottom.is_some()
                    && let Some(stored) = contents.next()
                {
                    let len = stored.len().min(content.len());
                    content[..len].copy_from_slice(&stored[..len]);
                }
                block.lay_over(&mut content);
                Some(content)
            }
        });
    }
    let pieces: Vec<&[u8]> = batch
        .iter()
        .zip(&merged)
        .map(|((_, block), merged)| match merged {
            Some(content) => content.as_slice(),
            None => block.whole().unwrap_or_default(),
        })
        .collect();
    // The count of allocated blocks includes these, so zeros stay allocated.
    let states = seal_pieces(shared, &pieces, BlockState::Zero)?;

    let mut next = edits.points.len();
    for ((key, _), state) in batch.iter().zip(&states).rev() {
        next = edits.points[..next]
            .iter()
            .rposition(|(at, _)| at == key)
            .unwrap_or(0);
        edits.points[next].1 = Some(value_of_state(state));
    }
    batch.clear();
    Ok(())
}

/// The frame that shows through a block's unwritten parts; `below` is the tree under its layer.
fn bottom_of(
    shared: &Shared,
    key: &Key,
    block: &DirtyBlock,
    below: Option<&TreeRoot>,
) -> FsResult<Option<Pointer>> {
    if block.is_whole() {
        return Ok(None);
    }
    match block.under() {
        Under::Zeros => Ok(None),
        Under::Stored(pointer) => Ok(Some(pointer)),
        Under::Below => {
            let stored = tree::get(&*shared.nodes, below, key)?;
            Ok(stored.as_ref().and_then(Value::pointer))
        }
    }
}

fn value_of_state(state: &BlockState) -> Value {
    match state {
        BlockState::Stored(pointer) => Value {
            bytes: pointer.id.0.as_slice().into(),
            place: Some(pointer.place),
        },
        BlockState::Hole | BlockState::Zero | BlockState::Dirty => Value::record([]),
    }
}
