//! Tests of access times.

use super::super::{SetAttr, SetTime};
use super::*;

const OLD: Timestamp = Timestamp {
    secs: 1_000_000_000,
    nanos: 5,
};

/// Sets the access time back, which moves the change time.
fn set_back(fs: &Fixture, ino: Ino) {
    let set = SetAttr {
        atime: Some(SetTime::At(OLD)),
        ..SetAttr::default()
    };
    fs.setattr(&ROOT, ino, &set).unwrap();
}

/// The first access after a change moves the access time and nothing else; a second one, and a
/// read that is no access, move nothing.
#[test]
fn the_first_access_counts() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    fs.write(file, 0, b"content");
    set_back(&fs, file);
    let before = fs.attr(file);
    assert_eq!(fs.content(file), b"content");
    assert_eq!(fs.attr(file), before);

    let mut buffer = [0; 100];
    let mut access = |offset, len| {
        let read = fs.read_file_into(&USER, file, offset, &mut buffer[..len], true);
        buffer[..read.unwrap()].to_vec()
    };
    assert_eq!(access(3, 2), b"te");
    let after = fs.attr(file);
    assert!(after.atime > before.ctime, "{after:?}");
    let atime = after.atime;
    assert_eq!(after, Attr { atime, ..before });
    assert_eq!(access(0, 100), b"content");
    assert_eq!(fs.attr(file), after);
}

/// Folders and links are accessed too; what is gone, or of another epoch, is left alone.
#[test]
fn folders_and_links_are_accessed() {
    let fs = Fixture::new();
    let folder = fs.folder(Ino::ROOT, "d");
    let link = fs.symlink(&ROOT, Ino::ROOT, b"l", b"target").unwrap().ino;
    for ino in [folder, link] {
        set_back(&fs, ino);
        let stale = Request {
            epoch: Some(7),
            ..USER
        };
        fs.accessed(&stale, ino);
        assert_eq!(fs.attr(ino).atime, OLD);
        fs.accessed(&USER, ino);
        assert!(fs.attr(ino).atime > OLD);
    }
    fs.accessed(&USER, Ino(999));
}

/// A snapshot's access times stay.
#[test]
fn a_snapshot_is_not_touched() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    fs.write(file, 0, b"content");
    set_back(&fs, file);
    let snapshot = fs.bench.snapshot(fs.bench.freeze());
    let read = snapshot.read_file_into(&USER, file, 0, &mut [0; 100], true);
    assert_eq!(read.unwrap(), 7);
    assert_eq!(snapshot.getattr(&ROOT, file).unwrap().atime, OLD);
}
