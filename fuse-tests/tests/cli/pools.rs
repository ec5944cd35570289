//! Pools that cannot be used, and pools with damage.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::fixture::text;
use fuse_tests::run::run_for;

use crate::{BUSY, CORRUPT, FAILED, NOT_FOUND, assert_says};

const LENGTH: u32 = 2_000_000;

/// The byte at a place of the file in [`closed_pool`]; no block of it is like another.
fn byte_at(place: u32) -> u8 {
    (place.wrapping_mul(0x9e37_79b1) >> 13) as u8
}

/// A pool with one volume that holds one synced file, not mounted, no daemon.
fn closed_pool() -> Fixture {
    let (fixture, path) = Fixture::mounted();
    let content: Vec<u8> = (0..LENGTH).map(byte_at).collect();
    fs::write(path.join("file"), content).unwrap();
    File::open(path.join("file")).unwrap().sync_all().unwrap();
    fixture.ok(&["daemon", "stop"]);
    fixture
}

#[track_caller]
fn assert_file_is_whole(fixture: &Fixture) {
    let content = fs::read(fixture.mount("data").join("file")).unwrap();
    assert_eq!(content.len(), LENGTH as usize);
    assert!(
        (0..)
            .zip(&content)
            .all(|(place, byte)| byte_at(place) == *byte)
    );
}

fn files_in(folder: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// The pool is named by `--pool` or `VOLFS_POOL`, the option first.
#[test]
fn pool_is_chosen_by_option_or_environment() {
    let fixture = Fixture::new();
    let other = fixture.folder().join("other");
    fixture.ok(&["volume", "create", "here"]);
    fixture.ok(&["--pool", text(&other), "volume", "create", "there"]);
    assert_eq!(fixture.ok(&["volume", "ls", "-q"]), "here");
    assert_eq!(
        fixture.ok(&["volume", "ls", "-q", "--pool", text(&other)]),
        "there"
    );
}

/// A missing pool is not made by commands that only look; a folder of something else is refused.
#[test]
fn folder_that_is_no_pool_is_refused() {
    let fixture = Fixture::new();
    assert_says(
        &fixture.fails(NOT_FOUND, &["mount", "data"]),
        &[text(fixture.pool())],
    );
    assert!(!fixture.pool().exists());

    fs::create_dir(fixture.pool()).unwrap();
    fs::write(fixture.pool().join("letters.txt"), "dear").unwrap();
    let stderr = fixture.fails(FAILED, &["volume", "create", "data"]);
    assert_says(&stderr, &[text(fixture.pool()), "letters.txt"]);
    fixture.fails(NOT_FOUND, &["volume", "ls"]);
    assert_eq!(fs::read_dir(fixture.pool()).unwrap().count(), 1);
}

/// A pool of a newer format says so, and which version this program reads.
#[test]
fn newer_pool_is_refused() {
    let fixture = closed_pool();
    let path = fixture.pool().join("pool.toml");
    let settings = fs::read_to_string(&path).unwrap();
    let newer: Vec<String> = settings
        .lines()
        .map(|line| match line.split_once('=') {
            Some((key, _)) if key.trim() == "format_version" => "format_version = 9999".into(),
            _ => line.to_owned(),
        })
        .collect();
    assert_ne!(
        newer.join("\n"),
        settings.trim_end(),
        "pool.toml names its format version"
    );
    fs::write(&path, newer.join("\n")).unwrap();
    let stderr = fixture.fails(FAILED, &["volume", "ls"]);
    assert_says(&stderr, &["format version 9999", "newer"]);
    fs::write(&path, settings).unwrap();
    assert_file_is_whole(&fixture);
}

/// Settings that make no sense are refused with the place.
#[test]
fn damaged_settings_are_explained() {
    let fixture = closed_pool();
    fs::write(fixture.pool().join("pool.toml"), "format_version = [").unwrap();
    let ran = fixture.volfs(&["volume", "ls"]);
    assert!(ran.code == FAILED || ran.code == CORRUPT, "{ran:?}");
    assert_says(&ran.stderr, &["pool.toml"]);
}

/// A pool that a process owns which does not answer is busy, and the process is named.
#[test]
fn locked_pool_names_its_owner() {
    let (fixture, _) = Fixture::mounted();
    let pid = fixture.daemon_pid().unwrap().as_raw_nonzero().to_string();
    let socket = fixture.pool().join("control.sock");
    let hidden = fixture.pool().join("hidden.sock");
    fs::rename(&socket, &hidden).unwrap();
    // The daemon could be starting or recovering: the command waits for a minute.
    let ran = run_for(
        fixture.command().args(["volume", "ls"]),
        Duration::from_secs(90),
    );
    assert_eq!(ran.code, BUSY, "{ran:?}");
    assert_says(&ran.stderr, &[&pid]);
    fs::rename(&hidden, &socket).unwrap();
}

/// A pool on a filesystem that is full says so and is whole afterwards.
#[test]
fn full_host_filesystem_is_reported() {
    let fixture = Fixture::new();
    let disk = fixture.mount_point("small");
    let size = ["-t", "tmpfs", "-o", "size=1m", "small"];
    fuse_tests::run(std::process::Command::new("mount").args(size).arg(&disk)).ok();
    let pool = disk.join("pool");
    let ran = fixture.volfs(&["--pool", text(&pool), "volume", "create", "data"]);
    fuse_tests::run(std::process::Command::new("umount").arg(&disk)).ok();
    assert_eq!(ran.code, FAILED, "{ran:?}");
    assert_says(&ran.stderr, &["space"]);
}

/// Either superblock slot alone is enough; with both damaged the pool says corrupt.
#[test]
fn superblock_slots_stand_in_for_each_other() {
    let fixture = closed_pool();
    let path = fixture.pool().join("superblock");
    let whole = fs::read(&path).unwrap();
    // The slots lie at both ends, so that no single failure hits both.
    let (second, damage) = (whole.len() - 4096, vec![0xa5; 512]);
    for slot in [0, second] {
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&damage, slot as u64).unwrap();
        assert_file_is_whole(&fixture);
        fixture.ok(&["daemon", "stop"]);
    }
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&damage, 0).unwrap();
    file.write_all_at(&damage, second as u64).unwrap();
    assert_says(&fixture.fails(CORRUPT, &["volume", "ls"]), &["superblock"]);
    fs::write(&path, "").unwrap();
    assert_says(&fixture.fails(CORRUPT, &["volume", "ls"]), &["superblock"]);
}

