//! A medium in memory that can lose power, fail, and hold a sync back.
//!
//! Fault model: a crash keeps or drops each unsynced 512-byte sector by itself; a failed sync
//! loses what was unsynced while it stays readable until the cache is dropped. Changes of the
//! folder and of lengths are durable at once.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::disk::{Disk, DiskError, DiskFile, DiskResult, DiskSpace, Step};

const SECTOR: usize = 512;

/// See the module's text.
#[derive(Default)]
pub(super) struct MemDisk {
    files: Mutex<BTreeMap<String, Arc<MemFile>>>,
    control: Arc<Control>,
}

/// What tests steer.
#[derive(Default)]
struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    fail_writes: bool,
    fail_syncs: bool,
    fail_creates: bool,
    /// From this offset of each file on there is no room.
    full_from: Option<u64>,
    /// When a write has found no room no other one does.
    full_after: bool,
    /// Syncs wait while this is set.
    gate_closed: bool,
    syncs_started: usize,
    writes: usize,
}

#[derive(Default)]
struct MemFile {
    path: String,
    control: Arc<Control>,
    image: Mutex<Image>,
}

#[derive(Default)]
struct Image {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Unsynced writes of at most a sector, in order.
    pending: Vec<(usize, Vec<u8>)>,
}

impl Image {
    fn make_durable(&mut self, mut keep: impl FnMut() -> bool) {
        for (offset, bytes) in std::mem::take(&mut self.pending) {
            if keep() {
                self.durable[offset..offset + bytes.len()].copy_from_slice(&bytes);
            }
        }
    }
}

impl MemDisk {
    pub(super) fn new() -> Arc<MemDisk> {
        Arc::new(MemDisk::default())
    }

    /// Power loss: `keep` decides for each unsynced sector.
    pub(super) fn crash(&self, mut keep: impl FnMut() -> bool) {
        for file in self.files.lock().values() {
            let mut image = file.image.lock();
            image.make_durable(&mut keep);
            image.live = image.durable.clone();
        }
    }

    /// Changes the bytes of a file on the medium.
    pub(super) fn edit(&self, path: &str, edit: impl FnOnce(&mut [u8])) {
        let file = self.file(path).unwrap();
        let mut image = file.image.lock();
        image.make_durable(|| true);
        edit(&mut image.durable);
        image.live = image.durable.clone();
    }

    pub(super) fn fail_writes(&self, fail: bool) {
        self.control.state.lock().fail_writes = fail;
    }

    pub(super) fn fail_syncs(&self, fail: bool) {
        self.control.state.lock().fail_syncs = fail;
    }

    pub(super) fn fail_creates(&self, fail: bool) {
        self.control.state.lock().fail_creates = fail;
    }

    /// Writes get what lies below this offset of a file, and no room beyond; with `after`, once
    /// one was refused, none gets anything.
    pub(super) fn fill_from(&self, offset: Option<u64>, after: bool) {
        let mut state = self.control.state.lock();
        (state.full_from, state.full_after) = (offset, after);
    }

    /// Makes syncs wait, or lets them go on.
    pub(super) fn close_gate(&self, closed: bool) {
        self.control.state.lock().gate_closed = closed;
        self.control.changed.notify_all();
    }

    pub(super) fn syncs_started(&self) -> usize {
        self.control.state.lock().syncs_started
    }

    pub(super) fn writes(&self) -> usize {
        self.control.state.lock().writes
    }

    /// Returns when so many syncs have been started.
    pub(super) fn wait_for_syncs(&self, count: usize) {
        let mut state = self.control.state.lock();
        while state.syncs_started < count {
            self.control.changed.wait(&mut state);
        }
    }

    fn file(&self, path: &str) -> Option<Arc<MemFile>> {
        self.files.lock().get(path).cloned()
    }
}

fn fail(action: &str, path: &str, kind: io::ErrorKind) -> DiskError {
    DiskError::new(action, path, kind.into())
}

impl Disk for MemDisk {
    fn create(&self, path: &str) -> DiskResult<Arc<dyn DiskFile>> {
        if self.control.state.lock().fail_creates {
            return Err(fail("create", path, io::ErrorKind::StorageFull));
        }
        let control = Arc::clone(&self.control);
        let file = Arc::new(MemFile {
            path: path.to_owned(),
            control,
            image: Mutex::default(),
        });
        if self
            .files
            .lock()
            .insert(path.to_owned(), file.clone())
            .is_some()
        {
            return Err(fail("create", path, io::ErrorKind::AlreadyExists));
        }
        Ok(file)
    }

