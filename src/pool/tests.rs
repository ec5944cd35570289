//! The pool as a whole, on a folder: what it promises across reopening, death and damage.

mod bad_days;
mod check;
mod containment;
pub(crate) mod crash;
mod earlier;
mod full_disk;
mod gc;
mod interleavings;
mod journal_damage;
mod layers;
mod rig;
mod space;
mod trash;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::{NewVolume, Pool, PoolError, PoolOptions, PoolResult, Violation};
use crate::base::progress::Silent;
use crate::base::{Ino, SnapshotName, VolumeName};
use crate::volume::ops::{FileKind, NewNode, WriteMode};
use crate::volume::{FsError, Request, Volume};

struct Fixture {
    folder: TempDir,
    pool: Option<Arc<Pool>>,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        Pool::create(&folder.path().join("pool")).unwrap();
        let mut fixture = Fixture { folder, pool: None };
        fixture.open();
        fixture
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("pool")
    }

    fn open(&mut self) -> Arc<Pool> {
        self.pool = None;
        let options = PoolOptions {
            checkpoint_age_secs: 3600,
            ..PoolOptions::default()
        };
        let pool = Pool::open(&self.path(), options).unwrap();
        self.pool = Some(pool.clone());
        pool
    }

    fn pool(&self) -> &Arc<Pool> {
        self.pool.as_ref().unwrap()
    }

    /// As after the death of the daemon: what was written lies in the host's cache, and nothing
    /// was closed in order. The block store's files stay as they are.
    fn die_and_reopen(&mut self) -> Arc<Pool> {
        self.open()
    }

    fn check(&self) {
        let report = self.pool().check(&Silent).unwrap();
        assert_eq!(report.violations, Vec::<Violation>::new());
    }
}

fn name(text: &str) -> VolumeName {
    text.parse().unwrap()
}

fn snap(text: &str) -> SnapshotName {
    text.parse().unwrap()
}

fn new_volume(text: &str) -> NewVolume {
    NewVolume {
        name: name(text),
        block_size: Some(4096),
        labels: BTreeMap::new(),
        uid: 5,
        gid: 6,
        mode: 0o700,
        limit_bytes: None,
    }
}

const WHO: Request = Request {
    epoch: None,
    unique: 0,
    uid: 0,
    gid: 0,
};

fn put(volume: &Volume, file: &str, content: &[u8]) {
    let ino = match volume.lookup(&WHO, Ino::ROOT, file.as_bytes()) {
        Ok(attr) => attr.ino,
        Err(_) => {
            let new = NewNode {
                kind: FileKind::Regular,
                perm: 0o644,
                umask: 0,
                rdev: 0,
            };
            volume
                .create(&WHO, Ino::ROOT, file.as_bytes(), &new)
                .unwrap()
                .ino
        }
    };
    volume
        .write_file(&WHO, ino, 0, content, WriteMode::default())
        .unwrap();
}

fn read(volume: &Volume, file: &str) -> Option<Vec<u8>> {
    let attr = volume.lookup(&WHO, Ino::ROOT, file.as_bytes()).ok()?;
    Some(
        volume
            .read_file(&WHO, attr.ino, 0, attr.size as usize)
            .unwrap(),
    )
}

/// Bytes that do not compress, different for each seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |state: &mut u64| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state as u8
    };
    (0..len).map(|_| step(&mut state)).collect()
}

