//! That the trials can fail: what is lost is missed, and what is damaged is noticed.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fuse_tests::databases::engine::{Engine, Site, Writing};
use fuse_tests::databases::{graph_store, lmdb, qdrant, rocksdb, sqlite, wiredtiger};
use fuse_tests::fixture::text;

use crate::common::fixture;
use crate::trials::{reach, records, site};

/// So that every engine has put records where it keeps them, and not in its log only.
const RECORDS: u64 = 200;
/// Bytes that are damaged: more than a record.
const DAMAGE: u64 = 8 << 10;

/// An engine that calls durable what it did not sync is caught when the daemon dies.
#[test]
fn unsynced_records_are_missed() {
    let fixture = fixture();
    let site = site(&fixture, "db");
    let liar = lmdb::client("unsynced");
    let mut writing = liar.spawn(&site);
    reach(&mut writing, records());
    fixture.kill_daemon();
    // It never syncs, so it goes on into the kernel's cache and notices nothing.
    let promised = Box::new(writing).kill().durable;
    fixture.mount("db");
    let found = liar.content(&site.data);
    let last = found.stdout.trim().parse::<u64>();
    let caught = found.code != 0 || last.is_ok_and(|last| last < promised);
    assert!(caught, "nothing is missing of {promised}: {found:#?}");
}

/// The same engine on a mount that hands every write to the daemon at once loses nothing with it:
/// this is what `--write-through` promises.
#[test]
fn unsynced_records_survive_on_a_write_through_mount() {
    let fixture = fixture();
    let path = fixture.mount_point("db");
    let mount = || fixture.ok(&["mount", "--write-through", "db", text(&path)]);
    mount();
    let site = Site::new(path.clone(), fixture.folder().join("outside"));
    let liar = lmdb::client("unsynced");
    let mut writing = liar.spawn(&site);
    reach(&mut writing, records());
    fixture.kill_daemon();
    let promised = Box::new(writing).fail().durable;
    mount();
    let last = liar.check(&site);
    assert!((promised..=promised + 1).contains(&last), "{last}");
}

/// Each engine's check fails when some of its data is overwritten.
#[test]
fn damage_is_noticed() {
    let engines = [
        sqlite::client("delete").with_processes(1),
        lmdb::client("plain"),
        rocksdb::client("buffered"),
        wiredtiger::client("buffered"),
        qdrant::client(),
        graph_store::client(),
    ];
    for engine in engines {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let path = |name: &str| folder.path().join(name);
        let site = Site::new(path("data"), path("outside"));
        fs::create_dir(&site.data).unwrap();
        engine.write_below(&[], &site, RECORDS);
        assert!(engine.last_record(&site.data) >= RECORDS, "{engine:?}");
        let file = damage(&site.data);
        let found = engine.content(&site.data);
        assert_ne!(found.code, 0, "{}: {found:#?}", file.display());
    }
}

/// Overwrites a part of the file in a folder that holds most data; returns which.
fn damage(folder: &Path) -> PathBuf {
    let mut files = Vec::new();
    collect(folder, &mut files);
    let largest = files.into_iter().max_by_key(|path| used(path));
    let path = largest.expect("the folder has files");
    let file = File::options().write(true).open(&path).unwrap();
    let middle = used(&path) / 2;
    file.write_all_at(&[0x5a; DAMAGE as usize], middle).unwrap();
    path
}

/// Up to where a file has anything but zeros.
fn used(path: &Path) -> u64 {
    let content = fs::read(path).unwrap_or_default();
    let end = content.iter().rposition(|byte| *byte != 0);
    end.map_or(0, |last| last as u64 + 1)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().to_lowercase();
        // After an orderly end a log may be damaged without harm; some are text for people.
        let is_log = ["log", "journal", "wal"]
            .iter()
            .any(|log| name.contains(log));
        if is_log {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
