//! O_TMPFILE is not offered: who asks for it is told so and does without.

use std::fs;
use std::path::Path;
use std::process::Command;

use fuse_tests::Fixture;
use fuse_tests::databases::client::Client;
use fuse_tests::databases::engine::{Engine, Site};
use fuse_tests::databases::postgres::{Postgres, give, initdb_below};
use fuse_tests::databases::redis::{Redis, Sync, Workload};
use fuse_tests::databases::{graph_store, lmdb, qdrant, rocksdb, sqlite, wiredtiger};
use fuse_tests::fixture::text;
use fuse_tests::run::run;

use crate::common::fixture;

/// Enough for logs to be synced, files to be flushed and checkpoints to be taken.
const RECORDS: u64 = 200;

/// Writes strace's lines, of each thread in a file of its own.
struct Trace<'a>(&'a Path);

impl Trace<'_> {
    /// What goes before a command.
    fn wrapper(&self) -> [&str; 8] {
        let calls = "trace=open,openat,openat2";
        let prefix = text(self.0);
        [
            "/usr/bin/strace",
            "-ff",
            "-qq",
            "--seccomp-bpf",
            "-e",
            calls,
            "-o",
            prefix,
        ]
    }

    /// Where strace writes.
    fn folder(&self) -> &Path {
        self.0.parent().expect("it lies in a folder")
    }

    /// Calls that asked for O_TMPFILE on a volume. Each was told that it is not supported.
    #[track_caller]
    fn asked(&self, volume: &Path) -> usize {
        let threads = fs::read_dir(self.folder()).expect("the folder is ours");
        let calls: Vec<String> = threads
            .flat_map(|thread| calls_of(&thread.expect("a readable entry").path()))
            // Relative names: Redis changes into its folder.
            .filter(|call| call.contains(text(volume)) || !call.contains("\"/"))
            .collect();
        assert!(!calls.is_empty(), "strace saw nothing of the volume");
        let asks = |call: &&String| call.contains("O_TMPFILE");
        for call in calls.iter().filter(asks) {
            assert!(call.contains("EOPNOTSUPP"), "{call}");
        }
        calls.iter().filter(asks).count()
    }
}

/// The calls in a file of strace.
fn calls_of(trace: &Path) -> Vec<String> {
    let text = fs::read_to_string(trace).expect("a trace is text");
    let calls = text.lines().filter(|line| line.starts_with("open"));
    calls.map(str::to_owned).collect()
}

/// Traces what `work` starts, and returns how often it asked.
#[track_caller]
fn traced(fixture: &Fixture, name: &str, work: impl Fn(&Trace, &Site)) -> usize {
    fixture.ok(&["volume", "create", name]);
    let site = Site::new(fixture.mount(name), fixture.folder().join(name));
    let folder = site.outside.join("trace");
    fs::create_dir(&folder).expect("the folder is new");
    let prefix = folder.join("thread");
    let trace = Trace(&prefix);
    work(&trace, &site);
    trace.asked(&site.data)
}

/// A program that asks first (Python's `TemporaryFile` does) falls back to a name that it unlinks.
/// No engine of these asks, Postgres when it sorts on disk neither; what MariaDB does, which asks, is
/// in `mariadb/temporary.rs`.
#[test]
fn engines_do_without_o_tmpfile() {
    let fixture = fixture();
    let asks = "import sys, tempfile; file = tempfile.TemporaryFile(dir=sys.argv[1]); \
                file.write(b'x'); file.flush()";
    let asked = traced(&fixture, "control", |trace, site| {
        let wrapper = trace.wrapper();
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).args(["/usr/bin/python3", "-c"]);
        run(command.args([asks, text(&site.data)])).ok();
        let left = fs::read_dir(&site.data).expect("the volume is mounted");
        assert_eq!(left.count(), 0, "the temporary file has a name");
    });
    assert_eq!(asked, 1, "the control asks once");

    let engines: [Client; 9] = [
        sqlite::client("wal-mmap").with_processes(1),
        sqlite::client("delete-mmap").with_processes(1),
        lmdb::client("plain"),
        lmdb::client("writemap"),
        rocksdb::client("buffered"),
        rocksdb::client("mmap"),
        wiredtiger::client("buffered"),
        qdrant::client(),
        graph_store::client(),
    ];
    for engine in engines {
        let asked = traced(&fixture, engine.name(), |trace, site| {
            engine.write_below(&trace.wrapper(), site, RECORDS);
            let last = engine.check(site);
            assert!((RECORDS..RECORDS + 10).contains(&last), "{last}");
        });
        assert_eq!(asked, 0, "{} asks", engine.name());
    }
    let asked = traced(&fixture, "redis", |trace, site| {
        let settings = ["--appendonly", "yes", "--save", ""];
        let redis = Redis::start_below(&trace.wrapper(), &site.data, &site.outside, &settings);
        let mut client = redis.connect().expect("it has just answered");
        for key in 1..=RECORDS {
            let answer = client.ask(&format!("SET k{key} value-{key}"));
            assert_eq!(answer.expect("Redis answers"), "+OK");
        }
        assert_eq!(client.ask("SAVE").expect("Redis answers"), "+OK");
        redis.shut_down();
        assert_eq!(Workload(Sync::Always).check(site), RECORDS);
    });
    assert_eq!(asked, 0, "Redis asks");
    let asked = traced(&fixture, "postgres", |trace, site| {
        give(trace.folder());
        initdb_below(&trace.wrapper(), &site.data);
        let settings = ["work_mem=64kB"];
        let wrapper = trace.wrapper();
        let server = Postgres::start_below(&wrapper, &site.data, &site.outside, "pg", &settings);
        server.fill(1);
        let sorted = server.query(
            "explain (analyze, costs off) \
             select abalance from pgbench_accounts order by md5(aid::text)",
        );
        assert!(sorted.contains("external merge  Disk"), "{sorted}");
        server.check();
        server.shut_down(&site.data);
    });
    assert_eq!(asked, 0, "Postgres asks");
}
