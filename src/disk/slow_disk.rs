//! A medium whose calls take time: explored threads may run before, after and in the midst of each.

use std::sync::Arc;

use super::{Disk, DiskFile, DiskResult, DiskSpace, Step};
use crate::base::sync::switch;

/// Another medium, slowly. Other threads may run between a call's beginning, its effect and its
/// end; a write takes effect in two halves.
pub(crate) struct SlowDisk(Arc<dyn Disk>);

struct SlowFile(Arc<dyn DiskFile>);

impl SlowDisk {
    /// Calls of `disk`, slowly.
    pub(crate) fn new(disk: impl Disk) -> Arc<SlowDisk> {
        Arc::new(SlowDisk(Arc::new(disk)))
    }
}

fn slowly<R>(effect: impl FnOnce() -> R) -> R {
    switch();
    let result = effect();
    switch();
    result
}

fn slow_file(file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
    Arc::new(SlowFile(file))
}

impl Disk for SlowDisk {
    fn create(&self, path: &str) -> DiskResult<Arc<dyn DiskFile>> {
        slowly(|| self.0.create(path)).map(slow_file)
    }

    fn open(&self, path: &str) -> DiskResult<Arc<dyn DiskFile>> {
        slowly(|| self.0.open(path)).map(slow_file)
    }

    fn remove(&self, path: &str) -> DiskResult<()> {
        slowly(|| self.0.remove(path))
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        slowly(|| self.0.rename(from, to))
    }

    fn create_dir(&self, path: &str) -> DiskResult<()> {
        slowly(|| self.0.create_dir(path))
    }

    fn list(&self, dir: &str) -> DiskResult<Vec<String>> {
        slowly(|| self.0.list(dir))
    }

    fn sync_dir(&self, dir: &str, step: Step) -> DiskResult<()> {
        slowly(|| self.0.sync_dir(dir, step))
    }

    fn space(&self) -> DiskResult<DiskSpace> {
        self.0.space()
    }
}

impl DiskFile for SlowFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> DiskResult<()> {
        slowly(|| self.0.read_exact_at(buf, offset))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> DiskResult<usize> {
        slowly(|| self.0.read_at(buf, offset))
    }

    fn write_at(&self, parts: &[&[u8]], offset: u64) -> DiskResult<()> {
        let bytes = parts.concat();
        let (first, second) = bytes.split_at(bytes.len() / 2);
        slowly(|| self.0.write_at(&[first], offset))?;
        slowly(|| self.0.write_at(&[second], offset + first.len() as u64))
    }

    fn len(&self) -> DiskResult<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> DiskResult<()> {
        slowly(|| self.0.set_len(len))
    }

    fn sync(&self, step: Step) -> DiskResult<()> {
        slowly(|| self.0.sync(step))
    }

    fn start_writeback(&self, offset: u64, len: u64) {
        self.0.start_writeback(offset, len);
    }

    fn uncache(&self) {
        self.0.uncache();
    }

    fn drop_cache(&self, step: Step) {
        self.0.drop_cache(step);
    }
}
