//! `volfs volume`.

use std::fs;
use std::os::unix::fs::MetadataExt;

use fuse_tests::Fixture;
use serde_json::json;

use crate::{BUSY, EXISTS, NOT_FOUND, USAGE, assert_says, rows};

/// create prints the name; inspect shows all that was asked for, in the style of Docker.
#[test]
fn created_volume_is_inspected() {
    let fixture = Fixture::new();
    let created = fixture.ok(&[
        "volume",
        "create",
        "pgdata",
        "--block-size",
        "8K",
        "--label",
        "app=shop",
        "--label",
        "tier=db",
    ]);
    assert_eq!(created, "pgdata");

    let volume = fixture.inspect(&["volume", "inspect", "pgdata"]);
    assert_eq!(volume["Name"], "pgdata");
    assert_eq!(volume["Driver"], "volfs");
    assert_eq!(volume["Labels"], json!({"app": "shop", "tier": "db"}));
    assert_eq!(volume["Mounted"], false);
    let default = fixture.pool().join("mnt/pgdata");
    assert_eq!(volume["Mountpoint"], default.to_str().unwrap());
    assert!(
        volume["Options"].is_object() && volume["Size"].is_u64(),
        "{volume}"
    );
    let created_at = volume["CreatedAt"].as_str().unwrap();
    assert!(
        created_at.starts_with("20") && created_at.contains('T'),
        "{created_at}"
    );
}

/// inspect takes several names; one that is missing makes it fail and is named.
#[test]
fn several_volumes_are_inspected_together() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "a"]);
    fixture.ok(&["volume", "create", "b"]);
    let text = fixture.ok(&["volume", "inspect", "a", "b"]);
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&list[0]["Name"], &list[1]["Name"]),
        (&json!("a"), &json!("b"))
    );
    let ran = fixture
        .volfs(&["volume", "inspect", "a", "none"])
        .expect_code(NOT_FOUND);
    assert_says(&ran.stderr, &["'none'"]);
}

/// ls is a table with Docker's columns; `-q` prints names only; JSON holds the same.
#[test]
fn volumes_are_listed() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "beta"]);
    fixture.ok(&["volume", "create", "alpha"]);
    let path = fixture.mount("alpha");
    fs::write(path.join("file"), vec![1; 100_000]).unwrap();

    let table = fixture.ok(&["volume", "ls"]);
    let header = table.lines().next().unwrap();
    let columns: Vec<&str> = header
        .split("  ")
        .map(str::trim)
        .filter(|c| !c.is_empty())
        .collect();
    assert_eq!(columns, ["DRIVER", "VOLUME NAME", "SIZE", "MOUNTPOINT"]);
    let rows = rows(&table);
    assert_eq!(
        (rows[1][0], rows[1][1], rows[2][1]),
        ("volfs", "alpha", "beta")
    );
    assert_eq!(rows[1].last(), path.to_str().as_ref());
    assert_eq!(fixture.ok(&["volume", "ls", "-q"]), "alpha\nbeta");

    let list = fixture.json(&["volume", "ls"]);
    let names: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|volume| volume["Name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["alpha", "beta"]);
    assert_eq!(
        (&list[0]["Mounted"], &list[1]["Mounted"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(list[0]["Mountpoint"], path.to_str().unwrap());
}

/// An empty pool lists a header, or nothing with `-q`.
#[test]
fn empty_pool_lists_nothing() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "gone"]);
    fixture.ok(&["volume", "rm", "gone"]);
    assert_eq!(fixture.ok(&["volume", "ls"]).lines().count(), 1);
    assert_eq!(fixture.ok(&["volume", "ls", "-q"]), "");
    assert_eq!(fixture.json(&["volume", "ls"]), json!([]));
}

/// Names are Docker's: what it refuses is a usage error that quotes the name.
#[test]
fn malformed_names_are_refused() {
    let fixture = Fixture::new();
    for name in ["a/b", "-a", ".a", "_a", "a b", "ä", ""] {
        let stderr = fixture.fails(USAGE, &["volume", "create", "--", name]);
        assert_says(&stderr, &["name", name]);
    }
    let longest = "n".repeat(128);
    assert_eq!(fixture.ok(&["volume", "create", &longest]), longest);
    let stderr = fixture.fails(USAGE, &["volume", "create", &"n".repeat(129)]);
    assert_says(&stderr, &["129", "128"]);
}