/// Small and large writes are there after an orderly end, and after the daemon's death; the root
/// folder has its owner and mode.
#[test]
fn content_survives_closing_and_death() {
    let mut fixture = Fixture::new();
    fixture.pool().create_volume(&new_volume("a")).unwrap();
    let large = noise(1, 700_000);
    {
        let volume = fixture.pool().open_volume(&name("a")).unwrap();
        put(&volume, "small", b"tiny");
        put(&volume, "large", &large);
    }
    fixture.die_and_reopen();
    let check = |fixture: &Fixture, small: &[u8]| {
        let volume = fixture.pool().open_volume(&name("a")).unwrap();
        assert_eq!(read(&volume, "small").unwrap(), small);
        assert_eq!(read(&volume, "large").unwrap(), large);
        let root = volume.getattr(&WHO, Ino::ROOT).unwrap();
        assert_eq!((root.uid, root.gid, root.perm), (5, 6, 0o700));
    };
    check(&fixture, b"tiny");
    {
        let volume = fixture.pool().open_volume(&name("a")).unwrap();
        put(&volume, "small", b"TINY");
    }
    fixture.pool().close().unwrap();
    fixture.open();
    check(&fixture, b"TINY");
    fixture.check();
}

/// Each death in a row of deaths loses nothing: recovery publishes what it replayed.
#[test]
fn deaths_in_a_row_lose_nothing() {
    let mut fixture = Fixture::new();
    fixture.pool().create_volume(&new_volume("a")).unwrap();
    for round in 0..6u8 {
        let volume = fixture.pool().open_volume(&name("a")).unwrap();
        put(&volume, &format!("f{round}"), &[round; 5000]);
        if round % 2 == 0 {
            fixture.pool().checkpoint().unwrap();
            put(&volume, "late", &[round; 9]);
        }
        drop(volume);
        fixture.die_and_reopen();
        let volume = fixture.pool().open_volume(&name("a")).unwrap();
        for earlier in 0..=round {
            assert_eq!(
                read(&volume, &format!("f{earlier}")).unwrap(),
                [earlier; 5000]
            );
        }
        assert_eq!(read(&volume, "late").unwrap(), [round / 2 * 2; 9]);
    }
    fixture.check();
}

/// A snapshot shows its moment, whatever happens later, before and after it is sealed, across
/// death and closing; a clone of it, and one of the live volume, go their own ways.
#[test]
fn snapshots_and_clones_keep_their_moment() {
    let mut fixture = Fixture::new();
    fixture.pool().create_volume(&new_volume("a")).unwrap();
    {
        let volume = fixture.pool().open_volume(&name("a")).unwrap();
        put(&volume, "f", b"one");
        fixture
            .pool()
            .create_snapshots(&[(name("a"), snap("s1"))])
            .unwrap();
        put(&volume, "f", b"two");
        fixture
            .pool()
            .create_snapshots(&[(name("a"), snap("s2"))])
            .unwrap();
        put(&volume, "f", b"six");
        fixture
            .pool()
            .clone_volume(&name("a"), Some(&snap("s1")), &name("c1"))
            .unwrap();
        fixture
            .pool()
            .clone_volume(&name("a"), None, &name("live"))
            .unwrap();
        put(&volume, "f", b"ten");
        let clone = fixture.pool().open_volume(&name("c1")).unwrap();
        put(&clone, "g", b"new");
    }
    let check = |fixture: &Fixture| {
        let pool = fixture.pool();
        let of = |volume: &str, snapshot: &str| {
            let view = pool.open_snapshot(&name(volume), &snap(snapshot)).unwrap();
            read(&view, "f").unwrap()
        };
        assert_eq!(of("a", "s1"), b"one");
        assert_eq!(of("a", "s2"), b"two");
        let live = |volume: &str| pool.open_volume(&name(volume)).unwrap();
        assert_eq!(read(&live("a"), "f").unwrap(), b"ten");
        assert_eq!(read(&live("live"), "f").unwrap(), b"six");
        assert_eq!(read(&live("c1"), "f").unwrap(), b"one");
        assert_eq!(read(&live("c1"), "g").unwrap(), b"new");
        assert_eq!(read(&live("a"), "g"), None);
    };
    check(&fixture);
    fixture.die_and_reopen();
    check(&fixture);
    fixture.pool().checkpoint().unwrap();
    check(&fixture);
    // In any order: what was cloned does not depend on what it was cloned from.
    fixture
        .pool()
        .remove_snapshot(&name("a"), &snap("s1"))
        .unwrap();
    fixture.pool().remove_volume(&name("a")).unwrap();
    fixture.die_and_reopen();
    let clone = fixture.pool().open_volume(&name("c1")).unwrap();
    assert_eq!(read(&clone, "f").unwrap(), b"one");
    drop(clone);
    fixture.check();
    let missing = fixture.pool().open_volume(&name("a")).err().unwrap();
    assert_eq!(missing.to_string(), "no such volume: 'a'");
}

