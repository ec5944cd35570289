//! Reads in two steps: what must be seen under the lock, and what need not.

use std::sync::Arc;

use super::layer::{Bottom, Layer, Piece};
use crate::base::{Key, Pointer};
use crate::block::BlockStore;
use crate::tree::NodeStore;
use crate::volume::FsResult;

/// A read whose remaining parts lie in places that never change.
pub struct ReadPlan {
    pub(super) base: Arc<Layer>,
    pub(super) blocks: Vec<BlockPlan>,
    pub(super) len: usize,
}

/// One block's share of a read.
pub(super) struct BlockPlan {
    pub(super) key: Key,
    /// `from..to` within the block.
    pub(super) from: u32,
    pub(super) to: u32,
    /// Written pieces, upper layers first.
    pub(super) pieces: Vec<Piece>,
    /// None: the base must be asked.
    pub(super) bottom: Option<Bottom>,
}

impl ReadPlan {
    /// Fetches, verifies and joins the pieces.
    pub(super) fn execute(self, nodes: &dyn NodeStore, store: &BlockStore) -> FsResult<Vec<u8>> {
        let mut blocks = self.blocks;
        for block in &mut blocks {
            if block.bottom.is_none() {
                let (from, to) = (block.from, block.to);
                let bottom =
                    self.base
                        .block_pieces(nodes, &block.key, from, to, &mut block.pieces)?;
                block.bottom = Some(bottom);
            }
        }
        let pointers: Vec<Pointer> = blocks.iter().filter_map(BlockPlan::pointer).collect();
        let mut contents = match pointers.as_slice() {
            [] => Vec::new(),
            [one] => vec![store.read_block(one)?],
            many => store.read_blocks(many)?,
        }
        .into_iter();

        let mut out = Vec::with_capacity(self.len);
        for block in &blocks {
            let start = out.len();
            if block.pointer().is_some()
                && let Some(content) = contents.next()
            {
                // A content may be shorter than the block: trailing zeros are not stored.
                let from = content.len().min(block.from as usize);
                let to = content.len().min(block.to as usize);
                out.extend_from_slice(&content[from..to]);
            }
            out.resize(start + (block.to - block.from) as usize, 0);
            for (offset, bytes) in block.pieces.iter().rev() {
                let at = start + (offset - block.from) as usize;
                out[at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
        Ok(out)
    }
}

impl BlockPlan {
    fn pointer(&self) -> Option<Pointer> {
        match self.bottom {
            Some(Bottom::Stored(pointer)) => Some(pointer),
            Some(Bottom::Zeros) | None => None,
        }
    }
}
