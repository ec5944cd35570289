//! The only place that touches the pool's files (sled's folder apart, which is derived data).
//!
//! Paths are relative to the pool's folder, with `/` between parts. Everything above works on
//! [`Disk`], so that tests can put a simulated medium underneath.

mod error;
mod file_disk;
#[cfg(any(test, feature = "fuzzing"))]
mod image_disk;
mod lock;
mod read_only;
mod replace;
mod retry;
#[cfg(test)]
mod sim_disk;
#[cfg(test)]
mod slow_disk;
mod step;

use std::ops::Range;
use std::sync::Arc;

pub use error::{DiskError, DiskResult};
pub use file_disk::FileDisk;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use image_disk::ImageDisk;
pub use lock::{LockFailure, PoolLock};
pub use read_only::ReadOnlyDisk;
pub use replace::{Replacing, replace_file};
#[cfg(test)]
pub(crate) use sim_disk::{AtStep, Fault, Rates, SimDisk};
#[cfg(test)]
pub(crate) use slow_disk::SlowDisk;
pub use step::Step;
pub(crate) use step::performs;

/// A folder of files on a medium.
pub trait Disk: Send + Sync + 'static {
    /// Creates a file for reading and writing; fails if it exists. The entry is durable only
    /// after [`Disk::sync_dir`] of its folder.
    fn create(&self, path: &str) -> DiskResult<Arc<dyn DiskFile>>;

    /// Opens an existing file for reading and writing.
    fn open(&self, path: &str) -> DiskResult<Arc<dyn DiskFile>>;

    /// Removes a file; open handles stay readable.
    fn remove(&self, path: &str) -> DiskResult<()>;

    /// Renames a file over another one, atomically.
    fn rename(&self, from: &str, to: &str) -> DiskResult<()>;

    /// Creates a folder; succeeds if it exists.
    fn create_dir(&self, path: &str) -> DiskResult<()>;

    /// Names in a folder, sorted; `""` is the pool's folder.
    fn list(&self, dir: &str) -> DiskResult<Vec<String>>;

    /// Makes the folder's entries durable: creations, removals, renames. `step` is what that is
    /// needed for.
    fn sync_dir(&self, dir: &str, step: Step) -> DiskResult<()>;

    /// Whether a test leaves this step out.
    #[cfg(test)]
    fn leaves_out(&self, _step: Step) -> bool {
        false
    }

    /// Free and total bytes of the medium, as an unprivileged process may use them.
    fn space(&self) -> DiskResult<DiskSpace>;
}

/// Room on the medium, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskSpace {
    /// Bytes that can still be allocated.
    pub free: u64,
    /// Size of the medium.
    pub total: u64,
}

/// An open file of the pool. Methods may be called from several threads at once.
pub trait DiskFile: Send + Sync {
    /// Fills `buf` from `offset`; an error if the file ends before.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> DiskResult<()>;

    /// As [`DiskFile::read_exact_at`], but only if that needs no wait for the medium. False: it
    /// does, or nobody knows, and `buf` holds anything.
    fn read_cached_at(&self, _buf: &mut [u8], _offset: u64) -> bool {
        false
    }

    /// Begins to read bytes into memory, without waiting for them and without any promise.
    fn read_ahead(&self, _bytes: Range<u64>) {}

    /// Reads what there is, up to `buf.len()` bytes; less only at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> DiskResult<usize>;

    /// Writes all of `parts`, one behind the other, at `offset`; a short write is an error.
    fn write_at(&self, parts: &[&[u8]], offset: u64) -> DiskResult<()>;

    /// Length in bytes.
    fn len(&self) -> DiskResult<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> DiskResult<bool> {
        Ok(self.len()? == 0)
    }

    /// Sets the length in bytes.
    fn set_len(&self, len: u64) -> DiskResult<()>;

    /// Lengthens the file to `len` bytes that the medium has room for, zeros. An error leaves any
    /// length.
    fn allocate(&self, len: u64) -> DiskResult<()> {
        static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
        let mut end = self.len()?;
        while end < len {
            let piece = (len - end).min(ZEROS.len() as u64);
            self.write_at(&[&ZEROS[..piece as usize]], end)?;
            end += piece;
        }
        Ok(())
    }

    /// fdatasync: data and length are on the medium when it returns. After an error nothing about
    /// the unsynced bytes is known, and a later success proves nothing for them. `step` is what it
    /// is needed for.
    fn sync(&self, step: Step) -> DiskResult<()>;

    /// Starts writing the range to the medium, without waiting and without any promise.
    fn start_writeback(&self, offset: u64, len: u64);

    /// Drops clean cached pages before small writes into a file; a hint. They lie in folios as
    /// large as they were written or read ahead, and ext4 looks at all buffers of a folio for each
    /// write into it; what is not cached gets folios as small as the writes.
    fn uncache(&self) {}

    /// Drops clean cached pages, so that the next read comes from the medium. `step` is what it is
    /// needed for.
    fn drop_cache(&self, step: Step);
}
