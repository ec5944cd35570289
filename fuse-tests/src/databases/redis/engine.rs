//! Redis under a load of keys, while it writes snapshots and rewrites its log.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Client, Redis};
use crate::databases::engine::{Engine, Progress, Site, Writing, version_of};
use crate::run::{eventually, run};

/// How often a snapshot or a rewrite of the log begins.
const MAINTENANCE: Duration = Duration::from_millis(150);
/// What `everysec` may lose: a second by its name, and two more where a sync is slow. That long it
/// puts off writing to the log, too, while it goes on answering.
const EVERY_SECOND: Duration = Duration::from_secs(4);
/// What the engine calls its snapshot.
const SNAPSHOT: &str = "dump.rdb";
/// Names the files of its log.
const MANIFEST: &str = "appendonlydir/appendonly.aof.manifest";
/// How long the first snapshot and rewrite may take, on a busy machine.
const MAINTAINED: Duration = Duration::from_secs(60);

/// `appendfsync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Before each answer.
    Always,
    /// Once a second, by a thread.
    EverySecond,
}

/// Redis with BGSAVE and BGREWRITEAOF in turn beside the load.
#[derive(Debug, Clone, Copy)]
pub struct Workload(pub Sync);

impl Workload {
    fn settings(self) -> [&'static str; 8] {
        let sync = match self.0 {
            Sync::Always => "always",
            Sync::EverySecond => "everysec",
        };
        let rewrite = "--auto-aof-rewrite-percentage";
        let log = ["--appendonly", "yes", "--appendfsync", sync];
        [log[0], log[1], log[2], log[3], "--save", "", rewrite, "0"]
    }

    fn open(self, site: &Site) -> Redis {
        Redis::start_with(&site.data, &site.outside, &self.settings())
    }
}

impl Engine for Workload {
    fn name(&self) -> &str {
        match self.0 {
            Sync::Always => "redis-always",
            Sync::EverySecond => "redis-everysec",
        }
    }

    fn version(&self) -> String {
        version_of("redis-server", &["--version"])
    }

    fn start(&self, site: &Site) -> Box<dyn Writing> {
        let redis = self.open(site);
        let first = keys(&mut redis.connect().expect("it has just answered"));
        let acknowledged = Arc::new(Mutex::new(Acknowledged::new(self.0, first)));
        let [mut client, mut maintainer] =
            [(); 2].map(|()| redis.connect().expect("it has just answered"));
        let shared = Arc::clone(&acknowledged);
        let before = [snapshot_of(site), base_of(site)];
        let setting = thread::spawn(move || {
            let mut next = Instant::now();
            let mut commands = ["BGSAVE", "BGREWRITEAOF"].iter().cycle();
            client.set_until_error(first, |key| {
                shared.lock().expect("nobody panics").add(key);
                if Instant::now() >= next {
                    next = Instant::now() + MAINTENANCE;
                    maintain(&mut maintainer, commands.next().expect("they go round"));
                }
            });
        });
        // Every outage comes to data that both have worked on, and mostly while they do so again.
        eventually("a snapshot and a rewritten log", MAINTAINED, || {
            assert!(!setting.is_finished(), "Redis refuses to write");
            let now = [snapshot_of(site), base_of(site)];
            now.iter().zip(&before).all(|(now, before)| now > before)
        });
        Box::new(Load {
            redis: Some(redis),
            setting: Some(setting),
            acknowledged,
        })
    }

    /// Every key, by the log; then what Redis' own checkers say of its files, and the keys of its
    /// last snapshot.
    #[track_caller]
    fn check(&self, site: &Site) -> u64 {
        let redis = self.open(site);
        let mut client = redis.connect().expect("it has just answered");
        let last = keys(&mut client);
        client.check(last);
        redis.kill();
        let manifest = site.data.join(MANIFEST);
        run(Command::new("redis-check-aof").arg(manifest)).ok();
        let snapshot = site.data.join(SNAPSHOT);
        run(Command::new("redis-check-rdb").arg(&snapshot)).ok();
        let keys_max = match self.0 {
            Sync::Always => last,
            // A snapshot is synced at its end, maybe before what the log has of the same keys.
            Sync::EverySecond => u64::MAX,
        };
        check_snapshot(&snapshot, site, keys_max);
        last
    }
}

