//! Power loss, SIGKILL and failing media under a whole pool, on random operations, against a model.
//!
//! Each seed is a life of a pool on a simulated medium (`disk::sim_disk` says what that may lose):
//! rounds of operations, a fault inside of them or none, one or more outages with recoveries that
//! may be cut short themselves, and a comparison. Three marks per volume say what may be found:
//! attempted, acknowledged, durable. After power loss a volume is in one of its states from the
//! durable one to the last attempted; after SIGKILL from the acknowledged one on. Acknowledged
//! snapshots are identical for ever, those of one cut are all there or none, and `Pool::check`
//! finds nothing. What was recovered is durable, and the next round goes on from there. What is
//! particular about a life stands in `habits`.
//!
//! `VOLFS_SEEDS=7` or `VOLFS_SEEDS=3,5` or `VOLFS_SEEDS=100..200` runs those seeds instead.

mod acl;
mod aside;
pub(crate) mod canaries;
mod change;
mod choice;
mod damage;
mod effects;
mod garbage;
mod habits;
mod index;
mod model;
mod random;
mod reading;
mod rot;
mod run;
mod scripts;
mod soak;
mod steps;
mod tree;
mod world;

use habits::Habits;
use run::{Covered, live};

pub(super) use damage::{Costs, Survey, survey};
pub(super) use effects::{
    OnFull, disk_full_anywhere, on_a_full_disk, outage_anywhere, prepare, prepared,
};
pub(super) use index::IndexFolder;
pub(super) use model::Floor;
pub(super) use scripts::scene;
pub(super) use world::World;

use std::collections::BTreeSet;

use super::{WHO, name, new_volume, noise, put, read, snap};
use crate::base::Ino;
use crate::base::progress::Silent;
use crate::disk::{AtStep, Fault, Step};
use crate::volume::{BlockState, FsError, Request};

/// Seeds of a run in CI.
const SEEDS: u64 = 800;

/// Those that `VOLFS_SEEDS` asks for, or the first `count`.
fn seeds(count: u64) -> Vec<u64> {
    let Ok(text) = std::env::var("VOLFS_SEEDS") else {
        return (0..count).collect();
    };
    let number = |text: &str| -> u64 { text.trim().parse().expect("VOLFS_SEEDS: a,b,c or a..b") };
    match text.split_once("..") {
        Some((first, end)) => (number(first)..number(end)).collect(),
        None => text.split(',').map(number).collect(),
    }
}

/// After any outage each volume is a prefix that holds everything synced, SIGKILL loses nothing
/// acknowledged, acknowledged snapshots and clones are identical, and a check finds nothing.
#[test]
fn outages_leave_a_prefix_with_everything_synced() {
    let seeds = seeds(SEEDS);
    let mut covered = Covered::default();
    run::on_all_cores(&seeds, |seed| live(seed, Habits::of(seed), None))
        .into_iter()
        .for_each(|more| covered += more);
    println!("{covered}");
}

/// Power is lost, and the process killed, at each effect of these scripts and of the recovery from
/// that: the same holds. The other scripts are among the bad days.
#[test]
fn an_outage_at_any_effect_leaves_a_prefix_with_everything_synced() {
    for script in [
        "names",
        "content",
        "attributes",
        "copies",
        "snapshot rm",
        "restore",
        "clone of the live state",
    ] {
        let outages = outage_anywhere(scene(script));
        let full = disk_full_anywhere(scene(script), Fault::Full);
        let refused = disk_full_anywhere(scene(script), Fault::FullWrite);
        println!("{script}: {outages} outages, full at {full} calls, {refused} writes refused");
        assert!(refused > 0, "{script} writes nothing");
    }
}

