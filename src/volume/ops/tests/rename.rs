//! Tests of rename.

use super::*;
use RenameMode::{Exchange, NoReplace, Replace, Whiteout, WhiteoutNoReplace};

/// A file moves between folders: both change their times, the file its ctime.
#[test]
fn a_file_moves() {
    let fs = Fixture::new();
    let (from, to) = (fs.folder(Ino::ROOT, "a"), fs.folder(Ino::ROOT, "b"));
    let file = fs.file(from, "f");
    let before = fs.attr(file);

    fs.mv((from, "f"), (to, "g"), Replace).unwrap();

    let after = fs.attr(file);
    assert!(after.ctime > before.ctime && after.mtime == before.mtime);
    for folder in [from, to] {
        let attr = fs.attr(folder);
        assert_eq!((attr.mtime, attr.ctime), (after.ctime, after.ctime));
    }
    assert_eq!(
        (fs.names(from), fs.names(to)),
        (vec![], vec!["g".to_owned()])
    );
}

/// A folder that moves takes its `..` and its place in the link counts along.
#[test]
fn a_folder_moves() {
    let fs = Fixture::new();
    let (from, to) = (fs.folder(Ino::ROOT, "a"), fs.folder(Ino::ROOT, "b"));
    let folder = fs.folder(from, "d");

    fs.mv((from, "d"), (to, "e"), Replace).unwrap();

    assert_eq!((fs.attr(from).nlink, fs.attr(to).nlink), (2, 3));
    assert_eq!(fs.find(folder, "..").unwrap(), to);
}

/// What is replaced loses a name: a held file stays readable, an empty folder is gone.
#[test]
fn replaced_inodes_lose_a_name() {
    let fs = Fixture::new();
    let (old, new) = (fs.file(Ino::ROOT, "old"), fs.file(Ino::ROOT, "new"));
    fs.write(old, 0, b"old");
    fs.mv((Ino::ROOT, "new"), (Ino::ROOT, "old"), Replace)
        .unwrap();
    assert_eq!(fs.find(Ino::ROOT, "old").unwrap(), new);
    assert_eq!((fs.attr(old).nlink, fs.content(old)), (0, b"old".to_vec()));
    assert_eq!(fs.attr(old).ctime, fs.attr(Ino::ROOT).ctime);

    let (one, two) = (fs.folder(Ino::ROOT, "one"), fs.folder(Ino::ROOT, "two"));
    assert_eq!(fs.attr(Ino::ROOT).nlink, 4);
    fs.mv((Ino::ROOT, "one"), (Ino::ROOT, "two"), Replace)
        .unwrap();
    assert_eq!((fs.attr(Ino::ROOT).nlink, fs.attr(two).nlink), (3, 0));
    assert_eq!(fs.names(Ino::ROOT), ["old", "two"]);
    assert_eq!(fs.find(Ino::ROOT, "two").unwrap(), one);
}

/// Two names of one inode: nothing happens, both stay.
#[test]
fn names_of_one_inode_both_stay() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    fs.link(&ROOT, file, Ino::ROOT, b"g").unwrap();
    let before = fs.attr(Ino::ROOT);
    fs.mv((Ino::ROOT, "f"), (Ino::ROOT, "g"), Replace).unwrap();
    fs.mv((Ino::ROOT, "f"), (Ino::ROOT, "g"), Exchange).unwrap();
    fs.mv((Ino::ROOT, "f"), (Ino::ROOT, "f"), Replace).unwrap();
    assert_eq!(fs.names(Ino::ROOT), ["f", "g"]);
    assert_eq!(fs.attr(Ino::ROOT), before);
}

