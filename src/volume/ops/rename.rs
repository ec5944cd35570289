//! Rename in all its forms.

use crate::base::{DecodeError, Ino, Timestamp, Value};
use crate::volume::core::admission::Need;
use crate::volume::records::{Dirent, FileKind, Inode};
use crate::volume::{Edit, FsError, FsResult, Request, Volume};

use super::RenameMode;
use super::chain::Slot;
use super::create::NewPlace;
use super::inodes::{
    FolderDelta, State, change_folder, check_old_name, entry, load, load_folder, store,
};
use super::remove::{check_empty, drop_name};

/// Folders above one another that a walk to the root follows before it calls it a circle.
const DEPTH_MAX: u32 = 1 << 20;

/// A name in a folder, and the inode that it names.
struct Named {
    sub: u64,
    ino: Ino,
    inode: Inode,
}

/// One side of a rename: the folder, the name, and what it names.
struct Side<'a> {
    parent: Ino,
    name: &'a [u8],
    folder: Inode,
}

impl Volume {
    /// Moves a name. Nothing happens if both names are of one inode.
    ///
    /// Fails with NotFound, NotDirectory, IsDirectory, NotEmpty, Exists (NoReplace), Invalid (a
    /// folder into itself or below, `.`, `..`), NameTooLong.
    pub fn rename(
        &self,
        request: &Request,
        from: (Ino, &[u8]),
        to: (Ino, &[u8]),
        mode: RenameMode,
    ) -> FsResult<()> {
        check_old_name(from.1)?;
        check_old_name(to.1)?;
        self.warm_name(from.0, from.1);
        self.warm_name(to.0, to.1);
        self.update_with(Need::Little, request, |edit| {
            let from = side(edit, from)?;
            let to = side(edit, to)?;
            let Ok(source) = self.named(edit, &from)? else {
                return Err(FsError::NotFound);
            };
            match (self.named(edit, &to)?, mode) {
                (Ok(_), _) if mode.refuses_existing() => Err(FsError::Exists),
                (Err(_), RenameMode::Exchange) => Err(FsError::NotFound),
                (Ok(target), _) if target.ino == source.ino => Ok(()),
                (Ok(target), RenameMode::Exchange) => {
                    self.exchange(edit, (from, source), (to, target))
                }
                (target, _) => {
                    let whiteout = mode.leaves_whiteout().then_some(request);
                    self.replace(edit, (from, source), (to, target), whiteout)
                }
            }
        })
    }

    /// What a name names, or the sub-key at which it would lie.
    fn named(&self, state: &impl State, side: &Side<'_>) -> FsResult<Result<Named, u64>> {
        match self.dirents().find(state, side.parent, side.name)? {
            Slot::Free { sub } => Ok(Err(sub)),
            Slot::Taken { sub, value } => {
                let ino = entry(side.parent, &value.bytes)?.ino;
                let inode = load(state, ino)?;
                Ok(Ok(Named { sub, ino, inode }))
            }
        }
    }

