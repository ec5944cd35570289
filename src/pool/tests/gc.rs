//! Garbage is collected, and nothing else.

use super::check::outage::{created, open};
use super::*;
use crate::base::progress::Progress;
use crate::disk::{Disk, Fault, SimDisk, Step};
use crate::pool::{GcOptions, GcReport, PoolError};

const BLOCK: usize = 4096;
/// Large enough to be sealed at once.
const FILE: usize = 20 * BLOCK;

fn new_pool() -> (SimDisk, Arc<Pool>) {
    let disk = created();
    let pool = open(&disk);
    pool.create_volume(&new_volume("a")).unwrap();
    (disk, pool)
}

fn volume(pool: &Pool, text: &str) -> Arc<Volume> {
    pool.open_volume(&name(text)).unwrap()
}

fn remove(volume: &Volume, file: &str) {
    volume.unlink(&WHO, Ino::ROOT, file.as_bytes()).unwrap();
    volume.reap_orphans().unwrap();
}

fn collect(pool: &Pool) -> GcReport {
    pool.collect_garbage(&GcOptions::default(), &Silent)
        .unwrap()
}

fn stored(pool: &Pool) -> u64 {
    pool.status().segment_bytes
}

fn assert_sound(pool: &Pool) {
    let report = pool.check(&Silent).unwrap();
    assert_eq!(report.violations, Vec::<Violation>::new());
}

/// Files `0` to `9`, of which the even ones are removed: every segment is half garbage.
fn half_garbage() -> (SimDisk, Arc<Pool>) {
    let (disk, pool) = new_pool();
    let a = volume(&pool, "a");
    for number in 0..10 {
        put(&a, &number.to_string(), &noise(number, FILE));
    }
    pool.checkpoint().unwrap();
    (0..10)
        .step_by(2)
        .for_each(|number| remove(&a, &number.to_string()));
    a.sync().unwrap();
    drop(a);
    (disk, pool)
}

fn assert_half(pool: &Pool) {
    let a = volume(pool, "a");
    for number in 0..10 {
        let found = read(&a, &number.to_string());
        let wanted = (number % 2 == 1).then(|| noise(number, FILE));
        assert!(found == wanted, "file {number}");
    }
}

/// What nobody refers to is given back, what somebody does is read as before, also after a
/// restart; what is left is about as much as the same data takes in a new pool.
#[test]
fn garbage_is_given_back_and_nothing_else() {
    let (disk, pool) = half_garbage();
    let before = stored(&pool);
    let told = GcOptions {
        dry_run: true,
        ..GcOptions::default()
    };
    let told = pool.collect_garbage(&told, &Silent).unwrap();
    assert_eq!((told.removed, told.moved_bytes), (0, 0));
    assert!(
        told.garbage_bytes > 5 * FILE as u64 && told.live_bytes > 5 * FILE as u64,
        "{told:?}"
    );
    assert!(stored(&pool) >= before);

    let done = collect(&pool);
    assert!(done.removed > 0 && done.removed == done.chosen, "{done:?}");
    assert!(done.freed_bytes > 4 * FILE as u64, "{done:?}");
    let counted = pool.status().collected;
    let counted = (
        counted.removed_segments,
        counted.moved_bytes,
        counted.freed_bytes,
    );
    assert_eq!(counted, (done.removed, done.moved_bytes, done.freed_bytes));
    assert_half(&pool);
    assert_sound(&pool);
    pool.close().unwrap();
    drop(pool);

    let pool = open(&disk);
    assert_half(&pool);
    assert_sound(&pool);
    collect(&pool);
    let (_, fresh) = new_pool();
    let b = volume(&fresh, "a");
    for number in (1..10).step_by(2) {
        put(&b, &number.to_string(), &noise(number, FILE));
    }
    fresh.checkpoint().unwrap();
    let (left, wanted) = (stored(&pool), stored(&fresh));
    assert!(
        left * 100 < wanted * 110,
        "{left} bytes, {wanted} in a new pool"
    );
    assert_half(&pool);
}

/// With less room on the disk than is to be moved, segments are cleaned a few at a time, in the
/// room that those before have given back.
#[test]
fn garbage_is_collected_in_the_room_that_there_is() {
    let (disk, pool) = half_garbage();
    pool.checkpoint().unwrap();
    let used: u64 = disk.files().iter().map(|(_, len)| len).sum();
    disk.set_capacity(Some(used + 2 * FILE as u64));
    let told = collect(&pool);
    assert!(told.moved_bytes > 2 * FILE as u64, "{told:?}");
    assert!(told.freed_bytes > 4 * FILE as u64, "{told:?}");
    assert_half(&pool);
    assert_sound(&pool);
}

/// Snapshots and clones keep what they show, whatever becomes of the volume, and give it back when
/// the last of them goes.
#[test]
fn snapshots_keep_what_they_show() {
    let (_, pool) = new_pool();
    let a = volume(&pool, "a");
    put(&a, "f", &noise(1, FILE));
    pool.create_snapshots(&[(name("a"), snap("s"))]).unwrap();
    pool.clone_volume(&name("a"), Some(&snap("s")), &name("clone"))
        .unwrap();
    put(&a, "f", &noise(2, FILE));
    put(&volume(&pool, "clone"), "g", &noise(3, FILE));
    remove(&a, "f");
    collect(&pool);
    let clone = volume(&pool, "clone");
    assert!(read(&clone, "f").unwrap() == noise(1, FILE));
    assert!(read(&clone, "g").unwrap() == noise(3, FILE));
    drop(clone);
    pool.remove_volume(&name("clone")).unwrap();
    collect(&pool);
    pool.rollback(&name("a"), &snap("s")).unwrap();
    assert!(read(&a, "f").unwrap() == noise(1, FILE));
    drop(a);
    assert_sound(&pool);
    pool.remove_volume(&name("a")).unwrap();
    let done = collect(&pool);
    assert!(done.live_bytes < FILE as u64, "{done:?}");
    assert_sound(&pool);
}

