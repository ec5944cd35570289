//! Why something was not written to the host.

use std::io;
use std::path::Path;

use crate::base::Nature;
use crate::volume::FsError;
use crate::volume::ops::shown;

/// Result of an export.
pub(super) type ExportResult<T> = Result<T, ExportError>;

/// How many paths a message names.
pub(super) const NAMED_MAX: usize = 5;

/// Files of a snapshot could not be written to the host. Paths are the host's, but for
/// `Missing`.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The snapshot does not have it.
    #[error("the snapshot has no '{path}'")]
    Missing {
        /// The path in the volume.
        path: String,
    },
    /// The folder to write to does not exist.
    #[error("the host has no folder '{path}'")]
    NoFolder {
        /// The path.
        path: String,
    },
    /// Something else stands where a folder is needed.
    #[error("'{path}' exists on the host and is no folder")]
    NotFolder {
        /// The path.
        path: String,
    },
    /// A folder stands where something else is to go.
    #[error("'{path}' is a folder on the host, and none in the snapshot")]
    IsFolder {
        /// The path.
        path: String,
    },
    /// Something is there already.
    #[error("on the host there is already {}", list(paths, *count))]
    Exists {
        /// The first of them.
        paths: Vec<String>,
        /// How many there are.
        count: u64,
    },
    /// Another filesystem begins below the folder.
    #[error("'{path}' is a mount point on the host: it belongs to another filesystem")]
    OtherFilesystem {
        /// The path.
        path: String,
    },
    /// What was written is not there any more.
    #[error("'{path}' was changed on the host while it was restored")]
    Changed {
        /// The path.
        path: String,
    },
    /// Nobody waits for it any more. What was written by then stays.
    #[error("broken off before its end")]
    BrokenOff,
    /// The snapshot could not be read.
    #[error("'{path}': {source}")]
    Source {
        /// The path.
        path: String,
        /// What failed.
        #[source]
        source: FsError,
    },
    /// The host refused.
    #[error("cannot {action} '{path}' on the host: {source}")]
    Host {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn list(paths: &[String], count: u64) -> String {
    let named: Vec<String> = paths.iter().map(|path| format!("'{path}'")).collect();
    match count.saturating_sub(paths.len() as u64) {
        0 => named.join(", "),
        more => format!("{}, and {more} more", named.join(", ")),
    }
}

impl ExportError {
    pub(super) fn missing(path: &[u8]) -> ExportError {
        let path = shown(path);
        ExportError::Missing { path }
    }

    pub(super) fn not_folder(path: &[u8]) -> ExportError {
        let path = shown(path);
        ExportError::NotFolder { path }
    }

    pub(super) fn is_folder(path: &[u8]) -> ExportError {
        let path = shown(path);
        ExportError::IsFolder { path }
    }

    pub(super) fn exists(path: &[u8]) -> ExportError {
        let paths = vec![shown(path)];
        ExportError::Exists { paths, count: 1 }
    }

    pub(super) fn changed(path: &[u8]) -> ExportError {
        let path = shown(path);
        ExportError::Changed { path }
    }

    pub(super) fn source(path: &[u8]) -> impl FnOnce(FsError) -> ExportError {
        let path = shown(path);
        |source| ExportError::Source { path, source }
    }

    pub(super) fn host(action: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        ExportError::Host {
            action,
            path: shown(path),
            source: source.into(),
        }
    }

    pub(super) fn no_folder(path: &Path) -> ExportError {
        let path = path.display().to_string();
        ExportError::NoFolder { path }
    }

    /// What kind of trouble this is.
    pub fn nature(&self) -> Nature {
        match self {
            ExportError::Source { source, .. } => source.nature(),
            ExportError::Host { .. } | ExportError::BrokenOff => Nature::Environment,
            _ => Nature::Refused,
        }
    }

    /// What the host answered, if it was the host.
    pub fn host_error(&self) -> Option<io::ErrorKind> {
        match self {
            ExportError::Host { source, .. } => Some(source.kind()),
            _ => None,
        }
    }
}
