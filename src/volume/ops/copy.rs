//! Copies between files that share blocks.

use crate::base::Ino;
use crate::volume::{BlockState, FsError, FsResult, Request, Volume};

use super::WriteMode;
use super::inodes::{State, load_file, store};
use super::io::WRITE_BYTES_MAX;
use super::space::{FILE_BYTES_MAX, Present};

/// Bytes that one call shares at most, so that it ends in bounded time.
const SHARE_BYTES_MAX: u64 = 1 << 30;
/// Bytes that one call copies at most where nothing can be shared.
const COPY_BYTES_MAX: u64 = 64 << 20;
/// Blocks that one transaction shares at most.
const SHARE_BLOCKS_MAX: u64 = 1024;

/// A place in a file.
type Spot = (Ino, u64);

/// What sharing found at the start of a range.
struct Shared {
    /// Bytes that the target has now.
    bytes: u64,
    /// If none: bytes that exist only in memory and must be copied.
    unsealed: u64,
}

impl Volume {
    /// Copies a range and returns the number of bytes copied: less than `len` at the source's end,
    /// and at most 1 GiB. Where both offsets are equally far from a block's start, whole blocks are
    /// shared, except those that exist only in memory; elsewhere at most 64 MiB are copied.
    ///
    /// Fails with NotFound, IsDirectory, Invalid (not a file, overlapping ranges of one file),
    /// FileTooBig, NoSpace; if something has been copied before, with its length instead.
    pub fn copy_range(&self, request: &Request, from: Spot, to: Spot, len: u64) -> FsResult<u64> {
        let len = self.copy_len(request, from, to, len)?;
        let mut done = 0;
        while done < len {
            let (from, to) = ((from.0, from.1 + done), (to.0, to.1 + done));
            match self.copy_step(request, from, to, len - done) {
                // Somebody has cut the source.
                Ok(0) => break,
                Ok(copied) => done += copied,
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
            let is_shared = from.1 % view.block_bytes() == to.1 % view.block_bytes();
            Ok(len.min(if is_shared {
                SHARE_BYTES_MAX
            } else {
                COPY_BYTES_MAX
            }))
        })
    }

    /// Copies the start of a range.
    fn copy_step(&self, request: &Request, from: Spot, to: Spot, len: u64) -> FsResult<u64> {
        let block = u64::from(self.block_size());
        let (from_within, to_within) = (from.1 % block, to.1 % block);
        if from_within != to_within {
            return self.copy_bytes(request, from, to, len);
        }
        if from_within != 0 {
            return self.copy_bytes(request, from, to, len.min(block - from_within));
        }
        let shared = self.share(request, from, to, len)?;
        if shared.bytes > 0 {
            return Ok(shared.bytes);
        }
        let unshared = if shared.unsealed > 0 {
            shared.unsealed
        } else {
            len
        };
        self.copy_bytes(request, from, to, len.min(unshared))
    }

    fn copy_bytes(&self, request: &Request, from: Spot, to: Spot, len: u64) -> FsResult<u64> {
        let len = len.min(WRITE_BYTES_MAX as u64) as usize;
        let data = self.read_file(request, from.0, from.1, len)?;
        self.write_file(request, to.0, to.1, &data, write_mode(request))?;
        Ok(data.len() as u64)
    }

    /// Lets the target point to the source's blocks, up to the first that exists only in memory.
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
            let blocks = blocks.min(SHARE_BLOCKS_MAX);
            let (first, to_first) = (from.1 / block, to.1 / block);

            let mut states = Vec::new();
            for index in first..first + blocks {
                match edit.block(from.0, index)? {
                    BlockState::Dirty => break,
                    state => states.push(state),
                }
            }
            if states.is_empty() {
                let unsealed = unsealed_run(&*edit, from.0, first, blocks)?;
                return Ok(Shared {
                    bytes: 0,
                    unsealed: unsealed * block,
                });
            }
            let copied = to_first..to_first + states.len() as u64;
            let present = Present::find(edit, to.0, &target, copied.clone())?;

            let mut delta = 0;
            for (index, state) in copied.clone().zip(&states) {
                let was_there = present.contains(index);
                let is_there = *state != BlockState::Hole;
                delta += i64::from(is_there) - i64::from(was_there);
                if was_there || is_there {
                    edit.put_block(to.0, index, *state);
                }
            }
            let bytes = len.min((copied.end - copied.start) * block);
            target.blocks = target.blocks.saturating_add_signed(delta);
            target.size = target.size.max(to.1 + bytes);
            self.written(edit, to.0, &mut target, write_mode(request))?;
            store(edit, to.0, &target);
            edit.count(delta, 0);
            Ok(Shared { bytes, unsealed: 0 })
        })
    }
}

/// How many of the next blocks exist only in memory.
fn unsealed_run(state: &impl State, ino: Ino, first: u64, blocks: u64) -> FsResult<u64> {
    let most = WRITE_BYTES_MAX as u64 / state.block_bytes();
    for run in 0..blocks.min(most) {
        if state.block(ino, first + run)? != BlockState::Dirty {
            return Ok(run);
        }
    }
    Ok(blocks.min(most))
}

fn write_mode(request: &Request) -> WriteMode {
    WriteMode {
        kill_priv: request.uid != 0,
        ..WriteMode::default()
    }
}
