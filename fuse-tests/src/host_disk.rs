//! A filesystem below a pool, whose power can fail.
//!
//! It lies on a loop device over a sparse file. The loss of power is the filesystem's own
//! emergency stop, FS_IOC_SHUTDOWN without a flush of its log: every dirty page and every record
//! of its journal that was not committed is gone, and all further I/O fails.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::ioctl::{Setter, ioctl, opcode};

use crate::mounts;
use crate::run::{eventually, run};

/// Length of the file; XFS wants at least 300 MiB.
const IMAGE_BYTES: u64 = 3 << 30;
/// `_IOR('X', 125, __u32)` of linux/fs.h and xfs_fs.h.
const FS_IOC_SHUTDOWN: rustix::ioctl::Opcode = opcode::read::<u32>(b'X', 125);
/// Do not write out the log before stopping.
const NO_LOG_FLUSH: u32 = 2;
/// How long processes that were killed may hold files of it.
const RELEASE_LIMIT: Duration = Duration::from_secs(30);

/// What the host's disk is formatted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostFs {
    /// ext4 as mkfs makes it.
    Ext4,
    /// XFS as mkfs makes it.
    Xfs,
}

/// A mounted filesystem of its own. Dropped, it is unmounted, and its loop device is gone.
#[derive(Debug)]
pub struct HostDisk {
    image: PathBuf,
    path: PathBuf,
}

impl HostDisk {
    /// Makes and mounts one at `folder/disk`, over the file `folder/disk.img`.
    #[track_caller]
    pub fn new(folder: &Path, fs: HostFs) -> HostDisk {
        let disk = HostDisk {
            image: folder.join("disk.img"),
            path: folder.join("disk"),
        };
        let image = File::create(&disk.image).expect("the folder is ours");
        image.set_len(IMAGE_BYTES).expect("a sparse file");
        std::fs::create_dir(&disk.path).expect("the folder is new");
        let mut format = match fs {
            HostFs::Ext4 => Command::new("mkfs.ext4"),
            HostFs::Xfs => Command::new("mkfs.xfs"),
        };
        run(format.arg("-q").arg(&disk.image)).ok();
        disk.mount();
        disk
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From now on only what was synced exists, and every access fails with EIO.
    #[track_caller]
    pub fn lose_power(&self) {
        let root = File::open(&self.path).expect("it is mounted");
        // SAFETY: the request reads one u32, which is what the setter points to.
        unsafe {
            ioctl(&root, Setter::<FS_IOC_SHUTDOWN, u32>::new(NO_LOG_FLUSH))
                .expect("root may shut a filesystem down");
        }
    }

    /// Mounts it again, as a machine does when it starts: the filesystem replays its journal.
    /// Nobody may use it any more.
    #[track_caller]
    pub fn restart(&self) {
        eventually("the disk is free", RELEASE_LIMIT, || {
            run(Command::new("umount").arg(&self.path)).code == 0
        });
        // As long as a mount namespace of another test has it, mounting would bring back the
        // filesystem that was shut down.
        eventually("nobody else has the disk", RELEASE_LIMIT, || {
            let mut devices = Command::new("losetup");
            run(devices.arg("--associated").arg(&self.image))
                .ok()
                .is_empty()
        });
        self.mount();
    }

    /// The loop device goes with the last user of the mount, whatever ends it.
    #[track_caller]
    fn mount(&self) {
        let mut mount = Command::new("mount");
        run(mount.args(["-o", "loop"]).arg(&self.image).arg(&self.path)).ok();
    }
}

impl Drop for HostDisk {
    fn drop(&mut self) {
        mounts::detach_below(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    /// What was synced is there after the power came back, what was not is gone, and between the
    /// two nothing can be synced.
    #[test]
    fn only_what_was_synced_survives() {
        for kind in [HostFs::Ext4, HostFs::Xfs] {
            let folder = tempfile::tempdir().unwrap();
            let disk = HostDisk::new(folder.path(), kind);
            let mut synced = File::create(disk.path().join("synced")).unwrap();
            synced.write_all(b"kept").unwrap();
            synced.sync_all().unwrap();
            fs::write(disk.path().join("unsynced"), "lost").unwrap();
            disk.lose_power();
            let late = synced
                .write_all(b"late")
                .and_then(|()| synced.sync_all())
                .unwrap_err();
            assert_eq!(late.raw_os_error(), Some(5), "{kind:?}: {late}");

            drop(synced);
            disk.restart();
            let content = fs::read(disk.path().join("synced")).unwrap();
            assert_eq!(content, b"kept", "{kind:?}");
            let unsynced = fs::read(disk.path().join("unsynced")).unwrap_or_default();
            assert_eq!(unsynced, b"", "{kind:?}");
            drop(disk);
            assert_eq!(mounts::mounts_below(folder.path()), []);
        }
    }
}