/// A clone of a snapshot that was removed in the same stretch of journal comes back after death.
#[test]
fn a_clone_outlives_its_removed_snapshot_across_death() {
    let mut fixture = Fixture::new();
    fixture.pool().create_volume(&new_volume("a")).unwrap();
    put(
        &fixture.pool().open_volume(&name("a")).unwrap(),
        "f",
        b"one",
    );
    fixture
        .pool()
        .create_snapshots(&[(name("a"), snap("s"))])
        .unwrap();
    put(
        &fixture.pool().open_volume(&name("a")).unwrap(),
        "f",
        b"two",
    );
    fixture
        .pool()
        .clone_volume(&name("a"), Some(&snap("s")), &name("c"))
        .unwrap();
    fixture
        .pool()
        .remove_snapshot(&name("a"), &snap("s"))
        .unwrap();
    fixture.die_and_reopen();
    let clone = fixture.pool().open_volume(&name("c")).unwrap();
    assert_eq!(read(&clone, "f").unwrap(), b"one");
    assert!(fixture.pool().snapshots(None).unwrap().is_empty());
}

/// Rollback shows the snapshot's state at once, keeps the state that it leaves and the newer
/// snapshots, and refuses requests of the old state; all that across death.
#[test]
fn rollback_keeps_what_it_leaves() {
    let mut fixture = Fixture::new();
    fixture.pool().create_volume(&new_volume("a")).unwrap();
    let volume = fixture.pool().open_volume(&name("a")).unwrap();
    put(&volume, "f", b"one");
    let old = volume.lookup(&WHO, Ino::ROOT, b"f").unwrap();
    fixture
        .pool()
        .create_snapshots(&[(name("a"), snap("s1"))])
        .unwrap();
    put(&volume, "f", b"two");
    fixture
        .pool()
        .create_snapshots(&[(name("a"), snap("s2"))])
        .unwrap();
    put(&volume, "f", b"six");
    put(&volume, "g", b"new");

    let rollback = fixture.pool().rollback(&name("a"), &snap("s1")).unwrap();
    assert_eq!(rollback.old_epoch, 0);
    let stale = Request {
        epoch: Some(old.epoch),
        ..WHO
    };
    let refused = volume.write_file(&stale, old.ino, 0, b"OLD", WriteMode::default());
    assert!(matches!(refused, Err(FsError::Stale)));
    assert!(matches!(
        volume.getattr(&stale, old.ino),
        Err(FsError::Stale)
    ));
    drop(volume);
    let check = |fixture: &Fixture| {
        let pool = fixture.pool();
        let live = pool.open_volume(&name("a")).unwrap();
        assert_eq!(read(&live, "f").unwrap(), b"one");
        assert_eq!(read(&live, "g"), None);
        let kept = pool.open_snapshot(&name("a"), &rollback.kept).unwrap();
        assert_eq!(read(&kept, "f").unwrap(), b"six");
        assert_eq!(read(&kept, "g").unwrap(), b"new");
        let newer = pool.open_snapshot(&name("a"), &snap("s2")).unwrap();
        assert_eq!(read(&newer, "f").unwrap(), b"two");
    };
    check(&fixture);
    fixture.die_and_reopen();
    check(&fixture);
    let live = fixture.pool().open_volume(&name("a")).unwrap();
    put(&live, "f", b"on!");
    drop(live);
    fixture.die_and_reopen();
    let live = fixture.pool().open_volume(&name("a")).unwrap();
    assert_eq!(read(&live, "f").unwrap(), b"on!");
    fixture.check();
}

