//! Inode records in a state of the volume, and the checks that all families share.

use std::ops::ControlFlow;

use crate::base::{Ino, Key, Timestamp, Value};
use crate::volume::records::{Dirent, FileKind, Inode, NAME_BYTES_MAX};
use crate::volume::{BlockState, Edit, Frozen, FsError, FsResult, View, keys};

/// A state to look at: the committed one, or that with the changes of an operation.
pub(super) trait State {
    /// See [`View::get`].
    fn get(&self, key: &Key) -> FsResult<Option<Value>>;
    /// See [`View::scan`].
    fn scan(
        &self,
        from: &Key,
        to: &Key,
        visit: &mut dyn FnMut(&Key, &Value) -> FsResult<ControlFlow<()>>,
    ) -> FsResult<()>;
    /// See [`View::block`].
    fn block(&self, ino: Ino, index: u64) -> FsResult<BlockState>;
    /// Bytes of a block.
    fn block_bytes(&self) -> u64;
}

macro_rules! state {
    ($type:ident) => {
        impl State for $type<'_> {
            fn get(&self, key: &Key) -> FsResult<Option<Value>> {
                $type::get(self, key)
            }

            fn scan(
                &self,
                from: &Key,
                to: &Key,
                visit: &mut dyn FnMut(&Key, &Value) -> FsResult<ControlFlow<()>>,
            ) -> FsResult<()> {
                $type::scan(self, from, to, visit)
            }

            fn block(&self, ino: Ino, index: u64) -> FsResult<BlockState> {
                $type::block(self, ino, index)
            }

            fn block_bytes(&self) -> u64 {
                u64::from(self.block_size())
            }
        }
    };
}

state!(View);
state!(Edit);
state!(Frozen);

/// The inode, whatever it is.
pub(super) fn load(state: &impl State, ino: Ino) -> FsResult<Inode> {
    let value = state.get(&keys::inode(ino))?.ok_or(FsError::NotFound)?;
    Inode::decode(&value.bytes).map_err(|source| FsError::Malformed { ino, source })
}

/// The folder, if names may be looked up and made in it: a removed one has none.
pub(super) fn load_folder(state: &impl State, ino: Ino) -> FsResult<Inode> {
    let inode = load(state, ino)?;
    if !inode.is_folder() {
        return Err(FsError::NotDirectory(ino));
    }
    if inode.nlink == 0 {
        return Err(FsError::NotFound);
    }
    Ok(inode)
}

/// A symbolic link's target; none of what is no link.
pub(super) fn link_target(state: &impl State, ino: Ino) -> FsResult<Option<Vec<u8>>> {
    let target = state.get(&keys::symlink(ino))?;
    Ok(target.map(|target| target.bytes.to_vec()))
}

/// The regular file.
pub(super) fn load_file(state: &impl State, ino: Ino) -> FsResult<Inode> {
    let inode = load(state, ino)?;
    match inode.kind {
        FileKind::Regular => Ok(inode),
        FileKind::Directory => Err(FsError::IsDirectory(ino)),
        _ => Err(FsError::Invalid("not a regular file")),
    }
}

/// Sets the inode's record.
pub(super) fn store(edit: &mut Edit<'_>, ino: Ino, inode: &Inode) {
    edit.put(keys::inode(ino), Value::record(inode.encode()));
}

/// Changes of a folder's counts by one operation.
#[derive(Clone, Copy, Default)]
pub(super) struct FolderDelta {
    /// Entries.
    pub(super) entries: i64,
    /// Those of them that are folders; each has a `..`.
    pub(super) subfolders: i64,
}

/// Counts of a folder change, and with its names its times.
pub(super) fn change_folder(
    edit: &mut Edit<'_>,
    ino: Ino,
    mut folder: Inode,
    delta: FolderDelta,
    now: Timestamp,
) -> FsResult<()> {
    folder.entries = folder.entries.saturating_add_signed(delta.entries);
    let nlink = i64::from(folder.nlink)
        .saturating_add(delta.subfolders)
        .max(0);
    folder.nlink = u32::try_from(nlink).map_err(|_| FsError::TooManyLinks)?;
    folder.mtime = now;
    folder.ctime = now;
    store(edit, ino, &folder);
    Ok(())
}

/// The entry of a record that a name was found in.
pub(super) fn entry(folder: Ino, bytes: &[u8]) -> FsResult<Dirent<'_>> {
    let malformed = |source| FsError::Malformed {
        ino: folder,
        source,
    };
    // A slot that bears a name is never a tombstone.
    Dirent::decode(bytes)
        .map_err(malformed)?
        .ok_or(FsError::NotFound)
}

/// Refuses names that no entry can have, `.` and `..` apart.
pub(super) fn check_name(name: &[u8]) -> FsResult<()> {
    if name.is_empty() {
        return Err(FsError::NotFound);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(FsError::NameTooLong);
    }
    if name.iter().any(|byte| matches!(byte, 0 | b'/')) {
        return Err(FsError::Invalid("a name with NUL or a slash"));
    }
    Ok(())
}

/// Refuses what cannot be the name of a new entry: `.` and `..` exist everywhere.
pub(super) fn check_new_name(name: &[u8]) -> FsResult<()> {
    check_name(name)?;
    if is_dots(name) {
        Err(FsError::Exists)
    } else {
        Ok(())
    }
}

/// Refuses what cannot be removed or renamed.
pub(super) fn check_old_name(name: &[u8]) -> FsResult<()> {
    check_name(name)?;
    if is_dots(name) {
        Err(FsError::Invalid("`.` or `..`"))
    } else {
        Ok(())
    }
}

fn is_dots(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

/// What a write, a truncation or a new owner leaves of the permission bits. sgid without group
/// execution is no privilege, as in Linux.
pub(super) fn without_privileges(perm: u16) -> u16 {
    const SUID: u16 = 0o4000;
    const SGID: u16 = 0o2000;
    const GROUP_EXECUTE: u16 = 0o010;
    let cleared = if perm & GROUP_EXECUTE != 0 {
        SUID | SGID
    } else {
        SUID
    };
    perm & !cleared
}
