//! The host's clock goes backwards.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::crash::World;
use super::super::{WHO, name, new_volume, put, read, snap};
use crate::base::progress::Silent;
use crate::base::{Ino, Timestamp};
use crate::volume::Volume;
use crate::volume::ops::{SetAttr, SetTime};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// As many years ahead the clock is at first, and so many it goes back at a time.
const AHEAD: u32 = 100;
const BACK: u32 = 7;

/// A pool whose clock is far ahead.
fn ahead() -> World {
    let world = World::started(0);
    set_forward(&world);
    world
}

fn set_forward(world: &World) {
    let millis = (YEAR * AHEAD).as_millis() as u64;
    world
        .setting
        .clock
        .wall
        .fetch_add(millis, Ordering::Relaxed);
}

fn back(world: &World) {
    let millis = (YEAR * BACK).as_millis() as u64;
    let before = world
        .setting
        .clock
        .wall
        .fetch_sub(millis, Ordering::Relaxed);
    assert!(before > millis, "there was no such time");
}

/// Access, content and attribute times of a file.
fn times(volume: &Volume, file: &str) -> [Timestamp; 3] {
    let found = volume.lookup(&WHO, Ino::ROOT, file.as_bytes()).unwrap();
    [found.atime, found.mtime, found.ctime]
}

/// Years back between any two commands: the order of snapshots, the names of what rollbacks keep
/// and recovery do not depend on it.
#[test]
fn the_clock_goes_backwards() {
    let mut world = ahead();
    let pool = world.pool().clone();
    pool.create_volume(&new_volume("a")).unwrap();
    for (content, snapshot) in [(b"one", "s1"), (b"two", "s2"), (b"six", "s3")] {
        let a = pool.open_volume(&name("a")).unwrap();
        put(&a, "f", content);
        pool.create_snapshots(&[(name("a"), snap(snapshot))])
            .unwrap();
        back(&world);
        pool.checkpoint().unwrap();
    }
    back(&world);
    let first = pool.rollback(&name("a"), &snap("s1")).unwrap();
    back(&world);
    let second = pool.rollback(&name("a"), &snap("s2")).unwrap();
    assert_ne!(first.kept, second.kept);
    drop(pool);

    world.replace_disk(world.disk.kill());
    back(&world);
    world.open().unwrap();
    let listed = world.pool().snapshots(None).unwrap();
    let names: Vec<String> = listed.iter().map(|info| info.name.to_string()).collect();
    let expected = ["s1", "s2", "s3", first.kept.as_str(), second.kept.as_str()];
    assert_eq!(names, expected);
    let oldest_first = listed.iter().map(|info| info.created);
    assert!(!oldest_first.is_sorted(), "the clock has not gone back");
    let a = world.pool().open_volume(&name("a")).unwrap();
    assert_eq!(read(&a, "f").unwrap(), b"two");
    let kept = world.pool().open_snapshot(&name("a"), &first.kept).unwrap();
    assert_eq!(read(&kept, "f").unwrap(), b"six");
    let report = world.pool().check(&Silent).unwrap();
    assert_eq!(report.violations, Vec::new());
}

/// Two rollbacks at what the clock says is one moment: what each keeps has a name of its own.
#[test]
fn what_rollbacks_keep_at_one_moment_has_two_names() {
    let world = ahead();
    let pool = world.pool();
    pool.create_volume(&new_volume("a")).unwrap();
    pool.create_snapshots(&[(name("a"), snap("s"))]).unwrap();
    let moment = world.setting.clock.wall.load(Ordering::Relaxed);
    let first = pool.rollback(&name("a"), &snap("s")).unwrap();
    world.setting.clock.wall.store(moment, Ordering::Relaxed);
    let second = pool.rollback(&name("a"), &snap("s")).unwrap();
    assert_ne!(first.kept, second.kept);
    assert!(second.kept.as_str().starts_with(first.kept.as_str()));
}

/// Files have the times of the clock as it was, also where a later change is years before an
/// earlier one; times that were set stay; and an outage, with a recovery years before all of it,
/// changes none.
#[test]
fn file_times_follow_the_clock_back() {
    let mut world = ahead();
    world.pool().create_volume(&new_volume("a")).unwrap();
    let a = world.pool().open_volume(&name("a")).unwrap();
    let mut before: Option<Timestamp> = None;
    for file in ["f", "g", "h"] {
        put(&a, file, b"first");
        let [_, mtime, ctime] = times(&a, file);
        for time in [mtime, ctime] {
            let least = (YEAR * BACK).as_secs() as i64 - 1;
            assert!(before.is_none_or(|before| before.secs - time.secs >= least));
        }
        before = Some(mtime);
        back(&world);
    }
    // The older of two changes of one file has the later time.
    let [_, first, _] = times(&a, "f");
    put(&a, "f", b"second");
    let [_, second, _] = times(&a, "f");
    assert!(second < first);
    let set = SetAttr {
        mtime: Some(SetTime::At(first)),
        ..SetAttr::default()
    };
    let ino = a.lookup(&WHO, Ino::ROOT, b"g").unwrap().ino;
    a.setattr(&WHO, ino, &set).unwrap();
    assert_eq!(times(&a, "g")[1], first);
    a.sync().unwrap();
    let files = ["f", "g", "h"];
    let noted = files.map(|file| times(&a, file));
    drop(a);

    for medium in [world.disk.kill(), world.disk.lose_all()] {
        back(&world);
        let pool = world.open_copy(&medium).unwrap();
        let a = pool.open_volume(&name("a")).unwrap();
        assert_eq!(files.map(|file| times(&a, file)), noted);
        assert_eq!(read(&a, "f").unwrap(), b"second");
    }
    back(&world);
    world.close();
}

/// The thread that checkpoints by age goes on, whatever the clock says about the age of changes.
#[test]
fn checkpoints_by_age_do_not_wait_for_the_clock() {
    const AGE: Duration = Duration::from_millis(10);
    const PATIENCE: Duration = Duration::from_secs(60);
    let mut world = ahead();
    world.pool().create_volume(&new_volume("a")).unwrap();
    world.pool().start_worker(AGE).unwrap();
    let a = world.pool().open_volume(&name("a")).unwrap();
    for change in 0..6 {
        put(&a, "f", format!("change {change}").as_bytes());
        match change % 2 {
            0 => back(&world),
            _ => set_forward(&world),
        }
        let (since, before) = (Instant::now(), world.pool().status().checkpoints);
        while world.pool().has_changes() {
            assert!(since.elapsed() < PATIENCE, "no checkpoint comes");
            std::thread::sleep(AGE / 5);
        }
        let status = world.pool().status();
        assert!(
            status.checkpoints > before || change > 0,
            "nothing was published"
        );
    }
    drop(a);
    world.close();
}
