//! How much a volume may hold.
//!
//! The limit counts allocated blocks of the live state, as `du` does: before compression and
//! sharing, without snapshots. So what a program may still write does not depend on what others
//! keep.

use super::admission::{Need, Room};
use super::layer::Counts;
use super::volume::Volume;
use crate::base::sync::atomic::Ordering;
use crate::journal::Transaction;
use crate::volume::{FsError, FsResult};

/// Bytes of changed pages that the kernel may hold back for a mount, having accepted them: these
/// are let go beyond a limit, and there is slack on the disk for them.
pub const ACCEPTED_BYTES: u64 = 256 << 20;

impl Volume {
    /// Sets the limit in bytes; 0: none.
    pub(crate) fn set_limit(&self, bytes: u64) {
        self.limit_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that its blocks may take.
    pub fn limit_bytes(&self) -> Option<u64> {
        let bytes = self.limit_bytes.load(Ordering::Relaxed);
        (bytes > 0).then_some(bytes)
    }

    /// Changed bytes that the kernel should hold back for a mount at most: all of them have room
    /// when the disk is found full.
    pub fn accepted_bytes_max(&self) -> u64 {
        match self.shared.slack_bytes {
            0 => ACCEPTED_BYTES,
            slack => ACCEPTED_BYTES.min(slack / 2),
        }
    }

    /// Bytes that may be allocated before the limit is reached.
    pub(crate) fn bytes_below_limit(&self, counts: Counts) -> u64 {
        let used = counts.blocks.saturating_mul(u64::from(self.block_size()));
        self.limit_bytes()
            .map_or(u64::MAX, |limit| limit.saturating_sub(used))
    }

    /// Refuses what allocates beyond the limit, and new files where it is reached.
    pub(super) fn check_limit(
        &self,
        need: Need,
        counts: Counts,
        transaction: &Transaction,
    ) -> FsResult<()> {
        let (blocks, inodes) = (transaction.blocks_delta, transaction.inodes_delta);
        let Some(limit) = self.limit_bytes() else {
            return Ok(());
        };
        let beyond = match need {
            Need::Room | Need::Overwrite => 0,
            Need::Accepted => ACCEPTED_BYTES,
            // What frees blocks may allocate one, where it cuts another.
            Need::Little => return Ok(()),
        };
        let after = counts.blocks.saturating_add_signed(blocks);
        let bytes = after.saturating_mul(u64::from(self.block_size()));
        let is_allocated = blocks > 0 && bytes > limit.saturating_add(beyond);
        let is_one_more = inodes > 0 && self.bytes_below_limit(counts) == 0;
        match is_allocated || is_one_more {
            true => Err(FsError::AtLimit { limit }),
            false => Ok(()),
        }
    }

    /// Whether the medium has room for what was accepted and for overwriting only.
    pub(crate) fn is_short_of_room(&self) -> bool {
        self.shared.admission.room() < Room::Enough
    }

    /// Why an allocation that exceeds the free bytes of [`Volume::usage`] is refused.
    pub(crate) fn no_room(&self) -> FsError {
        match self.check_below_limit() {
            Err(error) => error,
            Ok(()) => FsError::NoSpace,
        }
    }

    /// Refuses what will need room where there is none, although it needs none yet: growing a file.
    pub(crate) fn check_below_limit(&self) -> FsResult<()> {
        match self.limit_bytes() {
            Some(limit) if self.bytes_below_limit(self.counts()) == 0 => {
                Err(FsError::AtLimit { limit })
            }
            _ => Ok(()),
        }
    }
}
