//! The trash, holds, protection, prune.

use std::fs;

use fuse_tests::Fixture;

use crate::{BUSY, EXISTS, NOT_FOUND, USAGE, assert_says};

fn with_file(fixture: &Fixture, volume: &str, content: &str) {
    fixture.ok(&["volume", "create", volume]);
    fs::write(fixture.mount(volume).join("file"), content).unwrap();
    fixture.umount(volume);
}

fn content(fixture: &Fixture, volume: &str) -> String {
    let content = fs::read_to_string(fixture.mount(volume).join("file")).unwrap();
    fixture.umount(volume);
    content
}

/// A removed volume comes back with its content and its snapshots; its name is free meanwhile.
#[test]
fn a_removed_volume_comes_back() {
    let fixture = Fixture::new();
    with_file(&fixture, "data", "first");
    fixture.ok(&["snapshot", "create", "data@s"]);
    fixture.ok(&["volume", "rm", "data"]);
    assert_eq!(fixture.ok(&["volume", "ls", "-q"]), "");
    assert_says(
        &fixture.ok(&["volume", "ls", "--trash"]),
        &["data", "GOES FOR GOOD"],
    );
    with_file(&fixture, "data", "second");
    let stderr = fixture.fails(EXISTS, &["volume", "undelete", "data"]);
    assert_says(
        &stderr,
        &["'data' exists", "volfs volume undelete data --as OTHER"],
    );
    fixture.ok(&["volume", "rm", "--now", "data"]);
    assert_eq!(fixture.ok(&["volume", "undelete", "data"]), "data");
    assert_eq!(content(&fixture, "data"), "first");
    assert_says(&fixture.ok(&["snapshot", "ls"]), &["data", "s"]);
    let stderr = fixture.fails(NOT_FOUND, &["volume", "undelete", "data"]);
    assert_says(&stderr, &["the trash has no volume 'data'", "--trash"]);
}

/// A volume comes back beside the one that has its name by now, with its snapshots, and is mounted,
/// shown and removed under its new name, while a daemon runs and after it has ended.
#[test]
fn a_removed_volume_comes_back_under_another_name() {
    let fixture = Fixture::new();
    with_file(&fixture, "data", "first");
    fixture.ok(&["snapshot", "create", "data@s"]);
    fixture.ok(&["volume", "rm", "data"]);
    with_file(&fixture, "data", "second");
    let root = fixture.mount("data");
    let taken = ["volume", "undelete", "data", "--as", "data"];
    assert_says(&fixture.fails(EXISTS, &taken), &["--as OTHER"]);
    let back = ["volume", "undelete", "data", "--as", "old"];
    assert_eq!(fixture.ok(&back), "old");
    fixture.fails(NOT_FOUND, &back);
    assert_eq!(fs::read_to_string(root.join("file")).unwrap(), "second");
    let old = fixture.mount("old");
    assert_eq!(fs::read_to_string(old.join("file")).unwrap(), "first");
    assert!(old.join(".volfs/snapshots/s/file").exists());
    fixture.umount("old");
    fixture.umount("data");
    assert_eq!(content(&fixture, "old"), "first");
    assert_eq!(fixture.ok(&["snapshot", "ls", "-q"]), "old@s");
    fixture.ok(&["volume", "rm", "old"]);
    assert_says(&fixture.ok(&["volume", "ls", "--trash"]), &["old"]);
    fixture.ok(&["volume", "undelete", "old"]);
    fixture.ok(&["check"]);

    let several = ["volume", "undelete", "a", "b", "--as", "c"];
    assert_says(&fixture.fails(USAGE, &several), &["--as names one volume"]);
    fixture.fails(USAGE, &["volume", "undelete", "a", "--as", "b/c"]);
}

/// `rm --now` removes for good, also out of the trash.
#[test]
fn now_means_for_good() {
    let fixture = Fixture::new();
    with_file(&fixture, "data", "first");
    fixture.ok(&["volume", "rm", "data"]);
    fixture.ok(&["volume", "rm", "--now", "data"]);
    assert_eq!(fixture.ok(&["volume", "ls", "--trash", "-q"]), "");
    fixture.fails(NOT_FOUND, &["volume", "rm", "--now", "data"]);
}

/// What was long enough in the trash goes with a collection of garbage.
#[test]
fn the_trash_is_emptied_after_its_time() {
    let fixture = Fixture::new();
    with_file(&fixture, "data", "first");
    fixture.ok(&["volume", "rm", "data"]);
    fixture.ok(&["gc"]);
    assert_eq!(fixture.ok(&["volume", "ls", "--trash", "-q"]), "data");
    fixture.set("trash_hours", 0);
    fixture.ok(&["gc", "--dry-run"]);
    assert_eq!(fixture.ok(&["volume", "ls", "--trash", "-q"]), "data");
    fixture.ok(&["gc"]);
    assert_eq!(fixture.ok(&["volume", "ls", "--trash", "-q"]), "");
}

