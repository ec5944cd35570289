//! What the pool tells and is told: plain types.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Policy;
use super::records::MadeBy;
use crate::base::{
    CacheUse, Lsn, PoolId, SegmentId, SnapshotId, SnapshotName, Timestamp, VolumeId, VolumeName,
};
use crate::volume::ops::Difference;

/// Settings of an open pool; `pool.toml` may override the defaults.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Cap of changed bytes in memory, over all volumes. Default 256 MiB.
    pub dirty_bytes_max: u64,
    /// Age at which changes are checkpointed, in seconds. Default 30.
    pub checkpoint_age_secs: u64,
    /// Garbage in percent of what is alive at which it is collected by itself; 0: never. Default
    /// 30.
    pub gc_percent: u8,
    /// Bytes a second that this moves at most; 0: no limit. Default 64 MiB.
    pub gc_bytes_per_second: u64,
    /// How long removed volumes stay in the trash, in seconds. Default a day.
    pub trash_secs: u64,
    /// Cap of the cache of decompressed blocks. Default 64 MiB.
    pub block_cache_bytes: usize,
    /// Cap of the cache of decoded tree nodes. Default 64 MiB.
    pub node_cache_bytes: usize,
    /// Whether a mount keeps idle cores from halting while requests come fast. Default: yes.
    pub poll_idle_cores: bool,
    /// A damaged journal is cut off at the damage instead of being refused; what lies behind is
    /// lost. Never from `pool.toml`. Default: no.
    pub cut_damaged_journal: bool,
}

/// What differs between two states of a volume. The names in JSON stay as they are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DiffReport {
    /// The earlier state: `volume@snapshot`.
    pub before: String,
    /// The later state; a volume's name alone is its state at the command.
    pub after: String,
    /// Files, folders and all others that are new, and new names of hard links.
    pub added: u64,
    /// What is gone.
    pub removed: u64,
    /// What has changed.
    pub changed: u64,
    /// What has another name; it may have changed, too.
    pub renamed: u64,
    /// Bytes of blocks that differ, are new or are gone.
    pub bytes_changed: u64,
    /// Tree nodes that were looked at: what the comparison has cost.
    pub nodes_read: u64,
    /// By path.
    pub differences: Vec<Difference>,
}

/// What was given up to open a pool whose journal is damaged. The names in JSON stay as they are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JournalCut {
    /// The last position before the damage: everything after it is lost.
    pub at: Lsn,
    /// What is wrong there.
    pub problem: String,
    /// Whose records were found in or behind the damage, as far as they can be told. The damaged
    /// record itself may be missing.
    pub lost: Vec<LostRecords>,
}

impl fmt::Display for JournalCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = LostRecords::list(&self.lost);
        write!(f, "at {}: {}; {lost}", self.at, self.problem)
    }
}

/// A volume's newest records, which replay dropped because the first of them names a frame that the
/// medium does not have, above what is known to have been durable. A power loss leaves that; after
/// the death of the daemon alone it is damage of that frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DroppedRecords {
    /// The volume's name.
    pub volume: String,
    /// Position in the log at which the first of them ends.
    pub from: Lsn,
    /// How many there are.
    pub records: u64,
    /// Segment of the frame.
    pub segment: SegmentId,
    /// Its byte offset there.
    pub offset: u32,
}

impl fmt::Display for DroppedRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "volume '{}' goes on without its newest {} records, which no fsync had acknowledged: \
             the first one, at {}, names a frame that is not on the medium (segment {}, offset \
             {}). An outage of power leaves that; where there was none, `volfs scrub` tells what \
             is damaged",
            self.volume, self.records, self.from, self.segment, self.offset
        )
    }
}

/// Records in or behind a journal's damage.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LostRecords {
    /// The volume that they change, by the name that it has before the damage; none: the catalog
    /// (volumes and snapshots made, removed, rolled back).
    pub volume: Option<String>,
    /// How many were found.
    pub records: u64,
}

impl LostRecords {
    /// All of them in one line, for people.
    pub(crate) fn list(all: &[LostRecords]) -> String {
        let of = |one: &LostRecords| match &one.volume {
            Some(name) => format!("'{name}' ({})", one.records),
            None => format!("the catalog ({})", one.records),
        };
        let list: Vec<String> = all.iter().map(of).collect();
        match list.is_empty() {
            true => "no records were found behind the damage".to_owned(),
            false => format!(
                "records in or behind the damage, at least: {}",
                list.join(", ")
            ),
        }
    }
}

