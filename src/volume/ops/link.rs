//! Further names of an inode.

use crate::base::{Ino, Value};
use crate::volume::records::Dirent;
use crate::volume::{FsError, FsResult, Request, Volume, keys};

use super::Attr;
use super::inodes::{FolderDelta, change_folder, check_new_name, load, store};

/// Most names of one inode; ext4's limit is 65000 too.
pub(super) const LINKS_MAX: u32 = 65_000;

impl Volume {
    /// Gives an inode another name.
    ///
    /// Fails with NotPermitted (a folder), TooManyLinks, NotFound (also an inode that has lost its
    /// last name, or a removed folder), Exists, NotDirectory, NameTooLong, Invalid.
    pub fn link(&self, request: &Request, ino: Ino, parent: Ino, name: &[u8]) -> FsResult<Attr> {
        check_new_name(name)?;
        self.warm(&[keys::inode(ino)]);
        self.warm_name(parent, name);
        self.update(request, |edit| {
            let place = self.place(edit, parent, name)?;
            let mut inode = load(edit, ino)?;
            if inode.is_folder() {
                return Err(FsError::NotPermitted);
            }
            if inode.nlink == 0 {
                return Err(FsError::NotFound);
            }
            if inode.nlink >= LINKS_MAX {
                return Err(FsError::TooManyLinks);
            }
            inode.nlink += 1;
            inode.parent = parent;
            inode.ctime = place.now;
            store(edit, ino, &inode);

            let entry = Dirent {
                ino,
                kind: inode.kind,
                name,
            };
            let key = self.dirents().key(parent, place.sub);
            edit.put(key, Value::record(entry.encode()));
            let delta = FolderDelta {
                entries: 1,
                subfolders: 0,
            };
            change_folder(edit, parent, place.folder, delta, place.now)?;
            Ok(Attr::of(edit, ino, &inode))
        })
    }
}