/// The index is derived: damaged or gone, it is built anew and nothing is missing.
#[test]
fn index_is_rebuilt() {
    let fixture = closed_pool();
    for file in files_in(fixture.pool().join("index")) {
        if file.is_file() {
            fs::write(&file, "no database at all").unwrap();
        }
    }
    assert_file_is_whole(&fixture);
    fixture.ok(&["daemon", "stop"]);
    fs::remove_dir_all(fixture.pool().join("index")).unwrap();
    assert_file_is_whole(&fixture);
}

/// A flipped bit in stored data is an error for who reads it, never wrong data; the rest of the
/// volume stays readable.
#[test]
fn flipped_bit_is_an_error_not_wrong_data() {
    let fixture = closed_pool();
    let segments = files_in(fixture.pool().join("segments"));
    let largest = segments
        .iter()
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(largest).unwrap();
    for eighth in 1..8 {
        let place = bytes.len() / 8 * eighth;
        bytes[place] ^= 1;
    }
    fs::write(largest, bytes).unwrap();

    let path = fixture.mount("data");
    let file = File::open(path.join("file")).unwrap();
    let (mut wrong, mut failed) = (0, 0);
    for at in (0..LENGTH).step_by(4096) {
        let mut page = vec![0; (LENGTH - at).min(4096) as usize];
        match file.read_exact_at(&mut page, u64::from(at)) {
            Ok(()) => {
                wrong += (at..)
                    .zip(&page)
                    .filter(|(place, byte)| byte_at(*place) != **byte)
                    .count()
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(5), "{error}");
                failed += 1;
            }
        }
    }
    assert_eq!(wrong, 0, "bytes are wrong");
    assert!(failed > 0, "the damage was not noticed");
    let (log, inode) = (fixture.log_tail(), file.metadata().unwrap().ino());
    let who = format!("volume 'data': read of inode {inode}: ");
    let told = log.lines().find(|line| line.contains(&who));
    let told = told.unwrap_or_else(|| panic!("nobody says whose data it is: {log}"));
    assert_says(
        told,
        &[
            "block ",
            " in segment ",
            " at byte ",
            "checksum does not match",
            "(file '/file')",
        ],
    );
}

/// A segment cut short is noticed in the same way.
#[test]
fn truncated_segment_is_noticed() {
    let fixture = closed_pool();
    for segment in files_in(fixture.pool().join("segments")) {
        let file = File::options().write(true).open(segment).unwrap();
        file.set_len(100).unwrap();
    }
    let ran = fixture.volfs(&["mount", "data", text(&fixture.mount_point("data"))]);
    if ran.code == 0 {
        let error = fs::read(fixture.mount_point("data").join("file")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5), "{error}");
    } else {
        assert_eq!(ran.code, CORRUPT, "{ran:?}");
    }
}

/// Journal files that are gone, cut short or overwritten are never taken for an empty journal.
#[test]
fn lost_journal_is_corruption() {
    for damage in ["removed", "emptied", "overwritten"] {
        let (fixture, path) = Fixture::mounted();
        fs::write(path.join("file"), "only in the journal").unwrap();
        File::open(path.join("file")).unwrap().sync_all().unwrap();
        fixture.kill_daemon();
        for file in files_in(fixture.pool().join("journal")) {
            match damage {
                "removed" => fs::remove_file(file).unwrap(),
                "emptied" => fs::write(file, "").unwrap(),
                _ => {
                    let length = fs::metadata(&file).unwrap().len();
                    fs::write(file, vec![0xa5; length as usize]).unwrap();
                }
            }
        }
        let ran = fixture.volfs(&["mount", "data", text(&path)]);
        assert_eq!(
            ran.code,
            CORRUPT,
            "journal {damage}: {ran:?}, {:?}",
            fs::read(path.join("file"))
        );
        assert_says(&ran.stderr, &["journal"]);
        fuse_tests::mounts::detach_below(fixture.folder());
    }
}
