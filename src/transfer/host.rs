//! A folder of the host, and what is made in it. Nothing here follows a symbolic link.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat, fstat, linkat, mkdirat,
    mknodat, openat, openat2, renameat, renameat_with, statat, symlinkat, syncfs, unlinkat,
};
use rustix::io::Errno;

use super::error::{ExportError, ExportResult};
use crate::volume::ops::{Attr, FileKind, shown};

/// Of what is not whole yet: only its owner may look at it.
const UNFINISHED_FILE: Mode = Mode::from_raw_mode(0o600);
const UNFINISHED_FOLDER: Mode = Mode::from_raw_mode(0o700);

/// Which file of the host: device and inode number.
pub(super) type Identity = (u64, u64);

pub(super) fn identity(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

/// What has a name in a folder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Folder,
    Other,
}

/// An open folder of the host.
pub struct HostFolder {
    descriptor: OwnedFd,
    identity: Identity,
}

/// The path to the file behind a descriptor. What is done to it is done to that file, also where
/// the call would follow a symbolic link, and where no call takes such a descriptor.
pub(super) fn path_of(descriptor: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd())
}

impl HostFolder {
    /// Opens an absolute path without any link in it.
    ///
    /// # Errors
    /// `NoFolder`, `NotFolder`, `Host`.
    pub fn open(path: &Path) -> Result<HostFolder, ExportError> {
        let bytes = path.as_os_str().as_bytes();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let links = ResolveFlags::NO_SYMLINKS;
        let opened = openat2(CWD, path, flags, Mode::empty(), links);
        let descriptor = opened.map_err(|errno| match errno {
            Errno::NOENT => ExportError::no_folder(path),
            Errno::NOTDIR | Errno::LOOP => ExportError::not_folder(bytes),
            errno => ExportError::host("open the folder", bytes, errno),
        })?;
        HostFolder::of(descriptor, bytes)
    }

    fn of(descriptor: OwnedFd, path: &[u8]) -> ExportResult<HostFolder> {
        let stat = fstat(&descriptor).map_err(|errno| ExportError::host("look at", path, errno))?;
        let identity = identity(&stat);
        Ok(HostFolder {
            descriptor,
            identity,
        })
    }

    /// Device number and inode number.
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// What has this name. The path is for messages, here and below.
    pub(super) fn find(&self, name: &[u8], path: &[u8]) -> ExportResult<Found> {
        match statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => Ok(Found::Folder),
            Ok(_) => Ok(Found::Other),
            Err(Errno::NOENT) => Ok(Found::Nothing),
            Err(errno) => Err(ExportError::host("look at", path, errno)),
        }
    }

    /// A folder in this one, of the same filesystem.
    pub(super) fn enter(&self, name: &[u8], path: &[u8]) -> ExportResult<HostFolder> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = self.open_below(name, flags);
        let descriptor = opened.map_err(|errno| match errno {
            Errno::XDEV => ExportError::OtherFilesystem { path: shown(path) },
            Errno::NOTDIR | Errno::LOOP => ExportError::not_folder(path),
            Errno::NOENT => ExportError::changed(path),
            errno => ExportError::host("open the folder", path, errno),
        })?;
        HostFolder::of(descriptor, path)
    }

    /// Makes a folder, for its owner only.
    pub(super) fn make_folder(&self, name: &[u8], path: &[u8]) -> ExportResult<HostFolder> {
        mkdirat(&self.descriptor, name, UNFINISHED_FOLDER).map_err(|errno| match errno {
            Errno::EXIST => ExportError::exists(path),
            errno => ExportError::host("make the folder", path, errno),
        })?;
        let made = self.enter(name, path)?;
        // Who may change this folder could have put another one in its place.
        let stat = fstat(&made.descriptor).map_err(|e| ExportError::host("look at", path, e))?;
        match stat.st_uid == rustix::process::geteuid().as_raw() {
            true => Ok(made),
            false => Err(ExportError::changed(path)),
        }
    }

    /// The file at a path of several names below this folder, without its content.
    pub(super) fn find_below(&self, names: &[u8]) -> Result<(OwnedFd, Identity), Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = self.open_below(names, flags)?;
        let identity = identity(&fstat(&descriptor)?);
        Ok((descriptor, identity))
    }

    fn open_below(&self, names: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        openat2(&self.descriptor, names, flags, Mode::empty(), within)
    }

    /// Waits until the filesystem of this folder has everything on its medium.
    pub(super) fn sync(&self, path: &[u8]) -> ExportResult<()> {
        syncfs(&self.descriptor).map_err(|errno| ExportError::host("sync", path, errno))
    }
}

