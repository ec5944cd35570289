//! Errors of mounting and unmounting.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::Nature;
use crate::volume::FsError;

/// A mount could not be made, used or taken away.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// Files, working directories or mounts below it are in use.
    #[error("'{path}' is in use")]
    Busy {
        /// The mount point.
        path: PathBuf,
    },
    /// The options make no sense together or with this path.
    #[error("cannot mount at '{path}': {problem}")]
    Invalid {
        /// The mount point.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// The operating system refused.
    #[error("cannot {action} '{path}'")]
    Failed {
        /// What was tried, as a verb.
        action: &'static str,
        /// The mount point, or the file that was needed.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// fusermount3, which mounts for a normal user, refused.
    #[error("fusermount3 cannot {action} '{path}': {message}")]
    Helper {
        /// "mount" or "unmount".
        action: &'static str,
        /// The mount point.
        path: PathBuf,
        /// What it printed.
        message: String,
    },
    /// The mount was made, but does not answer.
    #[error("the new mount at '{path}' does not answer")]
    NoAnswer {
        /// The mount point.
        path: PathBuf,
    },
    /// Another filesystem hides the mount.
    #[error("another filesystem is mounted over '{path}'")]
    Covered {
        /// The mount point.
        path: PathBuf,
    },
    /// Unmounted here, but a bind mount or another mount namespace still holds it.
    #[error("'{path}' is unmounted, but a bind mount or a container still uses the volume")]
    Lingering {
        /// The mount point.
        path: PathBuf,
    },
    /// Unmounted, but what was written last may not be on the medium.
    #[error("'{path}' is unmounted, but its last changes could not be made durable")]
    Unsynced {
        /// The mount point.
        path: PathBuf,
        /// What failed.
        #[source]
        source: Arc<FsError>,
    },
}

impl MountError {
    /// What kind of trouble this is.
    pub fn nature(&self) -> Nature {
        match self {
            MountError::Busy { .. }
            | MountError::Invalid { .. }
            | MountError::Covered { .. }
            | MountError::Lingering { .. } => Nature::Refused,
            MountError::Failed { .. } | MountError::Helper { .. } | MountError::NoAnswer { .. } => {
                Nature::Environment
            }
            MountError::Unsynced { source, .. } => source.nature(),
        }
    }
}
