//! The key schema of a volume: `(inode, kind, sub-key)`.
//!
//! | kind | owner | sub-key | value |
//! |---|---|---|---|
//! | META | 0 | 0: inode lease | first inode number that is not leased, u64 |
//! | ORPHAN | 0 | inode | empty: nlink 0, reaped when nobody holds it |
//! | INODE | inode | 0 | `records::Inode` |
//! | SYMLINK | inode | 0 | target bytes |
//! | XATTR | inode | hash of the name, next free | `records::Xattr` |
//! | DIRENT | folder | hash of the name, next free | `records::Dirent` |
//! | BLOCK | inode | block index | block id and place; empty: a block of zeros that is allocated |
//!
//! An inode's attributes, names and blocks lie together, in this order, so that `ls -l` of a small
//! folder and the first read of a file touch one leaf.

use crate::base::{Ino, Key};

/// Kind byte: the volume's own numbers.
pub const META: u8 = 1;
/// Kind byte: unlinked inodes.
pub const ORPHAN: u8 = 2;
/// Kind byte: inode attributes.
pub const INODE: u8 = 16;
/// Kind byte: target of a symbolic link.
pub const SYMLINK: u8 = 17;
/// Kind byte: extended attribute.
pub const XATTR: u8 = 18;
/// Kind byte: directory entry.
pub const DIRENT: u8 = 19;
/// Kind byte: file block.
pub const BLOCK: u8 = 20;

/// The key that holds the end of the leased inode numbers.
pub fn ino_lease() -> Key {
    Key::new(0, META, 0)
}

/// Marks an inode without names.
pub fn orphan(ino: Ino) -> Key {
    Key::new(0, ORPHAN, ino.0)
}

/// All orphans, half open.
pub fn orphans() -> (Key, Key) {
    (Key::new(0, ORPHAN, 0), Key::new(0, ORPHAN + 1, 0))
}

/// An inode's attributes.
pub fn inode(ino: Ino) -> Key {
    Key::new(ino.0, INODE, 0)
}

/// A symbolic link's target.
pub fn symlink(ino: Ino) -> Key {
    Key::new(ino.0, SYMLINK, 0)
}

/// An extended attribute by the hash of its name.
pub fn xattr(ino: Ino, hash: u64) -> Key {
    Key::new(ino.0, XATTR, hash)
}

/// A directory entry by the hash of its name, which is its cookie.
pub fn dirent(folder: Ino, cookie: u64) -> Key {
    Key::new(folder.0, DIRENT, cookie)
}

/// A file's block.
pub fn block(ino: Ino, index: u64) -> Key {
    Key::new(ino.0, BLOCK, index)
}

/// The block key that lies `blocks` behind `first`.
pub fn block_after(first: &Key, blocks: u64) -> Key {
    Key::new(first.owner(), first.kind(), first.sub() + blocks)
}

/// All keys of a kind of an inode, half open.
pub fn all(ino: Ino, kind: u8) -> (Key, Key) {
    (Key::new(ino.0, kind, 0), Key::new(ino.0, kind + 1, 0))
}

/// Everything an inode owns, half open.
pub fn whole_inode(ino: Ino) -> (Key, Key) {
    (Key::new(ino.0, 0, 0), Key::new(ino.0 + 1, 0, 0))
}
