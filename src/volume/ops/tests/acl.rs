//! Tests of ACLs against the rules of POSIX 1003.1e and of Linux.

use super::super::SetAttr;
use super::super::XattrMode::Any;
use super::*;

const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";
const OWNER: u16 = 0x01;
const NAMED: u16 = 0x02;
const GROUP: u16 = 0x04;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// An ACL as Linux writes it: tag, permissions; named entries are of user 1000.
fn acl(entries: &[(u16, u16)]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0];
    for (tag, perm) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(perm.to_le_bytes());
        let id: u32 = if *tag == NAMED { 1000 } else { u32::MAX };
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// An access ACL sets the permission bits, with its mask as the group's.
#[test]
fn an_acl_sets_permission_bits() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let full = acl(&[(OWNER, 6), (NAMED, 7), (GROUP, 4), (MASK, 5), (OTHER, 1)]);
    fs.setxattr(&ROOT, file, ACCESS, &full, Any).unwrap();
    assert_eq!(fs.attr(file).perm, 0o651);
    assert_eq!(fs.getxattr(&ROOT, file, ACCESS).unwrap(), full);

    fs.removexattr(&ROOT, file, ACCESS).unwrap();
    assert_eq!(fs.attr(file).perm, 0o651);
    assert_eq!(name_of(fs.getxattr(&ROOT, file, ACCESS)), "NoAttribute");
    assert_eq!(name_of(fs.removexattr(&ROOT, file, ACCESS)), "Ok(())");
}

/// An ACL that the permission bits say as well is not kept, and takes away one that was there.
#[test]
fn a_minimal_acl_is_not_kept() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let full = acl(&[(OWNER, 7), (GROUP, 7), (MASK, 7), (OTHER, 7)]);
    fs.setxattr(&ROOT, file, ACCESS, &full, Any).unwrap();
    assert_eq!(fs.listxattr(&ROOT, file).unwrap().len(), ACCESS.len() + 1);
    let minimal = acl(&[(OWNER, 6), (GROUP, 4), (OTHER, 0)]);
    fs.setxattr(&ROOT, file, ACCESS, &minimal, Any).unwrap();
    assert_eq!(fs.attr(file).perm, 0o640);
    assert_eq!(fs.listxattr(&ROOT, file).unwrap(), b"");
}

/// chmod changes the mask, not the group's entry, of an ACL that has one.
#[test]
fn chmod_changes_the_mask() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let full = acl(&[(OWNER, 6), (NAMED, 7), (GROUP, 4), (MASK, 5), (OTHER, 1)]);
    fs.setxattr(&ROOT, file, ACCESS, &full, Any).unwrap();
    let chmod = SetAttr {
        perm: Some(0o4720),
        ..SetAttr::default()
    };
    assert_eq!(fs.setattr(&ROOT, file, &chmod).unwrap().perm, 0o4720);
    let expected = acl(&[(OWNER, 7), (NAMED, 7), (GROUP, 4), (MASK, 2), (OTHER, 0)]);
    assert_eq!(fs.getxattr(&ROOT, file, ACCESS).unwrap(), expected);
}

/// A default ACL takes the place of the umask, restricts to the asked-for mode, and goes on to
/// folders below.
#[test]
fn a_default_acl_is_inherited() {
    let fs = Fixture::new();
    let folder = fs.folder(Ino::ROOT, "d");
    let default = acl(&[(OWNER, 7), (NAMED, 7), (GROUP, 5), (MASK, 7), (OTHER, 5)]);
    fs.setxattr(&ROOT, folder, DEFAULT, &default, Any).unwrap();
    assert_eq!(fs.attr(folder).perm, 0o755);
    let make = |kind, name: &[u8], perm| {
        let new = NewNode {
            kind,
            perm,
            umask: 0o077,
            rdev: 0,
        };
        fs.create(&ROOT, folder, name, &new).unwrap()
    };

    let file = make(FileKind::Regular, b"f", 0o664);
    assert_eq!(file.perm, 0o664);
    let expected = acl(&[(OWNER, 6), (NAMED, 7), (GROUP, 5), (MASK, 6), (OTHER, 4)]);
    assert_eq!(fs.getxattr(&ROOT, file.ino, ACCESS).unwrap(), expected);
    assert_eq!(
        name_of(fs.getxattr(&ROOT, file.ino, DEFAULT)),
        "NoAttribute"
    );

    let below = make(FileKind::Directory, b"e", 0o1777);
    assert_eq!(below.perm, 0o1775);
    assert_eq!(fs.getxattr(&ROOT, below.ino, DEFAULT).unwrap(), default);
    assert_eq!(
        fs.listxattr(&ROOT, below.ino).unwrap().len(),
        ACCESS.len() + DEFAULT.len() + 2
    );

    let link = fs.symlink(&ROOT, folder, b"l", b"x").unwrap();
    assert_eq!(
        (link.perm, fs.listxattr(&ROOT, link.ino).unwrap().len()),
        (0o777, 0)
    );
}

