//! Snapshots of a mounted volume, seen through its own mount: `.volfs/snapshots/NAME`.
//!
//! ```text
//! MOUNT             the live volume                    node: its epoch, inode 1
//!   .volfs          in no volume, in no listing        Realm::Entrance, inode 1
//!     snapshots     one folder for each snapshot       Realm::Entrance, inode 2
//!       NAME        root of the snapshot               Realm::View(number), inode 1
//! ```
//!
//! What is below NAME is served by a volume of its own, the snapshot's, as a *view*: opened when
//! somebody looks NAME up, and given up when the kernel has forgotten all its nodes (`views`).
//! Snapshots never change, so that the kernel may believe for ever what it was told of one. They
//! come and go, however: the names of the three folders above are believed for no time at all, and
//! the kernel asks for them at every step through them. The listing of `snapshots` it keeps as
//! long as the folder's mtime stays, which moves with every snapshot that comes or goes.

#[cfg(test)]
mod tests;
mod views;

use std::sync::Arc;

use parking_lot::Mutex;

pub(crate) use self::views::{View, Views};
use super::node::{NodeId, Realm};
use crate::base::{Ino, SnapshotId, SnapshotName, Timestamp};
use crate::volume::ops::{Attr, DirEntry, FileKind};
use crate::volume::{FsError, FsResult, Request, Volume};

/// The name in the root of a volume that leads to its snapshots. A file of that name that the
/// volume has of its own goes first.
pub const ENTRANCE: &str = ".volfs";

const SNAPSHOTS: &[u8] = b"snapshots";

/// Cookies of a listing; those of snapshots follow, by their numbers.
const DOT: u64 = 1;
const DOT_DOT: u64 = 2;
const FIRST: u64 = 2;

/// A snapshot as it is known by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Its number, which no other snapshot of the pool has ever had.
    pub id: SnapshotId,
    /// Its name within the volume.
    pub name: SnapshotName,
    /// When it was taken.
    pub created: Timestamp,
}

/// The snapshots of one volume, from whoever has them. Called by threads that serve the mount:
/// nothing here may wait for it.
pub trait Snapshots: Send + Sync + 'static {
    /// How many there are, and the number of the newest: changes with each that comes or goes.
    fn count(&self) -> (usize, Option<SnapshotId>);
    /// All of them, in any order.
    fn list(&self) -> Vec<Snapshot>;
    /// The one that has this name now.
    fn find(&self, name: &SnapshotName) -> Option<Snapshot>;
    /// Opens a snapshot; none if it is gone.
    fn open(&self, snapshot: &Snapshot) -> Option<Arc<Volume>>;
}

/// The two folders that are in no volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Folder {
    /// `.volfs`
    Entrance,
    /// `.volfs/snapshots`
    Snapshots,
}

impl Folder {
    /// None for nodes of volumes.
    pub(crate) fn of(node: NodeId) -> Option<Folder> {
        match (node.realm(), node.ino()) {
            (Realm::Entrance, Ino(1)) => Some(Folder::Entrance),
            (Realm::Entrance, Ino(2)) => Some(Folder::Snapshots),
            _ => None,
        }
    }

    pub(crate) fn node(self) -> NodeId {
        NodeId::new(Realm::Entrance.bits(), self.ino())
    }

    fn ino(self) -> Ino {
        match self {
            Folder::Entrance => Ino(1),
            Folder::Snapshots => Ino(2),
        }
    }
}

/// Whether what is known of this node's name may change behind the kernel's back.
pub(crate) fn is_fleeting(node: NodeId) -> bool {
    match node.realm() {
        Realm::Live => false,
        Realm::Entrance => true,
        Realm::View(_) => node.ino() == Ino::ROOT,
    }
}

/// What one mount shows of the snapshots of its volume.
pub(crate) struct Browser {
    snapshots: Arc<dyn Snapshots>,
    live: Arc<Volume>,
    views: Views,
    listing: Mutex<Listing>,
}

