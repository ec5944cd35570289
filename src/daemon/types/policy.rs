//! Snapshots that are made by themselves.

use serde::{Deserialize, Serialize};

use super::text;
use crate::base::VolumeName;
use crate::pool::Policy;

/// Let snapshots of a volume be made by themselves, or no more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetPolicy {
    /// The volume.
    #[serde(with = "text")]
    pub volume: VolumeName,
    /// How; none: no more.
    pub policy: Option<Policy>,
}

/// The policies of all volumes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListPolicies {}

/// A volume's policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PolicyDetails {
    /// The volume.
    pub volume: String,
    /// Seconds between two snapshots; how many are kept.
    #[serde(flatten)]
    pub policy: Policy,
    /// How many snapshots it has made that are still there.
    pub snapshots: u64,
    /// When the newest of them was made, RFC 3339.
    pub last: Option<String>,
}

/// Do at once what a volume's policy says: a snapshot, and the end of those that it does not keep.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RunPolicy {
    /// The volume.
    #[serde(with = "text")]
    pub volume: VolumeName,
    /// Only say what it would do now: make one if it is time, and remove.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a policy did, or would do.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PolicyRun {
    /// `volume@snapshot` that was made.
    pub created: Option<String>,
    /// `volume@snapshot` that were removed.
    pub removed: Vec<String>,
    /// One sentence each.
    pub warnings: Vec<String>,
}
