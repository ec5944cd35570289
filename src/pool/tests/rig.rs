//! A pool on a simulated medium that fails where a test says so.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::base::sync::Mutex;

use crate::base::{Clock, PoolId, Timestamp};
use crate::disk::{Disk, DiskError, DiskFile, DiskResult, DiskSpace, Fault, SimDisk, Step};
use crate::journal::JournalOptions;
use crate::pool::recovery::Ground;
use crate::pool::settings::PoolFile;
use crate::pool::{Pool, PoolOptions, PoolResult};

/// What is done to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Call {
    Read,
    Write,
    Sync,
}

type Rule = Arc<dyn Fn(Call, &str) -> bool + Send + Sync>;

#[derive(Clone)]
pub(super) struct RiggedDisk {
    pub(super) sim: SimDisk,
    state: Arc<Mutex<State>>,
}

struct State {
    fails: Rule,
    lens: BTreeMap<String, u64>,
    capacity: u64,
}

impl RiggedDisk {
    fn new(sim: SimDisk) -> RiggedDisk {
        let mut lens = BTreeMap::new();
        for folder in ["", "journal", "segments"] {
            for name in sim.list(folder).unwrap_or_default() {
                let path = match folder {
                    "" => name,
                    folder => format!("{folder}/{name}"),
                };
                if let Ok(file) = sim.open(&path) {
                    lens.insert(path, file.len().unwrap());
                }
            }
        }
        let state = State {
            fails: Arc::new(|_, _| false),
            lens,
            capacity: u64::MAX,
        };
        RiggedDisk {
            sim,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// From now on the calls that `fails` picks fail; a sync loses what it should have synced.
    pub(super) fn fail(&self, fails: impl Fn(Call, &str) -> bool + Send + Sync + 'static) {
        self.state.lock().fails = Arc::new(fails);
    }

    /// From now on all goes well.
    pub(super) fn heal(&self) {
        self.fail(|_, _| false);
    }

    /// From now on the medium takes so many bytes beyond what it holds.
    pub(super) fn leave_room(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.capacity = state.used() + bytes;
    }

    fn fails(&self, call: Call, path: &str) -> bool {
        let rule = self.state.lock().fails.clone();
        rule(call, path)
    }

    fn grow(&self, path: &str, len: u64) -> DiskResult<()> {
        let mut state = self.state.lock();
        let old = state.lens.get(path).copied().unwrap_or(0);
        if len <= old {
            return Ok(());
        }
        if state.used() + (len - old) > state.capacity {
            return Err(error("write to", path, libc::ENOSPC));
        }
        state.lens.insert(path.to_owned(), len);
        Ok(())
    }

    fn wrap(&self, path: &str, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(RiggedFile {
            disk: self.clone(),
            path: path.to_owned(),
            file,
        })
    }
}

impl State {
    fn used(&self) -> u64 {
        self.lens.values().sum()
    }
}

fn error(action: &str, path: &str, errno: i32) -> DiskError {
    DiskError::new(action, path, io::Error::from_raw_os_error(errno))
}

impl Disk for RiggedDisk {
    fn create(&self, path: &str) -> DiskResult<Arc<dyn DiskFile>> {
        let file = self.sim.create(path)?;
        self.state.lock().lens.insert(path.to_owned(), 0);
        Ok(self.wrap(path, file))
    }

    fn open(&self, path: &str) -> DiskResult<Arc<dyn DiskFile>> {
        Ok(self.wrap(path, self.sim.open(path)?))
    }

    fn remove(&self, path: &str) -> DiskResult<()> {
        self.sim.remove(path)?;
        self.state.lock().lens.remove(path);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        self.sim.rename(from, to)?;
        let mut state = self.state.lock();
        let len = state.lens.remove(from).unwrap_or(0);
        state.lens.insert(to.to_owned(), len);
        Ok(())
    }

    fn create_dir(&self, path: &str) -> DiskResult<()> {
        self.sim.create_dir(path)
    }

    fn list(&self, dir: &str) -> DiskResult<Vec<String>> {
        self.sim.list(dir)
    }

    fn sync_dir(&self, dir: &str, step: Step) -> DiskResult<()> {
        match self.fails(Call::Sync, dir) {
            true => Err(error("sync folder", dir, libc::EIO)),
            false => self.sim.sync_dir(dir, step),
        }
    }

    fn space(&self) -> DiskResult<DiskSpace> {
        let state = self.state.lock();
        Ok(DiskSpace {
            free: state.capacity.saturating_sub(state.used()),
            total: 1 << 30,
        })
    }
}

struct RiggedFile {
    disk: RiggedDisk,
    path: String,
    file: Arc<dyn DiskFile>,
}

impl RiggedFile {
    fn check(&self, call: Call, action: &str) -> DiskResult<()> {
        match self.disk.fails(call, &self.path) {
            true => Err(error(action, &self.path, libc::EIO)),
            false => Ok(()),
        }
    }
}

impl DiskFile for RiggedFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> DiskResult<()> {
        self.check(Call::Read, "read")?;
        self.file.read_exact_at(buf, offset)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> DiskResult<usize> {
        self.check(Call::Read, "read")?;
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, parts: &[&[u8]], offset: u64) -> DiskResult<()> {
        self.check(Call::Write, "write to")?;
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.disk.grow(&self.path, offset + len as u64)?;
        self.file.write_at(parts, offset)
    }

    fn len(&self) -> DiskResult<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> DiskResult<()> {
        self.disk.grow(&self.path, len)?;
        self.disk.state.lock().lens.insert(self.path.clone(), len);
        self.file.set_len(len)
    }

    fn sync(&self, step: Step) -> DiskResult<()> {
        if self.disk.fails(Call::Sync, &self.path) {
            self.disk.sim.arm(Fault::FailSync(0));
        }
        self.file.sync(step)
    }

    fn start_writeback(&self, offset: u64, len: u64) {
        self.file.start_writeback(offset, len);
    }

    fn drop_cache(&self, step: Step) {
        self.file.drop_cache(step);
    }
}

struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp {
            secs: 1_700_000_000,
            nanos: 0,
        }
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// A pool, its medium, and its sizes.
pub(super) struct Rig {
    pub(super) disk: RiggedDisk,
    pub(super) journal: JournalOptions,
    pub(super) segment_bytes: u32,
    pub(super) options: PoolOptions,
}

const ID: PoolId = PoolId([0x52; 16]);

impl Rig {
    /// A new pool.
    pub(super) fn new(journal: JournalOptions) -> Rig {
        let sim = SimDisk::new();
        let file = PoolFile::new(ID, Timestamp::default());
        Pool::create_on(&sim, Path::new("rigged"), &file, &journal).unwrap();
        Rig {
            disk: RiggedDisk::new(sim),
            journal,
            segment_bytes: 4 << 20,
            options: PoolOptions {
                block_cache_bytes: 1 << 20,
                node_cache_bytes: 1 << 20,
                ..PoolOptions::default()
            },
        }
    }

    /// A journal of two files of a megabyte.
    pub(super) fn small() -> Rig {
        Rig::new(JournalOptions {
            file_bytes: 1 << 20,
            files_max: 2,
        })
    }

    /// Opens the pool; the one that was open before is left behind as if its process had died.
    pub(super) fn try_open(&self) -> PoolResult<Arc<Pool>> {
        let file = PoolFile::read(&self.disk, Path::new("rigged"))?;
        let ground = Ground {
            disk: Arc::new(self.disk.clone()),
            path: Path::new("rigged").to_owned(),
            lock: None,
            index_dir: None,
            journal: self.journal.clone(),
            segment_bytes: self.segment_bytes,
            unsynced_max: 64 << 20,
            workers: 0,
            clock: Arc::new(StillClock),
            fresh_key: || Ok([3; 16]),
        };
        Pool::open_on(ground, &file, &self.options)
    }

    pub(super) fn open(&self) -> Arc<Pool> {
        self.try_open().unwrap()
    }

    /// The power goes, and comes back.
    pub(super) fn crash(&mut self, seed: u64) {
        let after = self.disk.sim.crash(seed);
        self.go_on_with(after);
    }

    /// Another medium takes the place of this one.
    pub(super) fn go_on_with(&mut self, sim: SimDisk) {
        self.disk = RiggedDisk::new(sim);
    }

    /// The process dies.
    pub(super) fn kill(&mut self) {
        self.disk = RiggedDisk::new(self.disk.sim.kill());
    }
}
