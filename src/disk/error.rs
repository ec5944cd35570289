//! Errors of the medium.

use std::io;

use crate::base::Nature;

/// Result of a call on the medium.
pub type DiskResult<T> = Result<T, DiskError>;

/// A call on a file of the pool failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} '{path}'")]
pub struct DiskError {
    /// What was tried, as a verb: "read 4096 bytes at 8192 of".
    pub action: String,
    /// The file or folder, relative to the pool.
    pub path: String,
    /// What the operating system said.
    #[source]
    pub source: io::Error,
}

impl DiskError {
    /// An error of `action` on `path`.
    pub fn new(action: impl Into<String>, path: &str, source: io::Error) -> Self {
        DiskError {
            action: action.into(),
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the file does not exist.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether the medium is full.
    pub fn is_no_space(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }

    /// Errors of the medium are always the surroundings'.
    pub fn nature(&self) -> Nature {
        Nature::Environment
    }
}
