//! `volfs stats`: what is asked of a mount is counted, and shown while it goes on.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::chance::random;
use fuse_tests::fixture::{binary, text};
use fuse_tests::open_files::DIRECT;
use fuse_tests::run::eventually;
use fuse_tests::server::Server;
use rustix::fs::{SeekFrom, XattrFlags, lgetxattr, seek, setxattr};
use rustix::process::Signal;
use serde_json::Value;

use crate::{NOT_FOUND, UNREACHABLE, USAGE, assert_says};

const LIMIT: Duration = Duration::from_secs(30);
const PAGE: usize = 4096;
const MINUTE_NS: u64 = 60_000_000_000;

fn stats(fixture: &Fixture) -> Value {
    fixture.json(&["stats", "data"])
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// Count, errors and bytes of a kind of request; zeros where none has come.
fn counts(stats: &Value, request: &str) -> [u64; 3] {
    let requests = stats["requests"].as_array().unwrap();
    let found = requests.iter().find(|one| one["request"] == request);
    found.map_or([0; 3], |one| {
        ["count", "errors", "bytes"].map(|field| number(&one[field]))
    })
}

/// What has come of a kind of request since `before`. A request counts when its answer has been
/// sent, so that whoever was answered may look too early.
#[track_caller]
fn assert_added(fixture: &Fixture, before: &Value, request: &str, wanted: [u64; 3]) {
    let earlier = counts(before, request);
    let wanted = [0, 1, 2].map(|at| earlier[at] + wanted[at]);
    let mut last = [0; 3];
    eventually(
        &format!("{request} counts {wanted:?} (count, errors, bytes)"),
        LIMIT,
        || {
            last = counts(&stats(fixture), request);
            assert!(last[0] <= wanted[0], "{request}: {last:?} of {wanted:?}");
            last == wanted
        },
    );
}

fn opened(path: &Path, flags: u32) -> File {
    let mut options = File::options();
    let options = options.read(true).write(true).create(true).truncate(false);
    options.custom_flags(flags as i32).open(path).unwrap()
}

/// As many requests are counted as were made, with their bytes.
#[test]
fn requests_are_counted() {
    let (fixture, folder) = Fixture::mounted();
    let before = stats(&fixture);
    assert_eq!(before["source"], "data");
    assert_eq!(before["paths"][0], text(&folder));

    let file = opened(&folder.join("file"), DIRECT);
    let page = random(1, PAGE as u64);
    for number in 0..10 {
        file.write_all_at(&page, number * PAGE as u64).unwrap();
    }
    for _ in 0..7 {
        file.sync_all().unwrap();
    }
    let mut found = vec![0; PAGE];
    for number in 0..5 {
        file.read_exact_at(&mut found, number * PAGE as u64)
            .unwrap();
    }
    fs::create_dir(folder.join("folder")).unwrap();

    assert_added(&fixture, &before, "write", [10, 0, 10 * PAGE as u64]);
    assert_added(&fixture, &before, "fsync", [7, 0, 0]);
    assert_added(&fixture, &before, "read", [5, 0, 5 * PAGE as u64]);
    assert_added(&fixture, &before, "create", [1, 0, 0]);
    assert_added(&fixture, &before, "mkdir", [1, 0, 0]);
    drop(file);
    let after = stats(&fixture);
    assert_eq!(number(&after["written_bytes"]), 10 * PAGE as u64);
    assert_eq!(number(&after["read_bytes"]), 5 * PAGE as u64);
    assert_eq!(number(&after["errors"]), 0, "{after}");
    for one in after["requests"].as_array().unwrap() {
        let times = ["p50_ns", "p99_ns", "p999_ns", "max_ns"].map(|field| number(&one[field]));
        assert!(times.is_sorted() && times[0] > 0, "{one}");
        assert!(times[3] < 2 * MINUTE_NS, "{one}");
    }
    assert!(number(&after["mounted_ms"]) >= number(&before["mounted_ms"]));
    assert_eq!(after["mounted_at"], before["mounted_at"]);

    let table = fixture.ok(&["stats", "data"]);
    assert_says(
        &table,
        &[
            "REQUEST",
            "P99.9",
            "fsync",
            "it was mounted",
            "40.0 KiB",
            "dirty:",
            "newly stored:",
            "block cache:",
            "node cache:",
            "journal syncs",
        ],
    );
    // Another mount counts from the start.
    fixture.umount("data");
    fixture.mount("data");
    assert_eq!(counts(&stats(&fixture), "write"), [0; 3]);
}

/// Requests that are answered by other threads, after the reader that took them went on, count
/// each once: fsyncs that wait for one flush, and look-ups of holes that the kernel is asked for.
#[test]
fn late_answers_are_counted() {
    const THREADS: u64 = 8;
    const EACH: u64 = 25;
    let (fixture, folder) = Fixture::mounted();
    let before = stats(&fixture);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let path = folder.join(thread.to_string());
            scope.spawn(move || {
                let file = opened(&path, DIRECT);
                for number in 0..EACH {
                    let at = number * PAGE as u64;
                    file.write_all_at(&random(thread, PAGE as u64), at).unwrap();
                    file.sync_data().unwrap();
                }
                // It is open for writing, so the kernel may hold pages of it.
                for _ in 0..EACH {
                    seek(&file, SeekFrom::Data(0)).unwrap();
                }
            });
        }
    });
    let all = THREADS * EACH;
    assert_added(&fixture, &before, "fsync", [all, 0, 0]);
    assert_added(&fixture, &before, "write", [all, 0, all * PAGE as u64]);
    assert_added(&fixture, &before, "lseek", [all, 0, 0]);
    let after = stats(&fixture);
    let syncs = |stats: &Value| number(&stats["pool"]["journal_syncs"]);
    let flushes = syncs(&after) - syncs(&before);
    assert!(flushes > 0, "{after}");
    let appended = |stats: &Value| number(&stats["pool"]["journal_appended"]);
    let journal = appended(&after) - appended(&before);
    assert!(journal > all * PAGE as u64, "{journal} bytes");
}

