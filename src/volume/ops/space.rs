//! Room within a file: truncate, allocate, punch, zero, seek.
//!
//! Two invariants make sizes cheap: no block exists beyond the end of a file, and the bytes of its
//! last block beyond the end are zeros. Growing a file therefore changes nothing but its size.

use std::ops::{ControlFlow, Range};

use crate::base::Ino;
use crate::volume::core::admission::Need;
use crate::volume::records::Inode;
use crate::volume::{BlockState, Edit, FsError, FsResult, Request, Volume, keys};

use super::inodes::{State, load_file, store, without_privileges};
use super::{AllocateMode, Seek};

/// Largest size of a file in bytes: the largest offset that a program can name. A smaller limit
/// would be told too late: the kernel takes a write into its cache up to this one.
pub const FILE_BYTES_MAX: u64 = i64::MAX as u64;

impl Volume {
    /// Allocates, punches or zeroes a range.
    ///
    /// Allocation makes sure that the pool has room now and keeps none back: with copy-on-write
    /// not even an allocated block can be overwritten without room.
    ///
    /// Fails with NotFound, IsDirectory, Invalid (not a file, an empty range), FileTooBig, NoSpace.
    pub fn allocate(
        &self,
        request: &Request,
        ino: Ino,
        offset: u64,
        len: u64,
        mode: AllocateMode,
    ) -> FsResult<()> {
        if len == 0 {
            return Err(FsError::Invalid("an empty range"));
        }
        let end = range_end(offset, len)?;
        if matches!(mode, AllocateMode::Allocate | AllocateMode::KeepSize) {
            self.check_room(request, ino, offset..end)?;
        }
        self.warm(&[keys::inode(ino)]);
        let need = match mode {
            AllocateMode::PunchHole => Need::Little,
            _ => Need::Room,
        };
        self.update_with(need, request, |edit| {
            let mut inode = load_file(edit, ino)?;
            match mode {
                AllocateMode::Allocate => inode.size = inode.size.max(end),
                AllocateMode::KeepSize => {}
                AllocateMode::PunchHole => punch(edit, ino, &mut inode, offset..end)?,
                AllocateMode::ZeroRange { keep_size } => {
                    punch(edit, ino, &mut inode, offset..end)?;
                    if !keep_size {
                        inode.size = inode.size.max(end);
                    }
                }
            }
            if request.uid != 0 {
                inode.perm = without_privileges(inode.perm);
            }
            inode.ctime = self.now();
            if mode != AllocateMode::KeepSize {
                inode.mtime = inode.ctime;
            }
            store(edit, ino, &inode);
            Ok(())
        })
    }

    /// The next data or hole at or behind `offset`, exact to the block. The end of a file is a
    /// hole. Fails with NotFound, IsDirectory, Invalid, NoSuchOffset.
    pub fn seek(&self, request: &Request, ino: Ino, offset: u64, what: Seek) -> FsResult<u64> {
        self.read(request, |view| {
            let inode = load_file(view, ino)?;
            if offset >= inode.size {
                return Err(FsError::NoSuchOffset);
            }
            let found = match what {
                Seek::Data => next_data(view, ino, &inode, offset)?,
                Seek::Hole => Some(next_hole(view, ino, &inode, offset)?),
            };
            found.ok_or(FsError::NoSuchOffset)
        })
    }

    /// Refuses a range for whose unallocated blocks there is no room.
    pub(super) fn check_room(
        &self,
        request: &Request,
        ino: Ino,
        range: Range<u64>,
    ) -> FsResult<()> {
        let free = self.usage()?.free_bytes;
        if range.end - range.start <= free {
            return Ok(());
        }
        let missing = self.read(request, |view| {
            let inode = load_file(view, ino)?;
            let block = view.block_bytes();
            let blocks = range.start / block..range.end.div_ceil(block);
            let there = count_blocks(view, ino, &inode, blocks.clone())?;
            Ok((blocks.end - blocks.start - there).saturating_mul(block))
        })?;
        // Why is asked outside of the state's lock, which is taken for that.
        match missing > free {
            true => Err(self.no_room()),
            false => Ok(()),
        }
    }
}

/// The end of a range; beyond the largest file it is FileTooBig.
pub(super) fn range_end(offset: u64, len: u64) -> FsResult<u64> {
    let end = offset.checked_add(len).ok_or(FsError::FileTooBig)?;
    if end > FILE_BYTES_MAX {
        return Err(FsError::FileTooBig);
    }
    Ok(end)
}

/// Sets a file's size, in the record that the caller stores.
pub(super) fn set_size(
    edit: &mut Edit<'_>,
    ino: Ino,
    inode: &mut Inode,
    size: u64,
) -> FsResult<()> {
    range_end(0, size)?;
    if size < inode.size {
        punch(edit, ino, inode, size..inode.size)?;
    }
    inode.size = size;
    Ok(())
}

