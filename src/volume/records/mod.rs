//! Stored records of a volume's map, one file each; their bytes are in `docs/on-disk-format.md`.
//!
//! Every record starts with a version byte and is decoded strictly: unknown versions and flags,
//! values out of range, missing and trailing bytes are refused.

mod dirent;
mod inode;
mod kind;
mod xattr;

pub use dirent::{Dirent, NAME_BYTES_MAX};
pub use inode::Inode;
pub use kind::FileKind;
pub use xattr::{XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX, Xattr};