/// What is refused is an error; that there is no such name, attribute or data is an answer.
#[test]
fn errors_are_told_from_absence() {
    let (fixture, folder) = Fixture::mounted();
    fs::create_dir(folder.join("full")).unwrap();
    fs::write(folder.join("full/file"), "content").unwrap();
    let before = stats(&fixture);
    for number in 0..4 {
        let missing = fs::metadata(folder.join(format!("missing{number}")));
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
    for _ in 0..3 {
        let refused = fs::remove_dir(folder.join("full"));
        assert_eq!(
            refused.unwrap_err().kind(),
            io::ErrorKind::DirectoryNotEmpty
        );
    }
    let path = folder.join("full/file");
    let name = OsStr::new("user.none");
    for _ in 0..2 {
        let nothing = lgetxattr(&path, name, &mut [0; 16][..]);
        assert_eq!(nothing, Err(rustix::io::Errno::NODATA));
    }
    setxattr(&path, "user.one", b"1", XattrFlags::CREATE).unwrap();
    let again = setxattr(&path, "user.one", b"1", XattrFlags::CREATE);
    assert_eq!(again, Err(rustix::io::Errno::EXIST));

    assert_added(&fixture, &before, "rmdir", [3, 3, 0]);
    assert_added(&fixture, &before, "setxattr", [2, 1, 0]);
    assert_added(&fixture, &before, "getxattr", [2, 0, 0]);
    let after = stats(&fixture);
    let lookups = |stats: &Value| counts(stats, "lookup");
    assert!(lookups(&after)[0] >= lookups(&before)[0] + 4, "{after}");
    assert_eq!(lookups(&after)[1], 0, "{after}");
    let errors = |stats: &Value| number(&stats["errors"]);
    assert_eq!(errors(&after) - errors(&before), 4, "{after}");
}

/// The pool's numbers are there: what was sealed, what was stored already, what was collected.
#[test]
fn the_pools_work_is_told() {
    const MIB: u64 = 1 << 20;
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    fixture.set("gc_percent", 0);
    let folder = fixture.mount("data");
    let content = random(5, 4 * MIB);
    fs::write(folder.join("first"), &content).unwrap();
    fs::write(folder.join("second"), &content).unwrap();
    File::open(&folder).unwrap().sync_all().unwrap();
    fixture.ok(&["snapshot", "create", "data@s"]);
    fs::remove_file(folder.join("first")).unwrap();
    fs::remove_file(folder.join("second")).unwrap();
    fixture.ok(&["snapshot", "rm", "data@s"]);
    let collected: Value = serde_json::from_str(&fixture.ok(&["gc", "--format", "json"])).unwrap();
    let pool = stats(&fixture)["pool"].clone();
    // Zeros at a block's end are not stored.
    let close = 64 << 10;
    assert!(number(&pool["sealed_bytes"]) >= 8 * MIB - close, "{pool}");
    assert!(number(&pool["dedup_bytes"]) >= 4 * MIB - close, "{pool}");
    assert!(
        number(&pool["dedup_hits"]) > 0 && number(&pool["checkpoints"]) > 0,
        "{pool}"
    );
    assert!(number(&collected["freed_bytes"]) >= 4 * MIB, "{collected}");
    assert_eq!(pool["collected"]["freed_bytes"], collected["freed_bytes"]);
    assert_eq!(pool["collected"]["removed_segments"], collected["removed"]);
    assert_eq!(pool["collected"]["moved_bytes"], collected["moved_bytes"]);
}

/// The volume has changed bytes of its own until a checkpoint, which tells what compression has
/// saved; and reads are told by whether the caches had what they wanted.
#[test]
fn changes_and_caches_are_told() {
    const LEN: u64 = 1 << 20;
    let (fixture, folder) = Fixture::mounted();
    fixture.ok(&["volume", "create", "quiet"]);
    fixture.mount("quiet");
    // Half of each page is random: it can be compressed to about a half.
    let mut content = random(6, LEN);
    for page in content.chunks_mut(PAGE) {
        page[PAGE / 2..].fill(b'x');
    }
    let file = opened(&folder.join("file"), DIRECT);
    for (at, page) in (0..).step_by(PAGE).zip(content.chunks(PAGE)) {
        file.write_all_at(page, at).unwrap();
    }
    let before = stats(&fixture);
    assert!(number(&before["dirty_bytes"]) >= LEN, "{before}");
    let quiet = fixture.json(&["stats", "quiet"]);
    assert!(number(&quiet["dirty_bytes"]) < LEN, "{quiet}");

    // It tells what is published, and makes a checkpoint for that.
    fixture.inspect(&["volume", "inspect", "data"]);
    let after = stats(&fixture);
    assert_eq!(number(&after["dirty_bytes"]), 0, "{after}");
    let added = |field: &str| number(&after["pool"][field]) - number(&before["pool"][field]);
    let (stored, frames) = (added("new_bytes"), added("new_frame_bytes"));
    assert_eq!(stored, LEN);
    assert!((LEN / 3..LEN / 4 * 3).contains(&frames), "{frames} bytes");

    let mut found = vec![0; PAGE];
    for _ in 0..3 {
        file.read_exact_at(&mut found, 0).unwrap();
    }
    let read = stats(&fixture)["pool"].clone();
    for field in ["block_cache_hits", "block_cache_misses", "node_cache_hits"] {
        assert!(
            number(&read[field]) > number(&after["pool"][field]),
            "{field}: {read}"
        );
    }
    assert!(number(&read["node_cache_bytes"]) > 0, "{read}");
}

fn watch(fixture: &Fixture, arguments: &[&str]) -> Server {
    let log = fixture.folder().join("watch.log");
    let pool = ["--pool", text(fixture.pool()), "stats"];
    Server::start(None, &binary(), &[&pool, arguments].concat(), log)
}

/// Watching shows what comes, second by second, and Ctrl-C ends it with exit code 0.
#[test]
fn watching_shows_what_comes() {
    let (fixture, folder) = Fixture::mounted();
    let file = opened(&folder.join("file"), DIRECT);
    let mut server = watch(&fixture, &["--watch", "data", "--format", "json"]);
    let mut changes: Vec<Value> = Vec::new();
    eventually("it shows fsyncs", LIMIT, || {
        file.write_all_at(&[7; PAGE], 0).unwrap();
        file.sync_all().unwrap();
        let log = server.log();
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        changes = whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {log}")))
            .collect();
        changes.len() > 1
    });
    let requests = changes[1]["requests"].as_array().unwrap();
    let of = |name: &str| {
        let found = requests.iter().find(|one| one["request"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {changes:?}"))
    };
    let (fsync, write) = (of("fsync"), of("write"));
    assert!(fsync["per_second"].as_f64().unwrap() > 0.0, "{fsync}");
    assert!(number(&fsync["p50_ns"]) > 0, "{fsync}");
    let bytes = write["bytes_per_second"].as_f64().unwrap();
    let per_second = write["per_second"].as_f64().unwrap();
    assert!((bytes - per_second * PAGE as f64).abs() < 1.0, "{write}");
    assert!(
        changes[1]["seconds"].as_f64().unwrap() >= 1.0,
        "{changes:?}"
    );
    assert!(server.is_running());
    assert_eq!(server.stop(Signal::INT), Some(0));

    let server = watch(&fixture, &["--watch=0.5", "data"]);
    eventually("a table", LIMIT, || {
        file.sync_all().unwrap();
        server.log().contains("COUNT/S")
    });
    assert_says(&server.log(), &["requests/s", "fsync", "syncs/s", "P99"]);
    assert_eq!(server.stop(Signal::TERM), Some(0));
}

/// A volume that is unmounted meanwhile, and a daemon that ends, are told with their exit codes.
#[test]
fn the_end_of_what_is_watched_is_told() {
    let (fixture, _) = Fixture::mounted();
    fixture.ok(&["daemon", "start"]);
    let server = watch(&fixture, &["--watch=1", "data"]);
    eventually("it shows something", LIMIT, || {
        server.log().contains("requests/s")
    });
    fixture.umount("data");
    let log = server.log_path();
    assert_eq!(server.wait(LIMIT), Some(NOT_FOUND));
    let told = fs::read_to_string(&log).unwrap();
    assert_says(
        &told,
        &[
            "'data' was unmounted while it was watched",
            "volfs mount data",
        ],
    );

    fixture.mount("data");
    fs::remove_file(&log).unwrap();
    let server = watch(&fixture, &["--watch=1", "data"]);
    eventually("it shows something", LIMIT, || {
        server.log().contains("requests/s")
    });
    fixture.ok(&["daemon", "stop"]);
    assert_eq!(server.wait(LIMIT), Some(UNREACHABLE));
    let told = fs::read_to_string(&log).unwrap();
    assert_says(&told, &["'data' and its daemon ended while it was watched"]);
    assert_eq!(fixture.daemon_pid(), None, "nobody is started by watching");
}

/// What is not mounted, and what does not exist, are told apart, with and without a daemon; a
/// mounted snapshot has requests of its own.
#[test]
fn what_is_not_mounted_is_told() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    for _ in 0..2 {
        for arguments in [&["stats", "data"][..], &["stats", "--watch", "data"]] {
            let told = fixture.fails(NOT_FOUND, arguments);
            assert_says(&told, &["volume 'data' is not mounted", "volfs mount data"]);
        }
        assert_says(&fixture.fails(NOT_FOUND, &["stats", "none"]), &["'none'"]);
        assert_says(
            &fixture.fails(NOT_FOUND, &["stats", "data@none"]),
            &["none"],
        );
        fixture.ok(&["daemon", "start"]);
    }
    for arguments in [
        &["stats"][..],
        &["stats", "--watch=0", "data"],
        &["stats", "--watch=soon", "data"],
        &["stats", "a/b"],
        &["stats", "data", "--format", "xml"],
    ] {
        fixture.fails(USAGE, arguments);
    }
    fixture.ok(&["snapshot", "create", "data@s"]);
    let told = fixture.fails(NOT_FOUND, &["stats", "data@s"]);
    assert_says(&told, &["snapshot 'data@s' is not mounted"]);
    fs::metadata(fixture.mount("data@s")).unwrap();
    let snapshot = fixture.json(&["stats", "data@s"]);
    assert_eq!(snapshot["source"], "data@s");
    assert!(number(&snapshot["count"]) > 0, "{snapshot}");
}