/// Asks for a snapshot or a rewrite of the log, which is begun, or refused while another is under
/// way. An error: the server has died, as the load will notice.
fn maintain(client: &mut Client, command: &str) {
    if let Ok(answer) = client.ask(command) {
        let known = [
            "+Background saving started",
            "+Background append only file rewriting started",
            "-ERR Background save already in progress",
            "-ERR Background append only file rewriting already in progress",
            "-ERR Another child process is active",
            "+Background append only file rewriting scheduled",
            // The volume below it is gone.
            "-ERR Can't execute an AOF background rewriting",
        ];
        let is_known = known.iter().any(|start| answer.starts_with(start));
        assert!(is_known, "{command}: {answer}");
    }
}

/// When the snapshot was made, which is younger than the one before, in nanoseconds.
fn snapshot_of(site: &Site) -> Option<i128> {
    let made = fs::metadata(site.data.join(SNAPSHOT)).ok()?;
    Some(i128::from(made.mtime()) * 1_000_000_000 + i128::from(made.mtime_nsec()))
}

/// The number of the log's base: each rewrite counts it on.
fn base_of(site: &Site) -> Option<i128> {
    let manifest = fs::read_to_string(site.data.join(MANIFEST)).ok()?;
    let base = manifest.lines().rfind(|line| line.ends_with(" type b"))?;
    base.split(' ').nth(3)?.parse().ok()
}

/// A server without a log, on a copy of the snapshot alone.
#[track_caller]
fn check_snapshot(snapshot: &Path, site: &Site, keys_max: u64) {
    let folder = tempfile::tempdir_in(&site.outside).expect("a folder of the host");
    fs::copy(snapshot, folder.path().join(SNAPSHOT)).expect("the snapshot can be read");
    let settings = ["--appendonly", "no", "--save", ""];
    let redis = Redis::start_with(folder.path(), folder.path(), &settings);
    let mut client = redis.connect().expect("it has just answered");
    let found = keys(&mut client);
    let possible = 1..=keys_max;
    assert!(
        possible.contains(&found),
        "{found} keys in a snapshot, expected one of {possible:?}"
    );
    client.check(found);
    redis.kill();
}

fn keys(client: &mut Client) -> u64 {
    let size = client.ask("DBSIZE").expect("Redis answers");
    size[1..].parse().expect("a number")
}

/// The acknowledged keys, and what their durability rests on.
#[derive(Debug)]
struct Acknowledged {
    sync: Sync,
    last: u64,
    at: Instant,
    /// For `everysec`: keys and when they were acknowledged, a few a second.
    marks: Vec<(Instant, u64)>,
}

impl Acknowledged {
    fn new(sync: Sync, last: u64) -> Acknowledged {
        let at = Instant::now();
        Acknowledged {
            sync,
            last,
            at,
            marks: vec![(at, last)],
        }
    }

    fn add(&mut self, key: u64) {
        self.last = key;
        self.at = Instant::now();
        let newest = self.marks.last().map_or(self.at, |mark| mark.0);
        if self.at.duration_since(newest) > Duration::from_millis(100) {
            self.marks.push((self.at, key));
        }
    }

    /// As of the last answer: an outage came after it.
    fn progress(&self) -> Progress {
        let old = |mark: &&(Instant, u64)| self.at.duration_since(mark.0) >= EVERY_SECOND;
        let safe = match self.sync {
            Sync::Always => self.last,
            Sync::EverySecond => self.marks.iter().rev().find(old).map_or(0, |mark| mark.1),
        };
        Progress {
            taken: self.last,
            written: safe,
            durable: safe,
        }
    }
}

/// A server, and a thread that sets keys.
struct Load {
    redis: Option<Redis>,
    setting: Option<JoinHandle<()>>,
    acknowledged: Arc<Mutex<Acknowledged>>,
}

impl Load {
    fn promised(&self) -> Progress {
        self.acknowledged.lock().expect("nobody panics").progress()
    }

    fn join(&mut self) {
        let setting = self.setting.take().expect("it ends only once");
        setting.join().expect("the client does not panic");
    }
}

impl Writing for Load {
    #[track_caller]
    fn progress(&mut self) -> Progress {
        let setting = self.setting.as_ref().expect("it has not ended");
        assert!(!setting.is_finished(), "Redis refuses to write");
        self.promised()
    }

    fn kill(mut self: Box<Self>) -> Progress {
        self.redis.take().expect("it was started").kill();
        self.join();
        self.promised()
    }

    fn fail(mut self: Box<Self>) -> Progress {
        self.join();
        self.redis.take().expect("it was started").kill();
        self.promised()
    }
}