/// A cut through two volumes is one: the second volume never holds what the first has not.
#[test]
fn a_cut_through_two_volumes_is_one() {
    let fixture = Fixture::new();
    for volume in ["a", "b"] {
        fixture.pool().create_volume(&new_volume(volume)).unwrap();
    }
    let (a, b) = (
        fixture.pool().open_volume(&name("a")).unwrap(),
        fixture.pool().open_volume(&name("b")).unwrap(),
    );
    put(&a, "n", &0u64.to_le_bytes());
    put(&b, "n", &0u64.to_le_bytes());
    let running = Arc::new(());
    let stop = Arc::downgrade(&running);
    std::thread::scope(|scope| {
        // Goes when this closure ends, also by a failed assertion.
        let _running = running;
        scope.spawn(move || {
            let mut count = 0u64;
            while stop.strong_count() > 0 {
                count += 1;
                put(&a, "n", &count.to_le_bytes());
                put(&b, "n", &count.to_le_bytes());
            }
        });
        for round in 0..20 {
            let cut = snap(&format!("s{round}"));
            let of = [(name("a"), cut.clone()), (name("b"), cut.clone())];
            let made = fixture.pool().create_snapshots(&of).unwrap();
            assert_eq!(made[0].lsn, made[1].lsn);
            let count = |volume: &str| {
                let view = fixture.pool().open_snapshot(&name(volume), &cut).unwrap();
                u64::from_le_bytes(read(&view, "n").unwrap().try_into().unwrap())
            };
            let (first, second) = (count("a"), count("b"));
            assert!(first == second || first == second + 1, "{first} {second}");
        }
    });
}

/// Names that exist, are missing or are named twice are refused, and nothing happens.
#[test]
fn bad_names_are_refused() {
    let fixture = Fixture::new();
    let pool = fixture.pool();
    pool.create_volume(&new_volume("a")).unwrap();
    let text = |error: PoolError| error.to_string();
    let exists = pool.create_volume(&new_volume("a")).unwrap_err();
    assert_eq!(text(exists), "volume 'a' exists already");
    let twice = [(name("a"), snap("s")), (name("a"), snap("t"))];
    assert!(matches!(
        pool.create_snapshots(&twice),
        Err(PoolError::Invalid(_))
    ));
    let missing = [(name("a"), snap("s")), (name("nope"), snap("s"))];
    assert!(matches!(
        pool.create_snapshots(&missing),
        Err(PoolError::NoVolume { .. })
    ));
    assert!(pool.snapshots(None).unwrap().is_empty());
    pool.create_snapshots(&[(name("a"), snap("s"))]).unwrap();
    let again = pool
        .create_snapshots(&[(name("a"), snap("s"))])
        .unwrap_err();
    assert_eq!(text(again), "snapshot 'a@s' exists already");
    let no_snapshot = pool.rollback(&name("a"), &snap("t")).unwrap_err();
    assert_eq!(text(no_snapshot), "no such snapshot: 'a@t'");
    let held = pool.open_volume(&name("a")).unwrap();
    assert!(matches!(
        pool.remove_volume(&name("a")),
        Err(PoolError::Busy { .. })
    ));
    drop(held);
    let odd = NewVolume {
        block_size: Some(5000),
        ..new_volume("b")
    };
    assert!(matches!(
        pool.create_volume(&odd),
        Err(PoolError::Invalid(_))
    ));
}

