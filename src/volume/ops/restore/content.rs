//! What the volume has, changed into what it was.

use std::ops::ControlFlow;

use crate::base::Ino;
use crate::volume::records::Inode;
use crate::volume::{BlockState, Edit, Frozen, FsError, FsResult, keys};

use super::super::inodes::{State, load, load_file, store};
use super::super::space::{each_block, punch};
use super::super::xattr::fingerprints;
use super::make::{From, PART_BLOCKS, Part};
use super::{Place, Restore, RestoreError, RestoreResult};

/// A range of blocks of a file, and those of them that are there.
struct Window {
    from: u64,
    /// Before here none is missing.
    end: u64,
    blocks: Vec<(u64, BlockState)>,
}

impl Window {
    /// The next blocks of a file that ends before `end`.
    fn read(source: &Frozen<'_>, ino: Ino, from: u64, end: u64) -> FsResult<Window> {
        let mut window = Window {
            from,
            end,
            blocks: Vec::new(),
        };
        source.blocks(ino, from, &mut |index, block| {
            if window.blocks.len() == PART_BLOCKS {
                window.end = index;
                return ControlFlow::Break(());
            }
            window.blocks.push((index, block));
            ControlFlow::Continue(())
        })?;
        Ok(window)
    }

    /// The block as it should be.
    fn wanted(&self, index: u64) -> BlockState {
        let found = self.blocks.binary_search_by_key(&index, |(at, _)| *at);
        found.map_or(BlockState::Hole, |at| self.blocks[at].1)
    }
}

/// Blocks of a window that differ.
struct Differing {
    /// Index, how it should be, whether there is one now.
    blocks: Vec<(u64, BlockState, bool)>,
    /// How far was looked.
    end: u64,
}

/// Compares by ids. What exists in memory only counts as different.
fn differing(state: &impl State, ino: Ino, window: &Window) -> FsResult<Differing> {
    let mut end = window.end;
    let mut present = Vec::new();
    each_block(state, ino, window.from..window.end, &mut |index| {
        if present.len() == PART_BLOCKS {
            end = index;
            return ControlFlow::Break(());
        }
        present.push(index);
        ControlFlow::Continue(())
    })?;
    let mut indices: Vec<u64> = window.blocks.iter().map(|(at, _)| *at).collect();
    indices.retain(|index| *index < end);
    indices.extend(&present);
    indices.sort_unstable();
    indices.dedup();
    let mut blocks = Vec::new();
    for index in indices {
        let is_there = present.binary_search(&index).is_ok();
        let now = match is_there {
            true => state.block(ino, index)?,
            false => BlockState::Hole,
        };
        let wanted = window.wanted(index);
        if !is_equal(&wanted, &now) {
            blocks.push((index, wanted, is_there));
        }
    }
    Ok(Differing { blocks, end })
}

fn is_equal(wanted: &BlockState, now: &BlockState) -> bool {
    match (wanted, now) {
        (BlockState::Stored(wanted), BlockState::Stored(now)) => wanted.id == now.id,
        (BlockState::Hole | BlockState::Zero, BlockState::Hole | BlockState::Zero) => true,
        _ => false,
    }
}

impl Differing {
    /// Sets the blocks, and counts them in the inode, which the caller stores.
    fn put(&self, edit: &mut Edit<'_>, ino: Ino, inode: &mut Inode) {
        let mut delta = 0;
        for (index, wanted, was_there) in &self.blocks {
            let is_there = *wanted != BlockState::Hole;
            delta += i64::from(is_there) - i64::from(*was_there);
            edit.put_block(ino, *index, *wanted);
        }
        inode.blocks = inode.blocks.saturating_add_signed(delta);
        edit.count(delta, 0);
    }
}

