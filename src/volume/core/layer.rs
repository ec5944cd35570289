//! Frozen states of a volume: a chain of changes that ends in a tree.
//!
//! A layer never changes what it shows. Sealing replaces changes and what lies below them by the
//! tree that says the same, and gives the memory back; volumes, snapshots and clones that share
//! the layer all profit at once.

use std::iter::Peekable;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::admission::Charge;
use super::changes::{Changes, Found, Point};
use super::dirty_block::Under;
use super::volume::BlockState;
use crate::base::sync::RwLock;
use crate::base::{Key, Pointer, Value, ValueRef};
use crate::tree::{self, Cursor, Lookup, NodeStore, TreeRoot};
use crate::volume::FsResult;

/// Allocated blocks and inodes of a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Allocated blocks.
    pub blocks: u64,
    /// Inodes.
    pub inodes: u64,
}

impl Counts {
    /// After a transaction's deltas.
    pub(crate) fn plus(self, blocks: i64, inodes: i64) -> Counts {
        Counts {
            blocks: self.blocks.saturating_add_signed(blocks),
            inodes: self.inodes.saturating_add_signed(inodes),
        }
    }
}

/// An immutable state of a volume.
pub(crate) struct Layer {
    content: RwLock<Content>,
    counts: Counts,
}

enum Content {
    Frozen {
        changes: Arc<Changes>,
        below: Arc<Layer>,
        charge: Charge,
    },
    Sealed(Option<TreeRoot>),
}

/// Where the bytes of a block come from when no written piece covers them.
pub(crate) enum Bottom {
    Zeros,
    Stored(Pointer),
}

/// Written bytes of a block: offset within the block, and the bytes.
pub(crate) type Piece = (u32, Vec<u8>);

impl Layer {
    /// A state that a tree holds.
    pub(crate) fn sealed(root: Option<TreeRoot>, counts: Counts) -> Arc<Layer> {
        Arc::new(Layer {
            content: RwLock::new(Content::Sealed(root)),
            counts,
        })
    }

    /// The state that `changes` make of `below`.
    pub(crate) fn frozen(
        changes: Changes,
        below: Arc<Layer>,
        charge: Charge,
        counts: Counts,
    ) -> Arc<Layer> {
        let changes = Arc::new(changes);
        let content = Content::Frozen {
            changes,
            below,
            charge,
        };
        Arc::new(Layer {
            content: RwLock::new(content),
            counts,
        })
    }

    /// Its counts.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// The tree, once sealed.
    pub(crate) fn root(&self) -> Option<Option<TreeRoot>> {
        match &*self.content.read() {
            Content::Sealed(root) => Some(*root),
            Content::Frozen { .. } => None,
        }
    }

    /// Changes and the layer below, while not sealed.
    pub(crate) fn unsealed(&self) -> Option<(Arc<Changes>, Arc<Layer>)> {
        match &*self.content.read() {
            Content::Sealed(_) => None,
            Content::Frozen { changes, below, .. } => Some((changes.clone(), below.clone())),
        }
    }

    /// Replaces the changes by the tree that says the same.
    pub(crate) fn seal(&self, root: Option<TreeRoot>) {
        let old = std::mem::replace(&mut *self.content.write(), Content::Sealed(root));
        // Freed outside of the lock: it may be hundreds of megabytes.
        drop(old);
    }

    /// Changed bytes in memory that are kept for it: its own and those of the layers below, until
    /// they are sealed.
    pub(crate) fn dirty_bytes(&self) -> u64 {
        let (own, below) = match &*self.content.read() {
            Content::Sealed(_) => return 0,
            Content::Frozen { charge, below, .. } => (charge.bytes(), below.clone()),
        };
        own + below.dirty_bytes()
    }

    /// Unsealed layers from here down.
    pub(crate) fn depth(&self) -> usize {
        match self.unsealed() {
            None => 0,
            Some((_, below)) => 1 + below.depth(),
        }
    }

    /// The value of a key. A dirty block's value is empty: it says only that the block is there.
    pub(crate) fn get(&self, nodes: &dyn NodeStore, key: &Key) -> FsResult<Option<Value>> {
        let (changes, below) = match &*self.content.read() {
            Content::Sealed(root) => {
                let root = *root;
                return Ok(tree::get(nodes, root.as_ref(), key)?);
            }
            Content::Frozen { changes, below, .. } => (changes.clone(), below.clone()),
        };
        match changes.find(key) {
            Found::Point(point) => Ok(value_of(point)),
            Found::Removed => Ok(None),
            Found::Below => below.get(nodes, key),
        }
    }

    /// What a block is.
    pub(crate) fn block(&self, nodes: &dyn NodeStore, key: &Key) -> FsResult<BlockState> {
        let Some((changes, below)) = self.unsealed() else {
            return Ok(match self.get(nodes, key)? {
                None => BlockState::Hole,
                Some(value) => state_of(&value),
            });
        };
        match changes.find(key) {
            Found::Point(point) => Ok(state_of_point(point)),
            Found::Removed => Ok(BlockState::Hole),
            Found::Below => below.block(nodes, key),
        }
    }

