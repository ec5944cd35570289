//! Arguments and results of the operations.

use crate::base::{Ino, Timestamp};
use crate::volume::View;
use crate::volume::records::{FileKind, Inode};

/// Attributes of an inode as stat tells them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attr {
    /// Inode number.
    pub ino: Ino,
    /// Rollback epoch of the state that they were read from.
    pub epoch: u16,
    /// Tells two inodes apart that bore the same number on both sides of a rollback.
    pub generation: u32,
    /// What kind of file.
    pub kind: FileKind,
    /// Permission bits, suid, sgid, sticky: 0o7777.
    pub perm: u16,
    /// Number of names; 0: removed but still held.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of a file's content or a link's target; entries of a folder.
    pub size: u64,
    /// Allocated, in units of 512 bytes.
    pub blocks_512: u64,
    /// Device number of a device.
    pub rdev: u32,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last change of the attributes.
    pub ctime: Timestamp,
    /// The volume's block size in bytes.
    pub block_size: u32,
}

impl Attr {
    /// The attributes of an inode of this state.
    pub(super) fn of(view: &View<'_>, ino: Ino, inode: &Inode) -> Attr {
        Attr {
            ino,
            epoch: view.epoch(),
            generation: inode.generation,
            kind: inode.kind,
            perm: inode.perm,
            nlink: inode.nlink,
            uid: inode.uid,
            gid: inode.gid,
            size: if inode.is_folder() {
                inode.entries
            } else {
                inode.size
            },
            blocks_512: inode
                .blocks
                .saturating_mul(u64::from(view.block_size()) / 512),
            rdev: inode.rdev,
            atime: inode.atime,
            mtime: inode.mtime,
            ctime: inode.ctime,
            block_size: view.block_size(),
        }
    }
}

/// A time to set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetTime {
    /// The present time of the volume's clock.
    Now,
    /// This time.
    At(Timestamp),
}

/// Attributes to change; those that are none stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetAttr {
    /// Permission bits.
    pub perm: Option<u16>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Length of the content in bytes.
    pub size: Option<u64>,
    /// Last access.
    pub atime: Option<SetTime>,
    /// Last change of the content.
    pub mtime: Option<SetTime>,
    /// Last change of the attributes, when the kernel owns the time.
    pub ctime: Option<Timestamp>,
}

/// What to make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewNode {
    /// What kind of file.
    pub kind: FileKind,
    /// Asked-for permission bits, before umask.
    pub perm: u16,
    /// Applied unless the folder has a default ACL (the kernel leaves it to us: DONT_MASK).
    pub umask: u16,
    /// Device number of a device.
    pub rdev: u32,
}

/// Where a write comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WriteMode {
    /// From the kernel's writeback: never authorise by it; the kernel owns size and times.
    pub writeback: bool,
    /// O_DIRECT: the stored mtime advances here.
    pub direct: bool,
    /// Clear suid, sgid and capabilities.
    pub kill_priv: bool,
}

/// How a rename treats the new name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RenameMode {
    /// Replaces what has it.
    Replace,
    /// Refuses if something has it.
    NoReplace,
    /// Both names change their inodes.
    Exchange,
    /// Replaces, and leaves a whiteout (character device 0:0) at the source.
    Whiteout,
    /// Refuses if something has it; else leaves a whiteout at the source.
    WhiteoutNoReplace,
}

impl RenameMode {
    /// Whether an existing new name is an error.
    pub(super) fn refuses_existing(self) -> bool {
        matches!(self, RenameMode::NoReplace | RenameMode::WhiteoutNoReplace)
    }

    /// Whether a whiteout stays at the source.
    pub(super) fn leaves_whiteout(self) -> bool {
        matches!(self, RenameMode::Whiteout | RenameMode::WhiteoutNoReplace)
    }
}

/// What fallocate does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AllocateMode {
    /// Plain: makes sure of room, extends the size.
    Allocate,
    /// Makes sure of room only.
    KeepSize,
    /// Turns the range into a hole; always keeps the size.
    PunchHole,
    /// Makes the range read as zeros.
    ZeroRange {
        /// Does not extend the size.
        keep_size: bool,
    },
}

/// What lseek looks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seek {
    /// The next allocated block.
    Data,
    /// The next hole; the end of the file is one.
    Hole,
}

/// What setxattr expects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum XattrMode {
    /// Creates or replaces.
    Any,
    /// The attribute must not exist.
    Create,
    /// The attribute must exist.
    Replace,
    /// Both: never succeeds, but says whether the attribute exists.
    CreateAndReplace,
}

/// One entry of a listing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirEntry<'a> {
    /// The inode that it names.
    pub ino: Ino,
    /// Rollback epoch of the state that it was read from.
    pub epoch: u16,
    /// The inode's kind.
    pub kind: FileKind,
    /// Its name.
    pub name: &'a [u8],
    /// Pass it to `readdir` to go on behind this entry; stable.
    pub cookie: u64,
}

/// Room in the pool, as statfs tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatFs {
    /// The volume's block size in bytes; the unit of `blocks` and `blocks_free`.
    pub block_size: u32,
    /// Blocks of this volume and free ones of the pool.
    pub blocks: u64,
    /// Free blocks of the pool.
    pub blocks_free: u64,
    /// Inodes that there can be.
    pub inodes: u64,
    /// Inodes that can still be made.
    pub inodes_free: u64,
    /// Longest name in bytes.
    pub name_max: u32,
}
