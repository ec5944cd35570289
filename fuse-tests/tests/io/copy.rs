//! copy_file_range: shares blocks where it can, and is right where it cannot.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use fuse_tests::chance::number;
use fuse_tests::{Fixture, Place};
use rustix::fs::{OFlags, copy_file_range};
use rustix::io::Errno;

use crate::files::{MIB, is_zero, open, read_at, sample};

/// Size of the large file in CI, in MiB; a soak takes 10 GiB.
const LARGE_MIB: u64 = 512;
/// What the daemon's caps add up to, and something for the allocator (docs/semantics.md, promise
/// 7). 10 GiB of blocks of 8 KiB took 358 MiB.
const MOST_MEMORY: u64 = 512 * MIB;
/// As much of it is copied by reading and writing, for comparison.
const HAND_MIB: u64 = 64;

/// Copies a range whole; returns the number of calls.
#[track_caller]
fn copy(source: &File, from: u64, target: &File, to: u64, len: u64) -> u64 {
    let (mut from, mut to, mut left, mut calls) = (from, to, len, 0);
    while left > 0 {
        let most = left as usize;
        let copied = copy_file_range(source, Some(&mut from), target, Some(&mut to), most);
        let copied = copied.expect("a copy") as u64;
        assert!(copied > 0, "{left} bytes are left");
        left -= copied;
        calls += 1;
    }
    calls
}

/// Bytes of the pool's segments.
fn segment_bytes(fixture: &Fixture) -> u64 {
    let files = fs::read_dir(fixture.pool().join("segments")).expect("a pool");
    files
        .map(|file| file.expect("an entry").metadata().expect("a file").len())
        .sum()
}

/// The copy of a large file reads and writes none of it: it takes a small part of the time that
/// reading and writing takes, the pool does not grow but for the pointers, neither does the
/// daemon's memory, and the copy has the content.
#[test]
fn large_copies_share_blocks() {
    let mib = number("VOLFS_TEST_COPY_MIB").unwrap_or(LARGE_MIB);
    let fixture = Fixture::with_limit(Duration::from_secs(1800));
    fixture.ok(&["volume", "create", "data"]);
    let folder = fixture.mount("data");
    let source = open(&folder.join("source"), OFlags::empty());
    for part in 0..mib {
        let written = source.write_all_at(&sample(part + 1, MIB as usize), part * MIB);
        written.expect("a write");
    }
    drop(source);
    // The daemon begins anew: what it has had in memory at most is its own affair from here on.
    fixture.umount("data");
    fixture.mount("data");
    let source = File::open(folder.join("source")).expect("it is there");
    let (before, pid) = (
        segment_bytes(&fixture),
        fixture.daemon_pid().expect("a daemon"),
    );
    let (written_before, memory_before) = (written_bytes(pid), peak_memory(pid));
    let target = open(&folder.join("target"), OFlags::empty());
    let start = Instant::now();
    let calls = copy(&source, 0, &target, 0, mib * MIB);
    let copied = start.elapsed();
    target.sync_all().expect("fsync");
    let synced = start.elapsed();
    let written = written_bytes(pid) - written_before;
    let memory = peak_memory(pid) - memory_before;
    // A checkpoint turns the pointers into tree nodes.
    drop((source, target));
    fixture.umount("data");
    let grown = segment_bytes(&fixture) - before;
    fixture.mount("data");
    let (source, target) = (
        File::open(folder.join("source")).expect("it is there"),
        File::open(folder.join("target")).expect("it is there"),
    );
    let by_hand = mib as u32 * copy_by_hand(&source, &folder.join("by-hand")) / HAND_MIB as u32;
    println!(
        "{mib} MiB in {calls} calls: {copied:?}, with fsync {synced:?}, by reads and writes \
         {by_hand:?}; written meanwhile {written} bytes, segments grew by {grown} bytes, the \
         daemon's memory by {memory}"
    );
    assert_eq!(calls, mib.div_ceil(1024), "1 GiB a call");
    assert!(synced * 4 < by_hand, "{synced:?}, by hand {by_hand:?}");
    // The pointers in memory, and at a checkpoint what sealing makes of them.
    let most = (32 * MIB + mib * MIB / 12).min(MOST_MEMORY);
    assert!(memory < most, "{memory} bytes of memory");
    assert!(grown < mib * MIB / 50, "the segments grew by {grown} bytes");
    assert!(written < mib * MIB / 20, "{written} bytes were written");
    assert_eq!(target.metadata().expect("open").len(), mib * MIB);
    assert_eq!(
        target.metadata().expect("open").blocks(),
        source.metadata().expect("open").blocks()
    );
    for part in (0..mib).step_by(97).chain([mib - 1]) {
        let wanted = sample(part + 1, MIB as usize);
        let found = read_at(&target, part * MIB, MIB as usize);
        assert!(found == wanted, "MiB {part}");
    }
}

/// How long reading and writing of the first [`HAND_MIB`] takes, with fsync.
fn copy_by_hand(source: &File, target: &Path) -> Duration {
    let target = open(target, OFlags::empty());
    let start = Instant::now();
    for part in 0..HAND_MIB {
        let bytes = read_at(source, part * MIB, MIB as usize);
        target.write_all_at(&bytes, part * MIB).expect("a write");
    }
    target.sync_all().expect("fsync");
    start.elapsed()
}

