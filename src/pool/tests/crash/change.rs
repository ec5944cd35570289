//! Changes of a volume's files: what they do to the model, and to a volume.

use std::fmt;

use super::super::WHO;
use super::tree::{Content, Outcome, Tree, split};
use crate::base::{Ino, Timestamp};
use crate::volume::ops::XattrMode;
use crate::volume::ops::{AllocateMode, FileKind, NewNode, RenameMode};
use crate::volume::ops::{SetAttr, SetTime, WriteMode};
use crate::volume::{FsError, FsResult, Volume};

/// Bytes of a block of these volumes.
pub(super) const BLOCK: u64 = 4096;

/// A change of files.
#[derive(Clone)]
pub(super) enum Change {
    Create(String),
    Folder(String),
    Symlink(String, String),
    Link(String, String),
    Remove(String),
    RemoveFolder(String),
    Rename(String, String),
    Exchange(String, String),
    /// Refused if the new name exists.
    RenameNew(String, String),
    /// Leaves a whiteout at the old name.
    RenameAway(String, String),
    /// A pipe or a device with its number.
    Special(String, FileKind, u32),
    Write(String, u64, Vec<u8>),
    Truncate(String, u64),
    Punch(String, u64, u64),
    Zero(String, u64, u64),
    /// As `Zero`, within the file's size.
    ZeroInside(String, u64, u64),
    Allocate(String, u64, u64),
    /// Changes no content and no size.
    AllocateKeepSize(String, u64, u64),
    Copy((String, u64), (String, u64), u64),
    SetXattr(String, String, Vec<u8>, XattrMode),
    RemoveXattr(String, String),
    Chmod(String, u16),
    Chown(String, u32, u32),
    /// Sets the times of the last access and of the last change.
    Times(String, Timestamp, Timestamp),
    /// Changes nothing.
    Lookup(String),
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |path: &str| match path.len() {
            0..40 => path.to_owned(),
            len => format!("{}... ({len} bytes)", &path[..20]),
        };
        match self {
            Change::Create(path) => write!(f, "create {}", short(path)),
            Change::Folder(path) => write!(f, "mkdir {}", short(path)),
            Change::Symlink(path, to) => write!(f, "symlink {path} to {to}"),
            Change::Link(from, to) => write!(f, "link {from} as {to}"),
            Change::Remove(path) => write!(f, "unlink {path}"),
            Change::RemoveFolder(path) => write!(f, "rmdir {path}"),
            Change::Rename(from, to) => write!(f, "rename {from} to {to}"),
            Change::Exchange(one, two) => write!(f, "exchange {one} and {two}"),
            Change::Write(path, at, data) => write!(f, "write {path}, {} at {at}", data.len()),
            Change::Truncate(path, len) => write!(f, "truncate {path} to {len}"),
            Change::Punch(path, at, len) => write!(f, "punch {path}, {len} at {at}"),
            Change::Zero(path, at, len) => write!(f, "zero {path}, {len} at {at}"),
            Change::Copy(from, to, len) => write!(f, "copy {from:?} to {to:?}, {len}"),
            Change::SetXattr(path, name, value, mode) => {
                write!(f, "setxattr {path} {name}, {} bytes, {mode:?}", value.len())
            }
            Change::RemoveXattr(path, name) => write!(f, "removexattr {path} {name}"),
            Change::Chmod(path, perm) => write!(f, "chmod {path} {perm:o}"),
            Change::RenameNew(from, to) => write!(f, "rename {from} to new {to}"),
            Change::RenameAway(from, to) => write!(f, "rename {from} to {to}, whiteout"),
            Change::Special(path, kind, rdev) => write!(f, "mknod {path} {kind:?} {rdev}"),
            Change::ZeroInside(path, at, len) => write!(f, "zero inside {path}, {len} at {at}"),
            Change::Allocate(path, at, len) => write!(f, "allocate {path}, {len} at {at}"),
            Change::AllocateKeepSize(path, at, len) => {
                write!(f, "allocate {path}, {len} at {at}, same size")
            }
            Change::Chown(path, uid, gid) => write!(f, "chown {path} {uid}:{gid}"),
            Change::Times(path, atime, mtime) => write!(f, "utimens {path} {atime:?} {mtime:?}"),
            Change::Lookup(path) => write!(f, "look up {path}"),
        }
    }
}

impl Change {
    /// The states that the tree goes through: the last one is that after the change. Only a copy,
    /// which is several transactions, has others.
    pub(super) fn states(&self, tree: &Tree) -> Outcome<Vec<Tree>> {
        let mut states = Vec::new();
        if let Change::Copy(from, to, len) = self {
            for done in (1..*len).filter(|done| (from.1 + done).is_multiple_of(BLOCK)) {
                let mut part = tree.clone();
                part.copy((&from.0, from.1), (&to.0, to.1), done)?;
                states.push(part);
            }
        }
        let mut tree = tree.clone();
        self.apply(&mut tree)?;
        states.push(tree);
        Ok(states)
    }

