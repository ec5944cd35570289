//! What is taken: `volfs df`, inspect, and what a removal would give back.

use std::fs;
use std::process::Command;

use fuse_tests::Fixture;
use fuse_tests::chance::random;
use fuse_tests::run::run;
use serde_json::Value;

use crate::{NOT_FOUND, assert_says};

const MIB: u64 = 1 << 20;
/// Exit code of `df` while the disk is low.
const LOW: i32 = 8;

fn df(fixture: &Fixture) -> Value {
    serde_json::from_str(&fixture.ok(&["df", "--format", "json"])).unwrap()
}

fn of<'a>(report: &'a Value, volume: &str, snapshot: Option<&str>) -> &'a Value {
    let volumes = report["volumes"].as_array().unwrap().iter();
    let is_it = |one: &&Value| one["volume"] == volume && one["snapshot"].as_str() == snapshot;
    let found: Vec<&Value> = volumes.filter(is_it).collect();
    assert_eq!(found.len(), 1, "{report}");
    found[0]
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// The bytes that "would give back N bytes" tells.
fn told(line: &str) -> u64 {
    line.split(' ').nth(3).unwrap().parse().unwrap()
}

/// A snapshot alone keeps what the volume has lost; `rm --dry-run` says how much, and then it
/// comes back. What two snapshots share comes back only with both.
#[test]
fn what_a_removal_is_said_to_give_back_comes_back() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    // By itself it would be collected meanwhile.
    fixture.set("gc_percent", 0);
    let folder = fixture.mount("data");
    fs::write(folder.join("kept"), random(1, 4 * MIB)).unwrap();
    fs::write(folder.join("lost"), random(2, 8 * MIB)).unwrap();
    for name in ["data@one", "data@two"] {
        fixture.ok(&["snapshot", "create", name]);
    }
    fs::remove_file(folder.join("lost")).unwrap();
    fixture.umount("data");
    fixture.ok(&["gc"]);

    let before = df(&fixture);
    let one = of(&before, "data", Some("one"));
    assert!(number(&one["unique"]) < MIB, "{one}");
    assert!(number(&one["referenced"]) > 12 * MIB, "{one}");
    let live = of(&before, "data", None);
    assert!(number(&live["logical"]) >= 4 * MIB && number(&live["logical"]) < 5 * MIB);
    assert!(number(&live["freed"]) > 12 * MIB, "{live}");
    let dry = |names: &[&str]| {
        let line = fixture.ok(&[&["snapshot", "rm", "--dry-run"], names].concat());
        assert_says(&line, &["would give back"]);
        told(&line)
    };
    assert!(dry(&["data@one"]) < MIB && dry(&["data@two"]) < MIB);
    let both = dry(&["data@one", "data@two"]);
    assert!(both > 8 * MIB && both < 9 * MIB, "{both}");

    fixture.ok(&["snapshot", "rm", "data@one", "data@two"]);
    fixture.ok(&["gc"]);
    let after = df(&fixture);
    let freed = number(&before["live"]) - number(&after["live"]);
    assert!(
        freed.abs_diff(both) < 64 << 10,
        "told {both}, freed {freed}"
    );
    let disk = number(&before["used"]) - number(&after["used"]);
    assert!(disk > 7 * MIB, "{disk} bytes less of the disk are used");
    assert_eq!(told(&fixture.ok(&["volume", "rm", "--dry-run", "data"])), {
        number(&of(&after, "data", None)["freed"])
    });
    fixture.fails(NOT_FOUND, &["snapshot", "rm", "--dry-run", "data@none"]);
    fixture.fails(NOT_FOUND, &["volume", "rm", "--dry-run", "none"]);
}

/// Inspect and df tell compression and sharing apart.
#[test]
fn compression_and_sharing_are_told() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data", "--label", "app=shop"]);
    let folder = fixture.mount("data");
    // Half of each block is noise: it is stored in half the room. Each block is there twice.
    let noise = random(3, 4 * MIB);
    let content: Vec<u8> = noise
        .chunks(4096)
        .flat_map(|half| [half, &[b'x'; 4096]].concat())
        .collect();
    for name in ["first", "second"] {
        fs::write(folder.join(name), &content).unwrap();
    }
    fixture.umount("data");
    let space = fixture.inspect(&["volume", "inspect", "data"])["Space"].clone();
    assert_eq!(number(&space["logical"]), 16 * MIB);
    let ratio = |name: &str| space[name].as_f64().unwrap();
    assert!((1.8..2.1).contains(&ratio("compression")), "{space}");
    assert!((1.8..2.1).contains(&ratio("dedup")), "{space}");
    fixture.ok(&["snapshot", "create", "data@s"]);
    let space = fixture.inspect(&["snapshot", "inspect", "data@s"])["Space"].clone();
    assert_eq!(number(&space["logical"]), 16 * MIB);
    assert!(number(&space["unique"]) < 64 << 10, "{space}");
    let listed = fixture.ok(&["snapshot", "ls", "--space"]);
    assert_says(&listed, &["UNIQUE", "AGE", " s ", "16.0 MiB"]);
    let table = fixture.ok(&["df", "--snapshots"]);
    assert_says(
        &table,
        &["live", "garbage", "journal", "index", "data@s", "16.0 MiB"],
    );
}

/// On a disk with little room left df says so, and its exit code does.
#[test]
fn a_low_disk_is_told() {
    let fixture = Fixture::new();
    let pool = fixture.pool().to_owned();
    fs::create_dir(&pool).unwrap();
    let options = ["-t", "tmpfs", "-o", "size=200m,mode=700", "small"];
    run(Command::new("mount").args(options).arg(&pool)).ok();
    struct Mounted(std::path::PathBuf);
    impl Drop for Mounted {
        fn drop(&mut self) {
            run(Command::new("umount").arg("--lazy").arg(&self.0));
        }
    }
    let _mounted = Mounted(pool.clone());
    fixture.ok(&["volume", "create", "data"]);
    fixture.ok(&["df"]);
    let free = number(&df(&fixture)["free"]);
    fs::write(pool.join("ballast"), vec![1; (free - 16 * MIB) as usize]).unwrap();
    let output = fixture.volfs(&["df"]);
    let output = output.expect_code(LOW);
    assert_says(&output.stderr, &["nearly full", "volfs gc"]);
    assert_says(&output.stdout, &["free", "live"]);
    // A sixteenth of the disk is for what was accepted.
    fs::write(pool.join("more"), vec![1; 8 * MIB as usize]).unwrap();
    let output = fixture.volfs(&["df"]).expect_code(LOW);
    assert_says(&output.stderr, &["full: writes are refused"]);
    for name in ["ballast", "more"] {
        fs::remove_file(pool.join(name)).unwrap();
    }
    fixture.ok(&["df"]);
}
