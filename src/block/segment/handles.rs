//! Open files of segments, bounded in number.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::base::SegmentId;
use crate::disk::{DiskFile, DiskResult};

/// A table of open files. Readers share a file through its `Arc`, so that one that is pushed out,
/// or whose segment is deleted, stays readable for those who have it.
pub(super) struct Handles {
    files: RwLock<HashMap<SegmentId, Handle>>,
    /// Counts uses, to tell which file was used longest ago.
    uses: AtomicU64,
    files_max: usize,
}

struct Handle {
    file: Arc<dyn DiskFile>,
    used: AtomicU64,
}

impl Handles {
    /// An empty table for at most `files_max` files.
    pub(super) fn new(files_max: usize) -> Handles {
        Handles {
            files: RwLock::default(),
            uses: AtomicU64::new(0),
            files_max,
        }
    }

    fn tick(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    /// The segment's file; `open` is called if it is not in the table.
    pub(super) fn get(
        &self,
        segment: SegmentId,
        open: impl FnOnce() -> DiskResult<Arc<dyn DiskFile>>,
    ) -> DiskResult<Arc<dyn DiskFile>> {
        if let Some(handle) = self.files.read().get(&segment) {
            handle.used.store(self.tick(), Ordering::Relaxed);
            return Ok(handle.file.clone());
        }
        let file = open()?;
        self.insert(segment, file.clone());
        Ok(file)
    }

    /// Puts a file into the table; the one used longest ago has to go if there are too many.
    pub(super) fn insert(&self, segment: SegmentId, file: Arc<dyn DiskFile>) {
        let handle = Handle {
            file,
            used: AtomicU64::new(self.tick()),
        };
        let mut files = self.files.write();
        let replaced = files.insert(segment, handle);
        let mut pushed_out = None;
        if files.len() > self.files_max {
            let oldest = files
                .iter()
                .min_by_key(|(_, handle)| handle.used.load(Ordering::Relaxed))
                .map(|(&segment, _)| segment);
            pushed_out = oldest.and_then(|segment| files.remove(&segment));
        }
        drop(files);
        // Files are closed outside of the lock.
        drop((replaced, pushed_out));
    }

    /// Takes a segment's file out of the table.
    pub(super) fn remove(&self, segment: SegmentId) {
        let removed = self.files.write().remove(&segment);
        drop(removed);
    }

    /// Empties the table.
    pub(super) fn clear(&self) {
        let files = std::mem::take(&mut *self.files.write());
        drop(files);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, FileDisk};

    /// The table stays within its bound, keeps what is used, and reopens what it pushed out.
    #[test]
    fn the_longest_unused_file_is_pushed_out() {
        let folder = tempfile::tempdir().unwrap();
        let disk = FileDisk::new(folder.path());
        for name in ["0", "1", "2"] {
            disk.create(name)
                .unwrap()
                .write_at(&[name.as_bytes()], 0)
                .unwrap();
        }
        let handles = Handles::new(2);
        let mut opened = Vec::new();
        let mut read = |number: u64| {
            let file = handles.get(SegmentId(number), || {
                opened.push(number);
                disk.open(&number.to_string())
            });
            let mut byte = [0];
            file.unwrap().read_exact_at(&mut byte, 0).unwrap();
            assert_eq!(byte[0], b'0' + number as u8);
        };

        for number in [0, 1, 0, 0, 2, 0, 2, 1] {
            read(number);
        }
        assert_eq!(opened, [0, 1, 2, 1]);
        assert_eq!(handles.files.read().len(), 2);
    }
}