impl Restore<'_, '_> {
    /// Changes the blocks of a file that differ, and its size. Whether there were any.
    pub(super) fn change_content(
        &mut self,
        place: &Place<'_>,
        (source, inode): (Ino, &Inode),
        (target, present): (Ino, &Inode),
    ) -> RestoreResult<bool> {
        let at = |error| RestoreError::at(place.path, error);
        let block = u64::from(self.source.block_size());
        let end = inode.size.div_ceil(block);
        let (volume, request) = (self.target.volume, self.target.request);
        let (mut from, mut changed) = (0, 0);
        while from < end {
            let window = Window::read(self.source, source, from, end).map_err(at)?;
            // Most often there is nothing to change, and then nobody has to wait.
            let mut found = volume
                .read(&request, |view| differing(view, target, &window))
                .map_err(at)?;
            if !found.blocks.is_empty() {
                let change = |edit: &mut Edit<'_>| {
                    let mut file = load_file(edit, target)?;
                    let found = differing(edit, target, &window)?;
                    found.put(edit, target, &mut file);
                    file.size = file.size.max(inode.size);
                    file.ctime = volume.now();
                    store(edit, target, &file);
                    Ok(found)
                };
                found = volume.update(&request, change).map_err(at)?;
            }
            changed += found.blocks.len() as u64;
            let seen = window.blocks.iter().filter(|(at, _)| *at < found.end);
            self.advance(seen.count() as u64)?;
            from = found.end;
        }
        let is_changed = changed > 0 || inode.size != present.size;
        if is_changed {
            volume
                .update(&request, |edit| {
                    end_at(edit, (self.source, source), inode.size, target)
                })
                .map_err(at)?;
        }
        self.told.compared_bytes += inode.size.max(present.size);
        self.told.changed_bytes += changed.saturating_mul(block).min(inode.size);
        self.told.changed_bytes += present.size.saturating_sub(inode.size);
        Ok(is_changed)
    }

    /// Gives an inode the attributes of another one, extended ones too. Whether they were others.
    pub(super) fn set_attributes(
        &self,
        (source, inode): (Ino, &Inode),
        target: Ino,
    ) -> FsResult<bool> {
        let (volume, request) = (self.target.volume, self.target.request);
        let wanted = fingerprints(self.source, source)?;
        let (present, is_alike) = volume.read(&request, |view| {
            Ok((load(view, target)?, fingerprints(view, target)? == wanted))
        })?;
        let own = |inode: &Inode| (inode.perm, inode.uid, inode.gid, inode.mtime);
        if is_alike && own(&present) == own(inode) {
            return Ok(false);
        }
        let mut next = (!is_alike).then_some(0);
        while let Some(sub) = next {
            let part = Part::of_attributes(self.source, source, sub)?;
            volume.update(&request, |edit| {
                let mut changed = load(edit, target)?;
                if sub == 0 {
                    let (from, to) = keys::all(target, keys::XATTR);
                    edit.delete_range(from, to);
                    changed.xattr_list_bytes = 0;
                }
                part.put(edit, target, &mut changed);
                store(edit, target, &changed);
                Ok(())
            })?;
            next = match part.next {
                Some(From::Attributes(sub)) => Some(sub),
                _ => None,
            };
        }
        volume.update(&request, |edit| {
            let mut changed = load(edit, target)?;
            changed.perm = inode.perm;
            (changed.uid, changed.gid) = (inode.uid, inode.gid);
            (changed.atime, changed.mtime) = (inode.atime, inode.mtime);
            changed.ctime = volume.now();
            changed.direct_write = None;
            store(edit, target, &changed);
            Ok(())
        })?;
        Ok(true)
    }
}

/// Ends a file where its source ends. Its last block is looked at once more: whoever wrote to it
/// meanwhile may have left bytes behind the end, which must be zeros.
fn end_at(
    edit: &mut Edit<'_>,
    (source, ino): (&Frozen<'_>, Ino),
    size: u64,
    target: Ino,
) -> FsResult<()> {
    let mut file = load_file(edit, target)?;
    let block = edit.block_bytes();
    let end = size.div_ceil(block);
    if !size.is_multiple_of(block) {
        let window = Window::read(source, ino, end - 1, end)?;
        differing(edit, target, &window)?.put(edit, target, &mut file);
    }
    let behind = end.saturating_mul(block)..file.size;
    punch(edit, target, &mut file, behind)?;
    file.size = size;
    file.direct_write = None;
    store(edit, target, &file);
    Ok::<(), FsError>(())
}
