//! Updates, syncs, cuts, checkpoints and reads of a whole pool under explored schedules, on a
//! medium that loses power.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::{name, new_volume, snap};
use crate::base::sync::{self, Sabotage, thread};
use crate::base::{Ino, Key, PoolId, SystemClock, Timestamp, Value};
use crate::disk::{Disk, SimDisk, SlowDisk, Step};
use crate::journal::JournalOptions;
use crate::pool::recovery::Ground;
use crate::pool::settings::PoolFile;
use crate::pool::{Pool, PoolOptions};
use crate::volume::core::View;
use crate::volume::{BlockState, FsResult, Request, Volume};

const BLOCK: usize = 4096;
const FILE: Ino = Ino(50);
const JOURNAL: JournalOptions = JournalOptions {
    file_bytes: 64 << 10,
    files_max: 2,
};

/// A medium with a closed pool of two empty volumes, a and b.
static PREPARED: LazyLock<SimDisk> = LazyLock::new(|| {
    let medium = SimDisk::new();
    let file = PoolFile::new(PoolId([0x52; 16]), Timestamp::default());
    Pool::create_on(&medium, Path::new("simulated"), &file, &JOURNAL).unwrap();
    let pool = open(Arc::new(medium.clone()), 1 << 20);
    for volume in ["a", "b"] {
        pool.create_volume(&new_volume(volume)).unwrap();
    }
    pool.close().unwrap();
    medium
});

fn open(disk: Arc<dyn Disk>, dirty_bytes_max: u64) -> Arc<Pool> {
    let file = PoolFile::read(&*disk, Path::new("simulated")).unwrap();
    let ground = Ground {
        disk,
        path: Path::new("simulated").to_owned(),
        lock: None,
        index_dir: None,
        journal: JOURNAL,
        segment_bytes: 64 << 10,
        unsynced_max: 64 << 20,
        workers: 0,
        clock: Arc::new(SystemClock::new()),
        fresh_key: || Ok([3; 16]),
    };
    let options = PoolOptions {
        dirty_bytes_max,
        block_cache_bytes: 0,
        node_cache_bytes: 64 << 10,
        ..PoolOptions::default()
    };
    Pool::open_on(ground, &file, &options).unwrap()
}

/// As [`explore()`]; the medium is prepared before, so that it is in no schedule.
fn explore(body: impl Fn() + Send + Sync + 'static) {
    LazyLock::force(&PREPARED);
    sync::explore(body);
}

/// As [`explore_sabotaged`](sync::explore_sabotaged).
fn explore_sabotaged(what: Sabotage, body: impl Fn() + Send + Sync + 'static) -> String {
    LazyLock::force(&PREPARED);
    sync::explore_sabotaged(what, body)
}

/// A copy of the prepared medium, and the pool on it.
fn world(dirty_bytes_max: u64) -> (SimDisk, Arc<Pool>) {
    let medium = PREPARED.kill();
    let pool = open(SlowDisk::new(medium.clone()), dirty_bytes_max);
    (medium, pool)
}

/// What a power loss at this moment leaves, recovered.
fn after_power_loss(medium: &SimDisk, seed: u64) -> Arc<Pool> {
    open(Arc::new(medium.crash(seed)), 1 << 20)
}

fn key(number: u64) -> Key {
    Key::new(9, 9, number)
}

fn number(view: &View<'_>, at: u64) -> FsResult<u64> {
    let value = view.get(&key(at))?;
    Ok(value.map_or(0, |value| {
        u64::from_le_bytes(value.bytes[..].try_into().unwrap())
    }))
}

fn get(volume: &Volume, at: u64) -> u64 {
    let read = volume.read(&Request::default(), |view| number(view, at));
    read.unwrap()
}

fn set(volume: &Volume, keys: &[u64], value: u64) {
    let put = volume.update(&Request::default(), |edit| {
        for at in keys {
            edit.put(key(*at), Value::record(value.to_le_bytes()));
        }
        Ok(())
    });
    put.unwrap();
}

/// The first bytes of a block of the file.
fn block(volume: &Volume, index: u64, len: usize) -> Vec<u8> {
    let offset = index * BLOCK as u64;
    let plan = volume.read(&Request::default(), |view| {
        view.plan_read(FILE, offset, len)
    });
    volume.execute(plan.unwrap()).unwrap()
}

