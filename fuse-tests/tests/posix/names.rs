//! Folders, names, links and renames.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use fuse_tests::Place;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::errno;

fn rename_with(from: &Path, to: &Path, flags: RenameFlags) -> std::io::Result<()> {
    Ok(renameat_with(CWD, from, CWD, to, flags)?)
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// Files and folders are made, listed, removed, and each wrong call gets its own error.
#[test]
fn folders_and_files_come_and_go() {
    let place = Place::new();
    let folder = place.path("folder");
    fs::create_dir(&folder).unwrap();
    let file = place.file("folder/file", "content");

    assert_eq!(names_in(&folder), ["file"]);
    assert_eq!(fs::metadata(&folder).unwrap().nlink(), 2);
    assert_eq!(errno(fs::create_dir(&folder)), Errno::EXIST);
    assert_eq!(errno(File::create_new(&file)), Errno::EXIST);
    assert_eq!(errno(fs::remove_dir(&folder)), Errno::NOTEMPTY);
    assert_eq!(errno(fs::remove_dir(&file)), Errno::NOTDIR);
    assert_eq!(errno(fs::remove_file(&folder)), Errno::ISDIR);
    assert_eq!(errno(fs::read(file.join("below"))), Errno::NOTDIR);
    assert_eq!(errno(fs::read(place.path("missing"))), Errno::NOENT);
    assert_eq!(errno(fs::write(&folder, "x")), Errno::ISDIR);

    fs::remove_file(&file).unwrap();
    fs::remove_dir(&folder).unwrap();
    assert_eq!(errno(fs::metadata(&folder)), Errno::NOENT);
    place.remount();
    assert_eq!(names_in(place.root()), Vec::<String>::new());
}

/// A name that was looked up in vain is found once it exists: negative answers are cached.
#[test]
fn name_is_found_after_it_was_missing() {
    let place = Place::new();
    let path = place.path("later");
    for _ in 0..3 {
        assert_eq!(errno(fs::metadata(&path)), Errno::NOENT);
    }
    fs::write(&path, "here").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"here");
    fs::remove_file(&path).unwrap();
    assert_eq!(errno(fs::metadata(&path)), Errno::NOENT);
    fs::create_dir(&path).unwrap();
    assert!(fs::metadata(&path).unwrap().is_dir());
}

/// rename replaces what POSIX lets it replace and refuses the rest.
#[test]
fn rename_follows_posix() {
    let place = Place::new();
    let (a, b) = (place.file("a", "a"), place.file("b", "b"));
    fs::rename(&a, &b).unwrap();
    assert_eq!(fs::read(&b).unwrap(), b"a");
    assert_eq!(names_in(place.root()), ["b"]);

    let (empty, full) = (place.path("empty"), place.path("full"));
    fs::create_dir(&empty).unwrap();
    fs::create_dir(&full).unwrap();
    place.file("full/inner", "inner");
    assert_eq!(errno(fs::rename(&b, &full)), Errno::ISDIR);
    assert_eq!(errno(fs::rename(&full, &b)), Errno::NOTDIR);
    assert_eq!(errno(fs::rename(&empty, &full)), Errno::NOTEMPTY);
    assert_eq!(errno(fs::rename(&full, full.join("itself"))), Errno::INVAL);
    assert_eq!(errno(fs::rename(place.path("none"), &b)), Errno::NOENT);

    fs::rename(&full, &empty).unwrap();
    assert_eq!(fs::read(empty.join("inner")).unwrap(), b"inner");
    assert_eq!(names_in(place.root()), ["b", "empty"]);
    place.remount();
    assert_eq!(names_in(place.root()), ["b", "empty"]);
    assert_eq!(names_in(&empty), ["inner"]);
}

