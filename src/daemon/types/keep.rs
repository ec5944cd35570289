//! What is kept, and what goes: settings of volumes, holds, the trash.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::text;
use crate::base::{SnapshotName, VolumeName};

/// Change settings of a volume; what is none stays.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetVolume {
    /// The volume.
    #[serde(with = "text")]
    pub volume: VolumeName,
    /// Bytes that its data may take before compression and sharing; 0: no limit.
    #[serde(default)]
    pub limit: Option<u64>,
    /// It must not be removed.
    #[serde(default)]
    pub protected: Option<bool>,
    /// Labels that get a value, or (null) go.
    #[serde(default)]
    pub labels: BTreeMap<String, Option<String>>,
}

/// Take a volume out of the trash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UndeleteVolume {
    /// The volume.
    #[serde(with = "text")]
    pub volume: VolumeName,
    /// The name that it gets; none: the one that it had.
    #[serde(default, with = "text::option")]
    pub new_name: Option<VolumeName>,
}

/// What is in the trash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListTrash {}

/// A volume in the trash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TrashDetails {
    /// The name that it had.
    pub name: String,
    /// RFC 3339.
    pub removed_at: String,
    /// RFC 3339: from then on it goes for good.
    pub expires_at: String,
    /// Bytes the data takes before compression and sharing.
    pub size: u64,
    /// Number of snapshots.
    pub snapshots: u64,
}

/// Remove the volumes that nobody has mounted, but for those that are protected or have a snapshot
/// that is held.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PruneVolumes {
    /// Only these of them, as `label=KEY`, `label=KEY=VALUE`, `label!=...` or `name=TEXT`: all must
    /// fit.
    #[serde(default)]
    pub filters: Vec<String>,
    /// For good, past the trash.
    #[serde(default)]
    pub now: bool,
    /// Only say which.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a pruning removed, or would remove.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pruned {
    /// Names of the volumes.
    pub volumes: Vec<String>,
    /// Bytes of frames that nobody else refers to.
    pub reclaimed: u64,
    /// One sentence each.
    pub warnings: Vec<String>,
}

/// Say that a snapshot must not be removed, or may be again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HoldSnapshot {
    /// The volume.
    #[serde(with = "text")]
    pub volume: VolumeName,
    /// The snapshot.
    #[serde(with = "text")]
    pub snapshot: SnapshotName,
    /// It must not be removed.
    pub held: bool,
}
