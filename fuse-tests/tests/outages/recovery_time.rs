//! How long it takes to open a pool whose journal is as full as it gets.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::{Duration, Instant};

use fuse_tests::Fixture;
use fuse_tests::promises::{PAGE_BYTES, Page, Promises};
use rustix::fs::OFlags;

/// Just less than half of the journal's 256 MiB: from there on checkpoints empty it.
const WRITTEN_BYTES: u64 = 120 << 20;
const PAGES: u64 = WRITTEN_BYTES / PAGE_BYTES as u64;
/// The journal's size bounds the time; this is far above it.
const LIMIT: Duration = Duration::from_secs(60);

/// What the last recovery in a daemon's log says.
fn records_read(log: &str) -> u64 {
    let mut ends = log
        .lines()
        .filter_map(|line| line.strip_suffix(" journal records read"));
    let count = ends.next_back().and_then(|line| line.rsplit(' ').next());
    count
        .and_then(|count| count.parse().ok())
        .expect("recovery says what it has read")
}

/// A pool whose daemon died with a journal as full as it gets opens within seconds, complete. The
/// time is printed.
#[test]
fn recovery_from_a_full_journal_is_quick() {
    let fixture = Fixture::with_limit(Duration::from_secs(300));
    fixture.ok(&["volume", "create", "data"]);
    // Only the journal's fill asks for a checkpoint.
    fixture.set("checkpoint_age_secs", 3600);
    fixture.set("dirty_bytes_max", 1 << 30);
    let folder = fixture.mount("data");
    let daemon = fixture.daemon_pid().expect("a daemon runs");
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .custom_flags(OFlags::DIRECT.bits() as i32)
        .open(folder.join("file"))
        .unwrap();
    let mut promises = Promises::default();
    for number in 0..PAGES {
        let page = Page::new("file", number, 1);
        file.write_all_at(&page.0, number * PAGE_BYTES as u64)
            .unwrap();
        promises.add_line(&format!("file {number} 1")).unwrap();
    }
    fuse_tests::fixture::kill(daemon);
    drop(file);

    let start = Instant::now();
    fixture.mount("data");
    let time = start.elapsed();
    let records = records_read(&fixture.log_tail());
    println!("recovery of {records} journal records and the mount took {time:?}");
    assert!(records >= PAGES, "the journal held only {records} records");
    assert!(time < LIMIT, "recovery took {time:?}");
    assert_eq!(promises.check(&folder), Ok(()));
    fixture.ok(&["check"]);
}