/// Kinds that do not fit, folders with entries, and circles are refused.
#[test]
fn impossible_moves_are_refused() {
    let fs = Fixture::new();
    let outer = fs.folder(Ino::ROOT, "outer");
    let inner = fs.folder(outer, "inner");
    let deep = fs.folder(inner, "deep");
    fs.folder(Ino::ROOT, "empty");
    fs.file(Ino::ROOT, "f");
    let root = |name| (Ino::ROOT, name);
    let mv = |from, to, mode| name_of(fs.mv(from, to, mode));
    assert_eq!(mv(root("f"), root("empty"), Replace), "IsDirectory");
    assert_eq!(mv(root("empty"), root("f"), Replace), "NotDirectory");
    assert_eq!(mv(root("empty"), root("outer"), Replace), "NotEmpty");
    assert_eq!(mv((outer, "inner"), root("outer"), Replace), "NotEmpty");
    assert_eq!(mv(root("outer"), (outer, "x"), Replace), "Invalid");
    assert_eq!(mv(root("outer"), (deep, "x"), Replace), "Invalid");
    assert_eq!(mv(root("outer"), (inner, "deep"), Exchange), "Invalid");
    assert_eq!(mv((inner, "deep"), root("outer"), Exchange), "Invalid");
    assert_eq!(mv(root("f"), root("empty"), NoReplace), "Exists");
    assert_eq!(mv(root("f"), root("f"), NoReplace), "Exists");
    assert_eq!(mv(root("f"), root("none"), Exchange), "NotFound");
    assert_eq!(mv(root("none"), root("f"), Replace), "NotFound");
    assert_eq!(mv(root("."), root("x"), Replace), "Invalid");
    assert_eq!(mv(root("f"), (outer, ".."), Replace), "Invalid");
    assert_eq!(
        mv(root("f"), (outer, &"x".repeat(256)), Replace),
        "NameTooLong"
    );
}

/// An exchange swaps two names of any kinds, with parents and link counts.
#[test]
fn an_exchange_swaps() {
    let fs = Fixture::new();
    let (a, b) = (fs.folder(Ino::ROOT, "a"), fs.folder(Ino::ROOT, "b"));
    let (folder, file) = (fs.folder(a, "x"), fs.file(b, "y"));

    fs.mv((a, "x"), (b, "y"), Exchange).unwrap();

    assert_eq!(
        (fs.find(a, "x").unwrap(), fs.find(b, "y").unwrap()),
        (file, folder)
    );
    assert_eq!((fs.attr(a).nlink, fs.attr(b).nlink), (2, 3));
    assert_eq!(fs.find(folder, "..").unwrap(), b);
    assert_eq!(fs.attr(file).ctime, fs.attr(a).ctime);

    fs.mv((Ino::ROOT, "a"), (Ino::ROOT, "b"), Exchange).unwrap();
    assert_eq!(fs.find(Ino::ROOT, "a").unwrap(), b);
}

/// A whiteout stands where the name was: a character device 0:0 without permissions.
#[test]
fn a_whiteout_stays_behind() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    fs.rename(&USER, (Ino::ROOT, b"f"), (Ino::ROOT, b"g"), Whiteout)
        .unwrap();
    assert_eq!(fs.find(Ino::ROOT, "g").unwrap(), file);
    let whiteout = fs.lookup(&ROOT, Ino::ROOT, b"f").unwrap();
    assert_eq!((whiteout.kind, whiteout.rdev), (FileKind::CharDevice, 0));
    assert_eq!((whiteout.perm, whiteout.uid), (0, 1000));
    assert_eq!((fs.attr(Ino::ROOT).size, fs.counts().inodes), (2, 3));

    let refused = fs.mv((Ino::ROOT, "g"), (Ino::ROOT, "f"), WhiteoutNoReplace);
    assert_eq!(name_of(refused), "Exists");
    fs.mv((Ino::ROOT, "g"), (Ino::ROOT, "h"), WhiteoutNoReplace)
        .unwrap();
    assert_eq!(fs.names(Ino::ROOT), ["f", "g", "h"]);
    assert_eq!(
        fs.attr(fs.find(Ino::ROOT, "g").unwrap()).kind,
        FileKind::CharDevice
    );
}
