//! Outcomes of POSIX operations that are not success.

use crate::base::{DecodeError, Ino, Nature};
use crate::block::BlockError;
use crate::journal::JournalError;
use crate::tree::TreeError;

/// Result of an operation on a volume.
pub type FsResult<T> = Result<T, FsError>;

/// An operation failed. Only `fuse::errno` knows the numbers.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    /// No such name, inode or attribute's file.
    #[error("not found")]
    NotFound,
    /// The name exists.
    #[error("the name exists")]
    Exists,
    /// A folder is needed.
    #[error("inode {0} is not a folder")]
    NotDirectory(Ino),
    /// A folder will not do.
    #[error("inode {0} is a folder")]
    IsDirectory(Ino),
    /// The folder has entries.
    #[error("folder {0} is not empty")]
    NotEmpty(Ino),
    /// A name above 255 bytes or a link target above 4095.
    #[error("the name is too long")]
    NameTooLong,
    /// An argument that makes no sense; says which.
    #[error("invalid argument: {0}")]
    Invalid(&'static str),
    /// No such extended attribute.
    #[error("no such extended attribute")]
    NoAttribute,
    /// The caller's buffer is too small, or a value too large.
    #[error("the value does not fit")]
    Range,
    /// A value above a limit of the attribute namespace.
    #[error("the attribute is too large")]
    TooBig,
    /// The names of a file's attributes would not fit into one list.
    #[error("the file has no room for another attribute")]
    AttributesFull,
    /// The caller may not.
    #[error("permission denied")]
    PermissionDenied,
    /// Nobody may, or only the owner.
    #[error("operation not permitted")]
    NotPermitted,
    /// The volume or snapshot is read-only.
    #[error("the volume is mounted read-only")]
    ReadOnly,
    /// The names or files are not of one volume or snapshot.
    #[error("the other file is not of the same volume or snapshot")]
    OtherVolume,
    /// Link count at its limit.
    #[error("too many links")]
    TooManyLinks,
    /// Offset or size beyond the largest file.
    #[error("the file would be too large")]
    FileTooBig,
    /// Not offered.
    #[error("not supported: {0}")]
    Unsupported(&'static str),
    /// No data or hole at or behind this offset.
    #[error("no such offset")]
    NoSuchOffset,
    /// The pool has no room.
    #[error("no space is left in the pool")]
    NoSpace,
    /// The volume holds what it may hold.
    #[error("the volume is at its limit of {limit} bytes")]
    AtLimit {
        /// Bytes that its blocks may take.
        limit: u64,
    },
    /// The node belongs to a state before a rollback, or to a snapshot that was removed.
    #[error("the file belongs to a state before a rollback, or to a removed snapshot")]
    Stale,
    /// Still in use.
    #[error("in use")]
    Busy,
    /// An earlier error on the way to durability: nothing more is accepted until reopened.
    #[error("the volume accepts no changes since an earlier error: {0}")]
    Poisoned(String),
    /// A record of the volume cannot be decoded.
    #[error("inode {ino}: a stored record is malformed")]
    Malformed {
        /// Whose record.
        ino: Ino,
        /// What is wrong.
        #[source]
        source: DecodeError,
    },
    /// The block store failed.
    #[error("the block store failed")]
    Block(#[from] BlockError),
    /// The tree failed.
    #[error("the tree failed")]
    Tree(#[from] TreeError),
    /// The journal failed.
    #[error("the journal failed")]
    Journal(#[from] JournalError),
}

impl FsError {
    /// What kind of trouble this is.
    pub fn nature(&self) -> Nature {
        match self {
            FsError::Malformed { .. } => Nature::Corrupt,
            FsError::Block(error) => error.nature(),
            FsError::Tree(error) => error.nature(),
            FsError::Journal(error) => error.nature(),
            FsError::NoSpace | FsError::Poisoned(_) => Nature::Environment,
            _ => Nature::Refused,
        }
    }

    /// Whether the host's disk is full.
    pub fn is_no_space(&self) -> bool {
        match self {
            FsError::NoSpace => true,
            FsError::Block(error) | FsError::Tree(TreeError::Block(error)) => error.is_no_space(),
            FsError::Journal(error) => error.is_no_space(),
            _ => false,
        }
    }

    /// Whether the medium failed, or what stands on it: not that it is full.
    pub fn is_failure_of_medium(&self) -> bool {
        self.nature() == Nature::Environment && !self.is_no_space()
    }
}
