//! Repair on a medium that loses power at any moment.

use super::*;
use crate::base::{Nature, PoolId, SystemClock, Timestamp};
use crate::disk::{Disk, Fault, SimDisk, Step};
use crate::journal::JournalOptions;
use crate::pool::PoolResult;
use crate::pool::check::inspect_on;
use crate::pool::recovery::Ground;
use crate::pool::repair::repair_on;

const ID: PoolId = PoolId([8; 16]);
const BLOCKS: usize = 6;
/// Bytes of a segment's header.
const HEADER_BYTES: usize = 64;

fn journal() -> JournalOptions {
    JournalOptions {
        file_bytes: 256 << 10,
        files_max: 2,
    }
}

fn file() -> PoolFile {
    PoolFile::new(ID, Timestamp::default())
}

fn ground(disk: &SimDisk) -> Ground {
    Ground {
        disk: Arc::new(disk.clone()),
        path: PathBuf::from("simulated"),
        lock: None,
        index_dir: None,
        journal: journal(),
        segment_bytes: 64 << 10,
        unsynced_max: 64 << 20,
        workers: 0,
        clock: Arc::new(SystemClock::new()),
        fresh_key: || Ok([3; 16]),
    }
}

/// A medium with a new pool.
pub(in crate::pool::tests) fn created() -> SimDisk {
    let disk = SimDisk::new();
    Pool::create_on(&disk, Path::new("simulated"), &file(), &journal()).unwrap();
    disk
}

/// What a check of the pool at rest finds.
pub(super) fn inspect(disk: &SimDisk) -> PoolResult<CheckReport> {
    inspect_on(&ground(disk), &file(), &deep(), &Silent)
}

/// The pool on it, recovered.
pub(in crate::pool::tests) fn open(disk: &SimDisk) -> Arc<Pool> {
    Pool::open_on(ground(disk), &file(), &PoolOptions::default()).unwrap()
}

