//! Paths of inodes: by what they remember, and without.

use super::super::shown;
use super::*;
use crate::base::Value;
use crate::volume::keys;
use crate::volume::records::Inode;

fn path(s: &Fixture, ino: Ino) -> Option<String> {
    let path = s.path_of(&ROOT, ino).unwrap();
    path.map(|path| shown(&path))
}

fn hint(s: &Fixture, ino: Ino) -> Option<String> {
    s.path_hint(ino).map(|path| shown(&path))
}

/// Makes an inode forget in which folder it was named, as one of an older volfs.
fn forget_folder(s: &Fixture, ino: Ino) {
    s.update(&ROOT, |edit| {
        let value = edit.get(&keys::inode(ino))?.unwrap();
        let mut inode = Inode::decode(&value.bytes).unwrap();
        inode.parent = Ino(0);
        edit.put(keys::inode(ino), Value::record(inode.encode()));
        Ok(())
    })
    .unwrap();
}

/// The path follows every rename, of the file and of the folders above.
#[test]
fn paths_follow_renames() {
    let s = Fixture::new();
    let (a, b) = (s.folder(Ino::ROOT, "a"), s.folder(Ino::ROOT, "b"));
    let inner = s.folder(a, "inner");
    let file = s.file(inner, "file");
    assert_eq!(path(&s, Ino::ROOT).unwrap(), "/");
    assert_eq!(path(&s, file).unwrap(), "/a/inner/file");
    s.mv((a, "inner"), (b, "moved"), RenameMode::Replace)
        .unwrap();
    assert_eq!(path(&s, file).unwrap(), "/b/moved/file");
    s.mv((inner, "file"), (a, "x"), RenameMode::Replace)
        .unwrap();
    assert_eq!(path(&s, file).unwrap(), "/a/x");
    assert_eq!(hint(&s, file).unwrap(), "/a/x");
    let other = s.file(b, "y");
    s.mv((a, "x"), (b, "y"), RenameMode::Exchange).unwrap();
    assert_eq!(hint(&s, file).unwrap(), "/b/y");
    assert_eq!(hint(&s, other).unwrap(), "/a/x");
    s.unlink(&ROOT, b, b"y").unwrap();
    assert_eq!(path(&s, file), None);
    assert_eq!(hint(&s, file), None);
}

/// Of several names the last one is remembered; when it goes, another one is found all the same,
/// though not cheaply.
#[test]
fn a_name_that_is_left_is_found() {
    let s = Fixture::new();
    let (a, b) = (s.folder(Ino::ROOT, "a"), s.folder(Ino::ROOT, "b"));
    let file = s.file(a, "first");
    s.link(&ROOT, file, b, b"second").unwrap();
    assert_eq!(hint(&s, file).unwrap(), "/b/second");
    s.unlink(&ROOT, b, b"second").unwrap();
    assert_eq!(hint(&s, file), None);
    assert_eq!(path(&s, file).unwrap(), "/a/first");
    // The check does not mind.
    s.assert_sound();
}

/// Inodes from before folders were remembered are found, and remember from the next name on.
#[test]
fn inodes_without_a_memory_are_found() {
    let s = Fixture::new();
    let a = s.folder(Ino::ROOT, "a");
    let file = s.file(a, "file");
    forget_folder(&s, file);
    s.checkpoint();
    assert_eq!(hint(&s, file), None);
    assert_eq!(path(&s, file).unwrap(), "/a/file");
    s.mv((a, "file"), (a, "renamed"), RenameMode::Replace)
        .unwrap();
    assert_eq!(hint(&s, file).unwrap(), "/a/renamed");
}

/// A path for a message is not looked for in a folder of any size.
#[test]
fn hints_cost_little() {
    let s = Fixture::new();
    let files: Vec<Ino> = (0..6000)
        .map(|number| s.file(Ino::ROOT, &number.to_string()))
        .collect();
    let found = files.iter().filter(|ino| s.path_hint(**ino).is_some());
    // Each of those among the first 4096 names in the folder's own order.
    let found = found.count();
    assert!((4000..4200).contains(&found), "{found}");
    assert_eq!(path(&s, files[77]).unwrap(), "/77");
}

/// Bytes that are no text are told as such.
#[test]
fn paths_are_shown_without_loss() {
    assert_eq!(shown("/ä/b".as_bytes()), "/ä/b");
    assert_eq!(shown(b"/a\xff\xfeb"), "/a\\xff\\xfeb");
}
