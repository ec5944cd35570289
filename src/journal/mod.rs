//! The pool's ordered log.
//!
//! The log is endless; a position in it is an [`Lsn`]. It is kept in slots: files of one size
//! under `journal/`, written full of zeros once and then overwritten for ever, because an
//! fdatasync of an overwrite needs no allocation in the host's filesystem. The `file_bytes` from
//! `n * file_bytes` on are logical file `n`, which lies in any slot; the first record in a slot
//! states its position and thereby which logical file the slot holds.
//!
//! Each record's checksum is seeded with the one of the record before it, so what an earlier lap
//! left in a slot can never follow a new record. A record never crosses the end of a file. What
//! is appended after a sync was issued starts in a sector of its own.
//!
//! Life of a record: [`Journal::append`] (in the host's page cache when it returns),
//! [`Journal::sync`] (on the medium), [`Journal::release`] (a checkpoint replaced it),
//! overwritten. After a restart: [`Journal::scan`], then [`Journal::open`].

mod append;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod grow;
mod header;
mod open;
mod scan;
mod slots;
mod sync;
pub mod transaction;

#[cfg(test)]
mod tests;

pub use error::{JournalError, JournalResult};
pub use open::Journal;
pub use transaction::{Change, EncodedTransaction, Transaction};

use std::collections::BTreeMap;

use crate::base::{Lsn, VolumeId};

/// Sizes of the log. `file_bytes` is fixed when the pool is created.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalOptions {
    /// Bytes of one file, a multiple of 4096. A record never crosses a file's end, so a file
    /// smaller than [`Journal::BODY_MAX`] lowers the largest body.
    pub file_bytes: u32,
    /// Files at most, at least two; the log holds at most their bytes between release and append.
    pub files_max: u32,
}

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions {
            file_bytes: 32 << 20,
            files_max: 8,
        }
    }
}

impl JournalOptions {
    /// Unit of the length of a file, in bytes.
    pub const FILE_UNIT_BYTES: u32 = 4096;

    fn check(&self) -> JournalResult<()> {
        let refuse = |problem: String| Err(JournalError::InvalidOptions { problem });
        if self.file_bytes == 0 || !self.file_bytes.is_multiple_of(Self::FILE_UNIT_BYTES) {
            let unit = Self::FILE_UNIT_BYTES;
            return refuse(format!(
                "{} is no multiple of {unit} bytes",
                self.file_bytes
            ));
        }
        if self.files_max < 2 {
            return refuse(format!(
                "{} files are too few, it needs two",
                self.files_max
            ));
        }
        Ok(())
    }
}

/// A place in the log from which it can be read: the position and the chain checksum of the
/// record that ends there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JournalPosition {
    /// The record's end.
    pub lsn: Lsn,
    /// The record's chain checksum.
    pub chain: u64,
}

impl JournalPosition {
    fn check(self) -> JournalResult<()> {
        if self.lsn.0 >= header::LSN_LIMIT {
            let problem = "no log reaches this position".to_owned();
            return Err(JournalError::Corrupt {
                lsn: self.lsn,
                problem,
            });
        }
        Ok(())
    }
}

/// What a record is, known to whoever replays it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RecordKind {
    /// An encoded [`Transaction`] of the record's volume.
    Transaction = 1,
    /// A transaction of the catalog that also freezes volumes' overlays (snapshot, rollback):
    /// the pool's own encoding.
    Cut = 2,
    /// How far segments are durable: the pool's own encoding.
    Watermark = 3,
}

impl RecordKind {
    fn from_u8(kind: u8) -> Option<RecordKind> {
        match kind {
            1 => Some(RecordKind::Transaction),
            2 => Some(RecordKind::Cut),
            3 => Some(RecordKind::Watermark),
            _ => None,
        }
    }
}

/// One record as replay sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// Position of the record's end.
    pub lsn: Lsn,
    /// The record's chain checksum: with `lsn` the [`JournalPosition`] behind it.
    pub chain: u64,
    /// What the body is.
    pub kind: RecordKind,
    /// The volume it belongs to.
    pub volume: VolumeId,
    /// What was appended.
    pub body: &'a [u8],
}

/// A state of the log that was made known when all before it was durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Since {
    /// Up to where.
    pub at: Lsn,
    /// By which life: what lies behind was appended by it, or by a later one.
    pub incarnation: u64,
}

/// How a scan ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScanEnd {
    /// Behind the last valid record: where appending goes on.
    pub position: JournalPosition,
    /// Highest incarnation seen in a valid record, or of the published state that was reached; 0
    /// when there was none.
    pub incarnation: u64,
    /// Valid records.
    pub records: u64,
    /// Start of the first thing behind `position` that was a record once, if there is one: what a
    /// power loss left of records that were never synced.
    pub torn: Option<Lsn>,
    /// Proof that a record behind `position` had been synced and is damaged or missing: where,
    /// and what is wrong. Damage to the last records of the log, behind which none was appended
    /// after their sync, leaves no proof.
    pub damage: Option<(Lsn, String)>,
    /// Where there is damage: whose records were found behind `position` and how many of each
    /// volume, as far as their headers are intact; the damaged one may not be among them.
    pub behind: BTreeMap<VolumeId, u64>,
    /// End of the last of these, or `position`: no remains of the log lie at or behind it.
    pub behind_end: Lsn,
}