    fn open(&self, path: &str) -> DiskResult<Arc<dyn DiskFile>> {
        let file = self
            .file(path)
            .ok_or_else(|| fail("open", path, io::ErrorKind::NotFound))?;
        Ok(file)
    }

    fn remove(&self, path: &str) -> DiskResult<()> {
        let removed = self.files.lock().remove(path);
        removed
            .map(|_| ())
            .ok_or_else(|| fail("remove", path, io::ErrorKind::NotFound))
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        let mut files = self.files.lock();
        let file = files
            .remove(from)
            .ok_or_else(|| fail("rename", from, io::ErrorKind::NotFound))?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn create_dir(&self, _path: &str) -> DiskResult<()> {
        Ok(())
    }

    fn list(&self, dir: &str) -> DiskResult<Vec<String>> {
        let prefix = format!("{dir}/");
        let files = self.files.lock();
        Ok(files
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix))
            .map(str::to_owned)
            .collect())
    }

    fn sync_dir(&self, _dir: &str, _step: Step) -> DiskResult<()> {
        Ok(())
    }

    fn space(&self) -> DiskResult<DiskSpace> {
        Ok(DiskSpace {
            free: 1 << 40,
            total: 1 << 40,
        })
    }
}

impl DiskFile for MemFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> DiskResult<()> {
        let image = self.image.lock();
        let range = offset as usize..offset as usize + buf.len();
        let bytes = image
            .live
            .get(range)
            .ok_or_else(|| fail("read", &self.path, io::ErrorKind::UnexpectedEof))?;
        buf.copy_from_slice(bytes);
        Ok(())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> DiskResult<usize> {
        let len = buf.len().min((self.len()? - offset) as usize);
        self.read_exact_at(&mut buf[..len], offset)?;
        Ok(len)
    }

    fn write_at(&self, parts: &[&[u8]], offset: u64) -> DiskResult<()> {
        let mut bytes = parts.concat();
        let mut outcome = Ok(());
        {
            let mut state = self.control.state.lock();
            state.writes += 1;
            if state.fail_writes {
                return Err(fail("write", &self.path, io::ErrorKind::Other));
            }
            let fitting = state
                .full_from
                .map_or(u64::MAX, |from| from.saturating_sub(offset));
            if fitting < bytes.len() as u64 {
                bytes.truncate(fitting as usize);
                outcome = Err(fail("write", &self.path, io::ErrorKind::StorageFull));
                if state.full_after {
                    state.full_from = Some(0);
                }
            }
        }
        let mut image = self.image.lock();
        let end = offset as usize + bytes.len();
        if image.live.len() < end {
            image.live.resize(end, 0);
            image.durable.resize(end, 0);
        }
        image.live[offset as usize..end].copy_from_slice(&bytes);
        let mut at = offset as usize;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (sector, behind) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
            image.pending.push((at, sector.to_vec()));
            at += sector.len();
            rest = behind;
        }
        outcome
    }

    fn len(&self) -> DiskResult<u64> {
        Ok(self.image.lock().live.len() as u64)
    }

    fn set_len(&self, len: u64) -> DiskResult<()> {
        let mut image = self.image.lock();
        image.live.resize(len as usize, 0);
        image.durable.resize(len as usize, 0);
        Ok(())
    }

    /// Only what was written before it was called is durable afterwards.
    fn sync(&self, _step: Step) -> DiskResult<()> {
        let unsynced = std::mem::take(&mut self.image.lock().pending);
        let mut state = self.control.state.lock();
        state.syncs_started += 1;
        self.control.changed.notify_all();
        while state.gate_closed {
            self.control.changed.wait(&mut state);
        }
        if state.fail_syncs {
            return Err(fail("sync", &self.path, io::ErrorKind::Other));
        }
        drop(state);
        let mut image = self.image.lock();
        let later = std::mem::replace(&mut image.pending, unsynced);
        image.make_durable(|| true);
        image.pending = later;
        Ok(())
    }

    fn start_writeback(&self, _offset: u64, _len: u64) {}

    /// Only what was lost by a failed sync changes.
    fn drop_cache(&self, _step: Step) {
        let mut image = self.image.lock();
        let mut live = image.durable.clone();
        for (offset, bytes) in &image.pending {
            live[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        image.live = live;
    }
}
