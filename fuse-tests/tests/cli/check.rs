//! `volfs check` and `volfs scrub`: exit codes, what they print, and work beside them.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::run::{eventually, exits_within, pid_of};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::{BUSY, CORRUPT, NOT_FOUND, USAGE, assert_says};

const LENGTH: u32 = 400_000;
const BLOCK: usize = 8192;
/// What the damaged record of a journal holds.
const NEEDLE: &str = "the needle that a bit is flipped in";

/// The file's bytes: they do not compress, and no block is like another.
fn content() -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..LENGTH).map(|_| next()).collect()
}

/// A pool with the volume `data` and a file of random bytes, no daemon.
fn closed_pool() -> Fixture {
    let (fixture, path) = Fixture::mounted();
    fs::write(path.join("file"), content()).unwrap();
    File::open(path.join("file")).unwrap().sync_all().unwrap();
    fixture.ok(&["daemon", "stop"]);
    fixture
}

/// Flips a bit of the file's block 3 wherever it is stored.
fn damage_block(fixture: &Fixture) {
    let pattern = &content()[3 * BLOCK..3 * BLOCK + 32];
    let entries = fs::read_dir(fixture.pool().join("segments")).unwrap();
    let mut hits = 0;
    for path in entries.map(|entry| entry.unwrap().path()) {
        let bytes = fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(32).position(|window| window == pattern) {
            let file = File::options().write(true).open(&path).unwrap();
            file.write_all_at(&[bytes[at] ^ 1], at as u64).unwrap();
            hits += 1;
        }
    }
    assert!(hits > 0, "the block lies in no segment");
}

/// What a command prints as JSON, with its exit code.
fn json(fixture: &Fixture, code: i32, arguments: &[&str]) -> Value {
    let ran = fixture.volfs(&[arguments, &["--format", "json"]].concat());
    let ran = ran.expect_code(code);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error} in {ran:?}"))
}

/// A sound pool is exit code 0, with a daemon and without, and looking starts none; what makes no
/// sense is refused.
#[test]
fn a_sound_pool_checks_as_sound() {
    let fixture = Fixture::new();
    fixture.fails(NOT_FOUND, &["check"]);
    fixture.fails(NOT_FOUND, &["scrub"]);
    let fixture = closed_pool();
    assert_says(
        &fixture.ok(&["check"]),
        &["1 volumes", "everything is sound"],
    );
    let report = fixture.json(&["check", "--read-data"]);
    assert_eq!(report["violations"], Value::Array(vec![]));
    assert_eq!(report["blocks"], 49);
    assert!(fixture.daemon_pid().is_none());
    fixture.mount("data");
    assert_says(&fixture.ok(&["check"]), &["everything is sound"]);
    assert_says(
        &fixture.ok(&["scrub", "data", "--rate", "0"]),
        &["everything is sound"],
    );
    fixture.fails(NOT_FOUND, &["scrub", "nope"]);
    fixture.fails(USAGE, &["scrub", "--rate", "fast"]);
}

/// Damage is exit code 3, and is told as a table and as JSON, by all three ways to look.
#[test]
fn damage_is_told_with_its_place() {
    let fixture = closed_pool();
    damage_block(&fixture);
    fixture.ok(&["check"]);
    let ran = fixture
        .volfs(&["check", "--read-data"])
        .expect_code(CORRUPT);
    assert_says(
        &ran.stdout,
        &[
            "KIND",
            "block",
            "data:/file bytes 24576 to 32768",
            "1 violation",
        ],
    );
    let offline = json(&fixture, CORRUPT, &["check", "--read-data"]);
    fixture.mount("data");
    let beside = json(&fixture, CORRUPT, &["check", "--read-data"]);
    let scrubbed = json(&fixture, CORRUPT, &["scrub", "--rate", "0"]);
    for report in [&offline, &beside, &scrubbed] {
        let found = &report["violations"][0];
        assert_eq!(found["kind"], "block");
        assert_eq!(
            (&found["volume"], &found["snapshot"]),
            (&"data".into(), &Value::Null)
        );
        assert_eq!(found["path"], "/file");
        assert_eq!(
            (&found["file_offset"], &found["file_bytes"]),
            (&24576.into(), &8192.into())
        );
        assert_eq!(found["id"].as_str().unwrap().len(), 64);
        assert_eq!(report["violations"].as_array().unwrap().len(), 1);
    }
}