/// A thread writes to a, then to b, again and again, beside a checkpoint and a cut through both.
fn cut_through_two_volumes() {
    let (medium, pool) = world(1 << 20);
    let open = |volume| pool.open_volume(&name(volume)).unwrap();
    let (a, b) = (open("a"), open("b"));
    let writer = thread::spawn(move || {
        for count in 1..=3 {
            set(&a, &[1], count);
            set(&b, &[1], count);
        }
    });
    let checkpoint = thread::spawn({
        let pool = pool.clone();
        move || pool.checkpoint().unwrap()
    });
    let volumes = [name("a"), name("b")];
    let cut = volumes.clone().map(|volume| (volume, snap("cut")));
    pool.create_snapshots(&cut).unwrap();
    let counts = |pool: &Pool| {
        volumes.clone().map(|volume| {
            let snapshot = pool.open_snapshot(&volume, &snap("cut")).unwrap();
            get(&snapshot, 1)
        })
    };
    let [first, second] = counts(&pool);
    assert!(
        first == second || first == second + 1,
        "the cut is two: {first} and {second}"
    );
    let left = after_power_loss(&medium, 3);
    assert_eq!(counts(&left), [first, second], "the cut has changed");
    writer.join().unwrap();
    checkpoint.join().unwrap();
    assert_eq!(counts(&pool), [first, second], "the cut has changed");
}

/// A cut through two volumes is one point in the order of the writes to both, in memory and after
/// a power loss right behind it.
#[test]
fn a_cut_is_one_point_for_all_its_volumes() {
    explore(cut_through_two_volumes);
}

/// The exploration notices a cut whose record comes before the locks of its volumes.
#[test]
fn a_cut_recorded_before_its_locks_is_noticed() {
    let how = explore_sabotaged(Sabotage::CutBeforeLocks, cut_through_two_volumes);
    assert!(how.contains("the cut has changed"), "{how}");
}

/// What a volume's sync covers survives a power loss at the moment of its return, the frames that
/// its records name included, also while a checkpoint publishes.
#[test]
fn a_synced_volume_survives_beside_a_checkpoint() {
    explore(|| blocks_and_syncs(|pool| pool.checkpoint().unwrap()));
}

/// The same beside the fsync of another volume, which makes frames durable without this one.
#[test]
fn a_synced_volume_survives_beside_syncs_of_others() {
    explore(|| blocks_and_syncs(syncs_of_others));
}

fn syncs_of_others(pool: &Pool) {
    let store = &pool.shared.store;
    store.sync_all(Step::SegmentBeforeReply).unwrap();
}

/// The exploration notices a sync that looks at the frames first, and then takes those of a later
/// record for synced.
#[test]
fn a_sync_that_looks_at_frames_first_is_noticed() {
    let how = explore_sabotaged(Sabotage::FramesBeforeState, || {
        blocks_and_syncs(syncs_of_others);
    });
    assert!(how.contains("what was synced is lost"), "{how}");
}

/// Two threads store a block each, commit and sync it, beside something else.
fn blocks_and_syncs(beside: fn(&Pool)) {
    let (medium, pool) = world(1 << 20);
    let work = |index: u64| {
        let (medium, pool) = (medium.clone(), pool.clone());
        thread::spawn(move || {
            let volume = pool.open_volume(&name("a")).unwrap();
            let content = crate::base::SplitMix64::new(index).bytes(BLOCK);
            let sealed = volume.seal(&[&content]).unwrap();
            assert!(matches!(sealed[0], BlockState::Stored(_)));
            let put = volume.update(&Request::default(), |edit| {
                edit.put_block(FILE, index, sealed[0]);
                edit.put(key(index), Value::record(7u64.to_le_bytes()));
                Ok(())
            });
            put.unwrap();
            volume.sync().unwrap();
            let left = open(Arc::new(medium.lose_all()), 1 << 20);
            let left = left.open_volume(&name("a")).unwrap();
            assert_eq!(get(&left, index), 7, "what was synced is lost");
            assert!(block(&left, index, BLOCK) == content);
        })
    };
    let threads: Vec<_> = (1..3).map(work).collect();
    beside(&pool);
    for thread in threads {
        thread.join().unwrap();
    }
}

/// A reader sees each transaction whole and never an older state than before, while layers are
/// frozen and sealed below it; a planned read gives the bytes of its moment.
#[test]
fn a_reader_sees_one_state_while_layers_are_sealed() {
    explore(one_state_for_a_reader);
}

/// The exploration notices a layer whose changes are gone before its tree is there.
#[test]
fn changes_that_are_given_back_early_are_noticed() {
    let how = explore_sabotaged(Sabotage::ChangesGivenBackEarly, one_state_for_a_reader);
    let is_other = how.contains("an older state") || how.contains("bytes of another moment");
    assert!(is_other, "{how}");
}