    /// For reading many blocks of it.
    pub(crate) fn reader<'a>(&self, nodes: &'a dyn NodeStore) -> LayerReader<'a> {
        let (chain, root) = self.chain();
        LayerReader {
            chain,
            tree: Lookup::new(nodes, root),
        }
    }

    /// The unsealed changes from here down, uppermost first, and the tree below them all.
    pub(crate) fn chain(&self) -> (Vec<Arc<Changes>>, Option<TreeRoot>) {
        let mut chain = Vec::new();
        let mut root = self.root();
        let mut next = self.unsealed();
        while let Some((changes, below)) = next {
            chain.push(changes);
            root = below.root();
            next = below.unsealed();
        }
        // A layer that was sealed between the two looks shows its root at the second.
        (chain, root.unwrap_or_else(|| self.bottom_root()))
    }

    fn bottom_root(&self) -> Option<TreeRoot> {
        match self.unsealed() {
            None => self.root().flatten(),
            Some((_, below)) => below.bottom_root(),
        }
    }
}

/// A layer as it was when the reading began; it shows the same when it has been sealed since.
pub(crate) struct LayerReader<'a> {
    chain: Vec<Arc<Changes>>,
    tree: Lookup<'a>,
}

impl LayerReader<'_> {
    /// Collects the written pieces of `from..to` of a block, upper layers first, and finds what
    /// lies under them all. Blocks in order cost the least.
    pub(crate) fn block_pieces(
        &mut self,
        key: &Key,
        from: u32,
        to: u32,
        pieces: &mut Vec<Piece>,
    ) -> FsResult<Bottom> {
        for changes in &self.chain {
            if let Some(bottom) = pieces_of(changes, key, from, to, pieces) {
                return Ok(bottom);
            }
        }
        let pointer = self.tree.get(key)?.and_then(ValueRef::pointer);
        Ok(pointer.map_or(Bottom::Zeros, Bottom::Stored))
    }
}

/// What a layer's changes say of a block: `None` if the layer below must be asked.
pub(crate) fn pieces_of(
    changes: &Changes,
    key: &Key,
    from: u32,
    to: u32,
    pieces: &mut Vec<Piece>,
) -> Option<Bottom> {
    match changes.find(key) {
        Found::Below => None,
        Found::Removed | Found::Point(Point::Delete) => Some(Bottom::Zeros),
        Found::Point(Point::Put(value)) => {
            Some(value.pointer().map_or(Bottom::Zeros, Bottom::Stored))
        }
        Found::Point(Point::Block(block)) => {
            pieces.extend(
                block
                    .pieces(from, to)
                    .map(|(offset, bytes)| (offset, bytes.to_vec())),
            );
            let covered = pieces.len() == 1 && pieces[0].0 == from && {
                pieces[0].1.len() == (to - from) as usize
            };
            match block.under() {
                _ if covered => Some(Bottom::Zeros),
                Under::Zeros => Some(Bottom::Zeros),
                Under::Stored(pointer) => Some(Bottom::Stored(pointer)),
                Under::Below => None,
            }
        }
    }
}

/// The value that a point shows.
pub(crate) fn value_of(point: &Point) -> Option<Value> {
    match point {
        Point::Put(value) => Some(value.clone()),
        Point::Delete => None,
        Point::Block(_) => Some(Value::record([])),
    }
}

/// The block that a point shows.
pub(crate) fn state_of_point(point: &Point) -> BlockState {
    match point {
        Point::Put(value) => state_of(value),
        Point::Delete => BlockState::Hole,
        Point::Block(_) => BlockState::Dirty,
    }
}

/// The block that a stored value says.
pub(crate) fn state_of(value: &Value) -> BlockState {
    value.pointer().map_or(BlockState::Zero, BlockState::Stored)
}

/// Visits the entries that `levels` (uppermost first) make of a tree, in `from..to`.
pub(crate) fn scan(
    nodes: &dyn NodeStore,
    levels: &[&Changes],
    root: Option<&TreeRoot>,
    (from, to): (Key, Key),
    visit: &mut dyn FnMut(&Key, &Value) -> FsResult<ControlFlow<()>>,
) -> FsResult<()> {
    let mut cursor = Cursor::seek(nodes, root, &from)?;
    let mut stored = cursor.next()?.filter(|(key, _)| *key < to);
    let mut points: Vec<Peekable<_>> = levels
        .iter()
        .map(|level| level.points_in(from, to).peekable())
        .collect();
    loop {
        let changed = points
            .iter_mut()
            .filter_map(|level| level.peek().map(|(key, _)| **key))
            .min();
        let key = match (changed, &stored) {
            (None, None) => return Ok(()),
            (Some(key), None) => key,
            (None, Some((key, _))) => *key,
            (Some(changed), Some((key, _))) => changed.min(*key),
        };
        let mut shown: Option<Option<Value>> = None;
        for (level, points) in levels.iter().zip(&mut points) {
            let point = points
                .next_if(|(at, _)| **at == key)
                .map(|(_, point)| point);
            if shown.is_none() {
                shown = match point {
                    Some(point) => Some(value_of(point)),
                    None if level.is_removed(&key) => Some(None),
                    None => None,
                };
            }
        }
        if let Some((_, value)) = stored.take_if(|(at, _)| *at == key) {
            stored = cursor.next()?.filter(|(key, _)| *key < to);
            shown.get_or_insert(Some(value));
        }
        if let Some(Some(value)) = shown
            && visit(&key, &value)?.is_break()
        {
            return Ok(());
        }
    }
}
