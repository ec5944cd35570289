//! Tests of extended attributes.

use super::super::XattrMode::{Any, Create, CreateAndReplace, Replace};
use super::*;

/// Attributes are set, replaced, listed and removed; a change moves ctime.
#[test]
fn attributes_come_back() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let before = fs.attr(file);
    fs.setxattr(&ROOT, file, b"user.a", b"one", Any).unwrap();
    fs.setxattr(&ROOT, file, b"user.b", &[7; 65_536], Create)
        .unwrap();
    fs.setxattr(&ROOT, file, b"user.a", b"", Replace).unwrap();
    fs.checkpoint();
    assert_eq!(fs.getxattr(&ROOT, file, b"user.a").unwrap(), b"");
    assert_eq!(fs.getxattr(&ROOT, file, b"user.b").unwrap(), [7; 65_536]);
    let list = fs.listxattr(&ROOT, file).unwrap();
    assert!(list == b"user.a\0user.b\0" || list == b"user.b\0user.a\0");
    assert!(fs.attr(file).ctime > before.ctime);
    assert_eq!(fs.attr(file).mtime, before.mtime);

    fs.removexattr(&ROOT, file, b"user.b").unwrap();
    assert_eq!(name_of(fs.getxattr(&ROOT, file, b"user.b")), "NoAttribute");
    assert_eq!(fs.listxattr(&ROOT, file).unwrap(), b"user.a\0");
}

/// Names, namespaces, values and modes that do not fit are refused.
#[test]
fn impossible_attributes_are_refused() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let set = |name: &[u8], len, mode| name_of(fs.setxattr(&ROOT, file, name, &vec![1; len], mode));
    assert_eq!(set(b"", 1, Any), "Range");
    assert_eq!(set(&[b'x'; 256], 1, Any), "Range");
    assert_eq!(set(b"user.a\0", 1, Any), "Invalid");
    assert_eq!(set(b"user.", 1, Any), "Invalid");
    assert_eq!(set(b"system.other", 1, Any), "Unsupported");
    assert_eq!(set(b"a", 1, Any), "Unsupported");
    assert_eq!(set(b"user.a", 65_537, Any), "TooBig");
    assert_eq!(set(b"user.a", 1, Replace), "NoAttribute");
    assert_eq!(set(b"user.a", 1, CreateAndReplace), "NoAttribute");
    assert_eq!(set(b"user.a", 1, Create), "Ok(())");
    assert_eq!(set(b"user.a", 1, Create), "Exists");
    assert_eq!(set(b"user.a", 1, CreateAndReplace), "Exists");
    assert_eq!(
        name_of(fs.removexattr(&ROOT, file, b"user.b")),
        "NoAttribute"
    );
    assert_eq!(name_of(fs.getxattr(&ROOT, file, b"x.b")), "Unsupported");
    assert_eq!(name_of(fs.getxattr(&ROOT, Ino(999), b"user.b")), "NotFound");
}

/// All names together must fit into what listxattr can return.
#[test]
fn a_list_of_names_is_bounded() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let name = |number: u32| format!("user.{number:0>250}").into_bytes();
    for number in 0..256 {
        fs.setxattr(&ROOT, file, &name(number), b"", Any).unwrap();
    }
    assert_eq!(fs.listxattr(&ROOT, file).unwrap().len(), 65_536);
    assert_eq!(
        name_of(fs.setxattr(&ROOT, file, b"user.b", b"", Any)),
        "AttributesFull"
    );
    fs.setxattr(&ROOT, file, &name(7), b"again", Any).unwrap();
    fs.removexattr(&ROOT, file, &name(8)).unwrap();
    fs.setxattr(&ROOT, file, b"user.b", b"", Any).unwrap();
}

/// Names of the trusted namespace are listed to root only.
#[test]
fn trusted_names_are_for_root() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    fs.setxattr(&ROOT, file, b"trusted.t", b"", Any).unwrap();
    assert_eq!(fs.listxattr(&ROOT, file).unwrap(), b"trusted.t\0");
    assert_eq!(fs.listxattr(&USER, file).unwrap(), b"");
}