/// Labels that could not be read again are refused, and the pool opens as before; the longest
/// that are accepted come back.
#[test]
fn labels_that_no_record_can_hold_are_refused() {
    let mut fixture = Fixture::new();
    let pool = fixture.pool();
    let with = |labels: Vec<(String, String)>| NewVolume {
        labels: labels.into_iter().collect(),
        ..new_volume("a")
    };
    let many = (0..1001).map(|number| (number.to_string(), String::new()));
    let problems = [
        (many.collect(), "1001 labels are too many: at most 1000"),
        (
            vec![("x".repeat(100), "y".repeat(8193))],
            "label 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' has 8193 bytes: at most 8192 in key \
             and in value",
        ),
        (
            (0..8).map(|n| (n.to_string(), "y".repeat(8192))).collect(),
            "the labels are too long: they make a record of 65664 bytes, at most 65536",
        ),
    ];
    for (labels, problem) in problems {
        let error = pool.create_volume(&with(labels)).unwrap_err();
        assert_eq!(error.to_string(), problem);
    }
    let most = (0..7).map(|n| (n.to_string(), "y".repeat(8192))).collect();
    pool.create_volume(&with(most)).unwrap();

    let pool = fixture.die_and_reopen();
    let info = pool.volume_info(&name("a")).unwrap();
    assert_eq!(info.labels.len(), 7);
    assert_eq!(info.labels["6"], "y".repeat(8192));
}

/// A pool has one owner, and a folder with something else in it becomes no pool.
#[test]
fn a_pool_has_one_owner_and_an_empty_folder() {
    let fixture = Fixture::new();
    let second = Pool::open(&fixture.path(), PoolOptions::default())
        .err()
        .unwrap();
    assert!(matches!(second, PoolError::Locked { pid, .. } if pid == std::process::id()));
    std::fs::write(fixture.folder.path().join("letter"), "dear").unwrap();
    let refused = Pool::create(fixture.folder.path()).unwrap_err();
    assert!(matches!(refused, PoolError::NotEmpty { .. }), "{refused}");
    let none = Pool::open(fixture.folder.path(), PoolOptions::default())
        .err()
        .unwrap();
    assert!(matches!(none, PoolError::NotAPool { .. }), "{none}");
}

/// What a creation that was cut short has left on the host goes with the next one; a folder that
/// never is left by one, as that of an index, is somebody's data.
#[test]
fn what_a_creation_left_goes_with_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for _ in 0..2 {
        Pool::create(path).unwrap();
        let pool = Pool::open(path, PoolOptions::default()).unwrap();
        pool.close().unwrap();
        drop(pool);
        std::fs::remove_dir_all(path.join("index")).unwrap();
        let again = Pool::create(path).unwrap_err();
        assert!(matches!(again, PoolError::NotEmpty { .. }), "{again}");
        let reserve = path.join("reserve");
        std::fs::remove_file(reserve).unwrap();
        std::fs::remove_file(path.join("pool.toml")).unwrap();
        std::fs::write(path.join("pool.toml.tmp"), "half").unwrap();
        std::fs::write(path.join("segments/strange"), "left").unwrap();
    }
    std::fs::create_dir(path.join("index")).unwrap();
    let refused = Pool::create(path).unwrap_err();
    assert!(
        matches!(&refused, PoolError::NotEmpty { found, .. } if found == "index"),
        "{refused}"
    );
}

fn damage(path: &Path, offset: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, offset).unwrap();
}

/// The newest superblock slot may be destroyed after the daemon's death: the older one, with the
/// journal that it needs, gives the same state.
#[test]
fn either_superblock_slot_gives_the_same_state() {
    for slot in [0, 1 << 20] {
        let mut fixture = Fixture::new();
        fixture.pool().create_volume(&new_volume("a")).unwrap();
        for round in 0..3 {
            let volume = fixture.pool().open_volume(&name("a")).unwrap();
            put(&volume, "f", &noise(round, 300_000));
            put(&volume, "small", &[round as u8; 100]);
            volume.sync().unwrap();
            drop(volume);
            fixture.pool().checkpoint().unwrap();
        }
        fixture.pool = None;
        damage(&fixture.path().join("superblock"), slot + 100, b"damage");
        fixture.open();
        let volume = fixture.pool().open_volume(&name("a")).unwrap();
        assert_eq!(read(&volume, "f").unwrap(), noise(2, 300_000));
        assert_eq!(read(&volume, "small").unwrap(), [2; 100]);
        drop(volume);
        fixture.check();
    }
}