/// Something that is not whole yet, under a name that says so; the name goes with it, unless it
/// was given the right one.
pub(super) struct Unfinished<'a> {
    folder: &'a HostFolder,
    name: String,
    descriptor: Option<OwnedFd>,
    is_named: bool,
}

impl<'a> Unfinished<'a> {
    fn new(folder: &'a HostFolder, number: u64) -> Unfinished<'a> {
        Unfinished {
            folder,
            name: format!(".volfs-restore-{}-{number}", std::process::id()),
            descriptor: None,
            is_named: true,
        }
    }

    /// Makes what is no folder, empty. The target is that of a symbolic link.
    pub(super) fn make(
        folder: &'a HostFolder,
        number: u64,
        (like, target): (&Attr, &[u8]),
    ) -> Result<Unfinished<'a>, Errno> {
        let mut made = Unfinished::new(folder, number);
        let at = &folder.descriptor;
        let file = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let created = match node_type(like.kind) {
            Some(FileType::Symlink) => symlinkat(OsStr::from_bytes(target), at, &made.name),
            Some(kind) => mknodat(at, &made.name, kind, UNFINISHED_FILE, device(like.rdev)),
            None => openat(at, &made.name, file | flags, UNFINISHED_FILE)
                .map(|descriptor| made.descriptor = Some(descriptor)),
        };
        if let Err(errno) = created {
            made.is_named = false;
            return Err(errno);
        }
        if made.descriptor.is_none() {
            made.descriptor = Some(openat(at, &made.name, OFlags::PATH | flags, Mode::empty())?);
        }
        Ok(made)
    }

    /// Another name of a file that was made before.
    pub(super) fn link(
        folder: &'a HostFolder,
        number: u64,
        file: BorrowedFd<'_>,
    ) -> Result<Unfinished<'a>, Errno> {
        let mut made = Unfinished::new(folder, number);
        let follow = AtFlags::SYMLINK_FOLLOW;
        let linked = linkat(CWD, path_of(file), &folder.descriptor, &made.name, follow);
        if let Err(errno) = linked {
            made.is_named = false;
            return Err(errno);
        }
        Ok(made)
    }

    /// The file; a link has none.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(AsFd::as_fd)
    }

    /// Gives it its right name, which something may have if it `replaces` that. `EXIST` if not.
    pub(super) fn name(mut self, name: &[u8], replaces: bool) -> Result<(), Errno> {
        let at = &self.folder.descriptor;
        match replaces {
            true => renameat(at, &self.name, at, name)?,
            false => rename_to_new(at, &self.name, name)?,
        }
        // Two names of one file: a rename of one to the other does nothing.
        self.is_named = replaces && self.descriptor.is_none();
        Ok(())
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.is_named {
            return;
        }
        match unlinkat(&self.folder.descriptor, &self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => log::warn!("'{}' of a restore stays on the host: {errno}", self.name),
        }
    }
}

fn rename_to_new(at: &OwnedFd, from: &str, to: &[u8]) -> Result<(), Errno> {
    match renameat_with(at, from, at, to, RenameFlags::NOREPLACE) {
        // Not every filesystem can: then there is a moment between the look and the rename.
        Err(Errno::INVAL | Errno::NOSYS) => match statat(at, to, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(Errno::EXIST),
            Err(Errno::NOENT) => renameat(at, from, at, to),
            Err(errno) => Err(errno),
        },
        other => other,
    }
}

/// What mknod and symlink make; none: a file.
fn node_type(kind: FileKind) -> Option<FileType> {
    match kind {
        FileKind::Regular | FileKind::Directory => None,
        FileKind::Symlink => Some(FileType::Symlink),
        FileKind::Fifo => Some(FileType::Fifo),
        FileKind::Socket => Some(FileType::Socket),
        FileKind::CharDevice => Some(FileType::CharacterDevice),
        FileKind::BlockDevice => Some(FileType::BlockDevice),
    }
}

/// The number of a device, which FUSE packs into 32 bits: 12 of the major and 20 of the minor one.
fn device(rdev: u32) -> u64 {
    let major = (rdev & 0x000f_ff00) >> 8;
    let minor = (rdev & 0xff) | ((rdev >> 12) & 0x000f_ff00);
    rustix::fs::makedev(major, minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Device numbers are unpacked as the kernel packs them.
    #[test]
    fn device_numbers_are_unpacked() {
        for (packed, major, minor) in [(0x0103, 1, 3), (0x0800_0801, 8, 0x8001), (0, 0, 0)] {
            assert_eq!(
                device(packed),
                rustix::fs::makedev(major, minor),
                "{packed:x}"
            );
        }
    }
}
