//! Requests and answers about earlier states beside the present one.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Source, text};
use crate::base::{SnapshotName, VolumeName};
use crate::pool::DiffReport;
use crate::volume::ops::Restored;

/// What differs between a snapshot and another state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CompareSnapshot {
    /// The volume.
    #[serde(with = "text")]
    pub volume: VolumeName,
    /// The snapshot: the earlier state.
    #[serde(with = "text")]
    pub snapshot: SnapshotName,
    /// The later state; none: the volume as it is.
    #[serde(default)]
    pub with: Option<Source>,
    /// As in [`CreateSnapshots`](super::CreateSnapshots); for the present state of a volume.
    pub flush_ms: Option<u64>,
}

/// What differs, and what could not be flushed into the later state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Compared {
    /// What differs.
    #[serde(flatten)]
    pub report: DiffReport,
    /// One sentence each.
    pub warnings: Vec<String>,
}

/// Files of a snapshot, put back into its volume. Ends when the client goes; what was put back by
/// then stays.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RestoreFiles {
    /// The volume.
    #[serde(with = "text")]
    pub volume: VolumeName,
    /// The snapshot.
    #[serde(with = "text")]
    pub snapshot: SnapshotName,
    /// Files and folders, as paths from the volume's root; none: all.
    #[serde(default)]
    pub paths: Vec<String>,
    /// A folder of the volume below which they go; none: where they were.
    #[serde(default)]
    pub to: Option<String>,
    /// Change files that exist.
    #[serde(default)]
    pub force: bool,
    /// As in [`CreateSnapshots`](super::CreateSnapshots); what programs have written to files that
    /// are restored.
    pub flush_ms: Option<u64>,
}

/// What was put back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FilesRestored {
    /// In numbers.
    #[serde(flatten)]
    pub restored: Restored,
    /// One sentence each.
    pub warnings: Vec<String>,
}

/// Files of a snapshot, written as plain files into a folder of the host. Ends when the client
/// goes; what was written by then stays.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExportFiles {
    /// The volume.
    #[serde(with = "text")]
    pub volume: VolumeName,
    /// The snapshot.
    #[serde(with = "text")]
    pub snapshot: SnapshotName,
    /// Files and folders, as paths from the volume's root; none: all.
    #[serde(default)]
    pub paths: Vec<String>,
    /// The folder below which they go, under their whole paths: absolute, without links.
    pub to: PathBuf,
    /// Device number and inode number of that folder as the client sees it: the daemon may see
    /// another one at this path. None: whatever the daemon sees.
    #[serde(default)]
    pub identity: Option<(u64, u64)>,
    /// Replace files that exist.
    #[serde(default)]
    pub force: bool,
}