/// A flipped bit in a stored block is an error with its place, never wrong data, and a check
/// names the volume and the block; the other file is not concerned.
#[test]
fn a_flipped_bit_is_found_and_named() {
    let mut fixture = Fixture::new();
    fixture.pool().create_volume(&new_volume("a")).unwrap();
    let volume = fixture.pool().open_volume(&name("a")).unwrap();
    put(&volume, "good", &noise(1, 100_000));
    put(&volume, "bad", &noise(2, 100_000));
    drop(volume);
    fixture.pool().close().unwrap();
    fixture.pool = None;

    let pattern = &noise(2, 100_000)[50_000..50_032];
    let mut hit = false;
    for entry in std::fs::read_dir(fixture.path().join("segments")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(32).position(|window| window == pattern) {
            damage(&path, at as u64, &[bytes[at] ^ 1]);
            hit = true;
        }
    }
    assert!(hit, "the block lies in no segment");
    fixture.open();
    let volume = fixture.pool().open_volume(&name("a")).unwrap();
    assert_eq!(read(&volume, "good").unwrap(), noise(1, 100_000));
    let bad = volume.lookup(&WHO, Ino::ROOT, b"bad").unwrap();
    let error = volume.read_file(&WHO, bad.ino, 0, 100_000).unwrap_err();
    assert_eq!(error.nature(), crate::base::Nature::Corrupt);
    drop(volume);
    let report = fixture.pool().check(&Silent).unwrap();
    assert_eq!(report.violations.len(), 1, "{:?}", report.violations);
    let Violation::Block {
        state, path, block, ..
    } = &report.violations[0]
    else {
        panic!("{:?}", report.violations);
    };
    assert_eq!(
        (state.to_string().as_str(), path.as_deref()),
        ("a", Some("/bad"))
    );
    assert_eq!(*block, 12);
}

/// The index folder may vanish or turn to garbage: reading goes on, and dedup comes back.
#[test]
fn the_index_may_be_lost() {
    let mut fixture = Fixture::new();
    fixture.pool().create_volume(&new_volume("a")).unwrap();
    let volume = fixture.pool().open_volume(&name("a")).unwrap();
    put(&volume, "f", &noise(1, 500_000));
    drop(volume);
    fixture.pool().close().unwrap();
    fixture.pool = None;
    std::fs::remove_dir_all(fixture.path().join("index")).unwrap();
    fixture.open();
    let volume = fixture.pool().open_volume(&name("a")).unwrap();
    assert_eq!(read(&volume, "f").unwrap(), noise(1, 500_000));
    drop(volume);
    fixture.check();
}

/// More is written than the dirty cap and the journal hold: writers wait for checkpoints, and
/// everything is there afterwards.
#[test]
fn writing_goes_on_beyond_the_dirty_cap() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pool");
    Pool::create(&path).unwrap();
    let options = PoolOptions {
        dirty_bytes_max: 2 << 20,
        ..PoolOptions::default()
    };
    let pool = Pool::open(&path, options).unwrap();
    pool.create_volume(&new_volume("a")).unwrap();
    let volume = pool.open_volume(&name("a")).unwrap();
    for round in 0..240u64 {
        put(&volume, &format!("f{}", round % 80), &noise(round, 60_000));
    }
    assert!(pool.status().checkpoints > 1);
    for file in 0..80u64 {
        assert_eq!(
            read(&volume, &format!("f{file}")).unwrap(),
            noise(160 + file, 60_000)
        );
    }
    drop(volume);
    pool.close().unwrap();
}
