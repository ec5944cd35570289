//! POSIX operations of a volume by family.
//!
//! Each operation reads one consistent state and commits one transaction (copies of large ranges:
//! several). What the kernel has checked before (modes of folders and files, the sticky bit, name
//! resolution) is not checked again; what only the file system can know (link counts, emptiness,
//! inheritance, suid and ACLs) is decided here.

mod access;
mod acl;
mod attr;
mod chain;
mod check;
mod compare;
mod copy;
mod create;
mod dir;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod inodes;
mod io;
mod link;
mod lookup;
mod paths;
mod posix_acl;
mod remove;
mod rename;
mod restore;
mod space;
mod statfs;
mod types;
mod xattr;

#[cfg(test)]
mod tests;

pub use check::{CheckSummary, Counted, Tails, Violation, check_inodes};
pub use compare::{Aspect, Difference, How, compare};
pub use paths::shown;
pub use restore::{RestoreError, RestoreOptions, RestorePath, Restored, Unwatched, Watch};
pub use space::FILE_BYTES_MAX;
pub use types::{
    AllocateMode, Attr, DirEntry, NewNode, RenameMode, Seek, SetAttr, SetTime, StatFs, WriteMode,
    XattrMode,
};

pub use crate::volume::records::FileKind;