/// A minimal default ACL gives permission bits only.
#[test]
fn a_minimal_default_acl_gives_bits() {
    let fs = Fixture::new();
    let folder = fs.folder(Ino::ROOT, "d");
    let default = acl(&[(OWNER, 7), (GROUP, 0), (OTHER, 4)]);
    fs.setxattr(&ROOT, folder, DEFAULT, &default, Any).unwrap();
    let file = fs.make(&ROOT, FileKind::Regular, folder, "f").unwrap();
    assert_eq!(
        (file.perm, fs.listxattr(&ROOT, file.ino).unwrap().len()),
        (0o704, 0)
    );
}

/// ACLs that break Linux's rules are refused; empty ones remove.
#[test]
fn malformed_acls_are_refused() {
    let fs = Fixture::new();
    let (file, folder) = (fs.file(Ino::ROOT, "f"), fs.folder(Ino::ROOT, "d"));
    let set = |name: &[u8], value: &[u8]| name_of(fs.setxattr(&ROOT, file, name, value, Any));
    let minimal = [(OWNER, 7), (GROUP, 7), (OTHER, 7)];
    let cut = &acl(&minimal)[..27];
    assert_eq!(set(ACCESS, cut), "Invalid");
    assert_eq!(set(ACCESS, &[3, 0, 0, 0]), "Invalid");
    assert_eq!(set(ACCESS, &[2, 0]), "Invalid");
    let wrong: [&[(u16, u16)]; 8] = [
        &[(OWNER, 7), (GROUP, 7)],
        &[(GROUP, 7), (OWNER, 7), (OTHER, 7)],
        &[(OWNER, 7), (OWNER, 7), (GROUP, 7), (OTHER, 7)],
        &[(OWNER, 7), (NAMED, 7), (GROUP, 7), (OTHER, 7)],
        &[(OWNER, 7), (GROUP, 7), (MASK, 7), (MASK, 7), (OTHER, 7)],
        &[(OWNER, 8), (GROUP, 7), (OTHER, 7)],
        &[(OWNER, 7), (GROUP, 7), (OTHER, 7), (0x40, 7)],
        &[(OWNER, 7), (GROUP, 7), (OTHER, 7), (0x03, 7)],
    ];
    for entries in wrong {
        assert_eq!(set(ACCESS, &acl(entries)), "Invalid", "{entries:?}");
    }
    let mut nobody = acl(&[(OWNER, 7), (NAMED, 7), (GROUP, 7), (MASK, 7), (OTHER, 7)]);
    nobody[16..20].fill(0xff);
    assert_eq!(set(ACCESS, &nobody), "Invalid");
    assert_eq!(set(DEFAULT, &acl(&minimal)), "PermissionDenied");
    assert_eq!(set(DEFAULT, &[]), "Ok(())");

    fs.setxattr(&ROOT, folder, DEFAULT, &acl(&minimal), Any)
        .unwrap();
    fs.setxattr(&ROOT, folder, DEFAULT, &[2, 0, 0, 0], Any)
        .unwrap();
    assert_eq!(fs.listxattr(&ROOT, folder).unwrap(), b"");
}
