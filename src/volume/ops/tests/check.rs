//! Tests of the consistency check: each broken rule is found, and only that one.

use super::super::inodes::{load, store};
use super::*;
use crate::base::{Key, Value};
use crate::volume::keys;
use crate::volume::ops::Counted;
use crate::volume::records::{Dirent, Inode};

/// A volume with a folder, two files (one with two names), a link, an attribute and an orphan.
struct Sample {
    fs: Fixture,
    folder: Ino,
    file: Ino,
    other: Ino,
    link: Ino,
    orphan: Ino,
}

fn sample() -> Sample {
    let mut fs = Fixture::new();
    fs.ends_sound = false;
    let folder = fs.folder(Ino::ROOT, "folder");
    let file = fs.file(folder, "file");
    let other = fs.file(Ino::ROOT, "other");
    fs.link(&ROOT, file, Ino::ROOT, b"again").unwrap();
    let link = fs
        .symlink(&ROOT, Ino::ROOT, b"link", b"target")
        .unwrap()
        .ino;
    let orphan = fs.file(Ino::ROOT, "orphan");
    fs.unlink(&ROOT, Ino::ROOT, b"orphan").unwrap();
    fs.write(file, 0, &[1; 10_000]);
    fs.setxattr(&ROOT, file, b"user.a", b"", super::super::XattrMode::Any)
        .unwrap();
    let summary = fs.assert_sound();
    let expected = CheckSummary {
        inodes: 6,
        names: 5,
        blocks: 3,
    };
    assert_eq!(summary, expected);
    Sample {
        fs,
        folder,
        file,
        other,
        link,
        orphan,
    }
}

impl Sample {
    fn damaged(&self, damage: impl FnOnce(&mut crate::volume::Edit<'_>)) -> Vec<Violation> {
        let change = |edit: &mut crate::volume::Edit<'_>| {
            damage(edit);
            Ok(())
        };
        self.fs.update(&ROOT, change).unwrap();
        self.fs.violations().0
    }

    /// What is found when an inode's record says something else.
    fn with(&self, ino: Ino, change: impl FnOnce(&mut Inode)) -> Vec<Violation> {
        self.damaged(|edit| {
            let mut inode = load(edit, ino).unwrap();
            change(&mut inode);
            store(edit, ino, &inode);
        })
    }

    fn key_of(&self, folder: Ino, name: &[u8]) -> Key {
        self.fs.dirents().start_key(folder, name)
    }
}

fn count(ino: Ino, what: Counted, stored: u64, found: u64) -> Violation {
    Violation::Count {
        ino,
        what,
        stored,
        found,
    }
}

/// Counts in inodes that are not what is there are told with both numbers.
#[test]
fn wrong_counts_are_found() {
    let s = sample();
    let found = s.with(s.file, |inode| inode.nlink = 3);
    assert_eq!(found, [count(s.file, Counted::Links, 3, 2)]);
    let s = sample();
    let found = s.with(s.file, |inode| inode.blocks = 4);
    assert_eq!(found, [count(s.file, Counted::Blocks, 4, 3)]);
    let s = sample();
    let found = s.with(s.file, |inode| inode.xattr_list_bytes = 0);
    assert_eq!(found, [count(s.file, Counted::AttributeListBytes, 0, 7)]);
    let s = sample();
    let found = s.with(s.folder, |inode| inode.entries = 0);
    assert_eq!(found, [count(s.folder, Counted::Entries, 0, 1)]);
    let s = sample();
    let found = s.with(Ino::ROOT, |inode| inode.nlink = 2);
    assert_eq!(found, [count(Ino::ROOT, Counted::Links, 2, 3)]);
    let s = sample();
    let found = s.with(s.link, |inode| inode.size = 5);
    assert_eq!(found, [count(s.link, Counted::TargetBytes, 5, 6)]);
    let s = sample();
    let what = Counted::Blocks;
    let found = s.damaged(|edit| {
        edit.count(1, 0);
        edit.delete(Key::MAX);
    });
    assert_eq!(
        found,
        [Violation::VolumeCount {
            what,
            stored: 4,
            found: 3
        }]
    );
}