/// Repair is refused beside a daemon and says what to do instead; without one it mends what can be
/// mended, and lists what is lost, as often as it is asked.
#[test]
fn repair_needs_the_pool_for_itself() {
    let fixture = closed_pool();
    let superblock = fixture.pool().join("superblock");
    let file = File::options().write(true).open(&superblock).unwrap();
    file.write_all_at(b"damage", 100).unwrap();
    let found = json(&fixture, CORRUPT, &["check"]);
    assert_eq!(found["violations"][0]["kind"], "superblock_slot");
    assert_eq!(found["violations"][0]["slot"], 0);
    let repaired = json(&fixture, 0, &["check", "--repair"]);
    assert_eq!(repaired["repaired"][0]["kind"], "superblock_slot");
    fixture.ok(&["check", "--read-data"]);

    fixture.mount("data");
    let stderr = fixture.fails(BUSY, &["check", "--repair"]);
    assert_says(&stderr, &["daemon", "volfs scrub", "volfs daemon stop"]);
    fixture.ok(&["daemon", "stop"]);

    damage_block(&fixture);
    for _ in 0..2 {
        let ran = fixture.volfs(&["check", "--repair"]).expect_code(CORRUPT);
        assert_says(&ran.stdout, &["data:/file bytes 24576 to 32768"]);
    }
    let path = fixture.mount("data").join("file");
    let file = File::open(path).unwrap();
    let mut block = vec![0; BLOCK];
    for index in [2, 4] {
        file.read_exact_at(&mut block, (index * BLOCK) as u64)
            .unwrap();
        assert!(block == content()[index * BLOCK..(index + 1) * BLOCK]);
    }
    let lost = file
        .read_exact_at(&mut block, 3 * BLOCK as u64)
        .unwrap_err();
    assert_eq!(lost.raw_os_error(), Some(5), "{lost}");
}

/// A pool whose daemon has died, with a damaged journal: in `data` lies `kept` before the damage,
/// and `damaged` is what it hit; `behind` has records behind it, `before` has not.
fn pool_with_damaged_journal() -> Fixture {
    let fixture = Fixture::new();
    let create = |name: &str| fixture.ok(&["volume", "create", name]);
    for name in ["before", "data", "behind"] {
        create(name);
    }
    fixture.set("checkpoint_age_secs", 3600);
    let write = |volume: &str, name: &str, content: &str| {
        let path = fixture.mount_point(volume).join(name);
        fs::write(&path, content).unwrap();
        File::open(&path).unwrap().sync_all().unwrap();
    };
    for name in ["before", "data", "behind"] {
        fixture.mount(name);
        write(name, "kept", "before the damage");
    }
    write("data", "damaged", NEEDLE);
    write("behind", "lost", "behind the damage");
    fixture.kill_daemon();
    let entries = fs::read_dir(fixture.pool().join("journal")).unwrap();
    let mut hits = 0;
    for path in entries.map(|entry| entry.unwrap().path()) {
        let bytes = fs::read(&path).unwrap();
        let mut windows = bytes.windows(NEEDLE.len());
        if let Some(at) = windows.position(|found| found == NEEDLE.as_bytes()) {
            let file = File::options().write(true).open(&path).unwrap();
            file.write_all_at(&[bytes[at] ^ 1], at as u64).unwrap();
            hits += 1;
        }
    }
    assert_eq!(hits, 1, "the content lies in one record");
    fixture
}

