//! POSIX ACLs of one shape, as raw bytes: owner, one more user, group, mask, others.

use crate::base::PutBytes;

pub(super) const ACCESS: &str = "system.posix_acl_access";
pub(super) const DEFAULT: &str = "system.posix_acl_default";

const VERSION: u32 = 2;
/// Tags of the entries, in their order, and whom they name.
const ENTRIES: [(u16, u32); 5] = [
    (0x01, u32::MAX),
    (0x02, 1001),
    (0x04, u32::MAX),
    (0x10, u32::MAX),
    (0x20, u32::MAX),
];
/// The entries that stand for permission bits, and where in the mode these are. The mask is there
/// for the group.
const CLASSES: [(usize, u16); 3] = [(0, 6), (3, 3), (4, 0)];

fn place(entry: usize) -> usize {
    4 + 8 * entry + 2
}

/// An ACL that grants this to each of its five.
pub(super) fn acl(grants: [u16; 5]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u32(VERSION);
    for ((tag, whom), grant) in ENTRIES.iter().zip(grants) {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&grant.to_le_bytes());
        bytes.put_u32(*whom);
    }
    bytes
}

/// The permission bits that belong to it.
pub(super) fn permissions(acl: &[u8]) -> u16 {
    let class = |(entry, shift): &(usize, u16)| u16::from(acl[place(*entry)]) << shift;
    CLASSES.iter().map(class).sum()
}

/// Gives the entries that stand for permission bits these.
pub(super) fn set_permissions(acl: &mut [u8], perm: u16) {
    for (entry, shift) in CLASSES {
        acl[place(entry)] = (perm >> shift & 7) as u8;
    }
}