/// What `snapshots` was when somebody last looked.
struct Listing {
    count: (usize, Option<SnapshotId>),
    changed: Timestamp,
}

impl Browser {
    pub(crate) fn new(snapshots: Arc<dyn Snapshots>, live: Arc<Volume>) -> Browser {
        let listing = Listing {
            count: snapshots.count(),
            changed: live.now(),
        };
        Browser {
            snapshots,
            live,
            views: Views::default(),
            listing: Mutex::new(listing),
        }
    }

    pub(crate) fn views(&self) -> &Views {
        &self.views
    }

    pub(crate) fn attr(&self, folder: Folder) -> Attr {
        let (count, changed) = self.listing();
        let entries = match folder {
            Folder::Entrance => 1,
            Folder::Snapshots => count as u64,
        };
        self.folder(Realm::Entrance, folder.ino(), entries, changed)
    }

    /// A folder that anybody may look into and nobody may change.
    fn folder(&self, realm: Realm, ino: Ino, folders: u64, time: Timestamp) -> Attr {
        Attr {
            ino,
            epoch: realm.bits(),
            generation: 0,
            kind: FileKind::Directory,
            perm: 0o555,
            nlink: u32::try_from(2 + folders).unwrap_or(u32::MAX),
            uid: 0,
            gid: 0,
            size: folders,
            blocks_512: 0,
            rdev: 0,
            atime: time,
            mtime: time,
            ctime: time,
            block_size: self.live.block_size(),
        }
    }

    /// How many snapshots there are, and when that has changed last.
    fn listing(&self) -> (usize, Timestamp) {
        let count = self.snapshots.count();
        let mut listing = self.listing.lock();
        if listing.count != count {
            listing.count = count;
            // Two changes within a tick of the clock are two, or the kernel keeps the listing.
            listing.changed = self.live.now().max(just_after(listing.changed));
        }
        (listing.count.0, listing.changed)
    }

    /// A name in one of the folders. What it gives of a snapshot is a reference to its root.
    pub(crate) fn lookup(&self, request: &Request, folder: Folder, name: &[u8]) -> FsResult<Attr> {
        match folder {
            Folder::Entrance if name == SNAPSHOTS => Ok(self.attr(Folder::Snapshots)),
            Folder::Entrance => Err(FsError::NotFound),
            Folder::Snapshots => {
                let name = std::str::from_utf8(name).ok();
                let name = name.and_then(|name| name.parse().ok());
                let snapshot = name.and_then(|name| self.snapshots.find(&name));
                let view = self.enter(&snapshot.ok_or(FsError::NotFound)?)?;
                let root = view.volume().getattr(request, Ino::ROOT);
                if root.is_err() {
                    self.views.forget(view.number(), Ino::ROOT, 1);
                }
                Ok(view.mark(root?))
            }
        }
    }

    /// The view of a snapshot, with one more reference to its root.
    fn enter(&self, snapshot: &Snapshot) -> FsResult<Arc<View>> {
        if let Some(view) = self.views.enter(snapshot.id) {
            return Ok(view);
        }
        let volume = self.snapshots.open(snapshot).ok_or(FsError::NotFound)?;
        let view = self.views.admit(snapshot, volume)?;
        // Who removes a snapshot closes its view, and may have done so before there was one.
        let found = self.snapshots.find(&snapshot.name);
        if found.is_none_or(|found| found.id != snapshot.id) {
            self.views.close(snapshot.id);
            self.views.forget(view.number(), Ino::ROOT, 1);
            return Err(FsError::NotFound);
        }
        log::debug!("somebody looks into '{}'", view.volume().label());
        Ok(view)
    }

    /// As [`Volume::readdir`].
    pub(crate) fn readdir(
        &self,
        folder: Folder,
        cookie: u64,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) {
        if !dots(folder, cookie, visit) {
            return;
        }
        match folder {
            Folder::Entrance if cookie <= FIRST => {
                visit(&entry(Folder::Snapshots.node(), SNAPSHOTS, FIRST + 1));
            }
            Folder::Entrance => {}
            Folder::Snapshots => {
                for snapshot in self.behind(cookie) {
                    let node = self.views.root_of(snapshot.id);
                    if !visit(&snapshot_entry(&snapshot, node)) {
                        return;
                    }
                }
            }
        }
    }

