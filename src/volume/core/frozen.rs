//! A state that a tree holds, without a volume around it.

use std::ops::ControlFlow;

use super::layer::{self, state_of};
use super::volume::BlockState;
use crate::base::{Ino, Key, Value};
use crate::tree::{self, NodeStore, TreeRoot};
use crate::volume::{FsResult, keys};

/// A sealed state, to look at. It never changes; whoever reads it keeps a pin of the store, so that
/// its nodes and blocks stay.
pub struct Frozen<'a> {
    nodes: &'a dyn NodeStore,
    root: Option<TreeRoot>,
    block_size: u32,
}

impl<'a> Frozen<'a> {
    /// The state that a tree holds; no root: nothing.
    pub fn new(nodes: &'a dyn NodeStore, root: Option<TreeRoot>, block_size: u32) -> Frozen<'a> {
        Frozen {
            nodes,
            root,
            block_size,
        }
    }

    /// Where its nodes are.
    pub fn nodes(&self) -> &'a dyn NodeStore {
        self.nodes
    }

    /// Its tree.
    pub fn root(&self) -> Option<&TreeRoot> {
        self.root.as_ref()
    }

    /// Bytes of a block.
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// The value of a key.
    pub fn get(&self, key: &Key) -> FsResult<Option<Value>> {
        Ok(tree::get(self.nodes, self.root(), key)?)
    }

    /// Visits entries in `from..to` in order.
    pub fn scan(
        &self,
        from: &Key,
        to: &Key,
        visit: &mut dyn FnMut(&Key, &Value) -> FsResult<ControlFlow<()>>,
    ) -> FsResult<()> {
        layer::scan(self.nodes, &[], self.root(), (*from, *to), visit)
    }

    /// What a block of a file is.
    pub fn block(&self, ino: Ino, index: u64) -> FsResult<BlockState> {
        let value = self.get(&keys::block(ino, index))?;
        Ok(value.as_ref().map_or(BlockState::Hole, state_of))
    }

    /// Visits the blocks of a file from `first` on that are there, in order.
    pub fn blocks(
        &self,
        ino: Ino,
        first: u64,
        visit: &mut dyn FnMut(u64, BlockState) -> ControlFlow<()>,
    ) -> FsResult<()> {
        let (_, to) = keys::all(ino, keys::BLOCK);
        self.scan(&keys::block(ino, first), &to, &mut |key, value| {
            Ok(visit(key.sub(), state_of(value)))
        })
    }
}
