//! One owner per pool.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Held by the pool's owner; given back when dropped or when the process dies.
#[derive(Debug)]
pub struct PoolLock {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug)]
pub enum LockFailure {
    /// Another process holds it; 0 if it did not say who it is.
    Held {
        /// Its process id.
        pid: u32,
    },
    /// The file cannot be used.
    Io(io::Error),
}

impl PoolLock {
    /// Takes the lock `path` without waiting, and writes the process id into it.
    pub fn take(path: &Path) -> Result<PoolLock, LockFailure> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(LockFailure::Io)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let read = file.read_to_string(&mut text);
                let pid = read
                    .ok()
                    .and_then(|_| text.trim().parse().ok())
                    .unwrap_or(0);
                return Err(LockFailure::Held { pid });
            }
            Err(errno) => return Err(LockFailure::Io(errno.into())),
        }
        // Overwritten in place and of one length, so that it needs no room on a full disk. It is
        // only there to be told to others.
        let written = file
            .rewind()
            .and_then(|()| writeln!(file, "{:<10}", std::process::id()));
        if let Err(error) = written {
            log::warn!(
                "cannot write the process id into '{}': {error}",
                path.display()
            );
        }
        Ok(PoolLock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second taker learns who holds the lock, and gets it once it is given back.
    #[test]
    fn the_second_taker_learns_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = PoolLock::take(&path).unwrap();
        match PoolLock::take(&path) {
            Err(LockFailure::Held { pid }) => assert_eq!(pid, std::process::id()),
            other => panic!("{other:?}"),
        }
        drop(first);
        PoolLock::take(&path).unwrap();
    }
}
