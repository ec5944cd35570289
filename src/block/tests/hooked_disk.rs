//! A disk that tells a test of its calls, and fails or waits where the test says so.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::disk::{Disk, DiskError, DiskFile, DiskResult, DiskSpace, FileDisk, Step};

/// A call, before it is carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Call {
    Create,
    Read { offset: u64, len: usize },
    ReadAhead { bytes: Range<u64> },
    Write { offset: u64 },
    Sync { path: String },
    SyncDir,
    DropCache,
}

type Hook = Arc<dyn Fn(&Call) -> io::Result<()> + Send + Sync>;

/// The disk; clones share everything.
#[derive(Clone)]
pub(super) struct HookedDisk {
    inner: Arc<FileDisk>,
    hook: Arc<RwLock<Hook>>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl HookedDisk {
    pub(super) fn new(folder: &Path) -> HookedDisk {
        HookedDisk {
            inner: Arc::new(FileDisk::new(folder)),
            hook: Arc::new(RwLock::new(Arc::new(|_: &Call| Ok(())))),
            calls: Arc::default(),
        }
    }

    /// From now on `hook` is asked before every call.
    pub(super) fn hook(&self, hook: impl Fn(&Call) -> io::Result<()> + Send + Sync + 'static) {
        *self.hook.write() = Arc::new(hook);
    }

    /// From now on all goes well.
    pub(super) fn heal(&self) {
        self.hook(|_| Ok(()));
    }

    /// The calls since this was asked last.
    pub(super) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock())
    }

    fn call(&self, path: &str, call: Call) -> DiskResult<()> {
        let hook = self.hook.read().clone();
        let answer = hook(&call);
        self.calls.lock().push(call);
        answer.map_err(|source| DiskError::new("do as the test says with", path, source))
    }

    fn wrap(&self, path: &str, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(HookedFile {
            disk: self.clone(),
            path: path.to_owned(),
            file,
            in_memory: Mutex::default(),
        })
    }
}

impl Disk for HookedDisk {
    fn create(&self, path: &str) -> DiskResult<Arc<dyn DiskFile>> {
        self.call(path, Call::Create)?;
        Ok(self.wrap(path, self.inner.create(path)?))
    }

    fn open(&self, path: &str) -> DiskResult<Arc<dyn DiskFile>> {
        Ok(self.wrap(path, self.inner.open(path)?))
    }

    fn remove(&self, path: &str) -> DiskResult<()> {
        self.inner.remove(path)
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        self.inner.rename(from, to)
    }

    fn create_dir(&self, path: &str) -> DiskResult<()> {
        self.inner.create_dir(path)
    }

    fn list(&self, dir: &str) -> DiskResult<Vec<String>> {
        self.inner.list(dir)
    }

    fn sync_dir(&self, dir: &str, step: Step) -> DiskResult<()> {
        self.call(dir, Call::SyncDir)?;
        self.inner.sync_dir(dir, step)
    }

    fn space(&self) -> DiskResult<DiskSpace> {
        self.inner.space()
    }
}

struct HookedFile {
    disk: HookedDisk,
    path: String,
    file: Arc<dyn DiskFile>,
    /// What was read ahead, and is in memory from then on.
    in_memory: Mutex<Vec<Range<u64>>>,
}

impl DiskFile for HookedFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> DiskResult<()> {
        self.disk.call(
            &self.path,
            Call::Read {
                offset,
                len: buf.len(),
            },
        )?;
        self.file.read_exact_at(buf, offset)
    }

    fn read_cached_at(&self, buf: &mut [u8], offset: u64) -> bool {
        let end = offset + buf.len() as u64;
        let has_all = |bytes: &Range<u64>| bytes.start <= offset && end <= bytes.end;
        self.in_memory.lock().iter().any(has_all) && self.file.read_exact_at(buf, offset).is_ok()
    }

    fn read_ahead(&self, bytes: Range<u64>) {
        self.in_memory.lock().push(bytes.clone());
        // A hint cannot fail.
        let _ = self.disk.call(&self.path, Call::ReadAhead { bytes });
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> DiskResult<usize> {
        self.disk.call(
            &self.path,
            Call::Read {
                offset,
                len: buf.len(),
            },
        )?;
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, parts: &[&[u8]], offset: u64) -> DiskResult<()> {
        self.disk.call(&self.path, Call::Write { offset })?;
        self.file.write_at(parts, offset)
    }

    fn len(&self) -> DiskResult<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> DiskResult<()> {
        self.file.set_len(len)
    }

    fn sync(&self, step: Step) -> DiskResult<()> {
        self.disk.call(
            &self.path,
            Call::Sync {
                path: self.path.clone(),
            },
        )?;
        self.file.sync(step)
    }

    fn start_writeback(&self, offset: u64, len: u64) {
        self.file.start_writeback(offset, len);
    }

    fn drop_cache(&self, step: Step) {
        // A hook has nothing to refuse here.
        let _ = self.disk.call(&self.path, Call::DropCache);
        self.in_memory.lock().clear();
        self.file.drop_cache(step);
    }
}