/// A pool with a damaged journal is opened by no command, and repair alone leaves the journal as it
/// is: all of them name the way out. `--cut-journal` goes it, tells by volume what is lost, and
/// leaves a sound pool in which every volume is as it was before the damage.
#[test]
fn a_damaged_journal_is_cut_off_on_demand_only() {
    let hint = [
        "copy the folder first",
        "volfs check --repair --cut-journal",
    ];
    let fixture = pool_with_damaged_journal();
    fixture.fails(USAGE, &["check", "--cut-journal"]);
    for command in [
        &["mount", "data"][..],
        &["volume", "ls"],
        &["snapshot", "create", "data@s"],
    ] {
        let stderr = fixture.fails(CORRUPT, command);
        assert_says(&stderr, &hint);
        assert_says(&stderr, &["'data' (", "'behind' ("]);
    }
    let mut told = Vec::new();
    for arguments in [&["check"][..], &["check", "--repair"]] {
        let ran = fixture.volfs(arguments).expect_code(CORRUPT);
        assert_says(&ran.stdout, &["journal", "'data' (", "1 violation"]);
        assert_says(&ran.stderr, &hint);
        let report = json(&fixture, CORRUPT, arguments);
        assert_eq!(report["journal_cut"], Value::Null);
        told.push(report["violations"][0].clone());
    }
    assert_eq!(told[0], told[1]);

    let report = json(&fixture, 0, &["check", "--repair", "--cut-journal"]);
    let cut = &report["journal_cut"];
    for (field, of_violation) in [("at", "lsn"), ("problem", "problem"), ("lost", "lost")] {
        assert_eq!(cut[field], told[0][of_violation], "{cut}");
    }
    let lost = cut["lost"].as_array().unwrap();
    let volumes: Vec<_> = lost.iter().map(|one| one["volume"].as_str()).collect();
    assert_eq!(volumes, [Some("data"), Some("behind")]);
    assert!(lost.iter().all(|one| one["records"].as_u64() > Some(0)));

    let again = fixture.json(&["check", "--repair", "--cut-journal"]);
    assert_eq!(again["journal_cut"], Value::Null);
    for name in ["before", "data", "behind"] {
        let kept = fs::read(fixture.mount(name).join("kept")).unwrap();
        assert_eq!(kept, b"before the damage");
    }
    let path = |volume: &str, name: &str| fixture.mount_point(volume).join(name);
    assert!(!path("behind", "lost").exists());
    assert_ne!(
        fs::read(path("data", "damaged")).unwrap_or_default(),
        NEEDLE.as_bytes()
    );
}

/// The cut is told as a table, too, and everything can be mounted again behind it.
#[test]
fn what_a_cut_journal_has_lost_is_a_table() {
    let fixture = pool_with_damaged_journal();
    let text = fixture.ok(&["check", "--repair", "--cut-journal"]);
    assert_says(&text, &["journal: cut off at", "everything is sound"]);
    let rows = crate::rows(&text);
    let of = |name: &str| rows.iter().find(|row| row[0] == name);
    assert!(of("VOLUME").is_some(), "{text}");
    for name in ["data", "behind"] {
        let records: u64 = of(name).unwrap()[1].parse().unwrap();
        assert!(records > 0, "{text}");
    }
    assert!(of("before").is_none(), "{text}");
    fixture.ok(&["mount", "--all"]);
}

/// A file large enough for a scrub at a low rate to take long.
fn slow_pool() -> (Fixture, PathBuf) {
    let (fixture, path) = Fixture::mounted();
    fs::write(path.join("file"), content()).unwrap();
    File::open(path.join("file")).unwrap().sync_all().unwrap();
    fixture.ok(&["check"]);
    (fixture, path)
}

/// Whether a process has a thread of this name.
fn has_thread(process: i32, name: &str) -> bool {
    let tasks = fs::read_dir(format!("/proc/{process}/task"))
        .unwrap()
        .flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .any(|comm| comm.trim_end() == name)
}

/// Writes and fsyncs go on while a scrub runs; Ctrl-C ends the scrub, and the daemon lives on.
#[test]
fn a_scrub_is_in_nobodys_way() {
    let (fixture, path) = slow_pool();
    // About 400 KiB at 4 KiB a second: much longer than this test.
    let mut command = fixture.foreground_command();
    command
        .args(["scrub", "--rate", "4K"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut scrub = command.spawn().unwrap();
    for round in 0..50u32 {
        let name = path.join(format!("beside-{round}"));
        fs::write(&name, vec![round as u8; 20_000]).unwrap();
        File::open(&name).unwrap().sync_all().unwrap();
    }
    assert!(
        scrub.try_wait().unwrap().is_none(),
        "the scrub has ended too early"
    );
    let pid = pid_of(&scrub);
    let daemon = fixture.daemon_pid().unwrap().as_raw_nonzero();
    assert!(has_thread(daemon.get(), "scrub"));
    kill_process(pid, Signal::INT).unwrap();
    assert!(exits_within(pid, Duration::from_secs(20)));
    eventually(
        "the daemon stops scrubbing",
        Duration::from_secs(20),
        || !has_thread(daemon.get(), "scrub"),
    );
    scrub.wait().unwrap();
    let mut stdout = String::new();
    scrub
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut stdout)
        .unwrap();
    assert_eq!(stdout, "");
    for round in 0..50u32 {
        let read = fs::read(path.join(format!("beside-{round}"))).unwrap();
        assert!(read == vec![round as u8; 20_000]);
    }
    assert_says(
        &fixture.ok(&["scrub", "--rate", "0"]),
        &["everything is sound"],
    );
    fixture.ok(&["daemon", "stop"]);
    fixture.ok(&["check", "--read-data"]);
}
