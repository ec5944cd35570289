//! Which state a request is about: that of the live volume, or of a snapshot seen through it.

use std::sync::Arc;

use super::{Caller, Operations, Transport};
use crate::base::Ino;
use crate::fuse::browse::{Browser, ENTRANCE, Folder, View};
use crate::fuse::node::{NodeId, Realm};
use crate::volume::ops::{Attr, DirEntry};
use crate::volume::{FsError, FsResult, Request, Volume};

/// A state to read, and the request to it.
pub(super) struct Place<'a> {
    pub(super) request: Request,
    live: &'a Arc<Volume>,
    /// None: the live volume.
    pub(super) view: Option<Arc<View>>,
}

impl Place<'_> {
    pub(super) fn volume(&self) -> &Volume {
        match &self.view {
            None => self.live,
            Some(view) => view.volume(),
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.view.is_none()
    }

    /// An entry of `folder` as the mount shows it.
    pub(super) fn mark_entry<'a>(&self, folder: Ino, entry: &DirEntry<'a>) -> DirEntry<'a> {
        match &self.view {
            None => *entry,
            Some(view) => view.mark_entry(folder, *entry),
        }
    }
}

impl<T: Transport> Operations<T> {
    /// The state that a node is of. Folders that are in no volume have none: they have been dealt
    /// with before, where a request on a folder means anything.
    pub(super) fn place(&self, caller: &Caller, node: NodeId) -> FsResult<Place<'_>> {
        let (request, view) = match node.realm() {
            Realm::Live => (caller.request(&[node])?, None),
            Realm::Entrance => return Err(FsError::IsDirectory(node.ino())),
            Realm::View(number) => (caller.request(&[])?, Some(self.view(number)?)),
        };
        Ok(Place {
            request,
            live: &self.volume,
            view,
        })
    }

    fn view(&self, number: u16) -> FsResult<Arc<View>> {
        let browser = self.browser.as_ref().ok_or(FsError::Stale)?;
        browser.views().get(number)
    }

    /// The request for a change of these nodes: refused unless all of them are live.
    pub(super) fn change(&self, caller: &Caller, nodes: &[NodeId]) -> FsResult<Request> {
        if nodes.iter().all(|node| node.is_live()) {
            return caller.request(nodes);
        }
        // What is gone is gone, before it is anything else.
        for node in nodes {
            if let Realm::View(number) = node.realm() {
                self.view(number)?;
            }
        }
        let is_one = nodes.windows(2).all(|two| two[0].realm() == two[1].realm());
        Err(match is_one {
            true => FsError::ReadOnly,
            false => FsError::OtherVolume,
        })
    }

    /// The folder in no volume that a node is, with whoever knows what is in it.
    pub(super) fn folder(&self, node: NodeId) -> Option<(&Browser, Folder)> {
        Some((self.browser.as_deref()?, Folder::of(node)?))
    }

    /// As [`Operations::folder`], for a name that leads to one: if the volume has no file of this
    /// name.
    pub(super) fn entrance(
        &self,
        request: &Request,
        parent: NodeId,
        name: &[u8],
    ) -> FsResult<Option<(&Browser, Folder)>> {
        let Some(browser) = self.browser.as_deref() else {
            return Ok(None);
        };
        if parent != NodeId::ROOT || name != ENTRANCE.as_bytes() {
            return Ok(None);
        }
        match self.volume.lookup(request, Ino::ROOT, name) {
            Ok(_) => Ok(None),
            Err(FsError::NotFound) => Ok(Some((browser, Folder::Entrance))),
            Err(error) => Err(error),
        }
    }

    /// Refuses to make a name that leads to the snapshots.
    pub(super) fn check_new(&self, request: &Request, parent: NodeId, name: &[u8]) -> FsResult<()> {
        match self.entrance(request, parent, name)? {
            None => Ok(()),
            Some(_) => Err(FsError::Exists),
        }
    }

    /// Refuses to take such a name away.
    pub(super) fn check_old(&self, request: &Request, parent: NodeId, name: &[u8]) -> FsResult<()> {
        match self.entrance(request, parent, name)? {
            None => Ok(()),
            Some(_) => Err(FsError::NotPermitted),
        }
    }

    /// Gives a reference to the node to the kernel, with the attributes that name it.
    pub(super) fn remember_at(&self, place: &Place<'_>, attr: Attr) -> Attr {
        self.count(place, &attr);
        self.shown_at(place, attr)
    }

    /// Counts a reference to a node that the kernel is given.
    pub(super) fn count(&self, place: &Place<'_>, attr: &Attr) {
        match (&place.view, self.browser.as_deref()) {
            (Some(view), Some(browser)) => browser.views().add(view.number(), attr.ino),
            _ => self.lookups.add(NodeId::of(attr), attr.kind),
        }
    }

    /// The attributes as the kernel is told them.
    pub(super) fn shown_at(&self, place: &Place<'_>, attr: Attr) -> Attr {
        match &place.view {
            None => self.shown(attr),
            Some(view) => view.mark(attr),
        }
    }
}
