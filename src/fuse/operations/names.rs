//! Operations on names and attributes.

use super::{Caller, Operations, Transport};
use crate::fuse::errno::report;
use crate::fuse::node::{Lookups, NodeId};
use crate::volume::ops::{Attr, DirEntry, NewNode, RenameMode, SetAttr, XattrMode};
use crate::volume::{FsError, FsResult, Request, Volume};

/// Tells the volume that the kernel has forgotten a node, which reaps it if it has no names.
pub(super) fn reap(volume: &Volume, lookups: &Lookups, node: NodeId) {
    // The kernel may have looked a file with names up again; one without cannot come back.
    if lookups.is_known(node) {
        return;
    }
    let Some(epoch) = node.epoch() else { return };
    match volume.forget(epoch, node.ino()) {
        // After a rollback there is nothing to reap in the state that was left.
        Ok(()) | Err(FsError::Stale) => {}
        Err(error) => {
            report("forget", volume.label(), node, &error);
        }
    }
}

impl<T: Transport> Operations<T> {
    /// None if there is no such name.
    pub(crate) fn lookup(
        &self,
        caller: &Caller,
        parent: NodeId,
        name: &[u8],
    ) -> FsResult<Option<Attr>> {
        let request = caller.request(&[parent])?;
        if name == b"." {
            return self.lookup_self(caller, parent);
        }
        match self.volume.lookup(&request, parent.ino(), name) {
            Ok(attr) => Ok(Some(self.remember(attr))),
            Err(FsError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Finds an inode by its file handle (open_by_handle_at), of whatever kind it is.
    fn lookup_self(&self, caller: &Caller, node: NodeId) -> FsResult<Option<Attr>> {
        let attr = match self.volume.getattr(&caller.request(&[node])?, node.ino()) {
            Ok(attr) => attr,
            Err(FsError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        if attr.nlink > 0 {
            return Ok(Some(self.remember(attr)));
        }
        // Without names and forgotten, it may be reaped at any moment.
        let is_known = self.lookups.add_if_known(node);
        Ok(is_known.then(|| self.shown(attr)))
    }

    /// Takes references back. The volume's part is done on another thread: reaping is a commit.
    pub(crate) fn forget(&self, node: NodeId, references: u64) {
        if node != NodeId::ROOT && self.lookups.remove(node, references) {
            self.forgotten.submit(node);
        }
    }

    pub(crate) fn getattr(&self, caller: &Caller, node: NodeId) -> FsResult<Attr> {
        let attr = self.volume.getattr(&caller.request(&[node])?, node.ino())?;
        Ok(self.shown(attr))
    }

    pub(crate) fn setattr(&self, caller: &Caller, node: NodeId, set: &SetAttr) -> FsResult<Attr> {
        let request = caller.request(&[node])?;
        let attr = self.volume.setattr(&request, node.ino(), set)?;
        Ok(self.shown(attr))
    }

    pub(crate) fn readlink(&self, caller: &Caller, node: NodeId) -> FsResult<Vec<u8>> {
        let request = caller.request(&[node])?;
        let target = self.volume.readlink(&request, node.ino())?;
        self.accessed(&request, node);
        Ok(target)
    }

    /// A link was followed or a folder listed.
    fn accessed(&self, request: &Request, node: NodeId) {
        if self.counts_accesses {
            self.volume.accessed(request, node.ino());
        }
    }

    pub(crate) fn make(
        &self,
        caller: &Caller,
        parent: NodeId,
        name: &[u8],
        new: &NewNode,
    ) -> FsResult<Attr> {
        let request = caller.request(&[parent])?;
        self.volume
            .create(&request, parent.ino(), name, new)
            .map(|attr| self.remember(attr))
    }

    pub(crate) fn symlink(
        &self,
        caller: &Caller,
        parent: NodeId,
        name: &[u8],
        target: &[u8],
    ) -> FsResult<Attr> {
        let request = caller.request(&[parent])?;
        self.volume
            .symlink(&request, parent.ino(), name, target)
            .map(|attr| self.remember(attr))
    }

    pub(crate) fn link(
        &self,
        caller: &Caller,
        node: NodeId,
        parent: NodeId,
        name: &[u8],
    ) -> FsResult<Attr> {
        let request = caller.request(&[node, parent])?;
        let linked = self.volume.link(&request, node.ino(), parent.ino(), name);
        linked.map(|attr| self.remember(attr))
    }

    pub(crate) fn unlink(&self, caller: &Caller, parent: NodeId, name: &[u8]) -> FsResult<()> {
        self.volume
            .unlink(&caller.request(&[parent])?, parent.ino(), name)
    }

    pub(crate) fn rmdir(&self, caller: &Caller, parent: NodeId, name: &[u8]) -> FsResult<()> {
        self.volume
            .rmdir(&caller.request(&[parent])?, parent.ino(), name)
    }

    pub(crate) fn rename(
        &self,
        caller: &Caller,
        from: (NodeId, &[u8]),
        to: (NodeId, &[u8]),
        mode: RenameMode,
    ) -> FsResult<()> {
        let request = caller.request(&[from.0, to.0])?;
        self.volume
            .rename(&request, (from.0.ino(), from.1), (to.0.ino(), to.1), mode)
    }

    /// Entries behind `cookie`, while `add` says that they fit.
    pub(crate) fn readdir(
        &self,
        caller: &Caller,
        folder: NodeId,
        cookie: u64,
        add: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> FsResult<()> {
        let request = caller.request(&[folder])?;
        self.volume.readdir(&request, folder.ino(), cookie, add)?;
        self.accessed(&request, folder);
        Ok(())
    }

    /// As `readdir`, with attributes. Each entry but `.` and `..` is a reference to its node.
    pub(crate) fn readdir_plus(
        &self,
        caller: &Caller,
        folder: NodeId,
        cookie: u64,
        add: &mut dyn FnMut(&DirEntry<'_>, &Attr) -> bool,
    ) -> FsResult<()> {
        let request = caller.request(&[folder])?;
        let mut added = false;
        let mut visit = |entry: &DirEntry<'_>, attr: &Attr| {
            let fits = add(entry, &self.shown(*attr));
            added |= fits;
            if fits && entry.name != b"." && entry.name != b".." {
                self.lookups.add(NodeId::of(attr));
            }
            fits
        };
        let listed = self
            .volume
            .readdir_plus(&request, folder.ino(), cookie, &mut visit);
        match listed {
            // The references given must reach the kernel; the error comes with the next call.
            Err(_) if added => {}
            outcome => outcome?,
        }
        self.accessed(&request, folder);
        Ok(())
    }

    pub(crate) fn setxattr(
        &self,
        caller: &Caller,
        node: NodeId,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
    ) -> FsResult<()> {
        self.volume
            .setxattr(&caller.request(&[node])?, node.ino(), name, value, mode)
    }

    pub(crate) fn getxattr(&self, caller: &Caller, node: NodeId, name: &[u8]) -> FsResult<Vec<u8>> {
        self.volume
            .getxattr(&caller.request(&[node])?, node.ino(), name)
    }

    pub(crate) fn listxattr(&self, caller: &Caller, node: NodeId) -> FsResult<Vec<u8>> {
        self.volume.listxattr(&caller.request(&[node])?, node.ino())
    }

    pub(crate) fn removexattr(&self, caller: &Caller, node: NodeId, name: &[u8]) -> FsResult<()> {
        self.volume
            .removexattr(&caller.request(&[node])?, node.ino(), name)
    }
}
