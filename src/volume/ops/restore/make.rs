//! What the volume does not have: made without a name, and named when it is whole.

use std::ops::ControlFlow;

use crate::base::{Ino, Timestamp, Value};
use crate::volume::records::{Dirent, FileKind, Inode, Xattr};
use crate::volume::{BlockState, Edit, Frozen, FsError, FsResult, keys};

use super::super::chain::Slot;
use super::super::inodes::{
    FolderDelta, change_folder, entry, link_target, load, load_folder, store,
};
use super::super::link::LINKS_MAX;
use super::super::remove::drop_name;
use super::super::xattr::listed_bytes;
use super::{Place, Restore, RestoreError, RestoreResult};

/// Blocks that one transaction names at most.
pub(super) const PART_BLOCKS: usize = 1024;
/// Bytes of attributes that one transaction holds, but for the last of them.
const PART_ATTRIBUTE_BYTES: usize = 256 << 10;
/// Permission bits of a folder until it is whole.
const UNFINISHED: u16 = 0o700;

/// Where the next part of an inode begins: at the sub-key of an attribute or at a block.
#[derive(Clone, Copy)]
pub(super) enum From {
    Attributes(u64),
    Blocks(u64),
}

/// What one transaction puts into an inode.
pub(super) struct Part {
    attributes: Vec<(u64, Value)>,
    list_bytes: u32,
    blocks: Vec<(u64, BlockState)>,
    pub(super) next: Option<From>,
}

impl Part {
    /// Attributes first, then blocks.
    pub(super) fn read(source: &Frozen<'_>, ino: Ino, from: From) -> FsResult<Part> {
        let mut part = Part {
            attributes: Vec::new(),
            list_bytes: 0,
            blocks: Vec::new(),
            next: None,
        };
        let first = match from {
            From::Blocks(first) => first,
            From::Attributes(sub) => {
                part.read_attributes(source, ino, sub)?;
                0
            }
        };
        if part.next.is_none() {
            source.blocks(ino, first, &mut |index, block| {
                if part.blocks.len() == PART_BLOCKS {
                    part.next = Some(From::Blocks(index));
                    return ControlFlow::Break(());
                }
                part.blocks.push((index, block));
                ControlFlow::Continue(())
            })?;
        }
        Ok(part)
    }

    /// Only attributes.
    pub(super) fn of_attributes(source: &Frozen<'_>, ino: Ino, sub: u64) -> FsResult<Part> {
        let mut part = Part {
            attributes: Vec::new(),
            list_bytes: 0,
            blocks: Vec::new(),
            next: None,
        };
        part.read_attributes(source, ino, sub)?;
        Ok(part)
    }

    fn read_attributes(&mut self, source: &Frozen<'_>, ino: Ino, sub: u64) -> FsResult<()> {
        let (_, to) = keys::all(ino, keys::XATTR);
        let mut bytes = 0;
        source.scan(&keys::xattr(ino, sub), &to, &mut |key, value| {
            if bytes >= PART_ATTRIBUTE_BYTES {
                self.next = Some(From::Attributes(key.sub()));
                return Ok(ControlFlow::Break(()));
            }
            let decoded = Xattr::decode(&value.bytes);
            let xattr = decoded.map_err(|source| FsError::Malformed { ino, source })?;
            self.list_bytes += xattr.map_or(0, |xattr| listed_bytes(xattr.name));
            bytes += value.bytes.len();
            self.attributes.push((key.sub(), value.clone()));
            Ok(ControlFlow::Continue(()))
        })
    }

