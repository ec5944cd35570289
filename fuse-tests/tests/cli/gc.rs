//! `volfs gc`.

use std::fs;
use std::path::Path;

use fuse_tests::Fixture;
use fuse_tests::chance::Chance;
use serde_json::Value;

use crate::{USAGE, assert_says};

const MIB: u64 = 1 << 20;

fn segment_bytes(fixture: &Fixture) -> u64 {
    let entries = fs::read_dir(fixture.pool().join("segments")).unwrap();
    entries
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum()
}

fn report(fixture: &Fixture, arguments: &[&str]) -> Value {
    let arguments = [&["gc", "--format", "json"], arguments].concat();
    serde_json::from_str(&fixture.ok(&arguments)).unwrap()
}

/// Files of 4 MiB each; every second one is removed again.
fn half_garbage(folder: &Path, seed: u64) -> Vec<(String, Vec<u8>)> {
    let mut chance = Chance::new(seed);
    let files: Vec<(String, Vec<u8>)> = (0..8)
        .map(|number| (format!("file-{number}"), chance.bytes(4 * MIB)))
        .collect();
    for (name, bytes) in &files {
        fs::write(folder.join(name), bytes).unwrap();
    }
    for (name, _) in files.iter().step_by(2) {
        fs::remove_file(folder.join(name)).unwrap();
    }
    files.into_iter().skip(1).step_by(2).collect()
}

fn assert_whole(folder: &Path, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        assert!(fs::read(folder.join(name)).unwrap() == *bytes, "{name}");
    }
}

/// Without a mount: a dry run says what there is to give back and gives nothing back; a run does,
/// and everything that is left is as it was.
#[test]
fn a_pool_at_rest_gives_back_its_garbage() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    // By itself it would be collected meanwhile.
    fixture.set("gc_percent", 0);
    let files = half_garbage(&fixture.mount("data"), 1);
    fixture.umount("data");
    let before = segment_bytes(&fixture);
    let told = report(&fixture, &["--dry-run"]);
    let garbage = told["garbage_bytes"].as_u64().unwrap();
    assert!(garbage > 15 * MIB && garbage < 18 * MIB, "{told}");
    assert_eq!(
        (&told["removed"], &told["moved_bytes"]),
        (&0.into(), &0.into())
    );
    assert!(segment_bytes(&fixture) >= before);
    assert_says(
        &fixture.ok(&["gc", "--dry-run"]),
        &["in use", "garbage", "would be cleaned"],
    );

    assert_says(&fixture.ok(&["gc"]), &["segments deleted", "given back"]);
    let left = segment_bytes(&fixture);
    assert!(left < 18 * MIB, "{left} of {before} bytes are left");
    let again = report(&fixture, &["--dry-run"]);
    assert!(again["garbage_bytes"].as_u64().unwrap() < MIB, "{again}");
    fixture.ok(&["check", "--read-data"]);
    assert_whole(&fixture.mount("data"), &files);
}

/// Beside a mount that is written to, with a snapshot, which keeps what it shows; and what it alone
/// has kept is given back after it.
#[test]
fn garbage_is_collected_beside_work() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    // By itself it would be collected meanwhile.
    fixture.set("gc_percent", 0);
    let folder = fixture.mount("data");
    let files = half_garbage(&folder, 2);
    fixture.ok(&["snapshot", "create", "data@kept"]);
    let later = half_garbage(&folder, 3);
    let writer = std::thread::spawn({
        let folder = folder.clone();
        move || {
            let mut chance = Chance::new(4);
            for number in 0..20 {
                let bytes = chance.bytes(300_000);
                fs::write(folder.join(format!("new-{number}")), &bytes).unwrap();
                assert!(fs::read(folder.join(format!("new-{number}"))).unwrap() == bytes);
            }
        }
    });
    let first = report(&fixture, &["--rate", "64M"]);
    writer.join().unwrap();
    assert_whole(&folder, &later);
    fixture.ok(&["clone", "data@kept", "copy"]);
    assert_whole(&fixture.mount("copy"), &files);
    fixture.umount("copy");
    fixture.ok(&["volume", "rm", "--now", "copy"]);
    fixture.ok(&["snapshot", "rm", "data@kept"]);
    let second = report(&fixture, &[]);
    let freed = second["freed_bytes"].as_u64().unwrap();
    assert!(freed > 12 * MIB, "{first} {second}");
    fixture.umount("data");
    fixture.ok(&["check", "--read-data"]);
    assert_whole(&fixture.mount("data"), &later);
}

/// Garbage is collected by itself.
#[test]
fn a_pool_collects_by_itself() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let folder = fixture.mount("data");
    let files = half_garbage(&folder, 5);
    fixture.ok(&["snapshot", "create", "data@s"]);
    fixture.ok(&["snapshot", "rm", "data@s"]);
    let limit = std::time::Duration::from_secs(120);
    fuse_tests::run::eventually("garbage is collected", limit, || {
        segment_bytes(&fixture) < 24 * MIB
    });
    assert_whole(&folder, &files);
}

/// What cannot be a rate is refused.
#[test]
fn wrong_arguments_are_refused() {
    let fixture = Fixture::new();
    fixture.volfs(&["gc", "--rate", "fast"]).expect_code(USAGE);
    fixture.volfs(&["gc", "data"]).expect_code(USAGE);
}
