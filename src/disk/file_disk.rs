//! The real medium: a folder of the host's filesystem.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::os::unix::io::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::ReadWriteFlags;

use super::retry::repeat;
use super::{Disk, DiskError, DiskFile, DiskResult, DiskSpace, Step};

/// A folder of the host's filesystem. Files are made 0600, folders 0700.
pub struct FileDisk {
    root: PathBuf,
}

impl FileDisk {
    /// The folder at `root`, which must exist.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        FileDisk { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn open_with(&self, path: &str, action: &str, create: bool) -> DiskResult<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(create)
            .mode(0o600)
            .custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW)
            .open(self.root.join(path))
            .map_err(|source| DiskError::new(action, path, source))?;
        Ok(Arc::new(HostFile {
            file,
            path: path.to_owned(),
        }))
    }
}

impl Disk for FileDisk {
    fn create(&self, path: &str) -> DiskResult<Arc<dyn DiskFile>> {
        self.open_with(path, "create", true)
    }

    fn open(&self, path: &str) -> DiskResult<Arc<dyn DiskFile>> {
        self.open_with(path, "open", false)
    }

    fn remove(&self, path: &str) -> DiskResult<()> {
        fs::remove_file(self.root.join(path))
            .map_err(|source| DiskError::new("remove", path, source))
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        fs::rename(self.root.join(from), self.root.join(to))
            .map_err(|source| DiskError::new(format!("rename to '{to}'"), from, source))
    }

    fn create_dir(&self, path: &str) -> DiskResult<()> {
        fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(self.root.join(path))
            .map_err(|source| DiskError::new("create folder", path, source))
    }

    fn list(&self, dir: &str) -> DiskResult<Vec<String>> {
        let fail = |source| DiskError::new("list", dir, source);
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join(dir)).map_err(fail)? {
            // The pool makes no other names; what is not UTF-8 is not ours.
            if let Ok(name) = entry.map_err(fail)?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self, dir: &str, _step: Step) -> DiskResult<()> {
        File::open(self.root.join(dir))
            .and_then(|folder| Ok(rustix::fs::fsync(&folder)?))
            .map_err(|source| DiskError::new("sync folder", dir, source))
    }

    fn space(&self) -> DiskResult<DiskSpace> {
        let stat = rustix::fs::statvfs(&self.root)
            .map_err(|source| DiskError::new("read the free space of", "", source.into()))?;
        Ok(DiskSpace {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }
}

struct HostFile {
    file: File,
    path: String,
}

impl HostFile {
    fn fail(&self, action: impl Into<String>) -> impl FnOnce(io::Error) -> DiskError {
        let (action, path) = (action.into(), self.path.clone());
        move |source| DiskError {
            action,
            path,
            source,
        }
    }
}

impl DiskFile for HostFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> DiskResult<()> {
        match self.read_at(buf, offset)? == buf.len() {
            true => Ok(()),
            false => {
                let action = format!("read {} bytes at {offset} of", buf.len());
                Err(self.fail(action)(io::ErrorKind::UnexpectedEof.into()))
            }
        }
    }

    fn read_cached_at(&self, buf: &mut [u8], offset: u64) -> bool {
        let wanted = buf.len();
        let parts = &mut [IoSliceMut::new(buf)];
        // An error is one of those who do not know the flag, or is met again by the read proper.
        let read = rustix::io::preadv2(&self.file, parts, offset, ReadWriteFlags::NOWAIT);
        read.is_ok_and(|read| read == wanted)
    }

    fn read_ahead(&self, bytes: Range<u64>) {
        let len = NonZeroU64::new(bytes.end.saturating_sub(bytes.start));
        let advice = rustix::fs::Advice::WillNeed;
        if len.is_some()
            && let Err(errno) = rustix::fs::fadvise(&self.file, bytes.start, len, advice)
        {
            log::debug!("nothing of '{}' is read ahead: {errno}", self.path);
        }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> DiskResult<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            let (rest, at) = (&mut buf[filled..], offset + filled as u64);
            match repeat(|| self.file.read_at(rest, at)) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(source) => {
                    let action = format!("read {} bytes at {offset} of", buf.len());
                    return Err(self.fail(action)(source));
                }
            }
        }
        Ok(filled)
    }

    fn write_at(&self, parts: &[&[u8]], offset: u64) -> DiskResult<()> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, 0);
        let mut written = 0;
        while !rest.is_empty() {
            let at = offset + written as u64;
            match repeat(|| Ok(rustix::io::pwritev(&self.file, rest, at)?)) {
                Ok(0) => return Err(self.fail("write to")(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    written += count;
                    IoSlice::advance_slices(&mut rest, count);
                }
                Err(source) => {
                    let action = format!("write {total} bytes at {offset} of");
                    return Err(self.fail(action)(source));
                }
            }
        }
        Ok(())
    }

    fn len(&self) -> DiskResult<u64> {
        Ok(self
            .file
            .metadata()
            .map_err(self.fail("read the length of"))?
            .len())
    }

    fn set_len(&self, len: u64) -> DiskResult<()> {
        repeat(|| self.file.set_len(len)).map_err(self.fail(format!("set the length to {len} of")))
    }

    fn allocate(&self, len: u64) -> DiskResult<()> {
        // fallocate(2), or zeros where the filesystem does not know that.
        let fd = self.file.as_raw_fd();
        // SAFETY: the descriptor is open for as long as `self` lives; no memory is passed.
        let allocate = || match unsafe { libc::posix_fallocate(fd, 0, len as libc::off64_t) } {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        };
        repeat(allocate).map_err(self.fail(format!("allocate {len} bytes of")))
    }

    /// An interrupted fdatasync is an error like any other: the kernel may have reported a lost
    /// page with it, and would then say nothing of that to a second call.
    fn sync(&self, _step: Step) -> DiskResult<()> {
        // Not `File::sync_data`, which calls again when it is interrupted.
        rustix::fs::fdatasync(&self.file).map_err(|errno| self.fail("sync")(errno.into()))
    }

    fn start_writeback(&self, offset: u64, len: u64) {
        // SAFETY: the descriptor is open for as long as `self` lives; no memory is passed.
        // A hint: what fails here fails again, and is reported, at the sync.
        let _ = unsafe {
            libc::sync_file_range(
                self.file.as_raw_fd(),
                offset as libc::off64_t,
                len as libc::off64_t,
                libc::SYNC_FILE_RANGE_WRITE,
            )
        };
    }

    fn uncache(&self) {
        self.drop_pages();
    }

    fn drop_cache(&self, _step: Step) {
        self.drop_pages();
    }
}

