//! Reads in two steps: what must be seen under the lock, and what need not.

use std::sync::Arc;

use super::layer::{Bottom, Layer, LayerReader, Piece};
use crate::base::{Key, Pointer};
use crate::block::{BlockStore, Target};
use crate::tree::NodeStore;
use crate::volume::FsResult;

/// A read of so many bytes is part of a stream, of which the kernel keeps the pages: its blocks are
/// not cached here.
const SCAN_BYTES_MIN: usize = 128 << 10;

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
    /// Bytes that it reads.
    #[expect(clippy::len_without_is_empty, reason = "a plan reads something")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Fetches, verifies and joins the pieces; `out` is as long as the read, and wholly written.
    /// After an error it holds anything.
    pub(super) fn execute(
        mut self,
        nodes: &dyn NodeStore,
        store: &BlockStore,
        out: &mut [u8],
    ) -> FsResult<()> {
        self.find_bottoms(nodes)?;
        let rooms = rooms(out, &self.blocks);
        match self.len < SCAN_BYTES_MIN {
            true => fetch(store, &self.blocks, rooms)?,
            false => stream(store, &self.blocks, rooms)?,
        }
        let mut start = 0;
        for block in &self.blocks {
            for (offset, bytes) in block.pieces.iter().rev() {
                let at = start + (offset - block.from) as usize;
                out[at..at + bytes.len()].copy_from_slice(bytes);
            }
            start += block.len();
        }
        Ok(())
    }

    /// Asks the base for what the active changes do not say.
    fn find_bottoms(&mut self, nodes: &dyn NodeStore) -> FsResult<()> {
        let unknown = self
            .blocks
            .iter_mut()
            .filter(|block| block.bottom.is_none());
        let mut base: Option<LayerReader<'_>> = None;
        for block in unknown {
            let base = base.get_or_insert_with(|| self.base.reader(nodes));
            let (from, to) = (block.from, block.to);
            block.bottom = Some(base.block_pieces(&block.key, from, to, &mut block.pieces)?);
        }
        Ok(())
    }
}

/// The part of the output that each block fills.
fn rooms<'a>(mut out: &'a mut [u8], blocks: &[BlockPlan]) -> Vec<&'a mut [u8]> {
    let mut rooms = Vec::with_capacity(blocks.len());
    for block in blocks {
        let (room, behind) = out.split_at_mut(block.len());
        rooms.push(room);
        out = behind;
    }
    rooms
}

/// Fills the rooms through the store's cache.
fn fetch(store: &BlockStore, blocks: &[BlockPlan], rooms: Vec<&mut [u8]>) -> FsResult<()> {
    let pointers: Vec<Pointer> = blocks.iter().filter_map(BlockPlan::pointer).collect();
    let mut contents = match pointers.as_slice() {
        [] => Vec::new(),
        [one] => vec![store.read_block(one)?],
        many => store.read_blocks(many)?,
    }
    .into_iter();
    for (block, room) in blocks.iter().zip(rooms) {
        match block.pointer().and_then(|_| contents.next()) {
            Some(content) => block.cut(&content, room),
            None => room.fill(0),
        }
    }
    Ok(())
}

/// Fills the rooms straight from the frames.
fn stream(store: &BlockStore, blocks: &[BlockPlan], rooms: Vec<&mut [u8]>) -> FsResult<()> {
    let mut targets = Vec::with_capacity(blocks.len());
    for (block, room) in blocks.iter().zip(rooms) {
        match block.pointer() {
            None => room.fill(0),
            Some(pointer) if block.from == 0 => targets.push(Target { pointer, room }),
            Some(pointer) => block.cut(&store.read_block(&pointer)?, room),
        }
    }
    Ok(store.read_into(targets)?)
}

impl BlockPlan {
    /// Bytes of the read that it makes up.
    fn len(&self) -> usize {
        (self.to - self.from) as usize
    }

    /// Copies what is asked for of the block's content, which may be shorter than the block:
    /// trailing zeros are not stored.
    fn cut(&self, content: &[u8], room: &mut [u8]) {
        let from = content.len().min(self.from as usize);
        let to = content.len().min(self.to as usize);
        room[..to - from].copy_from_slice(&content[from..to]);
        room[to - from..].fill(0);
    }

    fn pointer(&self) -> Option<Pointer> {
        match self.bottom {
            Some(Bottom::Stored(pointer)) => Some(pointer),
            Some(Bottom::Zeros) | None => None,
        }
    }
}
