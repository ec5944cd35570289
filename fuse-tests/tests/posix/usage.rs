//! What statfs and df tell, and whether tools believe it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fuse_tests::chance::Chance;
use fuse_tests::run::eventually;
use fuse_tests::{Fixture, HostFs, Place, run};
use rustix::fs::{StatVfs, statvfs};

const MIB: u64 = 1 << 20;

/// The columns of a row of df, as numbers.
fn df(place: &Place, columns: &str) -> Vec<u64> {
    let ran = run(Command::new("df")
        .args(["-B1", &format!("--output={columns}")])
        .arg(place.root()));
    let text = ran.ok();
    let row = text.lines().nth(1).expect("a row below the header");
    row.split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect()
}

fn check(usage: &StatVfs) {
    let (blocks, free) = (usage.f_blocks, usage.f_bfree);
    assert!(
        free <= blocks && usage.f_bavail <= free,
        "{free} of {blocks}"
    );
    let (files, free) = (usage.f_files, usage.f_ffree);
    assert!(free <= files && usage.f_favail <= free, "{free} of {files}");
    assert_eq!(usage.f_namemax, 255);
}

/// Free and used space add up, follow what is written and removed, and so do the inodes.
#[test]
fn df_follows_what_is_written() {
    let place = Place::new();
    if place.is_plain() {
        return;
    }
    let before = df(&place, "size,used,avail");
    check(&statvfs(place.root()).unwrap());
    assert_eq!(
        before[0],
        before[1] + before[2],
        "size, used, available: {before:?}"
    );
    let inodes = df(&place, "itotal,iused,iavail");
    assert_eq!(inodes[0], inodes[1] + inodes[2], "{inodes:?}");

    let bytes: Vec<u8> = (0..32 * MIB).map(|n| ((n * n) >> 7) as u8).collect();
    place.file("large", &bytes);
    for number in 0..100 {
        place.file(&format!("small-{number}"), "");
    }
    check(&statvfs(place.root()).unwrap());
    let used = df(&place, "used")[0] - before[1];
    assert!(
        (32 * MIB..34 * MIB).contains(&used),
        "{used} bytes more are used"
    );
    assert_eq!(df(&place, "iused")[0] - inodes[1], 101);

    for entry in fs::read_dir(place.root()).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    place.remount();
    assert_eq!(df(&place, "used,iused"), [before[1], inodes[1]]);
}

/// In bytes: the size, what is used, what is available.
fn room(root: &Path) -> [u64; 3] {
    let told = statvfs(root).expect("a mount");
    check(&told);
    let used = told.f_blocks - told.f_bfree;
    [told.f_blocks, used, told.f_bavail].map(|blocks| blocks * told.f_frsize)
}

/// Bytes of the pool's segments.
fn segment_bytes(fixture: &Fixture) -> u64 {
    let files = fs::read_dir(fixture.pool().join("segments")).expect("a pool");
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

/// What is removed goes from what is used at once, and what is overwritten is used once. The pool
/// keeps it on the host's disk, whatever is unmounted or removed: what is available does not rise,
/// and the size, which is both, falls. Until garbage is collected.
#[test]
fn removed_files_do_not_become_available() {
    const LENGTH: u64 = 32 * MIB;
    // What the pool itself may take or give back meanwhile: files of the journal and the index.
    const SLACK: u64 = 8 * MIB;
    let fixture = Fixture::on_disk(HostFs::Ext4, Duration::from_secs(120));
    fixture.ok(&["volume", "create", "data"]);
    let root = fixture.mount("data");
    let [_, used_before, available_before] = room(&root);
    let mut chance = Chance::new(1);
    let mut random = || -> Vec<u8> { (0..LENGTH).map(|_| chance.below(256) as u8).collect() };
    fs::write(root.join("large"), random()).unwrap();
    fixture.umount("data");
    fixture.mount("data");
    let [_, used, available] = room(&root);
    assert_eq!(used - used_before, LENGTH);
    assert!(available + LENGTH <= available_before, "{available}");

    // Other bytes in the same place take new room, and the old is not given back.
    fs::write(root.join("large"), random()).unwrap();
    fixture.umount("data");
    fixture.mount("data");
    let (available_once, [size, used, available]) = (available, room(&root));
    let segments = segment_bytes(&fixture);
    assert_eq!(used - used_before, LENGTH);
    assert!(available + LENGTH <= available_once, "{available}");
    assert!(segments > 2 * LENGTH, "{segments}");

    fs::remove_file(root.join("large")).unwrap();
    // The kernel lets go of the file's inode a moment after its name.
    eventually("the file is gone", Duration::from_secs(10), || {
        room(&root)[1] == used_before
    });
    let check_removed = |when: &str| {
        let now = room(&root);
        assert_eq!(now[1], used_before, "used {when}");
        assert!(now[2] <= available + SLACK, "available {when}: {now:?}");
        assert!(now[0] + LENGTH <= size + SLACK, "size {when}: {now:?}");
        assert!(segment_bytes(&fixture) >= segments, "segments {when}");
    };
    check_removed("at once");
    fixture.umount("data");
    fixture.mount("data");
    check_removed("after a remount");
    fixture.umount("data");
    fixture.ok(&["volume", "rm", "data"]);
    assert!(segment_bytes(&fixture) >= segments, "without the volume");
    fixture.ok(&["gc"]);
    let left = segment_bytes(&fixture);
    assert!(left < SLACK, "{left} bytes after the collection");
}

/// du counts what is allocated, and the apparent size where it is asked for.
#[test]
fn du_counts_what_is_allocated() {
    let place = Place::new();
    let sparse = fs::File::create(place.path("sparse")).unwrap();
    sparse.set_len(100 * MIB).unwrap();
    place.file("full", vec![7; 3 * MIB as usize]);
    drop(sparse);
    place.remount();
    let du = |arguments: &[&str]| -> u64 {
        let ran = run(Command::new("du")
            .args(arguments)
            .args(["sparse", "full"])
            .current_dir(place.root()));
        let text = ran.ok();
        text.lines()
            .map(|line| line.split('\t').next().unwrap().parse::<u64>().unwrap())
            .sum()
    };
    assert_eq!(du(&["-B1", "--apparent-size"]), 103 * MIB);
    assert!((3 * MIB..3 * MIB + MIB / 2).contains(&du(&["-B1"])));
}