impl HostFile {
    fn drop_pages(&self) {
        let advice = rustix::fs::Advice::DontNeed;
        if let Err(errno) = rustix::fs::fadvise(&self.file, 0, None, advice) {
            log::warn!("cannot drop the cached pages of '{}': {errno}", self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An allocated file has its length and its room, and is zeros.
    #[test]
    fn allocation_takes_room() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let disk = FileDisk::new(folder.path());
        let file = disk.create("f").unwrap();
        file.allocate(3 << 20).unwrap();
        let metadata = fs::metadata(folder.path().join("f")).unwrap();
        assert_eq!(metadata.len(), 3 << 20);
        assert!(metadata.blocks() * 512 >= 3 << 20);
        let mut last = [1];
        file.read_exact_at(&mut last, (3 << 20) - 1).unwrap();
        assert_eq!(last, [0]);
    }

    /// What was just written is in memory, what lies behind the end is nowhere, and reading ahead
    /// changes nothing.
    #[test]
    fn cached_bytes_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let disk = FileDisk::new(folder.path());
        let file = disk.create("f").unwrap();
        file.write_at(&[b"content"], 0).unwrap();
        let mut buf = [0; 4];
        assert!(file.read_cached_at(&mut buf, 3));
        assert_eq!(&buf, b"tent");
        assert!(!file.read_cached_at(&mut buf, 4));
        file.read_ahead(0..0);
        file.read_ahead(5..1 << 30);
        assert_eq!(file.len().unwrap(), 7);
    }

    /// What is written in parts is read back as one, and a read past the end is told apart.
    #[test]
    fn parts_are_written_behind_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let disk = FileDisk::new(folder.path());
        disk.create_dir("a").unwrap();
        let file = disk.create("a/f").unwrap();
        file.write_at(&[b"one", b"", b"two"], 4).unwrap();
        file.sync(Step::JournalBeforeReply).unwrap();
        disk.sync_dir("a", Step::SegmentNamed).unwrap();

        let mut buf = [1; 10];
        file.read_exact_at(&mut buf, 0).unwrap();
        assert_eq!(&buf, b"\0\0\0\0onetwo");
        assert_eq!(file.read_at(&mut buf, 8).unwrap(), 2);
        let error = file.read_exact_at(&mut buf, 8).unwrap_err();
        assert_eq!(error.to_string(), "cannot read 10 bytes at 8 of 'a/f'");
        assert_eq!(disk.list("a").unwrap(), ["f"]);
        assert!(disk.open("a/missing").err().unwrap().is_not_found());
    }
}
