//! Advice on caching: what it does, and that it never changes what is read.

use std::fs::File;
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fuse_tests::Place;
use fuse_tests::fixture::text;
use fuse_tests::run::{eventually, run};
use rustix::fs::{Advice, OFlags, fadvise};

use crate::files::{MIB, open, read_at, sample};

const LIMIT: Duration = Duration::from_secs(20);

/// Bytes of a file in the page cache.
fn cached(path: &Path) -> u64 {
    let mut command = Command::new("fincore");
    let ran = run(command.args(["--bytes", "--noheadings", "--output", "RES", text(path)]));
    ran.ok().trim().parse().expect("a number")
}

fn readahead(file: &File, at: i64, len: usize) {
    // SAFETY: the descriptor is open, and no memory is passed.
    let result = unsafe { libc::readahead(file.as_raw_fd(), at, len) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// readahead(2) and POSIX_FADV_WILLNEED bring exactly what was asked for into the cache, DONTNEED
/// takes it out.
#[test]
fn readahead_fills_the_cache() {
    let place = Place::new();
    let content = sample(5, 4 * MIB as usize);
    let path = place.file("f", &content);
    place.remount();
    let file = File::open(&path).expect("it is there");
    assert_eq!(cached(&path), 0);
    readahead(&file, MIB as i64, MIB as usize);
    eventually("readahead reads", LIMIT, || cached(&path) >= MIB);
    assert!(cached(&path) < 3 * MIB, "{} bytes", cached(&path));

    let dropped = fadvise(&file, 0, None, Advice::DontNeed);
    dropped.expect("DONTNEED");
    assert_eq!(cached(&path), 0);
    let wanted = fadvise(&file, 2 * MIB, NonZeroU64::new(MIB), Advice::WillNeed);
    wanted.expect("WILLNEED");
    eventually("WILLNEED reads", LIMIT, || cached(&path) >= MIB);
    assert!(read_at(&file, 0, content.len()) == content);
}

/// Whatever is advised, reads and writes are right; what is dirty is never dropped.
#[test]
fn advice_changes_no_byte() {
    let place = Place::new();
    let path = place.path("f");
    let file = open(&path, OFlags::empty());
    let content = sample(6, 2 * MIB as usize);
    let advice = [
        Advice::Normal,
        Advice::Sequential,
        Advice::Random,
        Advice::NoReuse,
        Advice::WillNeed,
        Advice::DontNeed,
    ];
    for (number, advice) in advice.into_iter().enumerate() {
        let half = (number % 2) as u64 * MIB;
        let bytes = &content[half as usize..(half + MIB) as usize];
        std::os::unix::fs::FileExt::write_all_at(&file, bytes, half).expect("a write");
        fadvise(&file, 0, None, advice).expect("advice is accepted");
        assert!(read_at(&file, half, MIB as usize) == bytes, "{advice:?}");
    }
    assert!(read_at(&file, 0, content.len()) == content);
}

/// Reading in order reads ahead: a scan takes far fewer reads than pages.
#[test]
fn sequential_reads_read_ahead() {
    let place = Place::new();
    let content = sample(7, 4 * MIB as usize);
    let path = place.file("f", &content);
    place.remount();
    let file = File::open(&path).expect("it is there");
    for page in 0..64 {
        read_at(&file, page * 4096, 4096);
    }
    eventually("the kernel reads ahead", LIMIT, || {
        cached(&path) > 64 * 4096
    });
}
