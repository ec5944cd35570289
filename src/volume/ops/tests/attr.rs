//! Tests of attributes.

use super::super::{FILE_BYTES_MAX, SetAttr, SetTime};
use super::*;

fn set(fs: &Fixture, request: &Request, ino: Ino, set: SetAttr) -> Attr {
    fs.setattr(request, ino, &set).unwrap()
}

/// chmod sets exactly the twelve permission bits and the change time.
#[test]
fn chmod_sets_permission_bits() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let before = fs.attr(file);

    let perm = Some(0o10_6751);
    let after = set(
        &fs,
        &ROOT,
        file,
        SetAttr {
            perm,
            ..SetAttr::default()
        },
    );

    assert_eq!(after.perm, 0o6751);
    assert!(after.ctime > before.ctime);
    assert_eq!(
        after,
        Attr {
            perm: 0o6751,
            ctime: after.ctime,
            ..before
        }
    );
}

/// A new owner ends suid, and sgid where the group may execute, of all but folders; even for root.
#[test]
fn chown_ends_privileges() {
    let fs = Fixture::new();
    let (file, folder) = (fs.file(Ino::ROOT, "f"), fs.folder(Ino::ROOT, "d"));
    let chown = |ino, perm: u16| {
        set(
            &fs,
            &ROOT,
            ino,
            SetAttr {
                perm: Some(perm),
                ..SetAttr::default()
            },
        );
        let owner = SetAttr {
            uid: Some(5),
            gid: Some(6),
            ..SetAttr::default()
        };
        let attr = set(&fs, &ROOT, ino, owner);
        assert_eq!((attr.uid, attr.gid), (5, 6));
        attr.perm
    };
    assert_eq!(chown(file, 0o6755), 0o755);
    assert_eq!(chown(file, 0o6745), 0o2745);
    assert_eq!(chown(folder, 0o6755), 0o6755);
}

/// Truncation ends suid only if an unprivileged caller asks for it.
#[test]
fn truncation_ends_privileges_for_users() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let suid = SetAttr {
        perm: Some(0o4755),
        ..SetAttr::default()
    };
    let size = SetAttr {
        size: Some(9),
        ..SetAttr::default()
    };
    set(&fs, &ROOT, file, suid);
    assert_eq!(set(&fs, &ROOT, file, size).perm, 0o4755);
    assert_eq!(set(&fs, &USER, file, size).perm, 0o755);
    set(&fs, &ROOT, file, suid);
    let empty = SetAttr {
        size: Some(0),
        ..SetAttr::default()
    };
    assert_eq!(set(&fs, &USER, file, empty).perm, 0o755);
    assert_eq!(fs.attr(file).size, 0);
}

/// A size is refused for what is no file, and beyond the largest file.
#[test]
fn sizes_that_cannot_be_are_refused() {
    let fs = Fixture::new();
    let fifo = fs.make(&ROOT, FileKind::Fifo, Ino::ROOT, "p").unwrap().ino;
    let file = fs.file(Ino::ROOT, "f");
    let resize = |ino, size| {
        name_of(fs.setattr(
            &ROOT,
            ino,
            &SetAttr {
                size: Some(size),
                ..SetAttr::default()
            },
        ))
    };
    assert_eq!(resize(Ino::ROOT, 0), "IsDirectory");
    assert_eq!(resize(fifo, 0), "Invalid");
    assert_eq!(resize(file, FILE_BYTES_MAX + 1), "FileTooBig");
    assert!(resize(file, FILE_BYTES_MAX).starts_with("Ok"));
    assert_eq!(resize(Ino(999), 0), "NotFound");
}

/// Given times are set as given, "now" by the clock, and what is not given stays.
#[test]
fn times_are_set_as_given() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let before = fs.attr(file);

    let given = SetAttr {
        atime: Some(SetTime::At(at(-5))),
        mtime: Some(SetTime::At(at(7))),
        ctime: Some(at(8)),
        ..SetAttr::default()
    };
    let attr = set(&fs, &ROOT, file, given);
    assert_eq!((attr.atime, attr.mtime, attr.ctime), (at(-5), at(7), at(8)));

    let atime = Some(SetTime::Now);
    let attr = set(
        &fs,
        &ROOT,
        file,
        SetAttr {
            atime,
            ..SetAttr::default()
        },
    );
    assert!(attr.atime > before.atime && attr.ctime > before.ctime);
    assert_eq!(attr.mtime, at(7));
}

/// Truncation moves mtime and ctime, also to the size that the file has; the kernel's own times
/// win.
#[test]
fn truncation_moves_times() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let before = fs.attr(file);
    let size = SetAttr {
        size: Some(0),
        ..SetAttr::default()
    };
    let after = set(&fs, &ROOT, file, size);
    assert!(after.mtime > before.mtime && after.ctime > before.ctime);
    let mtime = Some(SetTime::At(at(3)));
    let after = set(
        &fs,
        &ROOT,
        file,
        SetAttr {
            mtime,
            ctime: Some(at(4)),
            ..size
        },
    );
    assert_eq!((after.mtime, after.ctime), (at(3), at(4)));
}

/// Times that the kernel writes back and that are older than a direct write do not undo it; those
/// of a utimensat do, and so do newer ones.
#[test]
fn written_back_times_do_not_undo_a_direct_write() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let direct = WriteMode {
        direct: true,
        ..WriteMode::default()
    };
    fs.write_file(&ROOT, file, 0, b"x", direct).unwrap();
    let written = fs.attr(file);

    let stale = SetAttr {
        mtime: Some(SetTime::At(at(7))),
        ctime: Some(at(7)),
        ..SetAttr::default()
    };
    assert_eq!(set(&fs, &ROOT, file, stale), written);

    let later = at(written.mtime.secs + 10);
    let mtime = Some(SetTime::At(later));
    let newer = set(
        &fs,
        &ROOT,
        file,
        SetAttr {
            mtime,
            ctime: Some(later),
            ..stale
        },
    );
    assert_eq!((newer.mtime, newer.ctime), (later, later));

    let utimensat = SetAttr {
        atime: Some(SetTime::At(at(7))),
        ctime: Some(later),
        ..stale
    };
    assert_eq!(set(&fs, &ROOT, file, utimensat).mtime, at(7));
}

/// Nothing to set changes nothing.
#[test]
fn an_empty_change_changes_nothing() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let before = fs.attr(file);
    assert_eq!(set(&fs, &ROOT, file, SetAttr::default()), before);
}