/// Bytes of memory that a process has had at most.
fn peak_memory(pid: rustix::process::Pid) -> u64 {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    let status = fs::read_to_string(path).expect("root may read it");
    let mut lines = status.lines();
    let kib = lines.find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
    1024 * kib
        .and_then(|kib| kib.trim().parse::<u64>().ok())
        .expect("a size")
}

/// Bytes that a process has given to write calls.
fn written_bytes(pid: rustix::process::Pid) -> u64 {
    let path = format!("/proc/{}/io", pid.as_raw_nonzero());
    let counters = fs::read_to_string(path).expect("root may read it");
    let line = counters
        .lines()
        .find_map(|line| line.strip_prefix("wchar: "));
    line.and_then(|count| count.parse().ok())
        .expect("a counter")
}

/// Any alignment, over data and beyond the end, dirty or not, gives what read and write would.
#[test]
fn any_alignment_is_right() {
    let place = Place::new();
    let source_path = place.file("source", sample(1, 600_000));
    let old = vec![b'.'; 300_000];
    let cases = [
        (0, 0, 600_000),
        (0, 1, 100_000),
        (1, 0, 100_000),
        (777, 777, 100_000),
        (777, 8969, 100_000),
        (8192, 16_384, 65_536),
        (8191, 299_999, 3),
        (65_536, 400_000, 200_000),
        (599_999, 0, 1),
    ];
    for (number, (from, to, len)) in cases.into_iter().enumerate() {
        let path = place.file(&format!("target{number}"), &old);
        let source = open(&source_path, OFlags::empty());
        let target = open(&path, OFlags::empty());
        // What is dirty in the kernel is copied, and overwritten, too.
        let fresh = sample(number as u64 + 2, 5000);
        let at = from + len / 2;
        source
            .write_all_at(&fresh[..(len as usize).min(5000)], at)
            .expect("a write");
        target.write_all_at(b"dirty", to).expect("a write");
        copy(&source, from, &target, to, len);
        let mut expected = old.clone();
        expected.resize(old.len().max((to + len.max(5)) as usize), 0);
        expected[to as usize..to as usize + 5].copy_from_slice(b"dirty");
        let copied = read_at(&source, from, len as usize);
        expected[to as usize..(to + len) as usize].copy_from_slice(&copied);
        assert!(
            fs::read(&path).expect("a file") == expected,
            "{from}->{to}+{len}"
        );
        drop((source, target));
        place.remount();
        assert!(
            fs::read(&path).expect("a file") == expected,
            "{from}->{to}+{len}"
        );
    }
}

/// Within one file: apart it works in both directions, overlapping is EINVAL, as everywhere.
#[test]
fn copies_within_a_file_may_not_overlap() {
    let place = Place::new();
    let content = sample(2, 100_000);
    let path = place.file("f", &content);
    let file = open(&path, OFlags::empty());
    let call = |from: u64, to: u64, len: usize| {
        let (mut from, mut to) = (from, to);
        copy_file_range(&file, Some(&mut from), &file, Some(&mut to), len)
    };
    for (from, to, len) in [(0, 0, 10), (0, 5, 10), (8192, 0, 16_384), (0, 8192, 8193)] {
        assert_eq!(call(from, to, len), Err(Errno::INVAL), "{from}->{to}+{len}");
    }
    assert_eq!(call(0, 8192, 8192), Ok(8192));
    assert_eq!(call(50_000, 10_000, 40_000), Ok(40_000));
    let mut expected = content.clone();
    expected.copy_within(0..8192, 8192);
    expected.copy_within(50_000..90_000, 10_000);
    assert!(fs::read(&path).expect("a file") == expected);
}

/// From behind the end nothing is copied, and a copy that begins before it ends there.
#[test]
fn copies_end_with_the_source() {
    let place = Place::new();
    let source = open(&place.file("s", "0123456789"), OFlags::empty());
    let target = open(&place.path("t"), OFlags::empty());
    let call = |from: u64, len: usize| {
        let (mut from, mut to) = (from, 100);
        copy_file_range(&source, Some(&mut from), &target, Some(&mut to), len)
    };
    assert_eq!(call(10, 5), Ok(0));
    assert_eq!(call(1 << 40, 5), Ok(0));
    assert_eq!(target.metadata().expect("open").len(), 0);
    assert_eq!(call(4, 1000), Ok(6));
    assert_eq!(target.metadata().expect("open").len(), 106);
    assert_eq!(read_at(&target, 98, 8), b"\0\x00456789");
}

/// Holes are copied as holes, however long, and over data.
#[test]
fn holes_are_copied_as_holes() {
    let place = Place::new();
    let source = open(&place.path("s"), OFlags::empty());
    let hole = if place.is_plain() { 1 << 30 } else { 1 << 42 };
    source
        .write_all_at(&sample(1, MIB as usize), hole)
        .expect("a write");
    let path = place.file("t", sample(2, 4 * MIB as usize));
    let target = open(&path, OFlags::empty());
    let start = Instant::now();
    let calls = copy(&source, 0, &target, 0, hole + MIB);
    println!("4 TiB of hole in {calls} calls, {:?}", start.elapsed());
    assert!(read_at(&target, hole, MIB as usize) == sample(1, MIB as usize));
    assert!(is_zero(&target, 0, 4 * MIB as usize));
    if !place.is_plain() {
        assert!(allocated(&path) <= 2 * MIB, "{} bytes", allocated(&path));
    }
}

fn allocated(path: &Path) -> u64 {
    fs::metadata(path).expect("it is there").blocks() * 512
}