/// Protected volumes and held snapshots are not removed, by no command, and say what to do.
#[test]
fn what_is_kept_is_not_removed() {
    let fixture = Fixture::new();
    with_file(&fixture, "data", "x");
    fixture.ok(&["snapshot", "create", "data@s"]);
    fixture.ok(&["volume", "set", "data", "protected=yes"]);
    for command in [
        &["volume", "rm", "data"][..],
        &["volume", "rm", "--now", "data"],
    ] {
        let stderr = fixture.fails(BUSY, command);
        assert_says(
            &stderr,
            &["'data' is protected", "volfs volume set data protected=no"],
        );
    }
    assert_eq!(
        fixture.inspect(&["volume", "inspect", "data"])["Protected"],
        true
    );
    fixture.ok(&["volume", "set", "data", "protected=no"]);
    assert_eq!(fixture.ok(&["snapshot", "hold", "data@s"]), "data@s");
    for command in [&["snapshot", "rm", "data@s"][..], &["volume", "rm", "data"]] {
        let stderr = fixture.fails(BUSY, command);
        assert_says(&stderr, &["data@s", "volfs snapshot release"]);
    }
    assert_says(&fixture.ok(&["snapshot", "ls"]), &["held"]);
    fixture.ok(&["snapshot", "release", "data", "s"]);
    fixture.ok(&["volume", "rm", "data"]);
    fixture.fails(NOT_FOUND, &["snapshot", "hold", "data@s"]);
    fixture.fails(USAGE, &["snapshot", "hold", "data"]);
}

/// Prune removes what nobody has mounted, and neither what is protected nor what does not fit; it
/// asks, and without a terminal it needs --force.
#[test]
fn prune_removes_what_is_unused() {
    let fixture = Fixture::new();
    for name in ["mounted", "protected", "held", "test", "other"] {
        with_file(&fixture, name, name);
    }
    fixture.ok(&["volume", "set", "test", "label.kind=test"]);
    fixture.ok(&["volume", "set", "protected", "protected=yes"]);
    fixture.ok(&["snapshot", "create", "held@s"]);
    fixture.ok(&["snapshot", "hold", "held@s"]);
    fixture.mount("mounted");

    let stderr = fixture.fails(USAGE, &["volume", "prune"]);
    assert_says(&stderr, &["--force"]);
    let dry = fixture.ok(&["volume", "prune", "--dry-run"]);
    assert_says(&dry, &["other\ntest\nTotal reclaimed space: "]);
    let filtered = ["volume", "prune", "--force", "--filter", "label=kind=test"];
    let stdout = fixture.ok(&filtered);
    assert_says(
        &stdout,
        &["test\nTotal reclaimed space: ", "when they leave the trash"],
    );
    let stdout = fixture.ok(&filtered);
    assert_eq!(stdout, "Total reclaimed space: 0 B");
    let stdout = fixture.ok(&["volume", "prune", "--force", "--now"]);
    assert_says(&stdout, &["other\nTotal reclaimed space: "]);
    assert_eq!(
        fixture.ok(&["volume", "ls", "-q"]),
        "held\nmounted\nprotected"
    );
    assert_eq!(fixture.ok(&["volume", "ls", "--trash", "-q"]), "test");
    fixture.fails(USAGE, &["volume", "prune", "--filter", "size=3"]);
    assert_eq!(
        fixture.ok(&["volume", "ls", "-q", "--filter", "name=prot"]),
        "protected"
    );
}

/// Snapshots have labels, and lists can be filtered by them.
#[test]
fn snapshots_have_labels() {
    let fixture = Fixture::new();
    with_file(&fixture, "data", "x");
    fixture.ok(&["snapshot", "create", "data@a", "--label", "why=migration"]);
    fixture.ok(&["snapshot", "create", "data@b"]);
    let list = |filter: &str| fixture.ok(&["snapshot", "ls", "-q", "--filter", filter]);
    assert_eq!(list("label=why"), "data@a");
    assert_eq!(list("label=why=other"), "");
    assert_eq!(list("label!=why"), "data@b");
    let found = fixture.inspect(&["snapshot", "inspect", "data@a"]);
    assert_eq!(found["Labels"]["why"], "migration");
    assert_eq!(found["MadeBy"], "user");
}
