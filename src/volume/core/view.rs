//! Reading a consistent state of a volume.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::changes::{Changes, Found};
use super::layer::{self, Layer, pieces_of, state_of_point, value_of};
use super::read_plan::{BlockPlan, ReadPlan};
use super::volume::BlockState;
use crate::base::{Ino, Key, Value};
use crate::tree::NodeStore;
use crate::volume::{FsResult, keys};

/// A consistent state of the volume's map, for the length of a closure.
pub struct View<'a> {
    pub(super) nodes: &'a dyn NodeStore,
    pub(super) active: &'a Changes,
    pub(super) base: &'a Arc<Layer>,
    pub(super) block_size: u32,
    pub(super) epoch: u16,
}

impl View<'_> {
    /// Rollback epoch of the state.
    pub fn epoch(&self) -> u16 {
        self.epoch
    }

    /// Bytes of a block.
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// The value of a key. For block keys only whether there is one counts; see [`View::block`].
    pub fn get(&self, key: &Key) -> FsResult<Option<Value>> {
        match self.active.find(key) {
            Found::Point(point) => Ok(value_of(point)),
            Found::Removed => Ok(None),
            Found::Below => self.base.get(self.nodes, key),
        }
    }

    /// Visits entries in `from..to` in order. For block keys only the key counts.
    pub fn scan(
        &self,
        from: &Key,
        to: &Key,
        visit: &mut dyn FnMut(&Key, &Value) -> FsResult<ControlFlow<()>>,
    ) -> FsResult<()> {
        self.scan_with(&[], from, to, visit)
    }

    /// As `scan`, with further changes above.
    pub(super) fn scan_with(
        &self,
        above: &[&Changes],
        from: &Key,
        to: &Key,
        visit: &mut dyn FnMut(&Key, &Value) -> FsResult<ControlFlow<()>>,
    ) -> FsResult<()> {
        let (chain, root) = self.base.chain();
        let mut levels = above.to_vec();
        levels.push(self.active);
        levels.extend(chain.iter().map(|changes| &**changes));
        layer::scan(self.nodes, &levels, root.as_ref(), (*from, *to), visit)
    }

    /// What a block of a file is.
    pub fn block(&self, ino: Ino, index: u64) -> FsResult<BlockState> {
        let key = keys::block(ino, index);
        match self.active.find(&key) {
            Found::Point(point) => Ok(state_of_point(point)),
            Found::Removed => Ok(BlockState::Hole),
            Found::Below => self.base.block(self.nodes, &key),
        }
    }

    /// Plans a read of `len` bytes at `offset`, which the caller has clamped to the file's size.
    /// Written bytes are copied here, under the volume's lock; what lies in frozen layers and in
    /// the tree cannot change and is left to [`super::volume::Volume::execute`].
    pub fn plan_read(&self, ino: Ino, offset: u64, len: usize) -> FsResult<ReadPlan> {
        let size = u64::from(self.block_size);
        let end = offset + len as u64;
        let mut blocks = Vec::with_capacity(len / self.block_size as usize + 2);
        let mut at = offset;
        while at < end {
            let index = at / size;
            let (from, to) = ((at % size) as u32, (end - index * size).min(size) as u32);
            let key = keys::block(ino, index);
            let mut pieces = Vec::new();
            let bottom = pieces_of(self.active, &key, from, to, &mut pieces);
            blocks.push(BlockPlan {
                key,
                from,
                to,
                pieces,
                bottom,
            });
            at = (index + 1) * size;
        }
        Ok(ReadPlan {
            base: self.base.clone(),
            blocks,
            len,
        })
    }
}
