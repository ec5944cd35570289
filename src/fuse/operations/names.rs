//! Operations on names and attributes.

use super::place::Place;
use super::{Caller, Operations, Transport};
use crate::base::Ino;
use crate::fuse::errno::report;
use crate::fuse::node::{Lookups, NodeId, Realm};
use crate::fuse::owed;
use crate::volume::ops::{Attr, DirEntry, FileKind, NewNode, RenameMode, SetAttr, XattrMode};
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
            report("forget", &volume.label(), node, &error);
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
        if name == b"." {
            return self.lookup_self(caller, parent);
        }
        if let Some((browser, folder)) = self.folder(parent) {
            // An error, where others get a missing name to remember: it may be there next time.
            let request = caller.request(&[])?;
            return browser.lookup(&request, folder, name).map(Some);
        }
        let place = self.place(caller, parent)?;
        if !place.is_live() && parent.ino() == Ino::ROOT && name == b".." {
            // The volume would name itself.
            return Err(FsError::NotFound);
        }
        match place.volume().lookup(&place.request, parent.ino(), name) {
            Ok(attr) => Ok(Some(self.remember_at(&place, attr))),
            Err(FsError::NotFound) => {
                let entrance = self.entrance(&place.request, parent, name)?;
                Ok(entrance.map(|(browser, folder)| browser.attr(folder)))
            }
            Err(error) => Err(error),
        }
    }

    /// Finds an inode by its file handle (open_by_handle_at), of whatever kind it is.
    fn lookup_self(&self, caller: &Caller, node: NodeId) -> FsResult<Option<Attr>> {
        if let Some((browser, folder)) = self.folder(node) {
            return Ok(Some(browser.attr(folder)));
        }
        let place = self.place(caller, node)?;
        let attr = match place.volume().getattr(&place.request, node.ino()) {
            Ok(attr) => attr,
            Err(FsError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        if attr.nlink > 0 {
            return Ok(Some(self.remember_at(&place, attr)));
        }
        if !place.is_live() {
            return Ok(None);
        }
        // Without names and forgotten, it may be reaped at any moment.
        let is_known = self.lookups.add_if_known(node);
        Ok(is_known.then(|| self.shown(attr)))
    }

    /// Takes references back. The volume's part is done on another thread: reaping is a commit.
    pub(crate) fn forget(&self, node: NodeId, references: u64) {
        match (node.realm(), &self.browser) {
            (Realm::Live, _) if node == NodeId::ROOT => {}
            (Realm::Live, _) => {
                if self.lookups.remove(node, references) {
                    self.owed.forgotten(node);
                    self.forgotten.submit(node);
                }
            }
            (Realm::View(number), Some(browser)) => {
                browser.views().forget(number, node.ino(), references);
            }
            (Realm::Entrance | Realm::View(_), _) => {}
        }
    }

    pub(crate) fn getattr(&self, caller: &Caller, node: NodeId) -> FsResult<Attr> {
        if let Some((browser, folder)) = self.folder(node) {
            return Ok(browser.attr(folder));
        }
        let place = self.place(caller, node)?;
        let attr = place.volume().getattr(&place.request, node.ino())?;
        Ok(self.shown_at(&place, attr))
    }

    pub(crate) fn setattr(&self, caller: &Caller, node: NodeId, set: &SetAttr) -> FsResult<Attr> {
        let request = self.change(caller, &[node])?;
        if set.ctime.is_some() {
            self.owed.told(node);
        }
        let attr = self.volume.setattr(&request, node.ino(), set)?;
        Ok(self.shown(attr))
    }

    pub(crate) fn readlink(&self, caller: &Caller, node: NodeId) -> FsResult<Vec<u8>> {
        let place = self.place(caller, node)?;
        let target = place.volume().readlink(&place.request, node.ino())?;
        self.accessed(&place, node);
        Ok(target)
    }

    /// A link was followed or a folder listed.
    fn accessed(&self, place: &Place<'_>, node: NodeId) {
        if self.counts_accesses && place.is_live() {
            self.volume.accessed(&place.request, node.ino());
        }
    }

    pub(crate) fn make(
        &self,
        caller: &Caller,
        parent: NodeId,
        name: &[u8],
        new: &NewNode,
    ) -> FsResult<Attr> {
        let request = self.change(caller, &[parent])?;
        self.check_new(&request, parent, name)?;
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
        let request = self.change(caller, &[parent])?;
        self.check_new(&request, parent, name)?;
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
        let request = self.change(caller, &[node, parent])?;
        self.check_new(&request, parent, name)?;
        let linked = self.volume.link(&request, node.ino(), parent.ino(), name)?;
        self.owe(&linked, None);
        Ok(self.remember(linked))
    }

    pub(crate) fn unlink(&self, caller: &Caller, parent: NodeId, name: &[u8]) -> FsResult<()> {
        let request = self.change(caller, &[parent])?;
        self.check_old(&request, parent, name)?;
        let named = self.owing(&request, parent, name);
        self.volume.unlink(&request, parent.ino(), name)?;
        // One without names is opened by nobody any more.
        if let Some(attr) = named.filter(|attr| attr.nlink > 1) {
            self.owe(&attr, None);
        }
        Ok(())
    }

    pub(crate) fn rmdir(&self, caller: &Caller, parent: NodeId, name: &[u8]) -> FsResult<()> {
        let request = self.change(caller, &[parent])?;
        self.check_old(&request, parent, name)?;
        self.volume.rmdir(&request, parent.ino(), name)
    }

    pub(crate) fn rename(
        &self,
        caller: &Caller,
        from: (NodeId, &[u8]),
        to: (NodeId, &[u8]),
        mode: RenameMode,
    ) -> FsResult<()> {
        let request = self.change(caller, &[from.0, to.0])?;
        self.check_old(&request, from.0, from.1)?;
        self.check_new(&request, to.0, to.1)?;
        self.volume
            .rename(&request, (from.0.ino(), from.1), (to.0.ino(), to.1), mode)?;
        let places = match mode {
            RenameMode::Exchange => [Some(to), Some(from)],
            _ => [Some(to), None],
        };
        for (folder, name) in places.into_iter().flatten() {
            if let Some(attr) = self.owing(&request, folder, name) {
                self.owe(&attr, Some((folder, name)));
            }
        }
        Ok(())
    }

    /// What a name names, if the kernel keeps times.
    fn owing(&self, request: &Request, folder: NodeId, name: &[u8]) -> Option<Attr> {
        if !self.owed.is_kept() {
            return None;
        }
        self.volume.lookup(request, folder.ino(), name).ok()
    }

    /// The kernel will tell the times of a file that was changed; `place`: where it was moved to.
    fn owe(&self, attr: &Attr, place: Option<(NodeId, &[u8])>) {
        if self.owed.is_kept() && attr.kind == FileKind::Regular {
            let place = place.map(|(folder, name)| owed::Place {
                folder,
                name: name.into(),
            });
            self.owed.changed(NodeId::of(attr), place);
        }
    }

    /// As [`Self::owe`], for a node whose extended attributes have changed.
    fn owe_of(&self, request: &Request, node: NodeId) {
        if self.owed.is_kept()
            && let Ok(attr) = self.volume.getattr(request, node.ino())
        {
            self.owe(&attr, None);
        }
    }

    /// Entries behind `cookie`, while `add` says that they fit.
    pub(crate) fn readdir(
        &self,
        caller: &Caller,
        folder: NodeId,
        cookie: u64,
        add: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> FsResult<()> {
        if let Some((browser, folder)) = self.folder(folder) {
            browser.readdir(folder, cookie, add);
            return Ok(());
        }
        let place = self.place(caller, folder)?;
        let mut visit = |entry: &DirEntry<'_>| add(&place.mark_entry(folder.ino(), entry));
        let volume = place.volume();
        volume.readdir(&place.request, folder.ino(), cookie, &mut visit)?;
        self.accessed(&place, folder);
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
        if let Some((browser, folder)) = self.folder(folder) {
            return browser.readdir_plus(folder, cookie, add);
        }
        let place = self.place(caller, folder)?;
        let mut added = false;
        let mut visit = |entry: &DirEntry<'_>, attr: &Attr| {
            let entry = place.mark_entry(folder.ino(), entry);
            let mut shown = self.shown_at(&place, *attr);
            // The parent of a snapshot's root is none of its volume.
            (shown.ino, shown.epoch) = (entry.ino, entry.epoch);
            let fits = add(&entry, &shown);
            added |= fits;
            if fits && entry.name != b"." && entry.name != b".." {
                self.count(&place, attr);
            }
            fits
        };
        let volume = place.volume();
        let listed = volume.readdir_plus(&place.request, folder.ino(), cookie, &mut visit);
        match listed {
            // The references given must reach the kernel; the error comes with the next call.
            Err(_) if added => {}
            outcome => outcome?,
        }
        self.accessed(&place, folder);
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
        let request = self.change(caller, &[node])?;
        self.volume
            .setxattr(&request, node.ino(), name, value, mode)?;
        self.owe_of(&request, node);
        Ok(())
    }

    pub(crate) fn getxattr(&self, caller: &Caller, node: NodeId, name: &[u8]) -> FsResult<Vec<u8>> {
        if self.folder(node).is_some() {
            return Err(FsError::NoAttribute);
        }
        let place = self.place(caller, node)?;
        place.volume().getxattr(&place.request, node.ino(), name)
    }

    pub(crate) fn listxattr(&self, caller: &Caller, node: NodeId) -> FsResult<Vec<u8>> {
        if self.folder(node).is_some() {
            return Ok(Vec::new());
        }
        let place = self.place(caller, node)?;
        place.volume().listxattr(&place.request, node.ino())
    }

    pub(crate) fn removexattr(&self, caller: &Caller, node: NodeId, name: &[u8]) -> FsResult<()> {
        let request = self.change(caller, &[node])?;
        self.volume.removexattr(&request, node.ino(), name)?;
        self.owe_of(&request, node);
        Ok(())
    }
}
