//! Tests of lookup, create, symlink and link.

use super::super::SetAttr;
use super::*;

/// Each kind is made with the caller's owner, the masked mode, and equal times in it and above.
#[test]
fn kinds_are_made_as_asked_for() {
    let fs = Fixture::new();
    let kinds = [
        (FileKind::Regular, 1, 0),
        (FileKind::Directory, 2, 0),
        (FileKind::Fifo, 1, 0),
        (FileKind::Socket, 1, 0),
        (FileKind::CharDevice, 1, 0x0103),
        (FileKind::BlockDevice, 1, 0x0103),
    ];
    for (kind, nlink, rdev) in kinds {
        let new = NewNode {
            kind,
            perm: 0o1777,
            umask: 0o027,
            rdev: 0x0103,
        };
        let name = format!("{kind:?}");
        let attr = fs.create(&USER, Ino::ROOT, name.as_bytes(), &new).unwrap();

        assert_eq!((attr.kind, attr.perm, attr.nlink), (kind, 0o1750, nlink));
        assert_eq!((attr.uid, attr.gid, attr.rdev), (1000, 100, rdev));
        assert_eq!((attr.size, attr.blocks_512), (0, 0));
        assert_eq!((attr.atime, attr.mtime), (attr.ctime, attr.ctime));
        let root = fs.attr(Ino::ROOT);
        assert_eq!((root.mtime, root.ctime), (attr.ctime, attr.ctime));
        assert_eq!(fs.lookup(&ROOT, Ino::ROOT, name.as_bytes()).unwrap(), attr);
    }
    assert_eq!((fs.attr(Ino::ROOT).nlink, fs.attr(Ino::ROOT).size), (3, 6));
    let link = NewNode {
        kind: FileKind::Symlink,
        perm: 0,
        umask: 0,
        rdev: 0,
    };
    assert_eq!(name_of(fs.create(&ROOT, Ino::ROOT, b"l", &link)), "Invalid");
}

/// A folder with sgid gives its group to what is made in it, and the bit to folders.
#[test]
fn sgid_folders_give_their_group() {
    let fs = Fixture::new();
    let folder = fs.folder(Ino::ROOT, "d");
    let set = SetAttr {
        perm: Some(0o2775),
        gid: Some(77),
        ..SetAttr::default()
    };
    fs.setattr(&ROOT, folder, &set).unwrap();

    let file = fs.make(&USER, FileKind::Regular, folder, "f").unwrap();
    let below = fs.make(&USER, FileKind::Directory, folder, "d").unwrap();
    let link = fs.symlink(&USER, folder, b"l", b"x").unwrap();

    assert_eq!((file.uid, file.gid, file.perm), (1000, 77, 0o755));
    assert_eq!((below.gid, below.perm), (77, 0o2755));
    assert_eq!((link.gid, link.perm), (77, 0o777));
}

/// Names that cannot be, exist, or lie in no folder are refused.
#[test]
fn impossible_names_are_refused() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let make = |parent, name: &str| name_of(fs.make(&ROOT, FileKind::Regular, parent, name));
    assert_eq!(make(Ino::ROOT, "f"), "Exists");
    assert_eq!(make(Ino::ROOT, "."), "Exists");
    assert_eq!(make(Ino::ROOT, ".."), "Exists");
    assert_eq!(make(Ino::ROOT, ""), "NotFound");
    assert_eq!(make(Ino::ROOT, "a/b"), "Invalid");
    assert_eq!(make(Ino::ROOT, "a\0"), "Invalid");
    assert_eq!(make(Ino::ROOT, &"x".repeat(256)), "NameTooLong");
    assert_eq!(make(file, "x"), "NotDirectory");
    assert_eq!(make(Ino(999), "x"), "NotFound");
    assert!(make(Ino::ROOT, &"x".repeat(255)).starts_with("Ok"));
    assert_eq!(name_of(fs.find(file, "x")), "NotDirectory");
    assert_eq!(name_of(fs.find(Ino::ROOT, "x")), "NotFound");
    assert_eq!(name_of(fs.find(Ino::ROOT, &"y".repeat(256))), "NameTooLong");
}

/// A name with a slash or NUL, which the kernel lets nobody say, is refused by every operation that
/// makes, moves or removes one, and changes nothing.
#[test]
fn names_have_no_slash_and_no_nul() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let folder = fs.folder(Ino::ROOT, "d");
    fs.file(folder, "b");
    let before = (fs.names(Ino::ROOT), fs.names(folder), fs.attr(Ino::ROOT));
    for name in ["d/b", "/", "a/", "/a", "f\0", "\0", "a\0b"] {
        let bytes = name.as_bytes();
        let root = Ino::ROOT;
        let refused =
            |what: &str, outcome: String| assert_eq!(outcome, "Invalid", "{what} {name:?}");
        for kind in [FileKind::Directory, FileKind::Fifo, FileKind::Regular] {
            refused("make", name_of(fs.make(&ROOT, kind, root, name)));
        }
        refused("symlink", name_of(fs.symlink(&ROOT, root, bytes, b"to")));
        refused("link", name_of(fs.link(&ROOT, file, root, bytes)));
        refused("unlink", name_of(fs.unlink(&ROOT, root, bytes)));
        refused("rmdir", name_of(fs.rmdir(&ROOT, root, bytes)));
        refused("lookup", name_of(fs.find(root, name)));
        for mode in [
            RenameMode::Replace,
            RenameMode::NoReplace,
            RenameMode::Exchange,
            RenameMode::Whiteout,
            RenameMode::WhiteoutNoReplace,
        ] {
            refused(
                "rename to",
                name_of(fs.mv((root, "f"), (folder, name), mode)),
            );
            refused(
                "rename from",
                name_of(fs.mv((root, name), (folder, "g"), mode)),
            );
        }
    }
    let after = (fs.names(Ino::ROOT), fs.names(folder), fs.attr(Ino::ROOT));
    assert_eq!(after, before);
}

