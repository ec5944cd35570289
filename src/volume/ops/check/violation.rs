//! What can be wrong with a volume's inodes.

use std::fmt;

use crate::base::{DecodeError, Ino, Key};

/// A broken rule.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Violation {
    /// A record cannot be decoded.
    #[error("{key:?}: a malformed record: {source}")]
    Malformed {
        /// Where it is.
        key: Key,
        /// What is wrong.
        source: DecodeError,
    },
    /// There is no root folder.
    #[error("there is no root folder")]
    NoRoot,
    /// A record of an inode that does not exist, or of a kind that the inode does not have.
    #[error("{key:?}: a record that belongs to no inode")]
    Stray {
        /// Where it is.
        key: Key,
    },
    /// A number that was never given out.
    #[error("inode {ino} has a number that was not given out yet")]
    NotLeased {
        /// The inode.
        ino: Ino,
    },
    /// A name that cannot be found, because its chain is broken or because it is there twice.
    #[error("inode {owner}: the name '{}' is not where it is looked for", name.escape_ascii())]
    Misplaced {
        /// Folder of a directory entry, or owner of an attribute.
        owner: Ino,
        /// The name.
        name: Vec<u8>,
    },
    /// A name of an inode that does not exist.
    #[error("folder {folder}: '{}' names inode {ino}, which does not exist", name.escape_ascii())]
    Dangling {
        /// The folder.
        folder: Ino,
        /// The name.
        name: Vec<u8>,
        /// What it names.
        ino: Ino,
    },
    /// A name that says another kind than its inode.
    #[error("folder {folder}: '{}' says another kind than inode {ino}", name.escape_ascii())]
    EntryKind {
        /// The folder.
        folder: Ino,
        /// The name.
        name: Vec<u8>,
        /// What it names.
        ino: Ino,
    },
    /// A count in an inode that is not what is there.
    #[error("inode {ino}: {stored} {what} recorded, {found} found")]
    Count {
        /// The inode.
        ino: Ino,
        /// What is counted.
        what: Counted,
        /// What the inode says.
        stored: u64,
        /// What is there.
        found: u64,
    },
    /// A count of the volume that is not what is there.
    #[error("the volume has {stored} {what} recorded, {found} found")]
    VolumeCount {
        /// What is counted.
        what: Counted,
        /// What the volume says.
        stored: u64,
        /// What is there.
        found: u64,
    },
    /// A folder that says another parent than the one that holds it.
    #[error("folder {folder}: its parent is recorded as {stored}, but {found} holds it")]
    Parent {
        /// The folder.
        folder: Ino,
        /// What it says.
        stored: Ino,
        /// The folder with its name.
        found: Ino,
    },
    /// A folder that no path leads to.
    #[error("folder {folder} cannot be reached from the root")]
    Unreachable {
        /// The folder.
        folder: Ino,
    },
    /// An inode without names that is not marked, and so is never reaped.
    #[error("inode {ino} has no names and is not marked as orphan")]
    NotMarked {
        /// The inode.
        ino: Ino,
    },
    /// A mark of an inode that is no orphan.
    #[error("inode {ino} is marked as orphan and is none")]
    WronglyMarked {
        /// The inode.
        ino: Ino,
    },
    /// A block beyond the end of its file.
    #[error("inode {ino}: block {index} lies beyond the end at {size} bytes")]
    BeyondEnd {
        /// The file.
        ino: Ino,
        /// The block.
        index: u64,
        /// The file's size in bytes.
        size: u64,
    },
    /// Bytes beyond the end of a file that are not zeros.
    #[error("inode {ino}: the last block has bytes beyond the end of the file")]
    DirtyTail {
        /// The file.
        ino: Ino,
    },
}

/// What a count counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// Names of an inode; of a folder 2 and its subfolders.
    Links,
    /// Entries of a folder.
    Entries,
    /// Allocated blocks.
    Blocks,
    /// Bytes of the list of attribute names.
    AttributeListBytes,
    /// Bytes of a link's target.
    TargetBytes,
    /// Inodes of the volume.
    Inodes,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Counted::Links => "links",
            Counted::Entries => "entries",
            Counted::Blocks => "blocks",
            Counted::AttributeListBytes => "bytes of attribute names",
            Counted::TargetBytes => "bytes of link target",
            Counted::Inodes => "inodes",
        })
    }
}