    /// As [`Volume::readdir_plus`]; each snapshot is a reference to its root. Roots are not read
    /// for that: the kernel believes none of these attributes, and asks when it needs them.
    pub(crate) fn readdir_plus(
        &self,
        folder: Folder,
        cookie: u64,
        visit: &mut dyn FnMut(&DirEntry<'_>, &Attr) -> bool,
    ) -> FsResult<()> {
        let own = self.attr(folder);
        let mut visit_dot = |dot: &DirEntry<'_>| {
            let attr = Attr {
                ino: dot.ino,
                epoch: dot.epoch,
                ..own
            };
            visit(dot, &attr)
        };
        if !dots(folder, cookie, &mut visit_dot) {
            return Ok(());
        }
        match folder {
            Folder::Entrance if cookie <= FIRST => {
                let attr = self.attr(Folder::Snapshots);
                visit(&entry(NodeId::of(&attr), SNAPSHOTS, FIRST + 1), &attr);
            }
            Folder::Entrance => {}
            Folder::Snapshots => {
                let mut added = false;
                for snapshot in self.behind(cookie) {
                    let view = match self.enter(&snapshot) {
                        Ok(view) => view,
                        // It is gone meanwhile.
                        Err(FsError::NotFound) => continue,
                        // What was given must reach the kernel; the error comes with the next call.
                        Err(_) if added => return Ok(()),
                        Err(error) => return Err(error),
                    };
                    let realm = Realm::View(view.number());
                    let attr = self.folder(realm, Ino::ROOT, 0, snapshot.created);
                    let attr = view.mark(attr);
                    if !visit(&snapshot_entry(&snapshot, NodeId::of(&attr)), &attr) {
                        self.views.forget(view.number(), Ino::ROOT, 1);
                        return Ok(());
                    }
                    added = true;
                }
            }
        }
        Ok(())
    }

    /// Snapshots that a listing has behind a cookie, by age.
    fn behind(&self, cookie: u64) -> Vec<Snapshot> {
        let mut list = self.snapshots.list();
        list.retain(|snapshot| cookie_of(snapshot) > cookie);
        list.sort_unstable_by_key(|snapshot| snapshot.id);
        list
    }
}

fn cookie_of(snapshot: &Snapshot) -> u64 {
    FIRST.saturating_add(snapshot.id.0)
}

fn entry(node: NodeId, name: &[u8], cookie: u64) -> DirEntry<'_> {
    DirEntry {
        ino: node.ino(),
        epoch: node.epoch().unwrap_or_default(),
        kind: FileKind::Directory,
        name,
        cookie,
    }
}

fn snapshot_entry(snapshot: &Snapshot, node: NodeId) -> DirEntry<'_> {
    entry(node, snapshot.name.as_str().as_bytes(), cookie_of(snapshot))
}

/// `.` and `..` where they are behind the cookie; false when `visit` has had enough.
fn dots(folder: Folder, cookie: u64, visit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> bool {
    let parent = match folder {
        Folder::Entrance => NodeId::ROOT,
        Folder::Snapshots => Folder::Entrance.node(),
    };
    let dots: [(u64, NodeId, &[u8]); 2] = [(DOT, folder.node(), b"."), (DOT_DOT, parent, b"..")];
    dots.into_iter()
        .filter(|(own, ..)| cookie < *own)
        .all(|(own, node, name)| visit(&entry(node, name, own)))
}

fn just_after(time: Timestamp) -> Timestamp {
    match time.nanos {
        999_999_999.. => Timestamp {
            secs: time.secs.saturating_add(1),
            nanos: 0,
        },
        nanos => Timestamp {
            nanos: nanos + 1,
            ..time
        },
    }
}