/// A second format is refused and changes nothing.
#[test]
fn a_volume_is_formatted_once() {
    let fs = Fixture::new();
    assert_eq!(name_of(fs.format(1, 2, 0o700)), "Exists");
    let root = fs.attr(Ino::ROOT);
    assert_eq!((root.perm, root.uid, root.nlink), (0o755, 0, 2));
}

/// `.` finds any inode, `..` a folder's parent; at the root both are the root.
#[test]
fn dots_are_looked_up() {
    let fs = Fixture::new();
    let folder = fs.folder(Ino::ROOT, "d");
    let file = fs.file(folder, "f");
    assert_eq!(fs.find(folder, ".").unwrap(), folder);
    assert_eq!(fs.find(folder, "..").unwrap(), Ino::ROOT);
    assert_eq!(fs.find(Ino::ROOT, "..").unwrap(), Ino::ROOT);
    assert_eq!(fs.find(file, ".").unwrap(), file);
    assert_eq!(name_of(fs.find(file, "..")), "NotDirectory");
    fs.unlink(&ROOT, folder, b"f").unwrap();
    assert_eq!(fs.find(file, ".").unwrap(), file);
}

/// A link's target comes back as it was, with its length as size; impossible ones are refused.
#[test]
fn symlinks_keep_their_targets() {
    let fs = Fixture::new();
    let target = [b'x'; 4095];
    let attr = fs.symlink(&USER, Ino::ROOT, b"l", &target).unwrap();
    fs.checkpoint();
    assert_eq!(
        (attr.kind, attr.size, attr.perm),
        (FileKind::Symlink, 4095, 0o777)
    );
    assert_eq!(fs.readlink(&ROOT, attr.ino).unwrap(), target);
    let refused = |target: &[u8]| name_of(fs.symlink(&ROOT, Ino::ROOT, b"m", target));
    assert_eq!(refused(b""), "NotFound");
    assert_eq!(refused(&[b'x'; 4096]), "NameTooLong");
    assert_eq!(refused(b"a\0b"), "Invalid");
    assert_eq!(name_of(fs.readlink(&ROOT, Ino::ROOT)), "Invalid");
}

/// A link is another name of the same inode: it counts, moves ctime, and is refused for folders,
/// for inodes without names and where the name exists.
#[test]
fn links_are_counted() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let folder = fs.folder(Ino::ROOT, "d");
    let before = fs.attr(file);

    let linked = fs.link(&ROOT, file, folder, b"g").unwrap();

    assert_eq!((linked.ino, linked.nlink), (file, 2));
    assert!(linked.ctime > before.ctime && linked.mtime == before.mtime);
    assert_eq!(fs.attr(folder).mtime, linked.ctime);
    assert_eq!(fs.find(folder, "g").unwrap(), file);
    let refused = |ino, parent, name: &str| name_of(fs.link(&ROOT, ino, parent, name.as_bytes()));
    assert_eq!(refused(folder, Ino::ROOT, "h"), "NotPermitted");
    assert_eq!(refused(file, Ino::ROOT, "d"), "Exists");
    assert_eq!(refused(file, file, "h"), "NotDirectory");
    fs.unlink(&ROOT, Ino::ROOT, b"f").unwrap();
    fs.unlink(&ROOT, folder, b"g").unwrap();
    assert_eq!(refused(file, Ino::ROOT, "h"), "NotFound");
}

/// The 65000th name of an inode is the last.
#[test]
fn links_are_limited() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "0");
    fs.update(&ROOT, |edit| {
        let mut inode = crate::volume::ops::inodes::load(edit, file)?;
        inode.nlink = 64_999;
        crate::volume::ops::inodes::store(edit, file, &inode);
        Ok(())
    })
    .unwrap();
    assert_eq!(fs.link(&ROOT, file, Ino::ROOT, b"1").unwrap().nlink, 65_000);
    assert_eq!(
        name_of(fs.link(&ROOT, file, Ino::ROOT, b"2")),
        "TooManyLinks"
    );
    fs.update(&ROOT, |edit| {
        let mut inode = crate::volume::ops::inodes::load(edit, file)?;
        inode.nlink = 2;
        crate::volume::ops::inodes::store(edit, file, &inode);
        Ok(())
    })
    .unwrap();
}
