//! Pools that were put together by hand: copied while they were in use, or with a file of
//! another pool.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fuse_tests::chance::{Chance, rounds, seed};
use fuse_tests::fixture::text;
use fuse_tests::promises::{PAGE_BYTES, Page, Pages, Promises};
use fuse_tests::writers::{Mode, Writers};
use fuse_tests::{Fixture, run};

use crate::{CORRUPT, assert_says};

/// What became of a copy.
#[derive(Debug, Default)]
struct Outcomes {
    /// It opened, `volfs check` found nothing, and everything that had been synced was there.
    sound: u64,
    /// It opened, and `volfs check` named what is damaged.
    damaged: u64,
    /// It did not open, and said why.
    refused: u64,
}

/// Copies the pool's entries one after the other in an order of chance, as `cp -a` does in that of
/// the folder. Files may vanish meanwhile.
fn copy(from: &Path, to: &Path, chance: &mut Chance) {
    fs::create_dir(to).unwrap();
    let entries = fs::read_dir(from).unwrap().flatten();
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    entries.sort();
    chance.shuffle(&mut entries);
    for entry in entries {
        run(Command::new("cp").arg("-a").arg(entry).arg(to));
    }
}

/// Writes what partly lies in the pool already, so that it is stored by reference, and reads it
/// past the kernel's cache: damage that the copy brought along must not reach new data.
fn write_more(pool: &Fixture, folder: &Path) {
    let pages: Vec<u8> = (0..64)
        .flat_map(|number| Page::new("more", number, 1 + number % 2).0)
        .collect();
    for name in ["first", "second"] {
        let path = folder.join(name);
        fs::write(&path, &pages).unwrap();
        File::open(&path).unwrap().sync_all().unwrap();
    }
    pool.umount("data");
    pool.mount("data");
    for name in ["first", "second"] {
        assert_eq!(fs::read(folder.join(name)).unwrap(), pages);
        fs::remove_file(folder.join(name)).unwrap();
    }
}

/// `promised` was synced before the copy began.
fn judge(copy: &Fixture, promised: &Promises, outcomes: &mut Outcomes) {
    let checked = copy.volfs(&["check"]);
    let path = copy.mount_point("data");
    match checked.code {
        0 => {
            copy.mount("data");
            assert_eq!(promised.check(&path), Ok(()));
            write_more(copy, &path);
            copy.ok(&["check"]);
            outcomes.sound += 1;
        }
        CORRUPT if !checked.stdout.is_empty() => {
            if copy.volfs(&["mount", "data", text(&path)]).code == 0 {
                Pages::count(&path).unwrap_or_else(|wrong| panic!("{wrong}; {checked:?}"));
            }
            outcomes.damaged += 1;
        }
        CORRUPT => {
            assert_says(&checked.stderr, &["volfs: "]);
            eprintln!("{}", checked.stderr.trim());
            outcomes.refused += 1;
        }
        _ => panic!("neither opened nor refused clearly: {checked:?}"),
    }
}

/// A pool copied with `cp -a` while the daemon works opens as after power loss, or says what is
/// missing: whatever can be read is what was written.
#[test]
fn copy_of_a_working_pool_opens_or_refuses() {
    let pool = Fixture::with_limit(Duration::from_secs(300));
    pool.ok(&["volume", "create", "data"]);
    pool.set("checkpoint_age_secs", 1);
    let folder = pool.mount("data");
    let (seed, mut outcomes) = (seed(), Outcomes::default());
    let idle = Fixture::new();
    copy(pool.pool(), idle.pool(), &mut Chance::new(seed));
    judge(&idle, &Promises::default(), &mut outcomes);
    assert_eq!(outcomes.sound, 1, "nobody wrote: {outcomes:?}");
    let modes = [
        Mode::Fdatasync,
        Mode::DirectDsync,
        Mode::Append,
        Mode::Large,
        Mode::Renamed,
        Mode::Buffered,
    ];
    let writers = Writers::start(&folder, &modes, seed, Duration::from_secs(300));
    let mut chance = Chance::new(seed);
    for number in 1..=rounds(8) {
        writers.wait_for(50 * number as usize);
        chance.pause(Duration::from_millis(1000));
        let promised = writers.promised();
        let other = Fixture::new();
        copy(pool.pool(), other.pool(), &mut chance);
        judge(&other, &promised, &mut outcomes);
    }
    println!("copies of a working pool: {outcomes:?}");
    writers.stop();
}

