//! Files in memory that nobody changes: what a decoder of whole files is fed with.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::{Disk, DiskError, DiskFile, DiskResult, DiskSpace, Step};

/// A folder of files with given bytes. Syncs do nothing; every change is refused.
pub(crate) struct ImageDisk {
    files: BTreeMap<String, Arc<ImageFile>>,
}

/// One of the files.
pub(crate) struct ImageFile {
    path: String,
    bytes: Vec<u8>,
}

impl ImageDisk {
    /// The folder with these files: paths and bytes.
    pub(crate) fn new(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> ImageDisk {
        let files = files.into_iter().map(|(path, bytes)| {
            let file = ImageFile {
                path: path.clone(),
                bytes,
            };
            (path, Arc::new(file))
        });
        ImageDisk {
            files: files.collect(),
        }
    }
}

fn fail(action: &str, path: &str, kind: io::ErrorKind) -> DiskError {
    DiskError::new(action, path, kind.into())
}

fn refuse<T>(action: &str, path: &str) -> DiskResult<T> {
    Err(fail(action, path, io::ErrorKind::ReadOnlyFilesystem))
}

impl Disk for ImageDisk {
    fn create(&self, path: &str) -> DiskResult<Arc<dyn DiskFile>> {
        refuse("create", path)
    }

    fn open(&self, path: &str) -> DiskResult<Arc<dyn DiskFile>> {
        match self.files.get(path) {
            Some(file) => Ok(file.clone()),
            None => Err(fail("open", path, io::ErrorKind::NotFound)),
        }
    }

    fn remove(&self, path: &str) -> DiskResult<()> {
        refuse("remove", path)
    }

    fn rename(&self, from: &str, _to: &str) -> DiskResult<()> {
        refuse("rename", from)
    }

    fn create_dir(&self, path: &str) -> DiskResult<()> {
        refuse("create", path)
    }

    fn list(&self, dir: &str) -> DiskResult<Vec<String>> {
        let name = |path: &String| {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            (folder == dir).then(|| name.to_owned())
        };
        Ok(self.files.keys().filter_map(name).collect())
    }

    fn sync_dir(&self, _dir: &str, _step: Step) -> DiskResult<()> {
        Ok(())
    }

    fn space(&self) -> DiskResult<DiskSpace> {
        Ok(DiskSpace { free: 0, total: 0 })
    }
}

impl DiskFile for ImageFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> DiskResult<()> {
        if self.read_at(buf, offset)? < buf.len() {
            return Err(fail("read", &self.path, io::ErrorKind::UnexpectedEof));
        }
        Ok(())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> DiskResult<usize> {
        let start = usize::try_from(offset).map_or(self.bytes.len(), |at| at.min(self.bytes.len()));
        let len = buf.len().min(self.bytes.len() - start);
        buf[..len].copy_from_slice(&self.bytes[start..start + len]);
        Ok(len)
    }

    fn write_at(&self, _parts: &[&[u8]], _offset: u64) -> DiskResult<()> {
        refuse("write", &self.path)
    }

    fn len(&self) -> DiskResult<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn set_len(&self, _len: u64) -> DiskResult<()> {
        refuse("set the length of", &self.path)
    }

    fn sync(&self, _step: Step) -> DiskResult<()> {
        Ok(())
    }

    fn start_writeback(&self, _offset: u64, _len: u64) {}

    fn drop_cache(&self, _step: Step) {}
}