/// Makes the range read as zeros: whole blocks become holes, edges are zeroed where there is a
/// block. What lies beyond the end of the file is not touched.
pub(super) fn punch(
    edit: &mut Edit<'_>,
    ino: Ino,
    inode: &mut Inode,
    range: Range<u64>,
) -> FsResult<()> {
    let block = edit.block_bytes();
    let (start, end) = (range.start, range.end.min(inode.size));
    if start >= end {
        return Ok(());
    }
    // Bytes beyond the end are zeros already: a last block whose content goes is a whole one.
    let whole_end = if end == inode.size {
        end.div_ceil(block)
    } else {
        end / block
    };
    let whole = start.div_ceil(block)..whole_end;
    let edges = if whole.start > whole.end {
        [start..end, 0..0]
    } else {
        [
            start..end.min(whole.start * block),
            (whole.end * block).min(end)..end,
        ]
    };
    let mut zeroed = Vec::new();
    for edge in edges {
        let is_there =
            || Ok::<bool, FsError>(edit.block(ino, edge.start / block)? != BlockState::Hole);
        if !edge.is_empty() && is_there()? {
            zeroed.push(edge);
        }
    }
    let removed = count_blocks(edit, ino, inode, whole.clone())?;

    for edge in zeroed {
        let zeros = vec![0; (edge.end - edge.start) as usize];
        edit.write(ino, edge.start, &zeros);
    }
    if removed > 0 {
        edit.delete_range(keys::block(ino, whole.start), keys::block(ino, whole.end));
        edit.count(-(removed as i64), 0);
        inode.blocks = inode.blocks.saturating_sub(removed);
    }
    Ok(())
}

/// Which blocks of a range exist.
pub(super) enum Present {
    /// All below this one, none from it on.
    Below(u64),
    /// These, in order.
    Only(Vec<u64>),
}

impl Present {
    /// What the attributes alone tell: a file without holes, or nothing but a hole.
    pub(super) fn known(inode: &Inode, block: u64) -> Option<Present> {
        let end = inode.size.div_ceil(block);
        (inode.blocks == end || inode.blocks == 0).then_some(Present::Below(inode.blocks))
    }

    /// Looks up the blocks of a range, where the attributes do not tell.
    pub(super) fn find(
        state: &impl State,
        ino: Ino,
        inode: &Inode,
        blocks: Range<u64>,
    ) -> FsResult<Present> {
        if let Some(known) = Present::known(inode, state.block_bytes()) {
            return Ok(known);
        }
        let end = blocks.end.min(inode.size.div_ceil(state.block_bytes()));
        let mut found = Vec::new();
        if blocks.start + 1 == end {
            if state.block(ino, blocks.start)? != BlockState::Hole {
                found.push(blocks.start);
            }
        } else {
            each_block(state, ino, blocks.start..end, &mut |index| {
                found.push(index);
                ControlFlow::Continue(())
            })?;
        }
        Ok(Present::Only(found))
    }

    /// Whether a block of the range exists.
    pub(super) fn contains(&self, index: u64) -> bool {
        match self {
            Present::Below(end) => index < *end,
            Present::Only(blocks) => blocks.binary_search(&index).is_ok(),
        }
    }
}

/// How many blocks of a range exist. Looks at the range or at the rest of the file, whichever is
/// smaller, and at nothing if the attributes tell.
fn count_blocks(state: &impl State, ino: Ino, inode: &Inode, blocks: Range<u64>) -> FsResult<u64> {
    let end = inode.size.div_ceil(state.block_bytes());
    let blocks = blocks.start.min(end)..blocks.end.min(end);
    if blocks.is_empty() {
        return Ok(0);
    }
    let len = blocks.end - blocks.start;
    if let Some(Present::Below(known)) = Present::known(inode, state.block_bytes()) {
        return Ok(known.min(len));
    }
    let count = |blocks| {
        let mut count = 0;
        each_block(state, ino, blocks, &mut |_| {
            count += 1;
            ControlFlow::Continue(())
        })?;
        Ok::<u64, FsError>(count)
    };
    if len <= end - len {
        return count(blocks);
    }
    let outside = count(0..blocks.start)? + count(blocks.end..end)?;
    Ok(inode.blocks.saturating_sub(outside))
}

/// Visits the existing blocks of a range in order.
pub(super) fn each_block(
    state: &impl State,
    ino: Ino,
    blocks: Range<u64>,
    visit: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> FsResult<()> {
    if blocks.is_empty() {
        return Ok(());
    }
    let (from, to) = (keys::block(ino, blocks.start), keys::block(ino, blocks.end));
    state.scan(&from, &to, &mut |key, _| Ok(visit(key.sub())))
}

fn next_data(state: &impl State, ino: Ino, inode: &Inode, offset: u64) -> FsResult<Option<u64>> {
    let block = state.block_bytes();
    let mut found = None;
    let blocks = offset / block..inode.size.div_ceil(block);
    each_block(state, ino, blocks, &mut |index| {
        found = Some(offset.max(index * block));
        ControlFlow::Break(())
    })?;
    Ok(found)
}

fn next_hole(state: &impl State, ino: Ino, inode: &Inode, offset: u64) -> FsResult<u64> {
    let block = state.block_bytes();
    let blocks = offset / block..inode.size.div_ceil(block);
    let mut hole = blocks.start;
    if inode.blocks == blocks.end {
        hole = blocks.end;
    } else {
        each_block(state, ino, blocks, &mut |index| {
            if index != hole {
                return ControlFlow::Break(());
            }
            hole += 1;
            ControlFlow::Continue(())
        })?;
    }
    Ok(offset.max(hole * block).min(inode.size))
}