/// A folder that moves takes its `..` along, and both parents' link counts follow.
#[test]
fn moved_folder_has_a_new_parent() {
    let place = Place::new();
    for folder in ["one", "two", "one/moved"] {
        fs::create_dir(place.path(folder)).unwrap();
    }
    fs::rename(place.path("one/moved"), place.path("two/moved")).unwrap();

    let parent = fs::metadata(place.path("two/moved/..")).unwrap().ino();
    assert_eq!(parent, fs::metadata(place.path("two")).unwrap().ino());
    let links = |name| fs::metadata(place.path(name)).unwrap().nlink();
    assert_eq!((links("one"), links("two")), (2, 3));
    place.remount();
    assert_eq!((links("one"), links("two")), (2, 3));
}

/// RENAME_NOREPLACE refuses an existing name; RENAME_EXCHANGE swaps any two.
#[test]
fn rename_flags_are_honoured() {
    let place = Place::new();
    let (a, b) = (place.file("a", "a"), place.file("b", "b"));
    assert_eq!(
        errno(rename_with(&a, &b, RenameFlags::NOREPLACE)),
        Errno::EXIST
    );
    assert_eq!(fs::read(&b).unwrap(), b"b");
    rename_with(&a, &place.path("c"), RenameFlags::NOREPLACE).unwrap();

    let c = place.path("c");
    rename_with(&b, &c, RenameFlags::EXCHANGE).unwrap();
    assert_eq!(
        (fs::read(&b).unwrap(), fs::read(&c).unwrap()),
        (b"a".to_vec(), b"b".to_vec())
    );

    fs::create_dir(place.path("folder")).unwrap();
    fs::create_dir(place.path("folder/sub")).unwrap();
    let sub = place.path("folder/sub");
    rename_with(&b, &sub, RenameFlags::EXCHANGE).unwrap();
    assert!(fs::metadata(&b).unwrap().is_dir());
    assert_eq!(fs::read(&sub).unwrap(), b"a");
    assert_eq!(fs::metadata(place.path("folder")).unwrap().nlink(), 2);
    assert_eq!(
        errno(rename_with(&b, &a, RenameFlags::EXCHANGE)),
        Errno::NOENT
    );
    place.remount();
    assert_eq!(fs::read(&sub).unwrap(), b"a");
}

/// Hard links share one inode; the content goes with the last of them.
#[test]
fn hard_links_share_an_inode() {
    let place = Place::new();
    let first = place.file("first", "shared");
    let second = place.path("second");
    fs::hard_link(&first, &second).unwrap();
    let (one, two) = (
        fs::metadata(&first).unwrap(),
        fs::metadata(&second).unwrap(),
    );
    assert_eq!((one.ino(), one.nlink()), (two.ino(), 2));
    fs::write(&second, "changed").unwrap();
    assert_eq!(fs::read(&first).unwrap(), b"changed");

    fs::remove_file(&first).unwrap();
    assert_eq!(fs::metadata(&second).unwrap().nlink(), 1);
    place.remount();
    assert_eq!(fs::read(&second).unwrap(), b"changed");
    fs::create_dir(place.path("folder")).unwrap();
    assert_eq!(
        errno(fs::hard_link(place.path("folder"), place.path("x"))),
        Errno::PERM
    );
    assert_eq!(
        errno(fs::hard_link(&second, place.path("folder"))),
        Errno::EXIST
    );
}

/// Symbolic links keep any target up to 4095 bytes, dangling or looping.
#[test]
fn symbolic_links_keep_their_target() {
    let place = Place::new();
    let target = "t/".repeat(2047) + "x";
    for (name, target) in [
        ("long", target.as_str()),
        ("dangling", "nowhere"),
        ("loop", "loop"),
    ] {
        symlink(target, place.path(name)).unwrap();
    }
    place.remount();
    assert_eq!(
        fs::read_link(place.path("long")).unwrap(),
        Path::new(&target)
    );
    assert_eq!(
        fs::symlink_metadata(place.path("long")).unwrap().len(),
        4095
    );
    assert_eq!(errno(fs::read(place.path("dangling"))), Errno::NOENT);
    assert_eq!(errno(fs::read(place.path("loop"))), Errno::LOOP);
    fs::write(place.path("dangling"), "through").unwrap();
    assert_eq!(fs::read(place.path("nowhere")).unwrap(), b"through");
}

