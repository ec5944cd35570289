//! Names and inodes that go: unlink, rmdir, and what is left of them.
//!
//! An inode that loses its last name becomes an orphan: marked, but whole, for whoever still has
//! it open. It is reaped when the kernel forgets it, or when the volume is opened again.

use std::ops::ControlFlow;

use crate::base::{Ino, Timestamp, Value};
use crate::volume::core::admission::Need;
use crate::volume::records::Inode;
use crate::volume::{Edit, FsError, FsResult, Request, Volume, keys};

use super::chain::Slot;
use super::inodes::{FolderDelta, change_folder, check_old_name, entry, load, load_folder, store};

/// Orphans that are reaped in one transaction.
const REAP_BATCH: usize = 256;

impl Volume {
    /// Removes a name of anything but a folder.
    ///
    /// Fails with NotFound, NotDirectory, IsDirectory, NameTooLong, Invalid.
    pub fn unlink(&self, request: &Request, parent: Ino, name: &[u8]) -> FsResult<()> {
        self.remove(request, parent, name, |ino, inode| {
            if inode.is_folder() {
                return Err(FsError::IsDirectory(ino));
            }
            Ok(())
        })
    }

    /// Removes an empty folder.
    ///
    /// Fails with NotFound, NotDirectory, NotEmpty, NameTooLong, Invalid.
    pub fn rmdir(&self, request: &Request, parent: Ino, name: &[u8]) -> FsResult<()> {
        self.remove(request, parent, name, |ino, inode| {
            if !inode.is_folder() {
                return Err(FsError::NotDirectory(ino));
            }
            check_empty(ino, inode)
        })
    }

    /// The kernel forgot the inode wholly: if it has no names it is reaped. Nothing happens for an
    /// inode of a state before a rollback, nor on a read-only volume.
    pub fn forget(&self, epoch: u16, ino: Ino) -> FsResult<()> {
        let request = Request {
            epoch: Some(epoch),
            ..Request::default()
        };
        if self.is_read_only() {
            return Ok(());
        }
        let ended = |result: FsResult<bool>| match result {
            Err(FsError::NotFound | FsError::Stale) => Ok(false),
            other => other,
        };
        // Nearly always there is nothing to do, and then nobody has to wait.
        let is_orphan = self.read(&request, |view| Ok(load(view, ino)?.nlink == 0));
        if !ended(is_orphan)? {
            return Ok(());
        }
        let reaped = self.update_with(Need::Little, &request, |edit| {
            let inode = load(edit, ino)?;
            if inode.nlink == 0 {
                reap(edit, ino, &inode);
            }
            Ok(true)
        });
        ended(reaped).map(|_| ())
    }

    /// Reaps all orphans: at open of a writable volume, when nobody can hold them. Returns how
    /// many there were. Nothing happens on a read-only volume.
    pub fn reap_orphans(&self) -> FsResult<u64> {
        if self.is_read_only() {
            return Ok(0);
        }
        let request = Request::default();
        let mut reaped = 0;
        loop {
            let orphans = self.orphans(&request, REAP_BATCH)?;
            if orphans.is_empty() {
                return Ok(reaped);
            }
            let keys: Vec<_> = orphans.iter().map(|ino| keys::inode(*ino)).collect();
            self.warm(&keys);
            self.update_with(Need::Little, &request, |edit| {
                let mut inodes = Vec::with_capacity(orphans.len());
                for ino in &orphans {
                    inodes.push(match load(edit, *ino) {
                        Ok(inode) => Some(inode),
                        Err(FsError::NotFound) => None,
                        Err(error) => return Err(error),
                    });
                }
                for (ino, inode) in orphans.iter().zip(&inodes) {
                    match inode {
                        Some(inode) if inode.nlink == 0 => reap(edit, *ino, inode),
                        // A mark without an orphan says nothing.
                        _ => edit.delete(keys::orphan(*ino)),
                    }
                }
                Ok(())
            })?;
            reaped += orphans.len() as u64;
        }
    }

    /// The first marked inodes.
    fn orphans(&self, request: &Request, most: usize) -> FsResult<Vec<Ino>> {
        let (from, to) = keys::orphans();
        let mut orphans = Vec::new();
        self.read(request, |view| {
            view.scan(&from, &to, &mut |key, _| {
                orphans.push(Ino(key.sub()));
                Ok(if orphans.len() < most {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                })
            })
        })?;
        Ok(orphans)
    }

    fn remove(
        &self,
        request: &Request,
        parent: Ino,
        name: &[u8],
        allowed: impl FnOnce(Ino, &Inode) -> FsResult<()>,
    ) -> FsResult<()> {
        check_old_name(name)?;
        self.warm_name(parent, name);
        self.update_with(Need::Little, request, |edit| {
            let now = self.now();
            let dirents = self.dirents();
            let folder = load_folder(edit, parent)?;
            let Slot::Taken { sub, value } = dirents.find(edit, parent, name)? else {
                return Err(FsError::NotFound);
            };
            let ino = entry(parent, &value.bytes)?.ino;
            let inode = load(edit, ino)?;
            allowed(ino, &inode)?;

            dirents.remove(edit, parent, sub)?;
            let delta = FolderDelta {
                entries: -1,
                subfolders: -i64::from(inode.is_folder()),
            };
            change_folder(edit, parent, folder, delta, now)?;
            drop_name(edit, ino, inode, now);
            Ok(())
        })
    }
}

/// Refuses a folder with entries.
pub(super) fn check_empty(ino: Ino, folder: &Inode) -> FsResult<()> {
    if folder.entries > 0 {
        return Err(FsError::NotEmpty(ino));
    }
    Ok(())
}

/// Takes one name from an inode; without names it is an orphan.
pub(super) fn drop_name(edit: &mut Edit<'_>, ino: Ino, mut inode: Inode, now: Timestamp) {
    inode.nlink = if inode.is_folder() {
        0
    } else {
        inode.nlink.saturating_sub(1)
    };
    inode.ctime = now;
    if inode.nlink == 0 {
        edit.put(keys::orphan(ino), Value::record([]));
    }
    store(edit, ino, &inode);
}

/// Removes everything of an orphan. A file of any size is one range.
fn reap(edit: &mut Edit<'_>, ino: Ino, inode: &Inode) {
    let (from, to) = keys::whole_inode(ino);
    edit.delete_range(from, to);
    edit.delete(keys::orphan(ino));
    edit.count(-(inode.blocks as i64), -1);
}
