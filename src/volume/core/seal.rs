//! Sealing: frozen changes become blocks and tree nodes.

use std::sync::Arc;

use super::changes::{Changes, Point};
use super::dirty_block::{DirtyBlock, Under};
use super::layer::{Bottom, Layer};
use super::shared::Shared;
use super::volume::{BlockState, seal_pieces};
use crate::base::{Key, Pointer, Value};
use crate::tree::{self, Edits, TreeRoot};
use crate::volume::FsResult;

/// Blocks that are merged and sealed at a time: bounds the memory beside the changes themselves.
const BATCH_BLOCKS: usize = 512;

/// Seals a layer and what lies below it; returns its tree. Two callers at once do the work twice,
/// with equal results; the pool's checkpoint is the only one.
pub(crate) fn seal_layer(
    shared: &Shared,
    layer: &Arc<Layer>,
    block_size: u32,
) -> FsResult<Option<TreeRoot>> {
    if let Some(root) = layer.root() {
        return Ok(root);
    }
    let Some((changes, below)) = layer.unsealed() else {
        return Ok(layer.root().flatten());
    };
    let base = seal_layer(shared, &below, block_size)?;
    let root = seal_changes(shared, &changes, &below, base.as_ref(), block_size)?;
    layer.seal(root);
    Ok(root)
}

fn seal_changes(
    shared: &Shared,
    changes: &Changes,
    below: &Layer,
    base: Option<&TreeRoot>,
    block_size: u32,
) -> FsResult<Option<TreeRoot>> {
    let mut edits = Edits {
        ranges: changes.removed().collect(),
        points: Vec::new(),
    };
    let mut batch: Vec<(Key, &DirtyBlock)> = Vec::with_capacity(BATCH_BLOCKS);
    for (key, point) in changes.points() {
        match point {
            Point::Put(value) => edits.points.push((*key, Some(value.clone()))),
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
    Ok(tree::edit(&*shared.nodes, base, &edits)?)
}

/// Merges each block with what shows through, stores it and fills in its value.
fn seal_batch(
    shared: &Shared,
    batch: &mut Vec<(Key, &DirtyBlock)>,
    below: &Layer,
    block_size: u32,
    edits: &mut Edits,
) -> FsResult<()> {
    let mut bottoms: Vec<Option<Pointer>> = Vec::with_capacity(batch.len());
    for (key, block) in batch.iter() {
        bottoms.push(bottom_of(shared, key, block, below, block_size)?);
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

/// The frame that shows through a block's unwritten parts.
fn bottom_of(
    shared: &Shared,
    key: &Key,
    block: &DirtyBlock,
    below: &Layer,
    block_size: u32,
) -> FsResult<Option<Pointer>> {
    if block.is_whole() {
        return Ok(None);
    }
    match block.under() {
        Under::Zeros => Ok(None),
        Under::Stored(pointer) => Ok(Some(pointer)),
        Under::Below => {
            let mut pieces = Vec::new();
            let bottom = below.block_pieces(&*shared.nodes, key, 0, block_size, &mut pieces)?;
            debug_assert!(pieces.is_empty(), "the layer below is sealed");
            Ok(match bottom {
                Bottom::Stored(pointer) => Some(pointer),
                Bottom::Zeros => None,
            })
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
