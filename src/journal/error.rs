//! Errors of the journal.

use crate::base::{DecodeError, Lsn, Nature};
use crate::disk::DiskError;

/// Result of a call on the journal.
pub type JournalResult<T> = Result<T, JournalError>;

/// A call on the journal failed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The medium failed.
    #[error("the medium under the journal failed")]
    Disk(#[from] DiskError),
    /// The host's disk had no room for the record, which was taken back: others can be appended.
    #[error("the host's disk has no room for a record of the journal")]
    NoSpace(#[source] DiskError),
    /// A write or sync failed earlier.
    #[error("the journal takes no more records since an earlier write or sync of it failed")]
    Poisoned,
    /// No released space is left; a checkpoint makes some.
    #[error("the journal is full: {used} of {capacity} bytes wait for a checkpoint")]
    Full {
        /// Bytes not released.
        used: u64,
        /// Bytes in all.
        capacity: u64,
    },
    /// A record is larger than the log takes.
    #[error("a journal record of {bytes} bytes is above the limit of {max}")]
    TooLarge {
        /// Length of the body.
        bytes: usize,
        /// Largest length of a body.
        max: usize,
    },
    /// The options make no sense, or are not those of the files found.
    #[error("the journal cannot be used with these options: {problem}")]
    InvalidOptions {
        /// What is wrong.
        problem: String,
    },
    /// A record that passed its checksum makes no sense.
    #[error("the journal record that ends at {lsn} cannot be understood")]
    Malformed {
        /// Its LSN.
        lsn: Lsn,
        /// What is wrong.
        #[source]
        source: DecodeError,
    },
    /// A file of the log is missing or has another length: records may be lost.
    #[error("the journal is not complete: {problem}")]
    Incomplete {
        /// Which file.
        problem: String,
    },
    /// A record below the durable watermark is damaged or missing.
    #[error("the journal is damaged at {lsn}: {problem}")]
    Corrupt {
        /// Where.
        lsn: Lsn,
        /// What is wrong there.
        problem: String,
    },
}

impl JournalError {
    /// What kind of trouble this is.
    pub fn nature(&self) -> Nature {
        match self {
            JournalError::Corrupt { .. }
            | JournalError::Incomplete { .. }
            | JournalError::Malformed { .. } => Nature::Corrupt,
            JournalError::TooLarge { .. } | JournalError::InvalidOptions { .. } => Nature::Refused,
            JournalError::Disk(_)
            | JournalError::NoSpace(_)
            | JournalError::Poisoned
            | JournalError::Full { .. } => Nature::Environment,
        }
    }

    /// Whether nothing has happened for want of room, here or on the host's disk: the same can be
    /// tried again.
    pub fn is_passing(&self) -> bool {
        matches!(self, JournalError::Full { .. } | JournalError::NoSpace(_))
    }

    /// Whether the host's disk, or the journal, is full.
    pub fn is_no_space(&self) -> bool {
        match self {
            JournalError::Disk(error) => error.is_no_space(),
            _ => self.is_passing(),
        }
    }
}
