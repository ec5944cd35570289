//! Why something was not put back.

use crate::base::Nature;
use crate::volume::FsError;

use super::super::paths::shown;

/// Result of a restore.
pub(super) type RestoreResult<T> = Result<T, RestoreError>;

/// How many paths a message names.
pub(super) const NAMED_MAX: usize = 5;

/// A restore failed. Paths begin with a slash at the volume's root.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A path that cannot be one.
    #[error("'{path}' is no path within a volume: {problem}")]
    Invalid {
        /// As it was given.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The snapshot does not have it.
    #[error("the snapshot has no '{path}'")]
    Missing {
        /// The path.
        path: String,
    },
    /// The folder to restore to does not exist.
    #[error("the volume has no folder '{path}'")]
    NoFolder {
        /// The path.
        path: String,
    },
    /// Something else stands where a folder is needed.
    #[error("'{path}' exists in the volume and is no folder")]
    NotFolder {
        /// The path.
        path: String,
    },
    /// A folder stands where something else is to go.
    #[error("'{path}' is a folder in the volume, and none in the snapshot")]
    IsFolder {
        /// The path.
        path: String,
    },
    /// Something is there already.
    #[error("in the volume there is already {}", list(paths, *count))]
    Exists {
        /// The first of them.
        paths: Vec<String>,
        /// How many there are.
        count: u64,
    },
    /// Somebody uses a file whose size would change under a mount.
    #[error("'{path}' is open, and has another size in the snapshot")]
    InUse {
        /// The path.
        path: String,
    },
    /// Nobody waits for it any more. What was put back by then stays.
    #[error("broken off before its end")]
    BrokenOff,
    /// An operation of the volume failed.
    #[error("'{path}': {source}")]
    At {
        /// The path.
        path: String,
        /// What failed.
        #[source]
        source: FsError,
    },
}

fn list(paths: &[String], count: u64) -> String {
    let named: Vec<String> = paths.iter().map(|path| format!("'{path}'")).collect();
    let more = count.saturating_sub(paths.len() as u64);
    match more {
        0 => named.join(", "),
        more => format!("{}, and {more} more", named.join(", ")),
    }
}

impl RestoreError {
    pub(super) fn missing(path: &[u8]) -> RestoreError {
        let path = shown(path);
        RestoreError::Missing { path }
    }

    pub(super) fn no_folder(path: &[u8]) -> RestoreError {
        let path = shown(path);
        RestoreError::NoFolder { path }
    }

    pub(super) fn not_folder(path: &[u8]) -> RestoreError {
        let path = shown(path);
        RestoreError::NotFolder { path }
    }

    pub(super) fn is_folder(path: &[u8]) -> RestoreError {
        let path = shown(path);
        RestoreError::IsFolder { path }
    }

    pub(super) fn exists(path: &[u8]) -> RestoreError {
        let paths = vec![shown(path)];
        RestoreError::Exists { paths, count: 1 }
    }

    pub(super) fn in_use(path: &[u8]) -> RestoreError {
        let path = shown(path);
        RestoreError::InUse { path }
    }

    pub(super) fn at(path: &[u8], source: FsError) -> RestoreError {
        let path = shown(path);
        RestoreError::At { path, source }
    }

    /// What kind of trouble this is.
    pub fn nature(&self) -> Nature {
        match self {
            RestoreError::At { source, .. } => source.nature(),
            RestoreError::BrokenOff => Nature::Environment,
            _ => Nature::Refused,
        }
    }

    /// Whether the host's disk is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self, RestoreError::At { source, .. } if source.is_no_space())
    }
}
