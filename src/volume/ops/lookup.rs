//! Names to inodes.

use crate::base::Ino;
use crate::volume::{FsError, FsResult, Request, Volume};

use super::Attr;
use super::chain::Slot;
use super::inodes::{check_name, entry, load, load_folder};

impl Volume {
    /// The inode that a name of a folder names. `.` is the inode itself, of any kind and even
    /// without names; `..` a folder's parent: file handles are resolved by them.
    ///
    /// Fails with NotFound, NotDirectory, NameTooLong, Invalid.
    pub fn lookup(&self, request: &Request, parent: Ino, name: &[u8]) -> FsResult<Attr> {
        check_name(name)?;
        self.read(request, |view| {
            let ino = match name {
                b"." => parent,
                b".." => load_folder(view, parent)?.parent,
                _ => {
                    load_folder(view, parent)?;
                    match self.dirents().find(view, parent, name)? {
                        Slot::Taken { value, .. } => entry(parent, &value.bytes)?.ino,
                        Slot::Free { .. } => return Err(FsError::NotFound),
                    }
                }
            };
            Ok(Attr::of(view, ino, &load(view, ino)?))
        })
    }
}