    pub(super) fn blocks(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// Puts it, and counts it in the inode, which the caller stores. Names of attributes have the
    /// same places in every state of a volume.
    pub(super) fn put(&self, edit: &mut Edit<'_>, ino: Ino, inode: &mut Inode) {
        for (sub, value) in &self.attributes {
            edit.put(keys::xattr(ino, *sub), value.clone());
        }
        inode.xattr_list_bytes += self.list_bytes;
        for (index, block) in &self.blocks {
            edit.put_block(ino, *index, *block);
        }
        inode.blocks += self.blocks();
        edit.count(self.blocks.len() as i64, 0);
    }
}

/// Where a name goes.
struct NameSlot {
    folder: Inode,
    sub: u64,
    /// What has the name now.
    over: Option<(Ino, Inode)>,
}

impl Restore<'_, '_> {
    /// Makes anything but a folder, and gives it its name, which `replaces` may have.
    pub(super) fn make(
        &mut self,
        place: &Place<'_>,
        (source, inode): (Ino, &Inode),
        replaces: Option<Ino>,
    ) -> RestoreResult<Ino> {
        let at = |error| RestoreError::at(place.path, error);
        let target = match inode.kind {
            FileKind::Symlink => link_target(self.source, source).map_err(at)?,
            _ => None,
        };
        let part = Part::read(self.source, source, From::Attributes(0)).map_err(at)?;
        let is_whole = part.next.is_none();
        let ino = self.update(place, |restore, edit, now| {
            let slot = match is_whole {
                true => Some(restore.slot(edit, place, replaces)?),
                false => None,
            };
            let ino = edit.allocate_ino()?;
            let mut made = fresh(inode, now);
            part.put(edit, ino, &mut made);
            if let Some(target) = &target {
                edit.put(keys::symlink(ino), Value::record(target.as_slice()));
            }
            edit.count(0, 1);
            match slot {
                Some(slot) => restore.give_name(edit, place, slot, (ino, made), now)?,
                None => {
                    edit.put(keys::orphan(ino), Value::record([]));
                    store(edit, ino, &made);
                }
            }
            Ok(ino)
        })?;
        self.advance_or_give_up(part.blocks(), ino, is_whole)?;
        if let Some(next) = part.next {
            let finished = self.finish(place, (source, ino), next, replaces);
            if finished.is_err() {
                self.target.give_up(ino);
            }
            finished?;
        }
        self.tell_name(place, replaces);
        self.told.created += 1;
        let block = u64::from(self.source.block_size());
        self.told.created_bytes += inode.blocks.saturating_mul(block).min(inode.size);
        Ok(ino)
    }

    fn advance_or_give_up(&mut self, work: u64, ino: Ino, has_name: bool) -> RestoreResult<()> {
        let advanced = self.advance(work);
        if advanced.is_err() && !has_name {
            self.target.give_up(ino);
        }
        advanced
    }

    /// The other parts of an inode that has no name yet, then its name.
    fn finish(
        &mut self,
        place: &Place<'_>,
        (source, ino): (Ino, Ino),
        mut from: From,
        replaces: Option<Ino>,
    ) -> RestoreResult<()> {
        loop {
            let part = Part::read(self.source, source, from)
                .map_err(|error| RestoreError::at(place.path, error))?;
            self.update(place, |_, edit, _| {
                let mut made = load(edit, ino)?;
                part.put(edit, ino, &mut made);
                store(edit, ino, &made);
                Ok(())
            })?;
            self.advance(part.blocks())?;
            match part.next {
                Some(next) => from = next,
                None => break,
            }
        }
        self.update(place, |restore, edit, now| {
            let slot = restore.slot(edit, place, replaces)?;
            let made = load(edit, ino)?;
            edit.delete(keys::orphan(ino));
            restore.give_name(edit, place, slot, (ino, made), now)
        })
    }

    /// Makes a folder, which gets its attributes when it is left.
    pub(super) fn make_folder(
        &mut self,
        place: &Place<'_>,
        (_, inode): (Ino, &Inode),
    ) -> RestoreResult<Ino> {
        let ino = self.update(place, |restore, edit, now| {
            let slot = restore.slot(edit, place, None)?;
            let ino = edit.allocate_ino()?;
            let mut made = fresh(inode, now);
            made.perm = UNFINISHED;
            made.entries = 0;
            edit.count(0, 1);
            restore.give_name(edit, place, slot, (ino, made), now)?;
            Ok(ino)
        })?;
        self.made.insert(ino);
        self.tell_name(place, None);
        self.told.created += 1;
        Ok(ino)
    }