    fn replace(
        &self,
        edit: &mut Edit<'_>,
        (from, mut source): (Side<'_>, Named),
        (to, target): (Side<'_>, Result<Named, u64>),
        whiteout: Option<&Request>,
    ) -> FsResult<()> {
        let now = self.now();
        let is_folder = i64::from(source.inode.is_folder());
        check_no_circle(edit, &source, to.parent)?;
        if let Ok(target) = &target {
            check_replaceable(&source, target)?;
        }
        let mut left = FolderDelta {
            entries: -1,
            subfolders: -is_folder,
        };
        let mut gained = FolderDelta {
            entries: 1,
            subfolders: is_folder,
        };

        // The new name first: it never moves, so the old one's chain can be mended around it.
        let sub = match &target {
            Ok(target) => target.sub,
            Err(sub) => *sub,
        };
        self.put_entry(edit, &to, sub, (source.ino, source.inode.kind));
        if let Ok(target) = target {
            gained.entries -= 1;
            gained.subfolders -= i64::from(target.inode.is_folder());
            drop_name(edit, target.ino, target.inode, now);
        }
        if let Some(request) = whiteout {
            left.entries += 1;
            self.put_whiteout(edit, request, &from, source.sub, now)?;
        } else {
            self.dirents().remove(edit, from.parent, source.sub)?;
        }
        moved(edit, &mut source, to.parent, now);
        change_folders(edit, (from, left), (to, gained), now)
    }

    fn exchange(
        &self,
        edit: &mut Edit<'_>,
        (from, mut source): (Side<'_>, Named),
        (to, mut target): (Side<'_>, Named),
    ) -> FsResult<()> {
        let now = self.now();
        check_no_circle(edit, &source, to.parent)?;
        check_no_circle(edit, &target, from.parent)?;
        let subfolders = i64::from(target.inode.is_folder()) - i64::from(source.inode.is_folder());
        let delta = |subfolders| FolderDelta {
            entries: 0,
            subfolders,
        };

        self.put_entry(edit, &to, target.sub, (source.ino, source.inode.kind));
        self.put_entry(edit, &from, source.sub, (target.ino, target.inode.kind));
        moved(edit, &mut source, to.parent, now);
        moved(edit, &mut target, from.parent, now);
        change_folders(
            edit,
            (from, delta(subfolders)),
            (to, delta(-subfolders)),
            now,
        )
    }

    fn put_entry(
        &self,
        edit: &mut Edit<'_>,
        side: &Side<'_>,
        sub: u64,
        (ino, kind): (Ino, FileKind),
    ) {
        let entry = Dirent {
            ino,
            kind,
            name: side.name,
        };
        let key = self.dirents().key(side.parent, sub);
        edit.put(key, Value::record(entry.encode()));
    }

    /// An overlay file system's mark for "removed here": a character device 0:0 without rights.
    fn put_whiteout(
        &self,
        edit: &mut Edit<'_>,
        request: &Request,
        side: &Side<'_>,
        sub: u64,
        now: Timestamp,
    ) -> FsResult<()> {
        let place = NewPlace {
            parent: side.parent,
            folder: side.folder.clone(),
            sub,
            now,
        };
        let inode = place.inode(request, FileKind::CharDevice, 0);
        let ino = edit.allocate_ino()?;
        store(edit, ino, &inode);
        edit.count(0, 1);
        self.put_entry(edit, side, sub, (ino, inode.kind));
        Ok(())
    }
}

fn side<'a>(state: &impl State, (parent, name): (Ino, &'a [u8])) -> FsResult<Side<'a>> {
    let folder = load_folder(state, parent)?;
    Ok(Side {
        parent,
        name,
        folder,
    })
}

fn check_replaceable(source: &Named, target: &Named) -> FsResult<()> {
    match (source.inode.is_folder(), target.inode.is_folder()) {
        (true, false) => Err(FsError::NotDirectory(target.ino)),
        (false, true) => Err(FsError::IsDirectory(target.ino)),
        (true, true) => check_empty(target.ino, &target.inode),
        (false, false) => Ok(()),
    }
}

/// Refuses to move a folder into itself or into what lies below it.
fn check_no_circle(state: &impl State, moving: &Named, into: Ino) -> FsResult<()> {
    if !moving.inode.is_folder() || moving.inode.parent == into {
        return Ok(());
    }
    let mut at = into;
    for _ in 0..DEPTH_MAX {
        if at == moving.ino {
            return Err(FsError::Invalid("a folder cannot move below itself"));
        }
        if at == Ino::ROOT {
            return Ok(());
        }
        at = load_folder(state, at)?.parent;
    }
    let source = DecodeError {
        what: "folder",
        offset: 0,
        problem: "the folders above it form a circle",
    };
    Err(FsError::Malformed { ino: into, source })
}

/// A moved inode has a new change time and is named in another folder.
fn moved(edit: &mut Edit<'_>, named: &mut Named, parent: Ino, now: Timestamp) {
    named.inode.ctime = now;
    named.inode.parent = parent;
    store(edit, named.ino, &named.inode);
}

/// Both folders change, or the one that both are.
fn change_folders(
    edit: &mut Edit<'_>,
    (from, left): (Side<'_>, FolderDelta),
    (to, gained): (Side<'_>, FolderDelta),
    now: Timestamp,
) -> FsResult<()> {
    if from.parent == to.parent {
        let delta = FolderDelta {
            entries: left.entries + gained.entries,
            subfolders: left.subfolders + gained.subfolders,
        };
        return change_folder(edit, from.parent, from.folder, delta, now);
    }
    change_folder(edit, from.parent, from.folder, left, now)?;
    change_folder(edit, to.parent, to.folder, gained, now)
}
