//! Copies between files that share blocks.

use std::ops::{ControlFlow, Range};

use crate::base::Ino;
use crate::volume::records::Inode;
use crate::volume::{BlockState, Edit, FsError, FsResult, Request, Volume};

use super::WriteMode;
use super::inodes::{State, load_file, store};
use super::io::WRITE_BYTES_MAX;
use super::space::{FILE_BYTES_MAX, Present, each_block, punch};

/// What one call does at most, so that it ends in bounded time: bytes that are shared.
const WORK_MAX: u64 = 1 << 30;
/// A copied byte is as much work as so many shared ones.
const COPY_WORK: u64 = 16;
/// A hole of any length is as much work as so many shared bytes.
const HOLE_WORK: u64 = 1 << 20;
/// Blocks that one transaction shares at most.
const SHARE_BLOCKS_MAX: u64 = 1024;

/// A place in a file.
type Spot = (Ino, u64);

/// Part of a copy.
struct Step {
    /// Bytes that the target has now.
    bytes: u64,
    work: u64,
}

impl Step {
    fn copied(bytes: u64) -> Step {
        let work = bytes.saturating_mul(COPY_WORK);
        Step { bytes, work }
    }

    fn shared(bytes: u64) -> Step {
        Step { bytes, work: bytes }
    }

    fn hole(bytes: u64) -> Step {
        let work = HOLE_WORK;
        Step { bytes, work }
    }
}

/// What sharing found at the start of a range.
enum Shared {
    Done(Step),
    /// So many bytes must be copied: they exist only in memory, or are less than a block.
    Nothing(u64),
}