/// Blocks and bytes beyond the end of a file are found.
#[test]
fn content_beyond_the_end_is_found() {
    let s = sample();
    let found = s.with(s.file, |inode| inode.size = 8000);
    let ino = s.file;
    let beyond = Violation::BeyondEnd {
        ino,
        index: 2,
        size: 8000,
    };
    assert_eq!(found, [beyond, Violation::DirtyTail { ino }]);
}

/// Names of nothing, with another kind, or in the wrong place are found.
#[test]
fn wrong_names_are_found() {
    let s = sample();
    let key = s.key_of(Ino::ROOT, b"other");
    let named = |ino, kind, name| Value::record(Dirent { ino, kind, name }.encode());
    let (folder, name) = (Ino::ROOT, b"other".to_vec());

    let found = s.damaged(|edit| edit.put(key, named(Ino(999), FileKind::Regular, b"other")));
    let dangling = Violation::Dangling {
        folder,
        name: name.clone(),
        ino: Ino(999),
    };
    assert_eq!(found, [count(s.other, Counted::Links, 1, 0), dangling]);

    let found = s.damaged(|edit| edit.put(key, named(s.other, FileKind::Fifo, b"other")));
    assert_eq!(
        found,
        [Violation::EntryKind {
            folder,
            name,
            ino: s.other
        }]
    );

    let found = s.damaged(|edit| edit.put(key, named(s.other, FileKind::Regular, b"elsewhere")));
    let name = b"elsewhere".to_vec();
    assert_eq!(
        found,
        [Violation::Misplaced {
            owner: Ino::ROOT,
            name
        }]
    );
}

/// Folders with the wrong parent, and folders in a circle, are found.
#[test]
fn wrong_parents_are_found() {
    let s = sample();
    let found = s.with(s.folder, |inode| inode.parent = s.folder);
    let (folder, stored) = (s.folder, s.folder);
    let parent = Violation::Parent {
        folder,
        stored,
        found: Ino::ROOT,
    };
    assert_eq!(found, [parent, Violation::Unreachable { folder }]);
}

/// Orphans without a mark and marks without an orphan are found.
#[test]
fn wrong_marks_are_found() {
    let s = sample();
    let found = s.damaged(|edit| {
        edit.delete(keys::orphan(s.orphan));
        edit.put(keys::orphan(s.file), Value::record([]));
    });
    let wrongly = Violation::WronglyMarked { ino: s.file };
    assert_eq!(found, [wrongly, Violation::NotMarked { ino: s.orphan }]);
}

/// Records that cannot be decoded, belong to nobody, or were never due are found.
#[test]
fn wrong_records_are_found() {
    let s = sample();
    let key = keys::block(s.link, 0);
    let found = s.damaged(|edit| edit.put(key, Value::record([])));
    assert_eq!(found, [Violation::Stray { key }]);

    let s = sample();
    let key = keys::symlink(Ino(900));
    let found = s.damaged(|edit| edit.put(key, Value::record([])));
    assert_eq!(found, [Violation::Stray { key }]);

    let s = sample();
    let key = keys::xattr(s.file, s.fs.xattrs().start(b"user.a"));
    let found = s.damaged(|edit| edit.put(key, Value::record([9])));
    assert!(matches!(&found[0], Violation::Malformed { key: at, .. } if *at == key));

    let s = sample();
    let found = s.damaged(|edit| edit.delete(keys::inode(Ino::ROOT)));
    assert!(found.contains(&Violation::NoRoot));

    let s = sample();
    let found = s.damaged(|edit| {
        let mut fifo = Inode::new(FileKind::Fifo, 0, (0, 0), Ino(0), at(0));
        fifo.nlink = 0;
        store(edit, Ino(5000), &fifo);
        edit.put(keys::orphan(Ino(5000)), Value::record([]));
        edit.count(0, 1);
    });
    assert_eq!(found, [Violation::NotLeased { ino: Ino(5000) }]);
}