    /// Gives what was put back for another name this name, too.
    pub(super) fn link(
        &mut self,
        place: &Place<'_>,
        made: Ino,
        replaces: Option<Ino>,
    ) -> RestoreResult<()> {
        self.update(place, |restore, edit, now| {
            let slot = restore.slot(edit, place, replaces)?;
            let mut inode = load(edit, made)?;
            if inode.nlink >= LINKS_MAX {
                return Err(FsError::TooManyLinks);
            }
            inode.ctime = now;
            restore.give_name(edit, place, slot, (made, inode), now)
        })?;
        self.tell_name(place, replaces);
        self.watch.inode_changed(made);
        self.told.created += 1;
        Ok(())
    }

    /// One transaction.
    fn update<R>(
        &self,
        place: &Place<'_>,
        change: impl FnOnce(&Self, &mut Edit<'_>, Timestamp) -> FsResult<R>,
    ) -> RestoreResult<R> {
        let volume = self.target.volume;
        let changed = volume.update(&self.target.request, |edit| {
            change(self, edit, volume.now())
        });
        changed.map_err(|error| match error {
            FsError::Exists => RestoreError::exists(place.path),
            error => RestoreError::at(place.path, error),
        })
    }

    /// Where a name goes; `Exists` if something else than `replaces` has it by now.
    fn slot(
        &self,
        edit: &Edit<'_>,
        place: &Place<'_>,
        replaces: Option<Ino>,
    ) -> FsResult<NameSlot> {
        let folder = load_folder(edit, place.folder())?;
        let dirents = self.target.volume.dirents();
        match (dirents.find(edit, place.folder(), place.name)?, replaces) {
            (Slot::Free { sub }, _) => Ok(NameSlot {
                folder,
                sub,
                over: None,
            }),
            (Slot::Taken { sub, value }, Some(replaces)) => {
                let ino = entry(place.folder(), &value.bytes)?.ino;
                if ino != replaces {
                    return Err(FsError::Exists);
                }
                let over = Some((ino, load(edit, ino)?));
                Ok(NameSlot { folder, sub, over })
            }
            (Slot::Taken { .. }, None) => Err(FsError::Exists),
        }
    }

    /// One more name of an inode, which is stored with it.
    fn give_name(
        &self,
        edit: &mut Edit<'_>,
        place: &Place<'_>,
        slot: NameSlot,
        (ino, mut inode): (Ino, Inode),
        now: Timestamp,
    ) -> FsResult<()> {
        let is_folder = inode.is_folder();
        let name = Dirent {
            ino,
            kind: inode.kind,
            name: place.name,
        };
        let key = keys::dirent(place.folder(), slot.sub);
        edit.put(key, Value::record(name.encode()));
        inode.nlink = if is_folder { 2 } else { inode.nlink + 1 };
        inode.parent = place.folder();
        store(edit, ino, &inode);
        let is_new = slot.over.is_none();
        if let Some((old, inode)) = slot.over {
            drop_name(edit, old, inode, now);
        }
        let delta = FolderDelta {
            entries: i64::from(is_new),
            subfolders: i64::from(is_folder),
        };
        change_folder(edit, place.folder(), slot.folder, delta, now)
    }

    /// Tells of a new name, and lets go of what had it.
    fn tell_name(&self, place: &Place<'_>, replaced: Option<Ino>) {
        let folder = place.folder();
        self.watch.name_changed(folder, place.name);
        self.watch.inode_changed(folder);
        let Some(old) = replaced else { return };
        self.watch.inode_changed(old);
        if self.watch.lets_go(folder, place.name, old) {
            self.target.give_up(old);
        }
    }
}

/// An inode with these attributes, without a name and empty.
fn fresh(like: &Inode, now: Timestamp) -> Inode {
    let owner = (like.uid, like.gid);
    let new = Inode::new(like.kind, like.perm, owner, Ino(0), now);
    Inode {
        nlink: 0,
        size: like.size,
        atime: like.atime,
        mtime: like.mtime,
        rdev: like.rdev,
        ..new
    }
}
