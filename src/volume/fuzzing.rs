//! What must hold of a volume's records, and of transactions that are applied, with any bytes.

use super::core::changes::Changes;
use super::records::{Dirent, Inode, Xattr};
use crate::journal::{Change, Transaction};

/// Changes up to which a transaction is applied: each may take a whole block of memory.
const APPLIED_MAX: usize = 32;
/// A volume's smallest block in bytes.
const BLOCK_BYTES: u32 = 4096;

/// A record of each kind is refused, or is what it encodes to.
pub(crate) fn records(bytes: &[u8]) {
    if let Ok(inode) = Inode::decode(bytes) {
        assert_eq!(inode.encode(), bytes);
    }
    if let Ok(entry) = Dirent::decode(bytes) {
        let encoded = entry.map_or_else(Dirent::tombstone, |entry| entry.encode());
        assert_eq!(encoded, bytes);
    }
    if let Ok(xattr) = Xattr::decode(bytes) {
        let encoded = xattr.map_or_else(Xattr::tombstone, |xattr| xattr.encode());
        assert_eq!(encoded, bytes);
    }
    super::ops::fuzzing::acl(bytes);
}

/// A transaction that was decoded can be applied.
pub(crate) fn apply(transaction: &Transaction) {
    let is_small = |change: &Change| match change {
        Change::Data { bytes, .. } => bytes.len() <= BLOCK_BYTES as usize,
        Change::Put(..) | Change::Delete(_) | Change::DeleteRange(..) => true,
    };
    if transaction.changes.len() <= APPLIED_MAX && transaction.changes.iter().all(is_small) {
        Changes::default().apply(transaction, BLOCK_BYTES);
    }
}

/// A file, a folder, a name, an attribute, a tombstone and an ACL.
#[cfg(test)]
pub(crate) fn record_seeds() -> Vec<(&'static str, Vec<u8>)> {
    use super::records::FileKind;
    use crate::base::{Ino, Timestamp};

    let now = Timestamp { secs: 1, nanos: 2 };
    let inode = |kind| Inode::new(kind, 0o4751, (1000, 100), Ino(7), now);
    let mut file = inode(FileKind::Regular);
    file.size = 70_000;
    file.direct_write = Some(now);
    let entry = Dirent {
        ino: Ino(9),
        kind: FileKind::Regular,
        name: b"base.conf",
    };
    let xattr = Xattr {
        name: b"user.a",
        value: b"xyz",
    };
    vec![
        ("file", file.encode()),
        ("folder", inode(FileKind::Directory).encode()),
        ("device", inode(FileKind::BlockDevice).encode()),
        ("dirent", entry.encode()),
        ("xattr", xattr.encode()),
        ("tombstone", Dirent::tombstone()),
        ("acl", super::ops::fuzzing::acl_seed()),
    ]
}