/// A collection may be killed, or lose power, at each single effect: nothing is missing after it,
/// and the next one comes to its end.
#[test]
fn a_collection_may_be_cut_short_anywhere() {
    let (disk, pool) = half_garbage();
    volume(&pool, "a").sync().unwrap();
    drop(pool);
    let start = disk.kill();
    let pool = open(&start);
    let before = start.effects();
    collect(&pool);
    let effects = start.effects() - before;
    drop(pool);
    assert!(effects > 30, "{effects}");
    for moment in 0..effects {
        let cut = disk.kill();
        let pool = open(&cut);
        cut.arm(Fault::Die(moment));
        let result = pool.collect_garbage(&GcOptions::default(), &Silent);
        assert!(result.is_err(), "{moment} of {effects}: {result:?}");
        drop(pool);
        let cut = match moment % 3 {
            0 => cut.kill(),
            _ => cut.crash(moment),
        };
        let pool = open(&cut);
        assert_half(&pool);
        assert_sound(&pool);
        collect(&pool);
        assert_half(&pool);
        assert_sound(&pool);
    }
}

/// A call that fails costs the collection, and nothing else.
#[test]
fn a_failed_call_ends_a_collection_and_harms_nothing() {
    for fault in [
        Fault::FailSync,
        Fault::FailWrite,
        Fault::FailRead,
        Fault::Full,
    ] {
        for after in 0..12 {
            let (disk, pool) = half_garbage();
            disk.arm(fault(after));
            let result = pool.collect_garbage(&GcOptions::default(), &Silent);
            drop(result);
            disk.disarm();
            drop(pool);
            let pool = open(&disk.kill());
            assert_half(&pool);
            assert_sound(&pool);
        }
    }
}

fn segments(disk: &SimDisk, kind: &str) -> Vec<String> {
    let mut names = disk.list("segments").unwrap();
    names.retain(|name| name.ends_with(kind));
    names.sort();
    names
        .iter()
        .map(|name| format!("segments/{name}"))
        .collect()
}

/// Whoever waits behind a scrub may go: the wait ends.
#[test]
fn a_wait_for_the_turn_can_be_broken_off() {
    struct Gone;
    impl Progress for Gone {
        fn update(&self, _done: u64, _total: u64) {}
        fn is_cancelled(&self) -> bool {
            true
        }
    }
    let (_, pool) = half_garbage();
    let turn = pool.maintenance.lock();
    let options = GcOptions::default();
    let error = pool.collect_garbage(&options, &Gone).unwrap_err();
    assert!(matches!(error, PoolError::BrokenOff), "{error}");
    drop(turn);
    assert!(collect(&pool).removed > 0);
}

fn flip(disk: &SimDisk, path: &str, at: u64) {
    let file = disk.open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_at(&[&[byte[0] ^ 0x55]], at).unwrap();
    file.sync(Step::FrameHealed).unwrap();
}

/// Wherever a segment with something alive is damaged, it stays as long as somebody may need what
/// is in it, and nothing gets lost that could be read before.
#[test]
fn damage_is_not_collected() {
    let (disk, pool) = half_garbage();
    pool.close().unwrap();
    drop(pool);
    // The end of file 0 and the beginning of file 1.
    let second = &segments(&disk, "data")[1];
    let len = disk.open(second).unwrap().len().unwrap();
    let mut kept = 0;
    for at in [
        1,
        70,
        len / 4,
        len / 2,
        len * 3 / 4,
        len - 300,
        len - 100,
        len - 1,
    ] {
        let hurt = disk.kill();
        flip(&hurt, second, at);
        let pool = open(&hurt);
        let readable = || -> Vec<bool> {
            let a = volume(&pool, "a");
            let ino = a.lookup(&WHO, Ino::ROOT, b"1").unwrap().ino;
            let block = |index: u64| a.read_file(&WHO, ino, index * BLOCK as u64, BLOCK);
            let wanted = noise(1, FILE);
            let is_whole = |index: usize| match block(index as u64) {
                Ok(found) => {
                    assert!(found == wanted[index * BLOCK..][..BLOCK], "wrong bytes");
                    true
                }
                Err(_) => false,
            };
            (0..FILE / BLOCK).map(is_whole).collect()
        };
        let before = readable();
        let done = collect(&pool);
        assert_eq!(readable(), before, "damage at {at}: {done:?}");
        kept += u32::from(segments(&hurt, "data").contains(second));
    }
    assert!(kept > 0, "no damage kept the segment");
}

/// A node that cannot be read hides what is alive: nothing is deleted.
#[test]
fn a_damaged_node_keeps_everything() {
    let (disk, pool) = half_garbage();
    pool.close().unwrap();
    drop(pool);
    let nodes = segments(&disk, "node");
    let last = nodes.last().unwrap();
    let len = disk.open(last).unwrap().len().unwrap();
    for at in (64..len).step_by(200) {
        let hurt = disk.kill();
        flip(&hurt, last, at);
        let ground = std::panic::AssertUnwindSafe(|| open(&hurt));
        let Ok(pool) = std::panic::catch_unwind(ground) else {
            continue;
        };
        let before = segments(&hurt, "data");
        if pool
            .collect_garbage(&GcOptions::default(), &Silent)
            .is_err()
        {
            assert_eq!(segments(&hurt, "data"), before, "at {at}");
            continue;
        }
        let is_whole = std::panic::AssertUnwindSafe(|| assert_half(&pool));
        assert!(std::panic::catch_unwind(is_whole).is_ok(), "at {at}");
    }
}