impl Volume {
    /// Copies a range and returns the number of bytes copied: less than `len` at the source's end,
    /// and where it would take long. Where both offsets are equally far from a block's start, whole
    /// blocks are shared, except those that exist only in memory, and a hole of any length is one
    /// step; so one call gets at least 1 GiB far. Elsewhere at most 64 MiB are copied.
    ///
    /// Fails with NotFound, IsDirectory, Invalid (not a file, overlapping ranges of one file),
    /// FileTooBig, NoSpace; if something has been copied before, with its length instead.
    pub fn copy_range(&self, request: &Request, from: Spot, to: Spot, len: u64) -> FsResult<u64> {
        let len = self.copy_len(request, from, to, len)?;
        let (mut done, mut work) = (0, 0);
        while done < len && work < WORK_MAX {
            let (from, to) = ((from.0, from.1 + done), (to.0, to.1 + done));
            match self.copy_step(request, from, to, len - done) {
                // Somebody has cut the source.
                Ok(Step { bytes: 0, .. }) => break,
                Ok(step) => {
                    done += step.bytes;
                    work += step.work;
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// How much of the asked-for length can be copied.
    fn copy_len(&self, request: &Request, from: Spot, to: Spot, len: u64) -> FsResult<u64> {
        self.read(request, |view| {
            let source = load_file(view, from.0)?;
            load_file(view, to.0)?;
            let len = len.min(source.size.saturating_sub(from.1));
            if len > 0 && to.1 >= FILE_BYTES_MAX {
                return Err(FsError::FileTooBig);
            }
            let len = len.min(FILE_BYTES_MAX.saturating_sub(to.1));
            let is_apart = from.1 + len <= to.1 || to.1 + len <= from.1;
            if from.0 == to.0 && len > 0 && !is_apart {
                return Err(FsError::Invalid("the ranges overlap"));
            }
            Ok(len)
        })
    }

    /// Copies the start of a range.
    fn copy_step(&self, request: &Request, from: Spot, to: Spot, len: u64) -> FsResult<Step> {
        let block = u64::from(self.block_size());
        let (from_within, to_within) = (from.1 % block, to.1 % block);
        if from_within != to_within {
            return self.copy_bytes(request, from, to, len);
        }
        if from_within != 0 {
            return self.copy_bytes(request, from, to, len.min(block - from_within));
        }
        match self.share(request, from, to, len)? {
            Shared::Done(step) => Ok(step),
            Shared::Nothing(bytes) => self.copy_bytes(request, from, to, bytes),
        }
    }

    fn copy_bytes(&self, request: &Request, from: Spot, to: Spot, len: u64) -> FsResult<Step> {
        let len = len.min(WRITE_BYTES_MAX as u64) as usize;
        let data = self.read_file(request, from.0, from.1, len)?;
        self.write_file(request, to.0, to.1, &data, write_mode(request))?;
        Ok(Step::copied(data.len() as u64))
    }

    /// Lets the target point to the source's blocks, up to the first that exists only in memory, or
    /// have the hole that the source has.
    fn share(&self, request: &Request, from: Spot, to: Spot, len: u64) -> FsResult<Shared> {
        self.update(request, |edit| {
            let block = edit.block_bytes();
            let source = load_file(edit, from.0)?;
            let mut target = load_file(edit, to.0)?;
            let len = len.min(source.size.saturating_sub(from.1));
            // A last block can be shared whole if nothing of the target lies behind it.
            let is_tail = from.1 + len == source.size && to.1 + len >= target.size;
            let blocks = if is_tail {
                len.div_ceil(block)
            } else {
                len / block
            };
            if blocks == 0 {
                return Ok(Shared::Nothing(len));
            }
            let first = from.1 / block;
            let range = first..first + blocks.min(SHARE_BLOCKS_MAX);
            let hole = hole_run(edit, from.0, first..first + blocks)?;
            let step = if hole >= range.end - range.start {
                let bytes = len.min(hole * block);
                punch(edit, to.0, &mut target, to.1..to.1 + hole * block)?;
                Step::hole(bytes)
            } else {
                let states = sealed_run(edit, from.0, range.clone())?;
                if states.is_empty() {
                    let unsealed = unsealed_run(edit, from.0, range)?;
                    return Ok(Shared::Nothing(len.min(unsealed * block)));
                }
                point_to(edit, (to.0, &mut target), to.1 / block, &states)?;
                Step::shared(len.min(states.len() as u64 * block))
            };
            target.size = target.size.max(to.1 + step.bytes);
            self.written(edit, to.0, &mut target, write_mode(request))?;
            store(edit, to.0, &target);
            Ok(Shared::Done(step))
        })
    }
}

/// How many blocks from the start of the range on are a hole.
fn hole_run(state: &impl State, ino: Ino, blocks: Range<u64>) -> FsResult<u64> {
    let (start, mut next) = (blocks.start, blocks.end);
    each_block(state, ino, blocks, &mut |index| {
        next = index;
        ControlFlow::Break(())
    })?;
    Ok(next - start)
}

/// What the blocks are, up to the first that exists only in memory.
fn sealed_run(state: &impl State, ino: Ino, blocks: Range<u64>) -> FsResult<Vec<BlockState>> {
    let mut states = Vec::new();
    for index in blocks {
        match state.block(ino, index)? {
            BlockState::Dirty => break,
            state => states.push(state),
        }
    }
    Ok(states)
}

/// How many of the next blocks exist only in memory.
fn unsealed_run(state: &impl State, ino: Ino, blocks: Range<u64>) -> FsResult<u64> {
    let most = blocks
        .end
        .min(blocks.start + WRITE_BYTES_MAX as u64 / state.block_bytes());
    for index in blocks.start..most {
        if state.block(ino, index)? != BlockState::Dirty {
            return Ok(index - blocks.start);
        }
    }
    Ok(most - blocks.start)
}

/// Sets a file's blocks from `first` on.
fn point_to(
    edit: &mut Edit<'_>,
    (ino, inode): (Ino, &mut Inode),
    first: u64,
    states: &[BlockState],
) -> FsResult<()> {
    let blocks = first..first + states.len() as u64;
    let present = Present::find(edit, ino, inode, blocks.clone())?;
    let mut delta = 0;
    for (index, state) in blocks.zip(states) {
        let was_there = present.contains(index);
        let is_there = *state != BlockState::Hole;
        delta += i64::from(is_there) - i64::from(was_there);
        if was_there || is_there {
            edit.put_block(ino, index, *state);
        }
    }
    inode.blocks = inode.blocks.saturating_add_signed(delta);
    edit.count(delta, 0);
    Ok(())
}

fn write_mode(request: &Request) -> WriteMode {
    WriteMode {
        kill_priv: request.uid != 0,
        ..WriteMode::default()
    }
}