    fn apply(&self, tree: &mut Tree) -> Outcome {
        match self {
            Change::Create(path) => tree.create(path, Content::File(Default::default()), 0o644),
            Change::Folder(path) => tree.create(path, Content::Folder, 0o755),
            Change::Symlink(path, to) => tree.create(path, Content::Link(to.clone()), 0o777),
            Change::Special(path, kind, rdev) => {
                let content = Content::Special(format!("{kind:?}"), *rdev);
                tree.create(path, content, 0o640)
            }
            Change::Link(from, to) => tree.link(from, to),
            Change::Remove(path) => tree.unlink(path),
            Change::RemoveFolder(path) => tree.rmdir(path),
            Change::Rename(from, to) => tree.rename(from, to),
            Change::RenameNew(from, to) => tree.rename_to_new(from, to),
            Change::RenameAway(from, to) => tree.rename_away(from, to),
            Change::Exchange(one, two) => tree.exchange(one, two),
            Change::Write(path, at, new) => tree.write(path, *at, new),
            Change::Truncate(path, len) => tree.truncate(path, *len),
            Change::Punch(path, at, len) => tree.zero(path, *at, *len, false),
            Change::Zero(path, at, len) => tree.zero(path, *at, *len, true),
            Change::ZeroInside(path, at, len) => tree.zero(path, *at, *len, false),
            Change::Allocate(path, at, len) => tree.grow(path, at + len),
            Change::AllocateKeepSize(path, ..) => tree.check_file(path),
            Change::Copy(from, to, len) => tree.copy((&from.0, from.1), (&to.0, to.1), *len),
            Change::SetXattr(path, name, value, mode) => tree.setxattr(path, name, value, *mode),
            Change::RemoveXattr(path, name) => tree.removexattr(path, name),
            Change::Chmod(path, perm) => tree.chmod(path, *perm),
            Change::Chown(path, uid, gid) => tree.chown(path, (*uid, *gid)),
            Change::Times(path, atime, mtime) => tree.set_times(path, *atime, *mtime),
            Change::Lookup(path) => tree.lookup(path),
        }
    }

    pub(super) fn perform(&self, volume: &Volume) -> FsResult<()> {
        match self {
            Change::Create(path) => make(volume, path, FileKind::Regular, 0o644, 0),
            Change::Folder(path) => make(volume, path, FileKind::Directory, 0o755, 0),
            Change::Special(path, kind, rdev) => make(volume, path, *kind, 0o640, *rdev),
            Change::Symlink(path, to) => {
                let (parent, name) = place(volume, path)?;
                let made = volume.symlink(&WHO, parent, name, to.as_bytes());
                made.map(|_| ())
            }
            Change::Link(from, to) => {
                let ino = find(volume, from)?;
                let (parent, name) = place(volume, to)?;
                volume.link(&WHO, ino, parent, name).map(|_| ())
            }
            Change::Remove(path) => remove(volume, path),
            Change::RemoveFolder(path) => {
                let (parent, name) = place(volume, path)?;
                volume.rmdir(&WHO, parent, name)
            }
            Change::Rename(from, to) => rename(volume, from, to, RenameMode::Replace),
            Change::Exchange(one, two) => rename(volume, one, two, RenameMode::Exchange),
            Change::RenameNew(from, to) => rename(volume, from, to, RenameMode::NoReplace),
            Change::RenameAway(from, to) => rename(volume, from, to, RenameMode::Whiteout),
            Change::Lookup(path) => find(volume, path).map(|_| ()),
            Change::SetXattr(..)
            | Change::RemoveXattr(..)
            | Change::Chmod(..)
            | Change::Chown(..)
            | Change::Times(..) => self.perform_on_attributes(volume),
            _ => self.perform_on_content(volume),
        }
    }

