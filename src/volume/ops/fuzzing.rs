//! What must hold of an ACL's attribute with any bytes: programs write them.

use super::posix_acl::PosixAcl;

/// An ACL is refused, or means the same once it was encoded.
pub(crate) fn acl(bytes: &[u8]) {
    if let Ok(Some(acl)) = PosixAcl::decode(bytes) {
        assert_eq!(PosixAcl::decode(&acl.encode()), Ok(Some(acl)));
    }
}

/// rwx for the owner, r-x for a user and the group, nothing for others.
#[cfg(test)]
pub(crate) fn acl_seed() -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 7, u32::MAX),
        (0x02, 5, 1000),
        (0x04, 5, u32::MAX),
        (0x10, 5, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(perm.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}
