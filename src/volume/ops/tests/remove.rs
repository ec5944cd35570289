//! Tests of unlink, rmdir and what is left of inodes.

use super::*;

/// An unlinked file that is still held keeps its content and takes writes, until it is forgotten.
#[test]
fn unlinked_files_live_until_they_are_forgotten() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    fs.write(file, 0, &[1; 10_000]);
    fs.checkpoint();
    let before = fs.attr(file);

    fs.unlink(&ROOT, Ino::ROOT, b"f").unwrap();

    let attr = fs.attr(file);
    assert_eq!(attr.nlink, 0);
    assert!(attr.ctime > before.ctime && attr.mtime == before.mtime);
    assert_eq!(fs.attr(Ino::ROOT).mtime, attr.ctime);
    fs.write(file, 10_000, &[2; 10]);
    assert_eq!(fs.content(file).len(), 10_010);
    assert_eq!(fs.assert_sound().inodes, 2);

    fs.forget(0, file).unwrap();
    assert_eq!(name_of(fs.getattr(&ROOT, file)), "NotFound");
    assert_eq!((fs.counts().inodes, fs.counts().blocks), (1, 0));
    fs.forget(0, file).unwrap();
}

/// Forgetting an inode that has names, or under another epoch, does nothing.
#[test]
fn forgetting_what_is_in_use_does_nothing() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    fs.forget(0, file).unwrap();
    assert_eq!(fs.attr(file).nlink, 1);
    fs.unlink(&ROOT, Ino::ROOT, b"f").unwrap();
    fs.forget(1, file).unwrap();
    assert_eq!(fs.attr(file).nlink, 0);
}

/// What was unlinked and never forgotten goes when the volume is opened again.
#[test]
fn orphans_are_reaped_at_open() {
    let fs = Fixture::new();
    for number in 0..600 {
        let name = format!("f{number}");
        let file = fs.file(Ino::ROOT, &name);
        fs.write(file, 0, b"x");
        fs.unlink(&ROOT, Ino::ROOT, name.as_bytes()).unwrap();
    }
    fs.checkpoint();
    assert_eq!(fs.counts().inodes, 601);
    assert_eq!(fs.reap_orphans().unwrap(), 600);
    assert_eq!((fs.counts().inodes, fs.counts().blocks), (1, 0));
    assert_eq!(fs.reap_orphans().unwrap(), 0);
}

/// Of two names one can go.
#[test]
fn a_file_with_another_name_stays() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    fs.link(&ROOT, file, Ino::ROOT, b"g").unwrap();
    fs.unlink(&ROOT, Ino::ROOT, b"f").unwrap();
    assert_eq!(fs.names(Ino::ROOT), ["g"]);
    assert_eq!((fs.attr(file).nlink, fs.reap_orphans().unwrap()), (1, 0));
}

/// unlink is for all but folders, rmdir for empty folders.
#[test]
fn removal_of_the_wrong_kind_is_refused() {
    let fs = Fixture::new();
    let folder = fs.folder(Ino::ROOT, "d");
    fs.file(folder, "f");
    assert_eq!(name_of(fs.unlink(&ROOT, Ino::ROOT, b"d")), "IsDirectory");
    assert_eq!(name_of(fs.rmdir(&ROOT, folder, b"f")), "NotDirectory");
    assert_eq!(name_of(fs.rmdir(&ROOT, Ino::ROOT, b"d")), "NotEmpty");
    assert_eq!(name_of(fs.unlink(&ROOT, Ino::ROOT, b"x")), "NotFound");
    assert_eq!(name_of(fs.rmdir(&ROOT, folder, b".")), "Invalid");
    assert_eq!(name_of(fs.rmdir(&ROOT, folder, b"..")), "Invalid");
}

/// A removed folder that is still held has no names: nothing is found, listed or made in it.
#[test]
fn removed_folders_take_no_names() {
    let fs = Fixture::new();
    let folder = fs.folder(Ino::ROOT, "d");
    let file = fs.file(Ino::ROOT, "f");
    assert_eq!(fs.attr(Ino::ROOT).nlink, 3);

    fs.rmdir(&ROOT, Ino::ROOT, b"d").unwrap();

    assert_eq!((fs.attr(Ino::ROOT).nlink, fs.attr(folder).nlink), (2, 0));
    assert_eq!(name_of(fs.find(folder, "x")), "NotFound");
    assert_eq!(name_of(fs.find(folder, "..")), "NotFound");
    assert_eq!(
        name_of(fs.make(&ROOT, FileKind::Regular, folder, "x")),
        "NotFound"
    );
    assert_eq!(name_of(fs.symlink(&ROOT, folder, b"x", b"y")), "NotFound");
    assert_eq!(name_of(fs.link(&ROOT, file, folder, b"x")), "NotFound");
    let mv = fs.mv((Ino::ROOT, "f"), (folder, "x"), RenameMode::Replace);
    assert_eq!(name_of(mv), "NotFound");
    assert_eq!(
        name_of(fs.readdir(&ROOT, folder, 0, &mut |_| true)),
        "NotFound"
    );
    fs.forget(0, folder).unwrap();
    assert_eq!(name_of(fs.getattr(&ROOT, folder)), "NotFound");
}

/// A snapshot refuses changes, and what was unlinked later is whole in it.
#[test]
fn snapshots_keep_what_is_removed() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    fs.write(file, 0, b"kept");
    let snapshot = fs.bench.snapshot(fs.bench.freeze());
    fs.unlink(&ROOT, Ino::ROOT, b"f").unwrap();
    fs.forget(0, file).unwrap();
    fs.checkpoint();

    assert_eq!(snapshot.read_file(&ROOT, file, 0, 100).unwrap(), b"kept");
    assert_eq!(name_of(snapshot.unlink(&ROOT, Ino::ROOT, b"f")), "ReadOnly");
    snapshot.forget(0, file).unwrap();
    assert_eq!(snapshot.reap_orphans().unwrap(), 0);
    assert_eq!(snapshot.lookup(&ROOT, Ino::ROOT, b"f").unwrap().ino, file);
}