    fn perform_on_attributes(&self, volume: &Volume) -> FsResult<()> {
        let set = |path: &String, set: SetAttr| {
            let ino = find(volume, path)?;
            volume.setattr(&WHO, ino, &set).map(|_| ())
        };
        match self {
            Change::SetXattr(path, name, value, mode) => {
                let ino = find(volume, path)?;
                volume.setxattr(&WHO, ino, name.as_bytes(), value, *mode)
            }
            Change::RemoveXattr(path, name) => {
                let ino = find(volume, path)?;
                volume.removexattr(&WHO, ino, name.as_bytes())
            }
            Change::Chmod(path, perm) => {
                let perm = Some(*perm);
                let other = SetAttr::default();
                set(path, SetAttr { perm, ..other })
            }
            Change::Chown(path, uid, gid) => {
                let (uid, gid) = (Some(*uid), Some(*gid));
                let other = SetAttr::default();
                set(path, SetAttr { uid, gid, ..other })
            }
            Change::Times(path, atime, mtime) => {
                let (atime, mtime) = (Some(SetTime::At(*atime)), Some(SetTime::At(*mtime)));
                let other = SetAttr::default();
                set(
                    path,
                    SetAttr {
                        atime,
                        mtime,
                        ..other
                    },
                )
            }
            other => unreachable!("{other:?} changes no attributes"),
        }
    }

    fn perform_on_content(&self, volume: &Volume) -> FsResult<()> {
        let allocate = |path: &String, at: u64, len: u64, mode| {
            let ino = find(volume, path)?;
            volume.allocate(&WHO, ino, at, len, mode)
        };
        match self {
            Change::Write(path, at, data) => {
                let ino = find(volume, path)?;
                volume.write_file(&WHO, ino, *at, data, WriteMode::default())
            }
            Change::Truncate(path, len) => {
                let ino = find(volume, path)?;
                let set = SetAttr {
                    size: Some(*len),
                    ..SetAttr::default()
                };
                volume.setattr(&WHO, ino, &set).map(|_| ())
            }
            Change::Punch(path, at, len) => allocate(path, *at, *len, AllocateMode::PunchHole),
            Change::Zero(path, at, len) => {
                let mode = AllocateMode::ZeroRange { keep_size: false };
                allocate(path, *at, *len, mode)
            }
            Change::ZeroInside(path, at, len) => {
                let mode = AllocateMode::ZeroRange { keep_size: true };
                allocate(path, *at, *len, mode)
            }
            Change::Allocate(path, at, len) => allocate(path, *at, *len, AllocateMode::Allocate),
            Change::AllocateKeepSize(path, at, len) => {
                allocate(path, *at, *len, AllocateMode::KeepSize)
            }
            Change::Copy(from, to, len) => copy(volume, from, to, *len),
            other => unreachable!("{other:?} changes no content"),
        }
    }
}

/// The name of the variant: what `fuse::errno` makes a number of.
pub(super) fn variant(error: &FsError) -> String {
    let text = format!("{error:?}");
    let end = text.find(|char: char| !char.is_alphanumeric());
    text[..end.unwrap_or(text.len())].to_owned()
}

fn make(volume: &Volume, path: &str, kind: FileKind, perm: u16, rdev: u32) -> FsResult<()> {
    let new = NewNode {
        kind,
        perm,
        umask: 0,
        rdev,
    };
    let (parent, name) = place(volume, path)?;
    volume.create(&WHO, parent, name, &new).map(|_| ())
}

fn remove(volume: &Volume, path: &str) -> FsResult<()> {
    let (parent, name) = place(volume, path)?;
    let ino = volume.lookup(&WHO, parent, name)?.ino;
    volume.unlink(&WHO, parent, name)?;
    // Half of them stay as if somebody had them open.
    match ino.0 % 2 {
        0 => volume.forget(volume.epoch(), ino),
        _ => Ok(()),
    }
}

fn rename(volume: &Volume, from: &str, to: &str, mode: RenameMode) -> FsResult<()> {
    let (from, to) = (place(volume, from)?, place(volume, to)?);
    volume.rename(&WHO, from, to, mode)
}

fn copy(volume: &Volume, from: &(String, u64), to: &(String, u64), len: u64) -> FsResult<()> {
    let (mut source, mut target) = (
        (find(volume, &from.0)?, from.1),
        (find(volume, &to.0)?, to.1),
    );
    let size = volume.getattr(&WHO, source.0)?.size;
    let mut left = len.min(size.saturating_sub(source.1)).max(1);
    // A part that was copied is no error; the next attempt tells why it was not all.
    while left > 0 {
        let copied = volume.copy_range(&WHO, source, target, left)?;
        if copied == 0 {
            break;
        }
        (source.1, target.1, left) = (source.1 + copied, target.1 + copied, left - copied);
    }
    Ok(())
}

/// The folder and the name in it.
fn place<'a>(volume: &Volume, path: &'a str) -> FsResult<(Ino, &'a [u8])> {
    match split(path) {
        (None, name) => Ok((Ino::ROOT, name.as_bytes())),
        (Some(folder), name) => Ok((find(volume, folder)?, name.as_bytes())),
    }
}

fn find(volume: &Volume, path: &str) -> FsResult<Ino> {
    let (parent, name) = place(volume, path)?;
    Ok(volume.lookup(&WHO, parent, name)?.ino)
}
