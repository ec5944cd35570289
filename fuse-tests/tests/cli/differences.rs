//! `volfs snapshot diff`.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};

use fuse_tests::Fixture;
use fuse_tests::chance::random;
use serde_json::Value;

use crate::{NOT_FOUND, USAGE, assert_says};

/// Change, path, and the old path or nothing, of all differences.
fn told(report: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let differences = report["differences"].as_array().unwrap().iter();
    differences
        .map(|it| (text(&it["change"]), text(&it["path"]), text(&it["from"])))
        .collect()
}

fn wanted(list: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    let owned = |it: &(&str, &str, &str)| (it.0.to_owned(), it.1.to_owned(), it.2.to_owned());
    list.iter().map(owned).collect()
}

/// Every kind of change in a real tree is told with its path, its sizes and the blocks that differ;
/// reading changes nothing.
#[test]
fn changes_of_a_tree_are_told() {
    let (fixture, root) = Fixture::mounted();
    for folder in ["base", "base/1", "old-folder", "keep"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    fs::write(root.join("base/1/table"), random(1, 1 << 20)).unwrap();
    for file in [
        "base/gone",
        "base/moved",
        "keep/same",
        "saved",
        "old-folder/inner",
    ] {
        fs::write(root.join(file), file).unwrap();
    }
    fs::hard_link(root.join("keep/same"), root.join("keep/second")).unwrap();
    fixture.ok(&["snapshot", "create", "data@before"]);
    assert_says(
        &fixture.ok(&["snapshot", "diff", "data@before"]),
        &["0 added, 0 removed, 0 changed, 0 renamed, 0 B in blocks that differ"],
    );

    let table = File::options().write(true).open(root.join("base/1/table"));
    let table = table.unwrap();
    // Two of its blocks of 8 KiB; not closed and not synced.
    table.write_all_at(b"x", 100_000).unwrap();
    table.write_all_at(b"x", 900_000).unwrap();
    fs::remove_file(root.join("base/gone")).unwrap();
    fs::rename(root.join("base/moved"), root.join("keep/moved")).unwrap();
    fs::rename(root.join("old-folder"), root.join("new-folder")).unwrap();
    fs::write(root.join("saved.tmp"), "saved anew").unwrap();
    fs::rename(root.join("saved.tmp"), root.join("saved")).unwrap();
    fs::write(root.join("new"), random(2, 10_000)).unwrap();
    symlink("new", root.join("link")).unwrap();
    fs::hard_link(root.join("new"), root.join("new-too")).unwrap();
    fs::remove_file(root.join("keep/second")).unwrap();
    fs::set_permissions(root.join("keep"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::read(root.join("new-folder/inner")).unwrap();

    let report = fixture.json(&["snapshot", "diff", "data@before"]);
    let expected = wanted(&[
        ("changed", "/base/1/table", ""),
        ("removed", "/base/gone", ""),
        ("changed", "/keep", ""),
        ("renamed", "/keep/moved", "/base/moved"),
        ("removed", "/keep/second", ""),
        ("added", "/link", ""),
        ("added", "/new", ""),
        ("renamed", "/new-folder", "/old-folder"),
        ("added", "/new-too", ""),
        ("changed", "/saved", ""),
    ]);
    assert_eq!(told(&report), expected, "{report:#}");
    let difference = |path: &str| {
        let list = report["differences"].as_array().unwrap();
        list.iter().find(|it| it["path"] == path).unwrap()
    };
    let table = difference("/base/1/table");
    assert_eq!(table["bytes_changed"], 2 * 8192);
    assert_eq!(
        (&table["size_before"], &table["size_after"]),
        (&(1 << 20).into(), &(1 << 20).into())
    );
    assert_eq!(difference("/saved")["replaced"], true);
    assert_eq!(difference("/keep")["aspects"], serde_json::json!(["mode"]));
    assert_eq!(difference("/keep/second")["hard_link"], true);
    let names = ["/new", "/new-too"].map(|path| difference(path)["hard_link"] == true);
    assert!(names[0] != names[1], "one of two names is the file's first");

    let text = fixture.ok(&["snapshot", "diff", "data@before"]);
    assert_says(&text, &["CHANGE", "/old-folder -> /new-folder", "16.0 KiB"]);

    // Between two snapshots, and the other way round.
    fixture.ok(&["snapshot", "create", "data@after"]);
    fs::write(root.join("later"), "").unwrap();
    let report = fixture.json(&["snapshot", "diff", "data@before", "data@after"]);
    assert_eq!(told(&report), expected);
    let back = fixture.json(&["snapshot", "diff", "data@after", "data@before"]);
    assert_eq!(
        (&back["added"], &back["removed"]),
        (&report["removed"], &report["added"])
    );
}

/// A clone is compared with where it comes from; volumes that have nothing in common are not.
#[test]
fn clones_are_compared_and_strangers_refused() {
    let (fixture, root) = Fixture::mounted();
    fs::write(root.join("file"), "old").unwrap();
    fixture.ok(&["snapshot", "create", "data@s"]);
    fixture.ok(&["clone", "data@s", "copy"]);
    let copy = fixture.mount("copy");
    fs::write(copy.join("file"), "changed").unwrap();
    fs::write(copy.join("ours"), "new").unwrap();
    fs::write(root.join("theirs"), "new").unwrap();
    let report = fixture.json(&["snapshot", "diff", "data@s", "copy"]);
    let expected = [("changed", "/file", ""), ("added", "/ours", "")];
    assert_eq!(told(&report), wanted(&expected));

    // Both have given out the same inode number.
    fixture.ok(&["snapshot", "create", "data@t"]);
    let report = fixture.json(&["snapshot", "diff", "data@t", "copy"]);
    let expected = [
        ("changed", "/file", ""),
        ("added", "/ours", ""),
        ("removed", "/theirs", ""),
    ];
    assert_eq!(told(&report), wanted(&expected));

    fixture.ok(&["volume", "create", "stranger"]);
    let stderr = fixture.fails(USAGE, &["snapshot", "diff", "data@s", "stranger"]);
    assert_says(&stderr, &["nothing in common"]);
    fixture.fails(NOT_FOUND, &["snapshot", "diff", "data@none"]);
    fixture.fails(NOT_FOUND, &["snapshot", "diff", "data@s", "data@none"]);
    fixture.fails(NOT_FOUND, &["snapshot", "diff", "data@s", "none"]);
    fixture.fails(USAGE, &["snapshot", "diff", "data"]);
}

/// What a comparison looks at follows what has changed: in a volume with thousands of files and one
/// large file it reads a few nodes of the trees.
#[test]
fn the_cost_follows_the_change() {
    let (fixture, root) = Fixture::mounted();
    for folder in 0..40 {
        let folder = root.join(format!("folder-{folder}"));
        fs::create_dir(&folder).unwrap();
        for file in 0..100 {
            fs::write(folder.join(format!("file-{file}")), "small").unwrap();
        }
    }
    fs::write(root.join("large"), random(3, 32 << 20)).unwrap();
    fixture.ok(&["snapshot", "create", "data@empty-handed"]);
    fs::write(root.join("folder-7/file-7"), "changed").unwrap();
    let large = File::options()
        .write(true)
        .open(root.join("large"))
        .unwrap();
    large.write_all_at(b"changed", 16 << 20).unwrap();
    large.sync_all().unwrap();

    let report = fixture.json(&["snapshot", "diff", "data@empty-handed"]);
    let expected = [
        ("changed", "/folder-7/file-7", ""),
        ("changed", "/large", ""),
    ];
    assert_eq!(told(&report), wanted(&expected));
    let read = report["nodes_read"].as_u64().unwrap();
    assert!((1..100).contains(&read), "{read} nodes");
}
