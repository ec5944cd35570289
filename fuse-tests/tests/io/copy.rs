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
const LARGE_MIB: u64 = 1024;

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

/// The copy of a large file reads and writes none of it: it is a matter of moments, the pool does
/// not grow but for the pointers, the daemon's memory stays within its bounds, and the copy has the
/// content.
#[test]
fn large_copies_share_blocks() {
    let mib = number("VOLFS_TEST_COPY_MIB").unwrap_or(LARGE_MIB);
    let fixture = Fixture::with_limit(Duration::from_secs(900));
    fixture.ok(&["volume", "create", "data"]);
    let folder = fixture.mount("data");
    let source = open(&folder.join("source"), OFlags::empty());
    let unique = 64 * MIB;
    for part in 0..64 {
        let written = source.write_all_at(&sample(part + 1, MIB as usize), part * MIB);
        written.expect("a write");
    }
    source.sync_all().expect("fsync");
    // Doubled by copies within the file.
    let mut size = unique;
    while size < mib * MIB {
        let len = size.min(mib * MIB - size);
        copy(&source, 0, &source, size, len);
        size += len;
    }
    source.sync_all().expect("fsync");
    let (before, pid) = (
        segment_bytes(&fixture),
        fixture.daemon_pid().expect("a daemon"),
    );
    let written_before = written_bytes(pid);
    let target = open(&folder.join("target"), OFlags::empty());
    let start = Instant::now();
    let calls = copy(&source, 0, &target, 0, mib * MIB);
    let copied = start.elapsed();
    target.sync_all().expect("fsync");
    let synced = start.elapsed();
    let written = written_bytes(pid) - written_before;
    // A checkpoint turns the pointers into tree nodes.
    drop((source, target));
    fixture.umount("data");
    let grown = segment_bytes(&fixture) - before;
    println!(
        "{mib} MiB in {calls} calls: {copied:?}, with fsync {synced:?}; written meanwhile \
         {written} bytes, segments grew by {grown} bytes"
    );
    assert!(grown < mib * MIB / 50, "the segments grew by {grown} bytes");
    assert!(written < mib * MIB / 20, "{written} bytes were written");

    fixture.mount("data");
    let (source, target) = (
        File::open(folder.join("source")).expect("it is there"),
        File::open(folder.join("target")).expect("it is there"),
    );
    assert_eq!(target.metadata().expect("open").len(), mib * MIB);
    assert_eq!(
        target.metadata().expect("open").blocks(),
        source.metadata().expect("open").blocks()
    );
    for part in (0..mib).step_by(97).chain([mib - 1]) {
        let wanted = sample(part % 64 + 1, MIB as usize);
        assert!(
            read_at(&target, part * MIB, MIB as usize) == wanted,
            "MiB {part}"
        );
    }
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