/// A segment that ends before content which only the journal names yet, as in a copy that took the
/// segment first: `volfs check` says so, and what can be read is what was written.
#[test]
fn content_lost_under_the_journal_is_named_by_check() {
    let pool = Fixture::new();
    pool.ok(&["volume", "create", "data"]);
    pool.set("checkpoint_age_secs", 3600);
    let folder = pool.mount("data");
    let pages = (0..1024).flat_map(|number| Page::new("file", number, 1).0);
    fs::write(folder.join("file"), pages.collect::<Vec<u8>>()).unwrap();
    let file = File::options()
        .write(true)
        .open(folder.join("file"))
        .unwrap();
    file.sync_all().unwrap();
    // Half a block: a checkpoint has to read the other half, and fails at that.
    let half = Page::new("file", 1001, 2);
    file.write_all_at(&half.0, 1001 * PAGE_BYTES as u64)
        .unwrap();
    file.sync_all().unwrap();
    drop(file);
    pool.kill_daemon();
    fuse_tests::mounts::detach_below(pool.folder());
    let segments = fs::read_dir(pool.pool().join("segments"))
        .unwrap()
        .flatten();
    let largest = segments
        .max_by_key(|entry| entry.metadata().unwrap().len())
        .unwrap();
    let length = largest.metadata().unwrap().len();
    assert!(
        length > 1 << 20,
        "large writes go into segments at once: {length}"
    );
    let segment = File::options().write(true).open(largest.path()).unwrap();
    segment.set_len(length / 2).unwrap();

    let checked = pool.volfs(&["check"]).expect_code(CORRUPT);
    assert_says(&checked.stdout, &["data", "segment"]);
    pool.mount("data");
    let pages = Pages::count(&folder).unwrap();
    assert!(pages.whole > 0 && pages.unreadable > 0, "{pages:?}");
    assert_eq!(pages.whole + pages.unreadable, 1024);
}

/// A pool killed with `mib` MiB of synced pages in its journal, and the promises.
fn killed_pool(mib: u64) -> (Fixture, Promises) {
    let pool = Fixture::new();
    pool.ok(&["volume", "create", "data"]);
    pool.set("checkpoint_age_secs", 3600);
    let folder = pool.mount("data");
    let mut promises = Promises::default();
    for name in (0..mib).map(|number| format!("file-{number}")) {
        let count = (1 << 20) / PAGE_BYTES as u64;
        let path = folder.join(&name);
        let mut file = File::create(&path).unwrap();
        // Small writes: what is large goes into segments.
        for page in 0..count {
            std::io::Write::write_all(&mut file, &Page::new(&name, page, 1).0).unwrap();
            if page % 4 == 3 {
                file.sync_data().unwrap();
            }
            promises.add_line(&format!("{name} {page} 1")).unwrap();
        }
    }
    pool.kill_daemon();
    fuse_tests::mounts::detach_below(pool.folder());
    (pool, promises)
}

/// Any journal file that holds something is replaced by that of another pool: the pool refuses to
/// open, and with its own file back it has everything.
#[test]
fn journal_file_of_another_pool_is_corruption() {
    for mib in [1, 40] {
        let (pool, promises) = killed_pool(mib);
        let (other, _) = killed_pool(mib);
        let numbers = if mib == 1 { 0..1 } else { 0..2 };
        for name in numbers.map(|number| format!("journal/{number:04}.journal")) {
            let (own, aside) = (pool.pool().join(&name), pool.folder().join("aside"));
            fs::rename(&own, &aside).unwrap();
            fs::copy(other.pool().join(&name), &own).unwrap();
            assert_says(&pool.fails(CORRUPT, &["volume", "ls"]), &["journal"]);
            pool.fails(CORRUPT, &["mount", "data", text(&pool.mount_point("data"))]);
            fs::rename(&aside, &own).unwrap();
        }
        let folder = pool.mount("data");
        assert_eq!(promises.check(&folder), Ok(()));
        pool.ok(&["check"]);
    }
}