fn content_of(disk: &SimDisk, path: &str) -> Vec<u8> {
    let file = disk.open(path).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn hurt_at(disk: &SimDisk, path: &str, at: usize) {
    let byte = content_of(disk, path)[at] ^ 0x55;
    let file = disk.open(path).unwrap();
    file.write_at(&[&[byte]], at as u64).unwrap();
    file.sync(Step::FrameHealed).unwrap();
}

/// The first place of these bytes in any data segment.
fn place_of(disk: &SimDisk, wanted: &[u8]) -> (String, usize) {
    let names = disk.list("segments").unwrap();
    let paths = names.iter().filter(|name| name.ends_with("data"));
    let mut paths = paths.map(|name| format!("segments/{name}"));
    let found = paths.find_map(|path| {
        let bytes = content_of(disk, &path);
        let at = bytes
            .windows(32)
            .position(|window| window == &wanted[..32])?;
        Some((path, at))
    });
    found.expect("the bytes are stored")
}

/// Volume `a` with `kept`, which has copies in `b`, and `lost`, which has none; a frame of each is
/// damaged, and a table of contents, and a superblock slot.
fn damaged() -> SimDisk {
    let disk = created();
    for (volume, files) in [
        ("a", &[("kept", 1), ("lost", 2)][..]),
        ("b", &[("copy", 1)]),
    ] {
        // Each from a process of its own, which does not know what is stored already.
        let pool = open(&disk);
        pool.create_volume(&new_volume(volume)).unwrap();
        let volume = pool.open_volume(&name(volume)).unwrap();
        for (file, seed) in files {
            put(&volume, file, &noise(*seed, BLOCKS * BLOCK));
        }
        drop(volume);
        pool.close().unwrap();
    }
    for seed in [1, 2] {
        let (path, at) = place_of(&disk, &noise(seed, BLOCKS * BLOCK)[2 * BLOCK..]);
        hurt_at(&disk, &path, at + 1000);
    }
    let names = disk.list("segments").unwrap();
    let nodes = names.iter().find(|name| name.ends_with("node")).unwrap();
    let nodes = format!("segments/{nodes}");
    let end = content_of(&disk, &nodes).len();
    hurt_at(&disk, &nodes, end - 100);
    hurt_at(&disk, "superblock", 100);
    disk
}

/// After a repair exactly one block is lost, and all else is as it was.
fn assert_repaired(disk: &SimDisk, report: &CheckReport, moment: u64) {
    let places: Vec<String> = report.violations.iter().map(Violation::place).collect();
    assert_eq!(
        places,
        ["a:/lost bytes 8192 to 12288"],
        "outage at {moment}"
    );
    let pool = open(disk);
    let (a, b) = (
        pool.open_volume(&name("a")).unwrap(),
        pool.open_volume(&name("b")).unwrap(),
    );
    for (volume, file) in [(&a, "kept"), (&b, "copy")] {
        assert!(
            read(volume, file).unwrap() == noise(1, BLOCKS * BLOCK),
            "outage at {moment}"
        );
    }
    let lost = a.lookup(&WHO, Ino::ROOT, b"lost").unwrap().ino;
    let whole = noise(2, BLOCKS * BLOCK);
    for block in 0..BLOCKS {
        let read = a.read_file(&WHO, lost, (block * BLOCK) as u64, BLOCK);
        match block {
            2 => assert_eq!(read.unwrap_err().nature(), Nature::Corrupt),
            _ => assert!(read.unwrap() == whole[block * BLOCK..(block + 1) * BLOCK]),
        }
    }
}

/// A repair may lose power, or be killed, at each single effect: repeated, it comes to the same.
#[test]
fn a_repair_may_be_cut_short_anywhere() {
    let damaged = damaged();
    let whole = damaged.kill();
    let before = whole.effects();
    let report = repair_on(&ground(&whole), &file(), NO_CUT, &Silent).unwrap();
    assert_eq!(report.repaired.len(), 4, "{:?}", report.repaired);
    let effects = whole.effects() - before;
    assert_repaired(&whole, &report, effects);
    for moment in 0..effects {
        let disk = damaged.kill();
        disk.arm(Fault::Die(moment));
        repair_on(&ground(&disk), &file(), NO_CUT, &Silent).unwrap_err();
        let disk = match moment % 3 {
            0 => disk.kill(),
            _ => disk.crash(moment),
        };
        let report = repair_on(&ground(&disk), &file(), NO_CUT, &Silent).unwrap();
        assert_repaired(&disk, &report, moment);
    }
}

/// As [`damaged`], with a journal that is damaged, too: of `f`, which both volumes have, only the
/// first content lies before the damage. In `a` lies the damage, in `b` what is behind it.
fn with_damaged_journal() -> SimDisk {
    let disk = damaged();
    let pool = open(&disk);
    let change = |volume: &str, content: &[u8]| {
        let volume = pool.open_volume(&name(volume)).unwrap();
        put(&volume, "f", content);
        volume.sync().unwrap();
    };
    change("a", b"before the damage");
    change("b", b"before the damage");
    change("a", b"damaged, surely, at this record");
    change("b", b"behind the damage");
    drop(pool);
    let disk = disk.kill();
    let wanted = b"damaged, surely, at this record";
    let names = disk.list("journal").unwrap();
    let mut paths = names.iter().map(|name| format!("journal/{name}"));
    let found = paths.find_map(|path| {
        let bytes = content_of(&disk, &path);
        let found = bytes
            .windows(wanted.len())
            .position(|found| found == wanted);
        Some((path, found?))
    });
    let (path, at) = found.expect("the record is in the journal");
    hurt_at(&disk, &path, at);
    disk
}

/// Both volumes are as they were before the damage, to whoever opens the pool without more ado.
fn assert_cut(disk: &SimDisk, report: &CheckReport, moment: u64) {
    assert_repaired(disk, report, moment);
    let pool = open(disk);
    assert_eq!(pool.journal_cut(), None);
    for volume in ["a", "b"] {
        let volume = pool.open_volume(&name(volume)).unwrap();
        let content = read(&volume, "f").unwrap();
        assert_eq!(content, b"before the damage", "outage at {moment}");
    }
}

/// A repair leaves a damaged journal as it is, and says what it would cost to cut it off; only
/// asked to do so it cuts, tells what was lost, and mends the rest. It may lose power, or be
/// killed, at each single effect: repeated, it comes to the same.
#[test]
fn a_cut_of_the_journal_may_be_cut_short_anywhere() {
    const CUT: RepairOptions = RepairOptions { cut_journal: true };
    let damaged = with_damaged_journal();
    let refused = damaged.kill();
    let report = repair_on(&ground(&refused), &file(), NO_CUT, &Silent).unwrap();
    assert_eq!(report.journal_cut, None);
    let mut told = report.violations.iter();
    let would_lose = told.find_map(|violation| match violation {
        Violation::Journal { lost, .. } => lost.clone(),
        _ => None,
    });
    let would_lose: Vec<LostRecords> = would_lose.expect("the damage is listed");
    let names: Vec<_> = would_lose.iter().map(|one| one.volume.as_deref()).collect();
    assert_eq!(names, [Some("a"), Some("b")]);
    Pool::open_on(ground(&refused), &file(), &PoolOptions::default())
        .err()
        .expect("the journal is still damaged");

    let whole = damaged.kill();
    let before = whole.effects();
    let report = repair_on(&ground(&whole), &file(), CUT, &Silent).unwrap();
    assert_eq!(report.journal_cut.as_ref().unwrap().lost, would_lose);
    let effects = whole.effects() - before;
    assert_cut(&whole, &report, effects);
    let mut cuts = Vec::new();
    for moment in 0..effects {
        let disk = damaged.kill();
        disk.arm(Fault::Die(moment));
        repair_on(&ground(&disk), &file(), CUT, &Silent).unwrap_err();
        let disk = match moment % 3 {
            0 => disk.kill(),
            _ => disk.crash(moment),
        };
        let report = repair_on(&ground(&disk), &file(), CUT, &Silent).unwrap();
        cuts.push(report.journal_cut.is_some());
        assert_cut(&disk, &report, moment);
    }
    // Once it was published it is done, and never before.
    assert!(
        cuts.is_sorted_by(|earlier, later| earlier >= later),
        "{cuts:?}"
    );
    assert!(cuts.contains(&true) && cuts.contains(&false), "{cuts:?}");

    // Of a sound journal nothing is cut.
    let report = repair_on(&ground(&whole), &file(), CUT, &Silent).unwrap();
    assert_eq!(report.journal_cut, None);
}

/// Segments in ascending order.
fn segments(disk: &SimDisk) -> Vec<String> {
    let mut names = disk.list("segments").unwrap();
    names.sort();
    names
        .iter()
        .map(|name| format!("segments/{name}"))
        .collect()
}

/// A copy of the medium on which the sector with a segment's header has no header.
fn without_header(disk: &SimDisk, segment: &str) -> SimDisk {
    let copy = disk.kill();
    let file = copy.open(segment).unwrap();
    file.write_at(&[&[0; HEADER_BYTES]], 0).unwrap();
    copy
}

/// A pool with `durable`, from a process that ended well, and `new`, which is not synced; and the
/// segments that are durable.
fn with_unsynced_segments() -> (SimDisk, Vec<String>) {
    let disk = created();
    let pool = open(&disk);
    pool.create_volume(&new_volume("a")).unwrap();
    let volume = pool.open_volume(&name("a")).unwrap();
    put(&volume, "durable", &noise(1, 20 * BLOCK));
    drop(volume);
    pool.close().unwrap();
    let durable = segments(&disk);
    let pool = open(&disk);
    let volume = pool.open_volume(&name("a")).unwrap();
    put(&volume, "new", &noise(2, 20 * BLOCK));
    assert!(!durable.is_empty() && durable.len() < segments(&disk).len());
    (disk, durable)
}

fn names_a_header(report: &CheckReport) -> bool {
    let mut all = report.violations.iter();
    all.any(|one| matches!(one, Violation::SegmentHeader { .. }))
}

fn assert_new_is_whole(pool: &Pool) {
    let volume = pool.open_volume(&name("a")).unwrap();
    assert!(read(&volume, "new").unwrap() == noise(2, 20 * BLOCK));
}

/// A power loss may take the header of a segment that was never synced: that is no damage, and
/// opening the pool writes it anew. Where it was durable, its loss is damage, open or not.
#[test]
fn a_header_is_missed_where_it_was_durable() {
    let (disk, durable) = with_unsynced_segments();
    for segment in &segments(&disk) {
        let hurt = without_header(&disk, segment);
        let is_damage = durable.contains(segment);
        let found = inspect_on(&ground(&hurt), &file(), &deep(), &Silent).unwrap();
        assert_eq!(names_a_header(&found), is_damage, "{segment}: {found:?}");
        let pool = open(&hurt);
        assert_eq!(names_a_header(&pool.check(&Silent).unwrap()), is_damage);
        let is_back = content_of(&hurt, segment) == content_of(&disk, segment);
        assert_eq!(is_back, !is_damage, "{segment}");
        assert_new_is_whole(&pool);
    }
}

/// The pool opens, its frames are read without the header, and a repair writes it once there is
/// room.
#[test]
fn a_disk_too_full_for_a_header_is_no_reason_not_to_open() {
    let (disk, durable) = with_unsynced_segments();
    let mut new = segments(&disk);
    new.retain(|segment| !durable.contains(segment));
    for segment in &new {
        let hurt = without_header(&disk, segment);
        hurt.arm(Fault::FullWrite(0));
        let pool = open(&hurt);
        assert!(hurt.has_failed());
        assert_new_is_whole(&pool);
        assert!(names_a_header(&pool.check(&Silent).unwrap()));
        pool.close().unwrap();
        repair_on(&ground(&hurt), &file(), NO_CUT, &Silent).unwrap();
        let pool = open(&hurt);
        assert!(pool.check(&Silent).unwrap().violations.is_empty());
        assert_new_is_whole(&pool);
    }
}