/// Equal seeds give equal runs, down to the bytes that each power loss leaves, whatever threads
/// run in them.
#[test]
fn a_seed_repeats_its_run() {
    let all = (0..300).map(|seed| (seed, Habits::of(seed)));
    let all: Vec<(u64, Habits)> = all.collect();
    let first = |count: usize, fits: &dyn Fn(&Habits) -> bool| {
        let fitting = all.iter().filter(|(_, habits)| fits(habits));
        fitting
            .map(|(seed, _)| *seed)
            .take(count)
            .collect::<Vec<_>>()
    };
    let seeds: BTreeSet<u64> = [
        first(3, &|habits| !habits.has_threads()),
        first(4, &|habits| habits.has_index),
        first(3, &|habits| habits.workers > 0),
        first(3, &|habits| habits.journal.files_max > 2),
        first(2, &|habits| habits.has_index && habits.workers > 0),
        first(2, &|habits| habits.rots),
    ]
    .concat()
    .into_iter()
    .collect();
    let seeds: Vec<u64> = seeds.into_iter().collect();
    run::on_all_cores(&seeds, |seed| {
        let [first, second] = [(); 2].map(|()| live(seed, Habits::of(seed), None));
        assert!(!first.media.is_empty());
        assert_eq!(first.media, second.media, "seed {seed}");
        assert_eq!(first.operations, second.operations, "seed {seed}");
    });
}

/// Two volumes, `a` with a small file and `b` with one that is sealed; neither is synced.
fn with_unsynced_volumes() -> World {
    let world = World::started(0);
    for volume in ["a", "b"] {
        world.pool().create_volume(&new_volume(volume)).unwrap();
    }
    let open = |volume| world.pool().open_volume(&name(volume)).unwrap();
    put(&open("a"), "small", b"bytes");
    put(&open("b"), "large", &noise(1, 100_000));
    world
}

/// A cut of which one volume's part is lost leaves no snapshot of the others: found by seed 273.
#[test]
fn a_cut_that_lost_a_volume_is_dropped_whole() {
    let mut world = with_unsynced_volumes();
    // The first sync is of the journal, for `a`; the second one of the segment, for `b`.
    world.disk.arm(Fault::FailSync(1));
    let both = [(name("a"), snap("s")), (name("b"), snap("s"))];
    world.pool().create_snapshots(&both).unwrap_err();
    world.replace_disk(world.disk.kill());
    world.open().unwrap();
    assert!(world.pool().snapshots(None).unwrap().is_empty());
    let a = world.pool().open_volume(&name("a")).unwrap();
    assert_eq!(read(&a, "small").unwrap(), b"bytes");
    let b = world.pool().open_volume(&name("b")).unwrap();
    assert_eq!(read(&b, "large").unwrap(), b"");
    drop((a, b));
    assert!(world.pool().check(&Silent).unwrap().violations.is_empty());
}

/// The number of a segment that a power loss took is used up where a record that stands names it,
/// because its blocks are stored elsewhere too: no later frame lies where the record points.
#[test]
fn the_number_of_a_lost_segment_is_used_up() {
    let (met, sound) = lost_segments(with_unsynced_volumes());
    assert!(
        met > 0,
        "no power loss takes the segment and leaves the record"
    );
    assert!(sound);
}

/// How many power losses take a segment and leave a record that names it, and whether all is sound
/// after each.
fn lost_segments(mut world: World) -> (u64, bool) {
    world.pool().close().unwrap();
    world.replace_disk(world.disk.kill());
    world.open().unwrap();
    let before = world.disk.files();
    // Without an index it is not known that these bytes are stored.
    let b = world.pool().open_volume(&name("b")).unwrap();
    put(&b, "again", &noise(1, 100_000));
    drop(b);
    let (mut met, mut sound) = (0, true);
    for loss in 0..200 {
        let medium = world.disk.crash(loss);
        let took_segment = medium.files().len() == before.len();
        let pool = world.open_copy(&medium).unwrap();
        let b = pool.open_volume(&name("b")).unwrap();
        let stands = read(&b, "again").is_some_and(|data| data == noise(1, 100_000));
        put(&b, "other", &noise(2, 100_000));
        drop(b);
        met += u64::from(took_segment && stands);
        sound &= pool.check(&Silent).unwrap().violations.is_empty();
    }
    (met, sound)
}

