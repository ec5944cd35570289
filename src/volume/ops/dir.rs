//! Listings.
//!
//! A folder is listed in the order of its entries' sub-keys, which never change: a listing that is
//! continued at a cookie sees each entry that is there throughout exactly once, whatever else
//! happens to the folder.

use std::ops::ControlFlow;

use crate::base::Ino;
use crate::volume::records::{Dirent, FileKind};
use crate::volume::{FsError, FsResult, Request, View, Volume, keys};

use super::chain;
use super::inodes::{load, load_folder};
use super::{Attr, DirEntry};

const DOT: u64 = 1;
const DOT_DOT: u64 = 2;
const _: () = assert!(DOT_DOT < chain::FIRST);

impl Volume {
    /// Entries behind `cookie` (0: from the start, `.` and `..` first) until `visit` says false.
    ///
    /// Fails with NotFound (also a removed folder), NotDirectory.
    pub fn readdir(
        &self,
        request: &Request,
        folder: Ino,
        cookie: u64,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> FsResult<()> {
        self.read(request, |view| {
            list(view, folder, cookie, &mut |entry| Ok(visit(entry)))
        })
    }

    /// As `readdir`, with attributes.
    pub fn readdir_plus(
        &self,
        request: &Request,
        folder: Ino,
        cookie: u64,
        visit: &mut dyn FnMut(&DirEntry<'_>, &Attr) -> bool,
    ) -> FsResult<()> {
        self.read(request, |view| {
            list(view, folder, cookie, &mut |entry| {
                let attr = Attr::of(view, entry.ino, &load(view, entry.ino)?);
                Ok(visit(entry, &attr))
            })
        })
    }
}

fn list(
    view: &View<'_>,
    folder: Ino,
    cookie: u64,
    visit: &mut dyn FnMut(&DirEntry<'_>) -> FsResult<bool>,
) -> FsResult<()> {
    let parent = load_folder(view, folder)?.parent;
    let epoch = view.epoch();
    let dots: [(u64, Ino, &[u8]); 2] = [(DOT, folder, b"."), (DOT_DOT, parent, b"..")];
    for (own, ino, name) in dots {
        let entry = DirEntry {
            ino,
            epoch,
            kind: FileKind::Directory,
            name,
            cookie: own,
        };
        if cookie < own && !visit(&entry)? {
            return Ok(());
        }
    }
    let from = keys::dirent(folder, cookie.saturating_add(1).max(chain::FIRST));
    let (_, to) = keys::all(folder, keys::DIRENT);
    view.scan(&from, &to, &mut |key, value| {
        let decoded = Dirent::decode(&value.bytes);
        let malformed = |source| FsError::Malformed {
            ino: folder,
            source,
        };
        let Some(dirent) = decoded.map_err(malformed)? else {
            return Ok(ControlFlow::Continue(()));
        };
        let entry = DirEntry {
            ino: dirent.ino,
            epoch,
            kind: dirent.kind,
            name: dirent.name,
            cookie: key.sub(),
        };
        Ok(if visit(&entry)? {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        })
    })
}