impl Default for PoolOptions {
    fn default() -> Self {
        PoolOptions {
            dirty_bytes_max: 160 << 20,
            checkpoint_age_secs: 30,
            gc_percent: 30,
            gc_bytes_per_second: 64 << 20,
            trash_secs: 24 * 3600,
            block_cache_bytes: 8 << 20,
            node_cache_bytes: 64 << 20,
            poll_idle_cores: true,
            cut_damaged_journal: false,
        }
    }
}

/// What `volume create` asks for.
#[derive(Clone, Debug)]
pub struct NewVolume {
    /// Its name.
    pub name: VolumeName,
    /// Bytes, a power of two, 4 KiB ..= 128 KiB; none: the pool's default (8 KiB).
    pub block_size: Option<u32>,
    /// Free text of the user.
    pub labels: BTreeMap<String, String>,
    /// Owner of the root folder.
    pub uid: u32,
    /// Group of the root folder.
    pub gid: u32,
    /// Permission bits of the root folder.
    pub mode: u16,
    /// Bytes that its blocks may take before compression and sharing; none: no limit.
    pub limit_bytes: Option<u64>,
}

/// Settings of a volume to change; what is none stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SetVolume {
    /// As [`NewVolume::limit_bytes`]; 0: no limit.
    pub limit_bytes: Option<u64>,
    /// It must not be removed.
    pub protected: Option<bool>,
    /// Labels that get a value, or (none) go.
    pub labels: BTreeMap<String, Option<String>>,
    /// The policy, or (none) the end of it.
    pub policy: Option<Option<Policy>>,
}

/// A volume.
#[derive(Clone, Debug)]
pub struct VolumeInfo {
    /// Its number.
    pub id: VolumeId,
    /// Its name.
    pub name: VolumeName,
    /// When it was created.
    pub created: Timestamp,
    /// Bytes of a block.
    pub block_size: u32,
    /// Free text of the user.
    pub labels: BTreeMap<String, String>,
    /// `volume@snapshot` that it was cloned from.
    pub origin: Option<String>,
    /// Allocated blocks times block size: what the data takes before compression and sharing.
    pub size_bytes: u64,
    /// Files, folders and all else that has an inode.
    pub inodes: u64,
    /// How many snapshots it has.
    pub snapshots: u64,
    /// Bytes that its blocks may take, if that is limited.
    pub limit_bytes: Option<u64>,
    /// It must not be removed.
    pub protected: bool,
    /// How snapshots are made by themselves, if they are.
    pub policy: Option<Policy>,
    /// Why it takes no more changes, if so.
    pub poisoned: Option<String>,
}

/// A volume in the trash.
#[derive(Clone, Debug)]
pub struct TrashInfo {
    /// It.
    pub volume: VolumeInfo,
    /// When it was removed.
    pub removed: Timestamp,
}

/// What `snapshot create` says of its snapshots beside their names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NewSnapshot {
    /// Who makes them.
    pub made_by: MadeBy,
    /// Free text of the user.
    pub labels: BTreeMap<String, String>,
}

/// A snapshot.
#[derive(Clone, Debug)]
pub struct SnapshotInfo {
    /// Its number.
    pub id: SnapshotId,
    /// Whose.
    pub volume: VolumeName,
    /// Its name within the volume.
    pub name: SnapshotName,
    /// When it was taken.
    pub created: Timestamp,
    /// Its place in the pool's order; equal for snapshots of one cut.
    pub lsn: Lsn,
    /// As [`VolumeInfo::size_bytes`].
    pub size_bytes: u64,
    /// Who made it.
    pub made_by: MadeBy,
    /// It must not be removed.
    pub held: bool,
    /// Free text of the user.
    pub labels: BTreeMap<String, String>,
}

