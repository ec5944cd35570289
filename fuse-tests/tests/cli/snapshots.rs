//! `volfs snapshot`, `clone` and `rollback`: names, lists and refusals.

use std::fs::{self, File};

use fuse_tests::Fixture;
use fuse_tests::fixture::text;
use fuse_tests::mounts;

use crate::{BUSY, EXISTS, NOT_FOUND, USAGE, assert_says, rows};

/// Both ways to name a snapshot work, and without a name it gets a sortable UTC time.
#[test]
fn snapshots_are_named() {
    let (fixture, _) = Fixture::mounted();
    assert_eq!(fixture.ok(&["snapshot", "create", "data", "one"]), "one");
    assert_eq!(fixture.ok(&["snapshot", "create", "data@two"]), "two");
    let first = fixture.ok(&["snapshot", "create", "data"]);
    let second = fixture.ok(&["snapshot", "create", "data"]);
    assert!(
        first.starts_with("20") && first < second,
        "{first} {second}"
    );
    assert!(first.ends_with('Z'), "the time is UTC: {first}");

    let listed = fixture.ok(&["snapshot", "ls", "-q", "data"]);
    assert_eq!(
        listed,
        format!("data@one\ndata@two\ndata@{first}\ndata@{second}")
    );
}

/// Snapshots are listed for one volume or all, and inspected.
#[test]
fn snapshots_are_listed_and_inspected() {
    let fixture = Fixture::new();
    for name in ["a", "b"] {
        fixture.ok(&["volume", "create", name]);
        fixture.ok(&["snapshot", "create", name, "s"]);
    }
    assert_eq!(fixture.ok(&["snapshot", "ls", "-q"]), "a@s\nb@s");
    assert_eq!(fixture.ok(&["snapshot", "ls", "-q", "b"]), "b@s");
    let table = fixture.ok(&["snapshot", "ls"]);
    let names: Vec<_> = rows(&table)
        .into_iter()
        .map(|row| (row[0], row[1]))
        .collect();
    assert_eq!(names, [("VOLUME", "SNAPSHOT"), ("a", "s"), ("b", "s")]);
    assert_eq!(
        fixture.json(&["snapshot", "ls"]).as_array().unwrap().len(),
        2
    );

    let snapshot = fixture.inspect(&["snapshot", "inspect", "a@s"]);
    assert_eq!(
        (&snapshot["Name"], &snapshot["Volume"]),
        (&"a@s".into(), &"a".into())
    );
    assert!(
        snapshot["CreatedAt"].as_str().unwrap().starts_with("20"),
        "{snapshot}"
    );
    assert!(snapshot["Size"].is_u64(), "{snapshot}");
}

/// Taken, missing and malformed names have the codes that volumes' names have.
#[test]
fn wrong_snapshot_names_have_their_codes() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    fixture.ok(&["snapshot", "create", "data@s"]);
    assert_says(
        &fixture.fails(EXISTS, &["snapshot", "create", "data@s"]),
        &["data@s"],
    );
    for arguments in [
        &["snapshot", "inspect", "data@none"][..],
        &["snapshot", "rm", "data@none"],
        &["clone", "data@none", "copy"],
        &["rollback", "data@none"],
        &["mount", "data@none"],
        &["snapshot", "create", "none@s"],
        &["snapshot", "ls", "none"],
    ] {
        let ran = fixture.volfs(arguments).expect_code(NOT_FOUND);
        assert_says(&ran.stderr, &["none"]);
    }
    for name in ["data@", "data@a/b", "@s", "data@s@t"] {
        fixture.fails(USAGE, &["snapshot", "create", name]);
    }
    assert_eq!(fixture.ok(&["snapshot", "rm", "data@s"]), "data@s");
    assert_eq!(fixture.ok(&["snapshot", "ls", "-q"]), "");
}

/// A mounted snapshot is read-only, shows as `volume@snapshot`, and is not removed meanwhile.
#[test]
fn mounted_snapshot_is_read_only() {
    let (fixture, path) = Fixture::mounted();
    fs::write(path.join("file"), "old").unwrap();
    fixture.ok(&["snapshot", "create", "data@before"]);
    fs::write(path.join("file"), "new").unwrap();

    let old = fixture.mount("data@before");
    assert_eq!(fs::read(old.join("file")).unwrap(), b"old");
    let line = mounts::mount_at(&old).unwrap();
    assert_eq!(
        (line.fs_type.as_str(), line.source.as_str()),
        ("fuse.volfs", "data@before")
    );
    assert!(
        line.options.split(',').any(|option| option == "ro"),
        "{line:?}"
    );
    let refused = File::create(old.join("other")).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);

    assert_says(
        &fixture.fails(BUSY, &["snapshot", "rm", "data@before"]),
        &[text(&old)],
    );
    fixture.umount("data@before");
    fixture.ok(&["snapshot", "rm", "data@before"]);
    assert_eq!(fs::read(path.join("file")).unwrap(), b"new");
}

/// A clone's name must be free and well-formed; the new volume names its origin.
#[test]
fn clone_is_a_volume() {
    let (fixture, _) = Fixture::mounted();
    fixture.ok(&["snapshot", "create", "data@s"]);
    assert_eq!(fixture.ok(&["clone", "data@s", "copy"]), "copy");
    assert_eq!(fixture.ok(&["clone", "data", "live-copy"]), "live-copy");
    assert_eq!(fixture.ok(&["volume", "ls", "-q"]), "copy\ndata\nlive-copy");
    fixture.fails(EXISTS, &["clone", "data@s", "copy"]);
    fixture.fails(USAGE, &["clone", "data@s", "co/py"]);
}

/// A rollback under open files is refused with a list of who holds them, unless forced.
#[test]
fn rollback_names_who_is_in_the_way() {
    let (fixture, path) = Fixture::mounted();
    fs::write(path.join("file"), "old").unwrap();
    fixture.ok(&["snapshot", "create", "data@before"]);
    fs::write(path.join("file"), "new").unwrap();
    let open = File::open(path.join("file")).unwrap();

    let stderr = fixture.fails(BUSY, &["rollback", "data@before"]);
    let pid = std::process::id().to_string();
    assert_says(&stderr, &["in use by", &pid, "file"]);
    assert_eq!(fs::read(path.join("file")).unwrap(), b"new");

    fixture.ok(&["rollback", "--force", "data@before"]);
    assert_eq!(fs::read(path.join("file")).unwrap(), b"old");
    drop(open);
    let snapshots = fixture.ok(&["snapshot", "ls", "-q", "data"]);
    assert_eq!(
        snapshots.lines().count(),
        2,
        "the state that was left is kept: {snapshots}"
    );
}
