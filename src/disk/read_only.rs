//! A medium that is only looked at.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::{Disk, DiskError, DiskFile, DiskResult, DiskSpace, Step};

/// Passes reads on and refuses everything that would change a byte or a name. Syncs pass: they
/// change nothing that a reader could see, and after one what is read is what the medium holds.
pub struct ReadOnlyDisk {
    inner: Arc<dyn Disk>,
}

impl ReadOnlyDisk {
    /// The same medium, not to be changed.
    pub fn new(inner: Arc<dyn Disk>) -> ReadOnlyDisk {
        ReadOnlyDisk { inner }
    }
}

fn refused<T>(action: &str, path: &str) -> DiskResult<T> {
    let source = io::ErrorKind::ReadOnlyFilesystem.into();
    Err(DiskError::new(action, path, source))
}

impl Disk for ReadOnlyDisk {
    fn create(&self, path: &str) -> DiskResult<Arc<dyn DiskFile>> {
        refused("create", path)
    }

    fn open(&self, path: &str) -> DiskResult<Arc<dyn DiskFile>> {
        let inner = self.inner.open(path)?;
        let path = path.to_owned();
        Ok(Arc::new(ReadOnlyFile { inner, path }))
    }

    fn remove(&self, path: &str) -> DiskResult<()> {
        refused("remove", path)
    }

    fn rename(&self, from: &str, _to: &str) -> DiskResult<()> {
        refused("rename", from)
    }

    fn create_dir(&self, path: &str) -> DiskResult<()> {
        refused("create", path)
    }

    fn list(&self, dir: &str) -> DiskResult<Vec<String>> {
        self.inner.list(dir)
    }

    fn sync_dir(&self, dir: &str, step: Step) -> DiskResult<()> {
        self.inner.sync_dir(dir, step)
    }

    fn space(&self) -> DiskResult<DiskSpace> {
        self.inner.space()
    }
}

struct ReadOnlyFile {
    inner: Arc<dyn DiskFile>,
    path: String,
}

impl DiskFile for ReadOnlyFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> DiskResult<()> {
        self.inner.read_exact_at(buf, offset)
    }

    fn read_cached_at(&self, buf: &mut [u8], offset: u64) -> bool {
        self.inner.read_cached_at(buf, offset)
    }

    fn read_ahead(&self, bytes: Range<u64>) {
        self.inner.read_ahead(bytes);
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> DiskResult<usize> {
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, _parts: &[&[u8]], _offset: u64) -> DiskResult<()> {
        refused("write to", &self.path)
    }

    fn len(&self) -> DiskResult<u64> {
        self.inner.len()
    }

    fn set_len(&self, _len: u64) -> DiskResult<()> {
        refused("set the length of", &self.path)
    }

    fn sync(&self, step: Step) -> DiskResult<()> {
        self.inner.sync(step)
    }

    fn start_writeback(&self, _offset: u64, _len: u64) {}

    fn drop_cache(&self, step: Step) {
        self.inner.drop_cache(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::FileDisk;

    /// Reads pass; nothing that changes a byte or a name does, whichever way it is tried.
    #[test]
    fn nothing_can_be_changed() {
        let folder = tempfile::tempdir().unwrap();
        let inner = Arc::new(FileDisk::new(folder.path()));
        inner
            .create("file")
            .unwrap()
            .write_at(&[b"content"], 0)
            .unwrap();
        let disk = ReadOnlyDisk::new(inner);

        let file = disk.open("file").unwrap();
        let mut bytes = [0; 7];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!((&bytes, file.len().unwrap()), (b"content", 7));
        assert_eq!(disk.list("").unwrap(), ["file"]);

        assert!(file.write_at(&[b"x"], 0).is_err());
        assert!(file.set_len(0).is_err());
        assert!(disk.create("other").is_err());
        assert!(disk.create_dir("folder").is_err());
        assert!(disk.rename("file", "other").is_err());
        assert!(disk.remove("file").is_err());
        assert_eq!(disk.list("").unwrap(), ["file"]);
        assert_eq!(
            std::fs::read(folder.path().join("file")).unwrap(),
            b"content"
        );
    }
}