/// The pool's state in numbers.
#[derive(Clone, Debug)]
pub struct PoolStatus {
    /// Its identity.
    pub id: PoolId,
    /// Its folder.
    pub path: PathBuf,
    /// Version of the format on disk.
    pub format_version: u32,
    /// Changed bytes in memory.
    pub dirty_bytes: u64,
    /// Bytes of the journal that wait for a checkpoint.
    pub journal_bytes: u64,
    /// Bytes that the journal may hold.
    pub journal_capacity: u64,
    /// Bytes appended to the journal since the pool was made, with what was skipped at the ends of
    /// files and sectors.
    pub journal_appended: u64,
    /// Flushes of the journal since the opening.
    pub journal_syncs: u64,
    /// Bytes of all segments.
    pub segment_bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Blocks that were to be stored since the opening, those found stored among them.
    pub blocks_put: u64,
    /// Content of these blocks in bytes.
    pub bytes_put: u64,
    /// Bytes free on the host's disk.
    pub free_bytes: u64,
    /// Blocks that were stored already when they were written, since the opening.
    pub dedup_hits: u64,
    /// Content of these in bytes.
    pub dedup_bytes: u64,
    /// Content that was stored since the opening because it was not there, in bytes.
    pub new_bytes: u64,
    /// What this took, in bytes: frames, compressed, with their headers.
    pub new_frame_bytes: u64,
    /// How the cache of decompressed blocks is used.
    pub block_cache: CacheUse,
    /// How the cache of tree nodes is used.
    pub node_cache: CacheUse,
    /// Checkpoints since the opening.
    pub checkpoints: u64,
    /// Garbage that was collected since the opening.
    pub collected: Collected,
    /// Whether the host's disk was found full, so that whatever needs room is refused.
    pub is_full: bool,
    /// Volumes that take no more changes, and why.
    pub poisoned: BTreeMap<VolumeName, String>,
}

/// What collections of garbage have done. Bytes are those of frames: as stored, with headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Collected {
    /// Frames that were moved, because they are in use, in bytes.
    pub moved_bytes: u64,
    /// Segments that were deleted.
    pub removed_segments: u64,
    /// What this gave back to the disk, after what was moved.
    pub freed_bytes: u64,
}

/// What a pool takes of its disk, and who takes it. In bytes; frames as stored, with headers.
#[derive(Clone, Debug)]
pub struct PoolSpace {
    /// Size of the filesystem that holds the pool.
    pub disk_bytes: u64,
    /// Its free bytes.
    pub free_bytes: u64,
    /// All segments.
    pub segment_bytes: u64,
    /// Frames that somebody refers to, each counted once.
    pub live_bytes: u64,
    /// The rest of the segments: frames that nobody refers to, and what segments need themselves.
    pub garbage_bytes: u64,
    /// The journal's files.
    pub journal_bytes: u64,
    /// The content index.
    pub index_bytes: u64,
    /// Room that is kept for a full disk.
    pub reserve_bytes: u64,
    /// Whether the disk has so little room left that it is time to do something.
    pub is_low: bool,
    /// Whether the disk was found full, so that whatever needs room is refused.
    pub is_full: bool,
    /// Volumes and snapshots, those in the trash last.
    pub volumes: Vec<SpaceUse>,
}

/// What a volume's live state or a snapshot takes. In bytes; frames as stored, with headers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpaceUse {
    /// The volume.
    pub volume: VolumeName,
    /// None: the live state.
    pub snapshot: Option<SnapshotName>,
    /// It is in the trash.
    pub is_removed: bool,
    /// As [`VolumeInfo::limit_bytes`].
    pub limit_bytes: Option<u64>,
    /// Allocated blocks times block size: before compression and sharing.
    pub logical_bytes: u64,
    /// Frames that its tree names, each as often as it is named: what it would take alone and
    /// without finding equal blocks.
    pub referenced_bytes: u64,
    /// Of these what holds content, and no metadata.
    pub referenced_block_bytes: u64,
    /// Frames that no other state refers to.
    pub unique_bytes: u64,
    /// What removing it for good gives back, of a volume with its snapshots.
    pub freed_bytes: u64,
}

impl SpaceUse {
    /// Referenced bytes that others refer to, too, or that it refers to more than once.
    pub fn shared_bytes(&self) -> u64 {
        self.referenced_bytes.saturating_sub(self.unique_bytes)
    }
}

/// What a rollback did.
#[derive(Clone, Debug)]
pub struct Rollback {
    /// The automatic snapshot that keeps the state that was left.
    pub kept: SnapshotName,
    /// Epoch before; pass it to `fuse::Mount::after_rollback`.
    pub old_epoch: u16,
}
