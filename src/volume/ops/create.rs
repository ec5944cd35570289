//! New inodes: create, mkdir, mknod, symlink, and the root.

use crate::base::{Ino, Timestamp, Value};
use crate::volume::core::admission::Need;
use crate::volume::records::{Dirent, FileKind, Inode};
use crate::volume::{Edit, FsError, FsResult, Request, Volume, keys};

use super::chain::Slot;
use super::inodes::{FolderDelta, change_folder, check_new_name, load, load_folder, store};
use super::{Attr, NewNode};

/// Longest target of a symbolic link in bytes: PATH_MAX without its NUL.
const TARGET_BYTES_MAX: usize = 4095;
const SGID: u16 = 0o2000;

impl Volume {
    /// First use of a new volume: makes the root folder, also when the medium is full. Fails with
    /// Exists.
    pub fn format(&self, uid: u32, gid: u32, perm: u16) -> FsResult<()> {
        self.update_with(Need::Little, &Request::default(), |edit| {
            if edit.get(&keys::inode(Ino::ROOT))?.is_some() {
                return Err(FsError::Exists);
            }
            let owner = (uid, gid);
            let root = Inode::new(FileKind::Directory, perm, owner, Ino::ROOT, self.now());
            store(edit, Ino::ROOT, &root);
            edit.count(0, 1);
            Ok(())
        })
    }

    /// Creates any kind but a symlink. The folder's sgid bit gives its group, to folders also the
    /// bit; its default ACL takes the place of the umask.
    ///
    /// Fails with NotFound (a removed folder), NotDirectory, Exists, NameTooLong, Invalid.
    pub fn create(
        &self,
        request: &Request,
        parent: Ino,
        name: &[u8],
        new: &NewNode,
    ) -> FsResult<Attr> {
        check_new_name(name)?;
        if new.kind == FileKind::Symlink {
            return Err(FsError::Invalid("a symbolic link needs a target"));
        }
        self.warm_name(parent, name);
        self.update(request, |edit| {
            let place = self.place(edit, parent, name)?;
            let mut inode = place.inode(request, new.kind, new.perm);
            if new.kind.is_device() {
                inode.rdev = new.rdev;
            }
            let inherited = self.inherit_acl(edit, parent, &place.folder, &mut inode)?;
            if inherited.is_none() {
                inode.perm &= !(new.umask & 0o777);
            }
            let ino = edit.allocate_ino()?;
            self.put_inherited(edit, ino, &mut inode, inherited)?;
            place.fill(self, edit, name, ino, &inode)
        })
    }

    /// Creates a symbolic link.
    ///
    /// Fails as `create`, and with NotFound for an empty target, NameTooLong above 4095 bytes.
    pub fn symlink(
        &self,
        request: &Request,
        parent: Ino,
        name: &[u8],
        target: &[u8],
    ) -> FsResult<Attr> {
        check_new_name(name)?;
        if target.is_empty() {
            return Err(FsError::NotFound);
        }
        if target.len() > TARGET_BYTES_MAX {
            return Err(FsError::NameTooLong);
        }
        if target.contains(&0) {
            return Err(FsError::Invalid("a link target with NUL"));
        }
        self.warm_name(parent, name);
        self.update(request, |edit| {
            let place = self.place(edit, parent, name)?;
            let mut inode = place.inode(request, FileKind::Symlink, 0o777);
            inode.size = target.len() as u64;
            let ino = edit.allocate_ino()?;
            edit.put(keys::symlink(ino), Value::record(target));
            place.fill(self, edit, name, ino, &inode)
        })
    }

    /// A symbolic link's target. Fails with NotFound, Invalid (not a link).
    pub fn readlink(&self, request: &Request, ino: Ino) -> FsResult<Vec<u8>> {
        self.read(request, |view| {
            if load(view, ino)?.kind != FileKind::Symlink {
                return Err(FsError::Invalid("not a symbolic link"));
            }
            let target = view.get(&keys::symlink(ino))?.ok_or(FsError::NotFound)?;
            Ok(target.bytes.to_vec())
        })
    }

    /// Brings what an operation on this name looks up into the cache.
    pub(super) fn warm_name(&self, parent: Ino, name: &[u8]) {
        self.warm(&[keys::inode(parent), self.dirents().start_key(parent, name)]);
    }

    /// The place of a name that does not exist yet.
    pub(super) fn place(&self, edit: &Edit<'_>, parent: Ino, name: &[u8]) -> FsResult<NewPlace> {
        let folder = load_folder(edit, parent)?;
        match self.dirents().find(edit, parent, name)? {
            Slot::Taken { .. } => Err(FsError::Exists),
            Slot::Free { sub } => Ok(NewPlace {
                parent,
                folder,
                sub,
                now: self.now(),
            }),
        }
    }
}

/// Where a new entry goes, and when.
pub(super) struct NewPlace {
    pub(super) parent: Ino,
    pub(super) folder: Inode,
    pub(super) sub: u64,
    pub(super) now: Timestamp,
}

impl NewPlace {
    /// An inode for this place: owner and group by the caller and the folder.
    pub(super) fn inode(&self, request: &Request, kind: FileKind, perm: u16) -> Inode {
        let inherits_group = self.folder.perm & SGID != 0;
        let gid = if inherits_group {
            self.folder.gid
        } else {
            request.gid
        };
        let bit = if inherits_group && kind == FileKind::Directory {
            SGID
        } else {
            0
        };
        Inode::new(kind, perm | bit, (request.uid, gid), self.parent, self.now)
    }

    /// Puts the inode and its name.
    fn fill(
        self,
        volume: &Volume,
        edit: &mut Edit<'_>,
        name: &[u8],
        ino: Ino,
        inode: &Inode,
    ) -> FsResult<Attr> {
        let entry = Dirent {
            ino,
            kind: inode.kind,
            name,
        };
        let delta = FolderDelta {
            entries: 1,
            subfolders: i64::from(inode.is_folder()),
        };
        let key = volume.dirents().key(self.parent, self.sub);
        edit.put(key, Value::record(entry.encode()));
        store(edit, ino, inode);
        edit.count(0, 1);
        change_folder(edit, self.parent, self.folder, delta, self.now)?;
        Ok(Attr::of(edit, ino, inode))
    }
}
