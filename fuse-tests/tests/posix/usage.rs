//! What statfs and df tell, and whether tools believe it.

use std::fs;
use std::process::Command;

use fuse_tests::{Place, run};
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
