//! What all volumes of a pool share.

use std::sync::{Arc, OnceLock};

use super::admission::{Admission, Need, Refusal};
use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::base::{Clock, PutBytes};
use crate::block::{BlockStore, Reach};
use crate::disk::Disk;
use crate::journal::{Journal, JournalError};
use crate::tree::NodeStore;
use crate::volume::{FsError, FsResult};

/// The pool's parts that a volume works with.
pub(crate) struct Shared {
    /// The medium; asked for its free space.
    pub(crate) disk: Arc<dyn Disk>,
    /// Blocks.
    pub(crate) store: Arc<BlockStore>,
    /// Tree nodes.
    pub(crate) nodes: Arc<dyn NodeStore>,
    /// The log; set once recovery has found its end.
    pub(crate) journal: OnceLock<Journal>,
    /// Back-pressure.
    pub(crate) admission: Arc<Admission>,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Free bytes of the medium that are for what was accepted.
    pub(crate) slack_bytes: u64,
    /// Bytes that writers have sealed since the free bytes were looked at.
    pub(crate) unseen_bytes: AtomicU64,
    /// Bytes of segments that may be unsynced before a large write syncs them.
    pub(crate) unsynced_max: u64,
}

impl Shared {
    /// The log; an error before recovery has ended.
    pub(crate) fn journal(&self) -> FsResult<&Journal> {
        self.journal
            .get()
            .ok_or(FsError::Journal(JournalError::Poisoned))
    }

    /// Writers have stored so many bytes, of which no checkpoint knows: finds out in time when only
    /// the slack is left. That there is room again, checkpoints find.
    pub(crate) fn note_sealed(&self, bytes: u64) {
        if self.unseen_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes < self.slack_bytes / 16 {
            return;
        }
        self.unseen_bytes.store(0, Ordering::Relaxed);
        let is_scarce = self
            .disk
            .space()
            .is_ok_and(|space| space.free < self.slack_bytes);
        if is_scarce {
            self.admission.limit_room();
        }
    }

    /// Body of a watermark record: the segments of these frames, and how many of their bytes are
    /// durable.
    pub(crate) fn marks(&self, named: &Reach) -> Vec<u8> {
        let mut body = Vec::new();
        for (segment, _) in named.iter() {
            body.put_u64(segment.0);
            body.put_u32(self.store.durable_bytes(segment));
        }
        body
    }

    /// Waits for room in memory and in the journal.
    pub(crate) fn enter(&self, need: Need) -> FsResult<()> {
        let journal = self.journal()?;
        self.admission
            .enter(need, || journal.fill())
            .map_err(|refusal| match refusal {
                Refusal::NoSpace => FsError::NoSpace,
                Refusal::JournalHeld => FsError::Poisoned(
                    "the journal is full of records of a volume that cannot be sealed; remove \
                     that volume, or see to the disk and restart the daemon"
                        .into(),
                ),
                Refusal::CheckpointFails => FsError::Poisoned(
                    "checkpoints of the pool fail; see the daemon's log, then restart it".into(),
                ),
                Refusal::Closed => FsError::Poisoned("the pool is closing".into()),
            })
    }
}
