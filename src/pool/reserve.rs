//! Room that is kept for the day on which the host's disk is full.
//!
//! Others may fill the disk at any moment, so that looking at its free space promises nothing. The
//! reserve is a file of its own, which does nothing but to occupy room. When a checkpoint finds the
//! disk full, the file is removed and the checkpoint tried again in the room that it leaves; until
//! the file can be made anew the pool refuses whatever needs more room, and goes on with what does
//! not: fsync, removals, truncation, reading.
//!
//! Before it comes to that there is a slack: while less than that is free, what is new is refused
//! already, and the rest of the room is for bytes that were accepted: by the kernel, which has told
//! the program so, and by the pool, in its memory. Looking at free space promises nothing, but it
//! is the ordinary case that the pool itself fills the disk.

use crate::base::sync::atomic::{AtomicBool, Ordering};

use crate::disk::{Disk, DiskResult, DiskSpace};
use crate::volume::core::ACCEPTED_BYTES;
use crate::volume::core::admission::Room;

/// Path within the pool.
const PATH: &str = "reserve";
/// The reserve takes at most this share of the disk, and so does the slack.
const DISK_SHARE: u64 = 16;

/// A disk with less free room than this, or than a tenth of it, is low.
const LOW_BYTES: u64 = 2 << 30;
const LOW_SHARE: u64 = 10;

/// The file and whether it is there.
pub(super) struct Reserve {
    bytes: u64,
    is_held: AtomicBool,
    /// The log has told that the disk is low.
    is_low_told: AtomicBool,
}

impl Reserve {
    /// What there is of a reserve of `bytes`, or of less on a small disk.
    pub(super) fn find(disk: &dyn Disk, bytes: u64) -> Reserve {
        let total = disk.space().map_or(u64::MAX, |space| space.total);
        let bytes = bytes.min(total / DISK_SHARE);
        let found = disk.open(PATH).and_then(|file| file.len());
        Reserve {
            bytes,
            is_held: AtomicBool::new(found.is_ok_and(|found| found >= bytes)),
            is_low_told: AtomicBool::new(false),
        }
    }

    /// Whether the disk has so little room left that it is time to do something.
    pub(super) fn is_low(&self, disk: &dyn Disk) -> bool {
        let low = |space: DiskSpace| space.free < LOW_BYTES.min(space.total / LOW_SHARE);
        disk.space().is_ok_and(low)
    }

    /// Says in the log when the disk becomes low, once.
    pub(super) fn warn_if_low(&self, disk: &dyn Disk) {
        let is_low = self.is_low(disk);
        if is_low && !self.is_low_told.load(Ordering::Relaxed) {
            let free = disk.space().map_or(0, |space| space.free);
            log::warn!(
                "the disk under the pool has {} MiB left: `volfs df` tells who takes what",
                free >> 20
            );
        }
        self.is_low_told.store(is_low, Ordering::Relaxed);
    }

    /// Its bytes while it is there.
    pub(super) fn bytes(&self) -> u64 {
        if self.is_held() { self.bytes } else { 0 }
    }

    /// How much room there is: makes it, where it is missing.
    pub(super) fn look(&self, disk: &dyn Disk, slack: u64) -> Room {
        if !self.keep(disk) {
            return Room::None;
        }
        match disk.space() {
            Ok(space) if space.free < slack => Room::Scarce,
            _ => Room::Enough,
        }
    }

    /// Whether it is there.
    pub(super) fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }

    /// Makes it, where it is missing. False: the disk has no room for it.
    ///
    /// Nothing is synced: a crash may leave no file, or one that is too short, and then it is made
    /// at the next opening.
    fn keep(&self, disk: &dyn Disk) -> bool {
        if self.is_held() {
            return true;
        }
        let made = remove(disk).and_then(|()| disk.create(PATH)?.allocate(self.bytes));
        if let Err(error) = &made {
            if let Err(error) = remove(disk) {
                log::warn!(
                    "an unfinished reserve stays behind: {error}: {}",
                    error.source
                );
            }
            if error.is_no_space() {
                return false;
            }
            log::warn!("the pool has no reserve: {error}: {}", error.source);
        }
        self.is_held.store(true, Ordering::Relaxed);
        true
    }

    /// Gives its room back. False: it was not there.
    pub(super) fn release(&self, disk: &dyn Disk) -> bool {
        if !self.is_held.swap(false, Ordering::Relaxed) {
            return false;
        }
        if let Err(error) = remove(disk) {
            log::warn!("the reserve cannot be released: {error}: {}", error.source);
        }
        true
    }
}

/// Free bytes of the disk that are for what was accepted, with so much of it in the pool's memory.
pub(super) fn slack_bytes(disk: &dyn Disk, dirty_bytes_max: u64) -> u64 {
    let total = disk.space().map_or(u64::MAX, |space| space.total);
    (ACCEPTED_BYTES + dirty_bytes_max).min(total / DISK_SHARE)
}

fn remove(disk: &dyn Disk) -> DiskResult<()> {
    match disk.remove(PATH) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