/// A reader beside a writer and two checkpoints.
fn one_state_for_a_reader() {
    let (_, pool) = world(1 << 20);
    let volume = pool.open_volume(&name("a")).unwrap();
    let writer = thread::spawn({
        let volume = volume.clone();
        move || {
            for count in 1..=3u64 {
                let put = volume.update(&Request::default(), |edit| {
                    for at in [1, 2] {
                        edit.put(key(at), Value::record(count.to_le_bytes()));
                    }
                    edit.write(FILE, 0, &[count as u8; 64]);
                    Ok(())
                });
                put.unwrap();
            }
        }
    });
    let checkpoints = thread::spawn({
        let pool = pool.clone();
        move || {
            pool.checkpoint().unwrap();
            pool.checkpoint().unwrap();
        }
    });
    let mut last = 0;
    for _ in 0..3 {
        let seen = volume.read(&Request::default(), |view| {
            let numbers = (number(view, 1)?, number(view, 2)?);
            Ok((numbers, view.plan_read(FILE, 0, 64)?))
        });
        let ((first, second), plan) = seen.unwrap();
        assert_eq!(first, second, "half of a transaction");
        assert!(first >= last, "an older state: {first} after {last}");
        let bytes = volume.execute(plan).unwrap();
        assert!(bytes == [first as u8; 64], "bytes of another moment");
        last = first;
    }
    writer.join().unwrap();
    checkpoints.join().unwrap();
    assert_eq!((get(&volume, 1), get(&volume, 2)), (3, 3));
}

/// Writers that fill memory and journal wait for the checkpoint thread, never for ever; closing
/// ends it, and all that they wrote is there afterwards.
#[test]
fn writers_wait_for_the_checkpoint_thread_never_for_ever() {
    explore(|| {
        let (medium, pool) = world(12 << 10);
        pool.start_worker(Duration::MAX).unwrap();
        let work = |index: u64| {
            let pool = pool.clone();
            thread::spawn(move || {
                let volume = pool.open_volume(&name("a")).unwrap();
                for count in 1..=3u64 {
                    let put = volume.update(&Request::default(), |edit| {
                        let offset = (index * 4 + count) * BLOCK as u64;
                        edit.write(FILE, offset, &[count as u8; BLOCK]);
                        edit.put(key(index), Value::record(count.to_le_bytes()));
                        Ok(())
                    });
                    put.unwrap();
                }
            })
        };
        let threads: Vec<_> = (1..3).map(work).collect();
        for thread in threads {
            thread.join().unwrap();
        }
        pool.close().unwrap();
        drop(pool);
        let left = after_power_loss(&medium, 5);
        let volume = left.open_volume(&name("a")).unwrap();
        for index in 1..3 {
            assert_eq!(get(&volume, index), 3);
            assert_eq!(block(&volume, index * 4 + 3, 2), [3, 3]);
        }
    });
}

fn put_block(volume: &Volume, index: u64, content: &[u8]) {
    // As a write does it: pinned from before the block is found until it is committed.
    let _pin = volume.pin();
    let sealed = volume.seal(&[content]).unwrap();
    let put = volume.update(&Request::default(), |edit| {
        edit.put_block(FILE, index, sealed[0]);
        Ok(())
    });
    put.unwrap();
}

/// Garbage is collected beside one who stores once more what is garbage, and one who reads what
/// becomes garbage meanwhile.
fn garbage_beside_work() {
    let (medium, pool) = world(1 << 20);
    let content = |seed: u64| crate::base::SplitMix64::new(seed).bytes(BLOCK);
    let volume = pool.open_volume(&name("a")).unwrap();
    put_block(&volume, 1, &content(1));
    put_block(&volume, 2, &content(2));
    pool.checkpoint().unwrap();
    // The first is garbage from here on.
    put_block(&volume, 1, &content(3));
    let writer = thread::spawn({
        let volume = volume.clone();
        move || {
            put_block(&volume, 3, &content(1));
            put_block(&volume, 2, &content(4));
        }
    });
    let reader = thread::spawn({
        let volume = volume.clone();
        move || {
            let _pin = volume.pin();
            let plan = volume.read(&Request::default(), |view| {
                view.plan_read(FILE, 2 * BLOCK as u64, BLOCK)
            });
            let bytes = volume.execute(plan.unwrap()).unwrap();
            assert!(bytes == content(2) || bytes == content(4), "other bytes");
        }
    });
    let options = crate::pool::GcOptions::default();
    let done = pool.collect_garbage(&options, &crate::base::progress::Silent);
    done.unwrap();
    writer.join().unwrap();
    reader.join().unwrap();
    volume.sync().unwrap();
    drop((volume, pool));
    let left = after_power_loss(&medium, 7);
    let volume = left.open_volume(&name("a")).unwrap();
    for (index, seed) in [(1, 3), (2, 4), (3, 1)] {
        assert!(
            block(&volume, index, BLOCK) == content(seed),
            "block {index}"
        );
    }
}

/// What is stored again, or read, while it is garbage is there.
#[test]
fn garbage_is_collected_beside_who_needs_it_again() {
    explore(garbage_beside_work);
}

/// The exploration notices a collection that does not wait for those who need it again.
#[test]
fn ignored_pins_are_noticed() {
    let how = explore_sabotaged(Sabotage::PinsIgnored, garbage_beside_work);
    assert!(
        how.contains("gone") || how.contains("block ") || how.contains("Corrupt"),
        "{how}"
    );
}