/// Segments that a killed process has left unclosed are settled by the next opening, and not anew
/// by each one from the next checkpoint on.
#[test]
fn unclosed_segments_are_settled_once() {
    let mut world = with_unsynced_volumes();
    for _ in 0..2 {
        world.replace_disk(world.disk.kill());
        world.open().unwrap();
        world.pool().checkpoint().unwrap();
    }
    let next = world.pool().shared.store.next_segment();
    let published = world.pool().published.lock().newest;
    assert!(
        world
            .pool()
            .shared
            .store
            .segments()
            .iter()
            .any(|info| !info.closed)
    );
    assert_eq!(published.settled_below, next);
}

/// What is found stored already is synced with whoever found it: here a block that another volume
/// has stored and not synced.
#[test]
fn a_dedup_hit_is_synced_by_whoever_hits_it() {
    let world = World::started(0);
    for volume in ["a", "b"] {
        world.pool().create_volume(&new_volume(volume)).unwrap();
    }
    let open = |volume| world.pool().open_volume(&name(volume)).unwrap();
    put(&open("a"), "f", &noise(1, 100_000));
    let stored = world.pool().shared.store.stats().stored_bytes;
    put(&open("b"), "f", &noise(1, 100_000));
    let store = &world.pool().shared.store;
    assert!(store.stats().dedup_hits > 0 && store.stats().stored_bytes == stored);
    open("b").sync().unwrap();
    for loss in 0..30 {
        let left = world.open_copy(&world.disk.crash(loss)).unwrap();
        let b = left.open_volume(&name("b")).unwrap();
        assert_eq!(read(&b, "f").unwrap(), noise(1, 100_000));
    }
}

/// A read error of recovery is not taken for a lost end: after SIGKILL everything acknowledged is
/// there once the medium can be read again.
#[test]
fn a_read_error_of_recovery_gives_nothing_up() {
    assert_nothing_given_up(Fault::FailRead);
}

/// A read of recovery that ends early, once, is not taken for a lost end either: found by seed 35
/// of the damages.
#[test]
fn a_read_that_ends_early_gives_nothing_up() {
    assert_nothing_given_up(Fault::ShortRead);
}

/// This happens at each read of a recovery after SIGKILL; the next recovery finds everything.
fn assert_nothing_given_up(at_read: fn(u64) -> Fault) {
    for read_of_recovery in 0.. {
        let mut world = with_unsynced_volumes();
        world.replace_disk(world.disk.kill());
        world.disk.arm(at_read(read_of_recovery));
        // Where it opens all the same, it has not needed what it could not read.
        drop(world.open());
        if !world.disk.has_failed() {
            assert!(read_of_recovery > 20);
            return;
        }
        world.replace_disk(world.disk.kill());
        world.open().unwrap();
        let b = world.pool().open_volume(&name("b")).unwrap();
        assert_eq!(read(&b, "large").unwrap(), noise(1, 100_000));
    }
}

/// A copy of a volume whose end is lost accepts no changes, and does not come to be: found by
/// seed 290.
#[test]
fn a_copy_of_what_is_lost_is_dropped() {
    let mut world = with_unsynced_volumes();
    world.disk.arm(Fault::FailSync(0));
    let copied = world.pool().clone_volume(&name("b"), None, &name("c"));
    copied.unwrap_err();
    let c = world.pool().open_volume(&name("c")).unwrap();
    let removed = c.unlink(&WHO, Ino::ROOT, b"large");
    assert!(matches!(removed, Err(FsError::Poisoned(_))));
    drop(c);
    world.replace_disk(world.disk.kill());
    for _ in 0..2 {
        world.open().unwrap();
        let names = world.pool().volumes().into_iter();
        let names: Vec<String> = names.map(|info| info.name.to_string()).collect();
        assert_eq!(names, ["a", "b"]);
    }
    assert!(world.pool().check(&Silent).unwrap().violations.is_empty());
}

/// Where recovery dropped the end of a volume, what came later does not go when the newest
/// superblock slot is damaged: found by seed 47.
#[test]
fn damage_behind_a_lost_end_loses_nothing_newer() {
    let found = newest_slot_damaged_behind_a_lost_end(with_unsynced_volumes());
    assert_eq!(found.unwrap(), b"bytes");
}

