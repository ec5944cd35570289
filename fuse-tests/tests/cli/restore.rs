//! `volfs restore`.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use fuse_tests::Fixture;
use fuse_tests::chance::random;
use fuse_tests::fixture::text;
use fuse_tests::tree::{assert_same, summarize};

use fuse_tests::run::eventually;

use crate::{BUSY, EXISTS, FAILED, NOT_FOUND, USAGE, assert_says};

const MIB: u64 = 1 << 20;

fn segment_bytes(fixture: &Fixture) -> u64 {
    let entries = fs::read_dir(fixture.pool().join("segments")).unwrap();
    entries
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Files, folders, links, holes, attributes and names of all kinds.
fn build(root: &Path) {
    let base = root.join("base");
    fs::create_dir(&base).unwrap();
    fs::create_dir(base.join("empty")).unwrap();
    fs::create_dir(base.join("deep")).unwrap();
    fs::write(base.join("deep/file"), random(1, 100_000)).unwrap();
    fs::write(base.join("run"), "#!/bin/sh").unwrap();
    fs::set_permissions(base.join("run"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(base.join("run"), base.join("deep/run-too")).unwrap();
    symlink("../base/run", base.join("deep/link")).unwrap();
    let holes = File::create(base.join("holes")).unwrap();
    holes.write_all_at(b"data", 3 * MIB).unwrap();
    holes.set_len(9 * MIB).unwrap();
    std::os::unix::fs::chown(base.join("holes"), Some(7), Some(8)).unwrap();
    rustix::fs::setxattr(
        base.join("holes"),
        "user.note",
        b"kept",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
}

/// What was removed is back under the mount at once, though the kernel knew it to be missing, and
/// takes no room.
#[test]
fn a_removed_file_is_back_at_once() {
    let (fixture, root) = Fixture::mounted();
    let content = random(2, 24 * MIB);
    fs::create_dir(root.join("base")).unwrap();
    fs::write(root.join("base/table"), &content).unwrap();
    fixture.ok(&["snapshot", "create", "data@before"]);
    fs::remove_file(root.join("base/table")).unwrap();
    assert!(!root.join("base/table").exists());
    assert_eq!(names(&root.join("base")), Vec::<String>::new());
    let before = segment_bytes(&fixture);

    let told = fixture.ok(&["restore", "data@before", "base/table"]);

    assert_says(&told, &["1 created (24.0 MiB), 0 changed, 0 the same"]);
    assert_eq!(names(&root.join("base")), ["table"]);
    assert!(fs::read(root.join("base/table")).unwrap() == content);
    fixture.umount("data");
    let grown = segment_bytes(&fixture) - before;
    assert!(grown < MIB, "{grown} bytes more in segments");
    assert!(fs::read(fixture.mount("data").join("base/table")).unwrap() == content);
    fixture.umount("data");
    fixture.ok(&["check", "--read-data"]);
}

/// Owners, modes, times, attributes, links and holes come back with a whole folder; in its place,
/// below another folder, and without a mount.
#[test]
fn a_folder_comes_back_as_it_was() {
    let (fixture, root) = Fixture::mounted();
    build(&root);
    fixture.ok(&["snapshot", "create", "data@before"]);
    let before = summarize(&root.join("base")).unwrap();
    fs::create_dir(root.join("restored")).unwrap();
    fixture.ok(&["restore", "data@before", "base", "--to", "/restored"]);
    assert_same(&before, &summarize(&root.join("restored/base")).unwrap());
    let [run, too] = ["run", "deep/run-too"].map(|name| {
        let path = root.join("restored/base").join(name);
        fs::metadata(path).unwrap()
    });
    assert_eq!((run.ino(), run.nlink()), (too.ino(), 2));
    let holes = fs::metadata(root.join("restored/base/holes")).unwrap();
    assert!(holes.blocks() * 512 < MIB, "{} blocks", holes.blocks());

    fs::remove_dir_all(root.join("base")).unwrap();
    fixture.ok(&["restore", "data@before", "base"]);
    assert_same(&before, &summarize(&root.join("base")).unwrap());

    fs::remove_dir_all(root.join("base")).unwrap();
    fixture.umount("data");
    fixture.ok(&["restore", "data@before"]);
    let root = fixture.mount("data");
    assert_same(&before, &summarize(&root.join("base")).unwrap());
    assert_eq!(names(&root), ["base", "restored"]);
}

/// What exists is left alone without --force, and the refusal names it; with --force what differs is
/// changed in place, told in bytes, and seen at once in spite of the kernel's caches.
#[test]
fn what_exists_is_changed_by_force_only() {
    let (fixture, root) = Fixture::mounted();
    let path = root.join("table");
    let content = random(3, 4 * MIB);
    fs::write(&path, &content).unwrap();
    fixture.ok(&["snapshot", "create", "data@before"]);
    let inode = fs::metadata(&path).unwrap().ino();

    let table = File::options().write(true).open(&path).unwrap();
    table.write_all_at(&[7; 100], 1_000_000).unwrap();
    table.write_all_at(b"longer", 4 * MIB).unwrap();
    drop(table);
    let changed = fs::read(&path).unwrap();
    assert!(changed != content);
    fs::write(root.join("new"), "of today").unwrap();

    let stderr = fixture.fails(EXISTS, &["restore", "data@before", "table"]);
    assert_says(&stderr, &["'/table'", "--force"]);
    assert!(fs::read(&path).unwrap() == changed, "refused, but changed");

    let told = fixture.json(&["restore", "data@before", "--force"]);
    assert_eq!((&told["changed"], &told["created"]), (&1.into(), &0.into()));
    assert_eq!(told["changed_bytes"], 8192 + 6);
    assert_eq!(told["compared_bytes"], 4 * MIB + 6);
    assert!(fs::read(&path).unwrap() == content);
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.len(), metadata.ino()), (4 * MIB, inode));
    assert_eq!(fs::read(root.join("new")).unwrap(), b"of today");
    let told = fixture.ok(&["restore", "data@before", "table", "--force"]);
    assert_says(
        &told,
        &["0 changed, 1 the same", "0 bytes changed of 4194304 bytes"],
    );
}

/// A file that somebody has open is changed under him as long as its size stays; another size is
/// refused, since the kernel would go on showing the old one.
#[test]
fn files_in_use_keep_their_size() {
    let (fixture, root) = Fixture::mounted();
    let path = root.join("table");
    fs::write(&path, vec![1; 100_000]).unwrap();
    fixture.ok(&["snapshot", "create", "data@before"]);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut bytes = vec![0; 100_000];
    file.write_all_at(&[2; 10_000], 20_000).unwrap();
    file.read_exact_at(&mut bytes, 0).unwrap();

    let told = fixture.json(&["restore", "data@before", "table", "--force"]);
    assert_eq!(told["changed"], 1);
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == [1; 100_000], "the open file shows old pages");

    file.write_all_at(b"more", 100_000).unwrap();
    let stderr = fixture.fails(BUSY, &["restore", "data@before", "table", "--force"]);
    assert_says(&stderr, &["'/table' is open"]);
    drop(file);
    fixture.ok(&["restore", "data@before", "table", "--force"]);
    assert_eq!(fs::metadata(&path).unwrap().len(), 100_000);
    assert!(fs::read(&path).unwrap() == [1; 100_000]);
}

/// Wrong words have the codes that they have everywhere, and nothing is changed.
#[test]
fn wrong_paths_have_their_codes() {
    let (fixture, root) = Fixture::mounted();
    fs::create_dir(root.join("folder")).unwrap();
    fs::write(root.join("folder/file"), "old").unwrap();
    fs::write(root.join("other"), "old").unwrap();
    fixture.ok(&["snapshot", "create", "data@s"]);
    for (code, arguments, says) in [
        (NOT_FOUND, &["data@s", "none"][..], "'/none'"),
        (NOT_FOUND, &["data@s", "folder/file/x"], "'/folder/file/x'"),
        (NOT_FOUND, &["data@none", "folder"], "data@none"),
        (
            NOT_FOUND,
            &["data@s", "folder", "--to", "/no/where"],
            "'/no/where'",
        ),
        (FAILED, &["data@s", "folder", "--to", "/other"], "no folder"),
        (USAGE, &["data@s", "folder/../other"], "'..'"),
        (USAGE, &["data@s", ""], "empty"),
        (USAGE, &["data", "folder"], "VOLUME@SNAPSHOT"),
        (EXISTS, &["data@s"], "'/other'"),
    ] {
        let stderr = fixture.fails(code, &[&["restore"], arguments].concat());
        assert_says(&stderr, &[says]);
    }
    fs::remove_file(root.join("other")).unwrap();
    fs::create_dir(root.join("other")).unwrap();
    let stderr = fixture.fails(FAILED, &["restore", "data@s", "other", "--force"]);
    assert_says(&stderr, &["'/other' is a folder"]);
    assert_eq!(names(&root), ["folder", "other"]);
}

/// Behind a mount that is read-only nothing is changed.
#[test]
fn a_read_only_mount_is_left_alone() {
    let (fixture, root) = Fixture::mounted();
    fs::write(root.join("file"), "old").unwrap();
    fixture.ok(&["snapshot", "create", "data@s"]);
    fs::remove_file(root.join("file")).unwrap();
    fixture.umount("data");
    fixture.ok(&["mount", "--read-only", "data", text(&root)]);
    let stderr = fixture.fails(FAILED, &["restore", "data@s", "file"]);
    assert_says(&stderr, &["'data' is mounted read-only"]);
    assert!(!root.join("file").exists());
    fixture.umount("data");
    fixture.ok(&["restore", "data@s", "file"]);
    assert_eq!(
        fs::read(fixture.mount("data").join("file")).unwrap(),
        b"old"
    );
}

fn xattr(path: &Path, name: &str) -> Vec<u8> {
    let mut value = vec![0; 4096];
    let len = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
    value.truncate(len);
    value
}

/// An ACL as setfacl would set it: a version, then tag, permissions and number of each entry.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&perm.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

fn host_folder(fixture: &Fixture, name: &str) -> std::path::PathBuf {
    let path = fixture.folder().join(name);
    fs::create_dir(&path).unwrap();
    path
}

/// What goes to the host is all of it there: owners, modes, times, links, holes, devices, extended
/// attributes and ACLs, whether a daemon serves the pool or not; and the volume stays as it is.
#[test]
fn a_folder_goes_to_the_host_as_it_was() {
    let (fixture, root) = Fixture::mounted();
    build(&root);
    let base = root.join("base");
    let none = rustix::fs::XattrFlags::empty();
    let access = acl(&[
        (0x01, 6, u32::MAX),
        (0x02, 4, 1234),
        (0x04, 4, u32::MAX),
        (0x10, 4, u32::MAX),
        (0x20, 0, u32::MAX),
    ]);
    rustix::fs::setxattr(
        base.join("deep/file"),
        "system.posix_acl_access",
        &access,
        none,
    )
    .unwrap();
    rustix::fs::setxattr(
        base.join("empty"),
        "system.posix_acl_default",
        &access,
        none,
    )
    .unwrap();
    for (name, kind, device) in [
        ("null", rustix::fs::FileType::CharacterDevice, (1, 3)),
        ("pipe", rustix::fs::FileType::Fifo, (0, 0)),
    ] {
        let device = rustix::fs::makedev(device.0, device.1);
        let mode = rustix::fs::Mode::from_raw_mode(0o620);
        rustix::fs::mknodat(rustix::fs::CWD, base.join(name), kind, mode, device).unwrap();
    }
    fixture.ok(&["snapshot", "create", "data@before"]);
    let before = summarize(&base).unwrap();
    fs::remove_dir_all(&base).unwrap();

    for (name, is_mounted) in [("mounted", true), ("alone", false)] {
        if !is_mounted {
            fixture.umount("data");
        }
        let to = host_folder(&fixture, name);
        // What a new file would inherit there must not stick to it.
        rustix::fs::setxattr(&to, "system.posix_acl_default", &access, none).unwrap();
        let told = fixture.ok(&["restore", "data@before", "--to-host", text(&to)]);
        assert_says(&told, &["10 created, 0 replaced"]);
        let base = to.join("base");
        assert_same(&before, &summarize(&base).unwrap());
        let [run, too] = ["run", "deep/run-too"].map(|name| fs::metadata(base.join(name)).unwrap());
        assert_eq!((run.ino(), run.nlink()), (too.ino(), 2));
        let holes = fs::metadata(base.join("holes")).unwrap();
        assert!(holes.blocks() * 512 < MIB, "{} blocks", holes.blocks());
        assert_eq!(xattr(&base.join("holes"), "user.note"), b"kept");
        assert_eq!(
            xattr(&base.join("deep/file"), "system.posix_acl_access"),
            access
        );
        assert_eq!(
            xattr(&base.join("empty"), "system.posix_acl_default"),
            access
        );
        for plain in ["deep", "empty", "holes", "pipe"] {
            let mut value = [0; 4096];
            let acl =
                rustix::fs::getxattr(base.join(plain), "system.posix_acl_access", &mut value[..]);
            assert_eq!(acl, Err(rustix::io::Errno::NODATA), "{plain}");
        }
    }
    let root = fixture.mount("data");
    assert_eq!(names(&root), Vec::<String>::new());
}

/// What exists on the host stays without --force; with it files are replaced. A folder of the
/// volume and one of the host are never taken for each other.
#[test]
fn the_host_is_changed_by_force_only() {
    let (fixture, root) = Fixture::mounted();
    fs::create_dir(root.join("base")).unwrap();
    fs::write(root.join("base/table"), "then").unwrap();
    fixture.ok(&["snapshot", "create", "data@before"]);
    let to = host_folder(&fixture, "host");
    fs::create_dir(to.join("base")).unwrap();
    fs::write(to.join("base/table"), "now").unwrap();
    fs::write(to.join("base/own"), "own").unwrap();
    let restore = ["restore", "data@before", "base", "--to-host", text(&to)];
    let stderr = fixture.fails(EXISTS, &restore);
    assert_says(
        &stderr,
        &[
            "on the host there is already '",
            "/host/base/table'",
            "--force",
        ],
    );
    assert_eq!(fs::read(to.join("base/table")).unwrap(), b"now");
    let told = fixture.json(&[&restore[..], &["--force"]].concat());
    assert_eq!(
        (&told["created"], &told["replaced"]),
        (&0.into(), &1.into())
    );
    assert_eq!(told["bytes"], 4);
    assert_eq!(fs::read(to.join("base/table")).unwrap(), b"then");
    assert_eq!(names(&to.join("base")), ["own", "table"]);

    let in_volume = ["restore", "data@before", "base", "--to", text(&to)];
    let stderr = fixture.fails(NOT_FOUND, &in_volume);
    assert_says(&stderr, &["the volume has no folder", "--to-host"]);
    let both = [&restore[..], &["--to", "/"]].concat();
    assert_says(&fixture.fails(USAGE, &both), &["cannot be used with"]);
}

/// Folders that will not do are refused with what to do instead, and nothing is written.
#[test]
fn only_a_folder_of_the_host_will_do() {
    let (fixture, root) = Fixture::mounted();
    fs::create_dir(root.join("base")).unwrap();
    fs::write(root.join("base/table"), "then").unwrap();
    fixture.ok(&["snapshot", "create", "data@before"]);
    let to = host_folder(&fixture, "host");
    fs::write(to.join("file"), "").unwrap();
    for (code, path, says) in [
        (NOT_FOUND, to.join("none"), "the host has no folder"),
        (FAILED, to.join("file"), "is no folder"),
        (USAGE, root.join("base"), "is in the mounted 'data'"),
        (USAGE, fixture.pool().to_owned(), "in the pool's own folder"),
        (
            USAGE,
            fixture.pool().join("segments"),
            "in the pool's own folder",
        ),
    ] {
        let stderr = fixture.fails(code, &["restore", "data@before", "--to-host", text(&path)]);
        assert_says(&stderr, &[says]);
    }
    // A volume that is mounted below the folder is another filesystem.
    fs::create_dir(to.join("base")).unwrap();
    fixture.ok(&["volume", "create", "other"]);
    fixture.ok(&["mount", "other", text(&to.join("base"))]);
    let into = ["restore", "data@before", "--to-host", text(&to)];
    assert_says(
        &fixture.fails(FAILED, &into),
        &["/host/base' is a mount point"],
    );
    fixture.umount("other");
    assert_eq!(names(&to), ["base", "file"]);
    assert_eq!(names(&to.join("base")), Vec::<String>::new());
    // A link to a folder is what it points to.
    symlink(&to, fixture.folder().join("link")).unwrap();
    let link = fixture.folder().join("link");
    fixture.ok(&["restore", "data@before", "--to-host", text(&link)]);
    assert_eq!(fs::read(to.join("base/table")).unwrap(), b"then");
}

/// A disk that is full, and one that holds no extended attributes of users, are told as that; what
/// is not whole is gone.
#[test]
fn a_full_host_is_told() {
    let (fixture, root) = Fixture::mounted();
    fs::write(root.join("a"), random(7, MIB)).unwrap();
    fs::write(root.join("b"), random(8, 8 * MIB)).unwrap();
    fixture.ok(&["snapshot", "create", "data@before"]);
    let small = host_folder(&fixture, "small");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs", text(&small)])
        .status();
    assert!(mounted.unwrap().success());
    let stderr = fixture.fails(
        FAILED,
        &["restore", "data@before", "--to-host", text(&small)],
    );
    let left = names(&small);
    let unmounted = std::process::Command::new("umount").arg(&small).status();
    assert!(unmounted.unwrap().success());
    assert_says(&stderr, &["/small/b'", "No space left", "free space there"]);
    assert!(left.iter().all(|name| name == "a"), "{left:?}");
}

/// A client that is killed ends the restore: what has its name is whole, nothing else is left, and
/// the snapshot, which was in use, can be removed.
#[test]
fn an_interrupted_restore_leaves_whole_files() {
    let (fixture, root) = Fixture::mounted();
    let content = random(9, 2 * MIB);
    for number in 0..100 {
        fs::write(root.join(format!("f{number:02}")), &content).unwrap();
    }
    fixture.ok(&["snapshot", "create", "data@before"]);
    let to = host_folder(&fixture, "host");
    let mut command = fixture.command();
    command.args(["restore", "data@before", "--to-host", text(&to)]);
    let mut client = command.spawn().unwrap();
    eventually(
        "the first file is there",
        std::time::Duration::from_secs(60),
        || names(&to).iter().any(|name| !name.starts_with('.')),
    );
    let refused = fixture.volfs(&["snapshot", "rm", "data@before"]);
    let is_over = client.try_wait().unwrap().is_some();
    if !is_over && refused.code == BUSY {
        assert_says(&refused.stderr, &["data@before", "a restore to the host"]);
    }
    // It may have ended by now: then there is nothing to interrupt.
    let _ = client.kill();
    client.wait().unwrap();
    eventually(
        "the restore ends",
        std::time::Duration::from_secs(60),
        || refused.code == 0 || fixture.volfs(&["snapshot", "rm", "data@before"]).code == 0,
    );
    for name in names(&to) {
        assert!(!name.starts_with('.'), "{name} is left");
        assert!(
            fs::read(to.join(&name)).unwrap() == content,
            "{name} is not whole"
        );
    }
}
