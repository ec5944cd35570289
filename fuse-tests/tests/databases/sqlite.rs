//! SQLite: three processes on one file, with every kind of journal.

use std::path::Path;

use fuse_tests::databases::client::Client;
use fuse_tests::databases::engine::{Engine, Site, Writing};
use fuse_tests::databases::sqlite::{self, Inserts, Journal};
use fuse_tests::fixture::text;
use fuse_tests::run::eventually;

use crate::common::{LIMIT, fixture};
use crate::trials::{outlive_each_other, reach, records, site, snapshot_and_clone, survive_kills};

/// Processes share a write-ahead log by its mapped index, and read the database through mappings;
/// each commit is there after each kind of death, and SQLite's own checks find nothing.
#[test]
fn sqlite_processes_share_a_mapped_log() {
    survive_kills(&sqlite::client("wal-mmap"));
}

/// The same with a rollback journal that each commit removes.
#[test]
fn sqlite_with_a_removed_journal_survives_kills() {
    survive_kills(&sqlite::client("delete-mmap"));
}

/// The same with a rollback journal that each commit truncates.
#[test]
fn sqlite_with_a_truncated_journal_survives_kills() {
    survive_kills(&sqlite::client("truncate"));
}

/// The same with a rollback journal whose header each commit overwrites.
#[test]
fn sqlite_with_a_kept_journal_survives_kills() {
    survive_kills(&sqlite::client("persist"));
}

/// A process that dies leaves its locks, and a transaction in the log, to the others.
#[test]
fn sqlite_processes_outlive_each_other_with_a_log() {
    outlive_each_other(&sqlite::client("wal-mmap"));
}

/// A process that dies leaves a rollback journal, which the next one plays back.
#[test]
fn sqlite_processes_outlive_each_other_with_a_rollback_journal() {
    outlive_each_other(&sqlite::client("delete-mmap"));
}

/// Processes that reach the volume at two places, as containers do, share one log: a further place
/// of a volume is the same filesystem to the kernel.
#[test]
fn sqlite_log_is_shared_by_two_places() {
    let fixture = fixture();
    let first = site(&fixture, "db");
    let second = fixture.mount_point("second");
    fixture.ok(&["mount", "db", text(&second)]);
    let second = Site::new(second, fixture.folder().join("second-outside"));
    let client = sqlite::client("wal-mmap").with_processes(2);
    let mut writing = [&first, &second].map(|site| client.spawn(site));
    for goal in [records(), 2 * records()] {
        for writers in &mut writing {
            reach(writers, goal);
        }
    }
    let promised = writing.map(|writers| Box::new(writers).kill().written);
    let last = promised[0].max(promised[1]);
    for site in [&first, &second] {
        assert!((last..=last + 4).contains(&client.check(site)));
    }
}

/// A snapshot under load passes SQLite's checks; its clone works beside the origin.
#[test]
fn sqlite_snapshot_of_a_mapped_log_is_sound() {
    snapshot_and_clone(&sqlite::client("wal-mmap"));
}

/// The same with a rollback journal, which the snapshot holds, too.
#[test]
fn sqlite_snapshot_with_a_rollback_journal_is_sound() {
    snapshot_and_clone(&sqlite::client("delete-mmap"));
}

/// SQLite's backup, taken while three processes write, is sound and holds what was committed
/// before it began.
#[test]
fn sqlite_backup_beside_writers_is_sound() {
    let fixture = fixture();
    let site = site(&fixture, "db");
    let client = sqlite::client("wal-mmap");
    let mut writing = client.spawn(&site);
    for round in 1..=3 {
        reach(&mut writing, round * records());
        let before = writing.progress().durable;
        let target = site.data.join(format!("backup-{round}.db"));
        let copied = backup(&client, &site.data, &target);
        let after = writing.progress().taken + client.in_flight();
        assert!(
            (before..=after).contains(&copied),
            "{copied} is not in {before}..={after}"
        );
    }
    let promised = Box::new(writing).kill().written;
    assert!(client.check(&site) >= promised);
}

fn backup(client: &Client, data: &Path, target: &Path) -> u64 {
    let copied = client.run("backup", data, &[text(target)]);
    copied.parse().expect("the client prints a number")
}

/// SQLite's command line program finds a clone of the live volume sound, too.
#[test]
fn sqlite_snapshot_under_load_is_sound() {
    let fixture = fixture();
    let database = fixture.mount("db").join("file.db");
    sqlite::create(&database, Journal::Wal);
    let inserts = Inserts::start(&database, 1);
    for number in 1..=3 {
        eventually("rows are inserted", LIMIT, || {
            let count = sqlite::query(&database, "select count(*) from t");
            count.parse::<u64>().expect("a number") > number * 50
        });
        fixture.ok(&["clone", "db", &format!("copy-{number}")]);
        let copy = fixture.mount(&format!("copy-{number}")).join("file.db");
        assert!(sqlite::check(&copy) >= number * 50);
    }
    inserts.kill();
}