/// A name that is taken is exit code 6, one that is missing exit code 5.
#[test]
fn taken_and_missing_names_have_their_codes() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    assert_says(
        &fixture.fails(EXISTS, &["volume", "create", "data"]),
        &["'data'"],
    );
    for arguments in [
        &["volume", "inspect", "none"][..],
        &["volume", "rm", "none"],
        &["mount", "none"],
        &["umount", "none"],
        &["snapshot", "create", "none", "s"],
        &["clone", "none", "copy"],
        &["rollback", "none@s"],
    ] {
        let ran = fixture.volfs(arguments).expect_code(NOT_FOUND);
        assert_says(&ran.stderr, &["none"]);
    }
}

/// Block sizes are powers of two from 4K to 128K.
#[test]
fn block_sizes_are_checked() {
    let fixture = Fixture::new();
    for (name, size) in [("small", "4K"), ("large", "128K"), ("bytes", "16384")] {
        fixture.ok(&["volume", "create", name, "--block-size", size]);
    }
    for size in ["2K", "256K", "5000", "many"] {
        fixture.fails(USAGE, &["volume", "create", "bad", "--block-size", size]);
    }
    assert_eq!(fixture.ok(&["volume", "ls", "-q"]), "bytes\nlarge\nsmall");
}

/// A profile chooses the block size, the pool's own where none is better; one that is not known is
/// answered with those that are, and beside a block size it is refused.
#[test]
fn profiles_choose_block_sizes() {
    let fixture = Fixture::new();
    for (profile, bytes) in [
        ("postgres", "8192"),
        ("mysql", "16384"),
        ("sqlite", "4096"),
        ("redis", "8192"),
        ("general", "8192"),
    ] {
        fixture.ok(&["volume", "create", profile, "--profile", profile]);
        let volume = fixture.inspect(&["volume", "inspect", profile]);
        assert_eq!(volume["Options"]["block-size"], bytes, "{profile}");
    }
    let create = ["volume", "create", "bad", "--profile"];
    let told = fixture.fails(USAGE, &[&create[..], &["oracle"]].concat());
    assert_says(
        &told,
        &["'oracle'", "postgres, mysql, sqlite, redis, general"],
    );
    let both = [&create[..], &["mysql", "--block-size", "16K"]].concat();
    assert_says(&fixture.fails(USAGE, &both), &["--profile", "--block-size"]);
}

/// `--owner` and `--mode` shape the root folder; without them it is the creator's, 0755.
#[test]
fn owner_and_mode_of_the_root_are_set() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "default"]);
    fixture.ok(&[
        "volume", "create", "db", "--owner", "999:998", "--mode", "0700",
    ]);
    fixture.ok(&["volume", "create", "user", "--owner", "5"]);
    let root = |name| {
        let metadata = fs::metadata(fixture.mount(name)).unwrap();
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
    };
    assert_eq!(root("default"), (0, 0, 0o755));
    assert_eq!(root("db"), (999, 998, 0o700));
    assert_eq!(root("user").0, 5);
}

/// rm refuses a mounted volume and says by whom it is used; `--force` unmounts it first.
#[test]
fn mounted_volume_is_removed_only_with_force() {
    let (fixture, path) = Fixture::mounted();
    fs::write(path.join("file"), "content").unwrap();
    let stderr = fixture.fails(BUSY, &["volume", "rm", "data"]);
    assert_says(
        &stderr,
        &["volume 'data' is in use by: ", path.to_str().unwrap()],
    );
    assert_eq!(fs::read(path.join("file")).unwrap(), b"content");

    assert_eq!(fixture.ok(&["volume", "rm", "--force", "data"]), "data");
    assert_eq!(fixture.ok(&["volume", "ls", "-q"]), "");
    assert!(!path.join("file").exists());
}

/// rm takes several volumes and prints each that is gone.
#[test]
fn several_volumes_are_removed_together() {
    let fixture = Fixture::new();
    for name in ["a", "b", "c"] {
        fixture.ok(&["volume", "create", name]);
    }
    assert_eq!(fixture.ok(&["volume", "rm", "a", "c"]), "a\nc");
    assert_eq!(fixture.ok(&["volume", "ls", "-q"]), "b");
}
