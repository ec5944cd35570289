//! What is taken, and by whom. In bytes; frames count as they are stored, with headers.

use serde::{Deserialize, Serialize};

use super::{Source, text};
use crate::base::VolumeName;

/// What the pool takes of its disk, and who takes it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MeasureSpace {}

/// What the pool takes of its disk, and who takes it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SpaceReport {
    /// Size of the filesystem that holds the pool.
    pub disk: u64,
    /// Its free bytes.
    pub free: u64,
    /// All files of the pool.
    pub used: u64,
    /// Frames that somebody refers to, each counted once.
    pub live: u64,
    /// The rest of the segments: what a collection of garbage can give back, and what segments need
    /// themselves.
    pub garbage: u64,
    /// The journal's files.
    pub journal: u64,
    /// The content index.
    pub index: u64,
    /// Room that is kept for a full disk.
    pub reserve: u64,
    /// The disk has little room left.
    pub low: bool,
    /// The disk was found full: writes are refused.
    pub full: bool,
    /// Volumes and snapshots, those in the trash last.
    pub volumes: Vec<SpaceOf>,
}

/// A volume's live state or a snapshot, and what it takes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SpaceOf {
    /// The volume.
    pub volume: String,
    /// The snapshot; none: the live state.
    pub snapshot: Option<String>,
    /// It is in the trash.
    pub removed: bool,
    /// Bytes that the volume's data may take before compression and sharing, if that is limited.
    pub limit: Option<u64>,
    /// What it takes.
    #[serde(flatten)]
    pub space: SpaceDetails,
}

/// What a state takes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SpaceDetails {
    /// Before compression and sharing.
    pub logical: u64,
    /// Frames that it names, each as often as it is named: what it would take alone and without
    /// finding equal blocks.
    pub referenced: u64,
    /// Frames that no other volume or snapshot refers to.
    pub unique: u64,
    /// Referenced bytes that are not its own alone, or that it refers to more than once.
    pub shared: u64,
    /// What removing it gives back, of a volume with its snapshots.
    pub freed: u64,
    /// Logical bytes by the stored bytes of the blocks that hold them.
    pub compression: f64,
    /// Referenced bytes by those of the different frames among them, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dedup: Option<f64>,
}

/// What removing all of these for good would give back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MeasureRemoval {
    /// Volumes, with their snapshots.
    #[serde(with = "text::list", default)]
    pub volumes: Vec<VolumeName>,
    /// Snapshots.
    #[serde(default)]
    pub snapshots: Vec<Source>,
}

/// What a removal would give back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Freed {
    /// Bytes of frames.
    pub bytes: u64,
}