/// Names are up to 255 bytes of anything but `/` and NUL.
#[test]
fn names_are_bytes() {
    let place = Place::new();
    let longest = "n".repeat(255);
    let odd = OsStr::from_bytes(b"\xff\n\x01 \\*");
    fs::write(place.path(&longest), "long").unwrap();
    fs::write(place.root().join(odd), "odd").unwrap();
    assert_eq!(
        errno(fs::write(place.path(&"n".repeat(256)), "")),
        Errno::NAMETOOLONG
    );
    place.remount();
    assert_eq!(fs::read(place.path(&longest)).unwrap(), b"long");
    assert_eq!(fs::read(place.root().join(odd)).unwrap(), b"odd");
    assert_eq!(fs::read_dir(place.root()).unwrap().count(), 2);
}

/// A removed or replaced file lives on for those who have it open, and goes with the last.
#[test]
fn unlinked_file_lives_while_open() {
    let place = Place::new();
    let path = place.file("f", "before");
    let mut open = File::options().read(true).write(true).open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(errno(fs::metadata(&path)), Errno::NOENT);
    open.seek(SeekFrom::End(0)).unwrap();
    open.write_all(b" and after").unwrap();
    open.sync_all().unwrap();
    assert_eq!(open.metadata().unwrap().nlink(), 0);

    let other = place.file("other", "other");
    let replaced = place.file("replaced", "old");
    let mut old = File::open(&replaced).unwrap();
    fs::rename(&other, &replaced).unwrap();
    let mut content = String::new();
    old.read_to_string(&mut content).unwrap();
    assert_eq!(content, "old");

    open.seek(SeekFrom::Start(0)).unwrap();
    content.clear();
    open.read_to_string(&mut content).unwrap();
    assert_eq!(content, "before and after");
    drop((open, old));
    place.remount();
    assert_eq!(names_in(place.root()), ["replaced"]);
    assert_eq!(fs::read(&replaced).unwrap(), b"other");
}

/// A removed folder is empty and takes nothing new while someone stands in it.
#[test]
fn removed_folder_is_dead() {
    let place = Place::new();
    fs::create_dir(place.path("gone")).unwrap();
    let handle = File::open(place.path("gone")).unwrap();
    fs::remove_dir(place.path("gone")).unwrap();
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    let created = rustix::fs::openat(&handle, "x", flags, rustix::fs::Mode::RWXU);
    assert_eq!(created.err(), Some(Errno::NOENT));
    assert_eq!(handle.metadata().unwrap().nlink(), 0);
}

/// While a large folder is being changed, a listing shows every name that was there all the
/// time exactly once. `VOLFS_TEST_ENTRIES` sets its size.
#[test]
fn listing_is_stable_while_the_folder_changes() {
    let entries = std::env::var("VOLFS_TEST_ENTRIES").map_or(100_000, |n| n.parse().unwrap());
    let place = Place::new();
    let folder = place.path("large");
    fs::create_dir(&folder).unwrap();
    for number in 0..entries {
        File::create_new(folder.join(format!("stays-{number}"))).unwrap();
    }
    place.remount();

    let mut seen: HashMap<String, u32> = HashMap::new();
    for (number, entry) in fs::read_dir(&folder).unwrap().enumerate() {
        *seen
            .entry(entry.unwrap().file_name().into_string().unwrap())
            .or_default() += 1;
        if number % 100 == 0 {
            let name = folder.join(format!("comes-{number}"));
            File::create_new(&name).unwrap();
            if number % 200 == 0 {
                fs::remove_file(&name).unwrap();
            }
        }
    }
    for number in 0..entries {
        let count = seen.get(&format!("stays-{number}")).copied().unwrap_or(0);
        assert_eq!(count, 1, "stays-{number} was listed {count} times");
    }
    assert!(
        seen.values().all(|count| *count == 1),
        "a name was listed twice"
    );
}