fn newest_slot_damaged_behind_a_lost_end(mut world: World) -> Option<Vec<u8>> {
    let open = |world: &World| world.pool().open_volume(&name("b")).unwrap();
    world.disk.arm(Fault::FailSync(0));
    open(&world).sync().unwrap_err();
    world.replace_disk(world.disk.kill());
    world.open().unwrap();
    assert_eq!(read(&open(&world), "large").unwrap(), b"");
    put(&open(&world), "new", b"bytes");
    open(&world).sync().unwrap();
    let newest = world.pool().published.lock().newest.generation % 2;
    world.replace_disk(world.disk.kill());
    world.damage(newest as usize);
    world.open().unwrap();
    read(&open(&world), "new")
}

/// A checkpoint stores what a failed sync has lost once more, and then holds what the records
/// before it cannot bring back: an opening that has shown it does not depend on them, whichever
/// superblock slot is left. Found by the soak.
#[test]
fn what_was_stored_again_outlives_the_newest_slot() {
    let mut world = with_unsynced_volumes();
    let open = |world: &World| world.pool().open_volume(&name("b")).unwrap();
    world
        .disk
        .arm_at(AtStep::Fail(Step::SegmentBeforeSuperblock));
    world.pool().checkpoint().unwrap();
    assert!(world.disk.has_failed());
    let a = world.pool().open_volume(&name("a")).unwrap();
    put(&a, "new", b"bytes");
    a.sync().unwrap();
    drop(a);
    world.replace_disk(world.disk.lose_all());
    world.open().unwrap();
    let has_all = |world: &World| read(&open(world), "large").unwrap() == noise(1, 100_000);
    assert!(has_all(&world));
    let newest = world.pool().published.lock().newest.generation % 2;
    world.replace_disk(world.disk.lose_all());
    world.damage(newest as usize);
    world.open().unwrap();
    assert!(has_all(&world), "what was shown is lost");
}

/// Where others have synced a volume's records and frames before its own fsync, that still makes
/// durable how far the frames are: rot of one is damage, and no lost end. Found by the soak.
#[test]
fn rot_of_what_others_have_synced_costs_no_record() {
    let mut world = with_unsynced_volumes();
    for volume in ["a", "b"] {
        let volume = world.pool().open_volume(&name(volume)).unwrap();
        volume.sync().unwrap();
    }
    lose_power_and_rot(&mut world);
    assert_nothing_dropped(&mut world);
}

/// What a checkpoint made durable, and no fsync, is as durable for a replay from the older slot:
/// rot of it is damage, and no lost end. Found by the soak.
#[test]
fn rot_of_what_a_checkpoint_made_durable_costs_no_record() {
    let mut world = with_unsynced_volumes();
    world.pool().checkpoint().unwrap();
    let newest = world.pool().published.lock().newest.generation % 2;
    lose_power_and_rot(&mut world);
    world.damage(newest as usize);
    assert_nothing_dropped(&mut world);
}

/// Everything unsynced goes, and a bit of a block of `b` flips.
fn lose_power_and_rot(world: &mut World) {
    let at = {
        let volume = world.pool().open_volume(&name("b")).unwrap();
        let ino = volume.lookup(&WHO, Ino::ROOT, b"large").unwrap().ino;
        let found = volume
            .read(&Request::default(), |view| view.block(ino, 3))
            .unwrap();
        let BlockState::Stored(pointer) = found else {
            panic!("it is sealed: {found:?}")
        };
        pointer.place
    };
    let left = world.disk.lose_all();
    let path = format!("segments/{:016x}.data", at.segment.0);
    assert!(left.flip(&path, u64::from(at.offset) + 100, 1));
    world.replace_disk(left);
}

fn assert_nothing_dropped(world: &mut World) {
    world.open().unwrap();
    assert_eq!(world.pool().dropped_records(), []);
    let volume = world.pool().open_volume(&name("b")).unwrap();
    let large = volume.lookup(&WHO, Ino::ROOT, b"large").unwrap();
    assert!(large.size > 0, "what was synced is lost");
}
