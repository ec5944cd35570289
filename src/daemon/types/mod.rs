//! Requests and answers of the use cases: plain data, the same for the control API, for commands
//! that work without a daemon, and (volumes, snapshots, status) for the JSON that users see.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::{SnapshotName, VolumeName};

mod earlier;
mod keep;
mod policy;
mod space;
mod stats;
mod text;

pub use crate::transfer::Exported;
pub use earlier::*;
pub use keep::*;
pub use policy::*;
pub use space::*;
pub use stats::*;

/// A volume or one of its snapshots: what can be mounted. Prints as `pgdata` or `pgdata@before`,
/// which is also the source in /proc/mounts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Source {
    /// The volume.
    #[serde(with = "text")]
    pub volume: VolumeName,
    /// The snapshot; none is the live volume.
    #[serde(with = "text::option", default)]
    pub snapshot: Option<SnapshotName>,
}

impl Source {
    /// The live volume.
    pub fn live(volume: VolumeName) -> Source {
        Source {
            volume,
            snapshot: None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.snapshot {
            Some(snapshot) => write!(f, "{}@{snapshot}", self.volume),
            None => write!(f, "{}", self.volume),
        }
    }
}

/// Which volume: the request of an inspection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InspectVolume {
    /// The volume.
    #[serde(with = "text")]
    pub volume: VolumeName,
    /// Find out what it takes, too: reads the metadata of the whole pool.
    #[serde(
        with = "text::flag",
        skip_serializing_if = "text::flag::is_unset",
        default
    )]
    pub space: bool,
}

/// Which snapshot: the request of an inspection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InspectSnapshot {
    /// The volume.
    #[serde(with = "text")]
    pub volume: VolumeName,
    /// The snapshot.
    #[serde(with = "text")]
    pub snapshot: SnapshotName,
    /// As in [`InspectVolume`].
    #[serde(
        with = "text::flag",
        skip_serializing_if = "text::flag::is_unset",
        default
    )]
    pub space: bool,
}

/// All volumes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListVolumes {}

/// A new, empty volume.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CreateVolume {
    /// Its name.
    #[serde(with = "text")]
    pub volume: VolumeName,
    /// Bytes, a power of two, 4 KiB to 128 KiB; none: the pool's default.
    pub block_size: Option<u32>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Owner of the root folder.
    pub uid: u32,
    /// Group of the root folder.
    pub gid: u32,
    /// Permission bits of the root folder.
    pub mode: u16,
    /// Bytes that its data may take before compression and sharing; none: no limit.
    #[serde(default)]
    pub limit: Option<u64>,
}

/// The end of a volume and its snapshots: into the trash, or for good.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RemoveVolume {
    /// The volume.
    #[serde(with = "text")]
    pub volume: VolumeName,
    /// Unmount it first.
    pub force: bool,
    /// For good, past the trash, or out of it.
    #[serde(default)]
    pub now: bool,
}

/// A volume, in the words of `docker volume inspect`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VolumeDetails {
    /// Its name.
    pub name: String,
    /// Always `volfs`.
    pub driver: String,
    /// Where it is mounted; while it is not, where `volfs mount NAME` would mount it.
    pub mountpoint: PathBuf,
    /// Whether it is mounted.
    pub mounted: bool,
    /// Every place where it is mounted, in the order of mounting.
    pub mountpoints: Vec<PathBuf>,
    /// RFC 3339.
    pub created_at: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options given at creation, as text.
    pub options: BTreeMap<String, String>,
    /// Always `local`.
    pub scope: String,
    /// Bytes the data takes before compression and sharing.
    pub size: u64,
    /// Files, folders and all other inodes.
    pub inodes: u64,
    /// Number of snapshots.
    pub snapshots: u64,
    /// Bytes that its data may take before compression and sharing, if that is limited.
    pub limit: Option<u64>,
    /// It must not be removed.
    pub protected: bool,
    /// `volume@snapshot` or `volume` that it was cloned from.
    pub origin: Option<String>,
    /// Why it takes no more changes, if so.
    pub poisoned: Option<String>,
    /// What it takes in the pool, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub space: Option<SpaceDetails>,
}

/// One cut through volumes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CreateSnapshots {
    /// The volumes; a source without a snapshot name gets the time as its name, the same one
    /// for all of them.
    pub of: Vec<Source>,
    /// How long files open for writing are flushed before the cut, in milliseconds; none: not.
    pub flush_ms: Option<u64>,
    /// Labels that each of the snapshots gets.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Snapshots, and what could not be flushed into them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SnapshotsCreated {
    /// In the order of the request.
    pub snapshots: Vec<SnapshotDetails>,
    /// One sentence each.
    pub warnings: Vec<String>,
}

/// All snapshots, or those of one volume.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListSnapshots {
    /// The volume.
    #[serde(with = "text::option", default)]
    pub volume: Option<VolumeName>,
    /// As in [`InspectVolume`].
    #[serde(
        with = "text::flag",
        skip_serializing_if = "text::flag::is_unset",
        default
    )]
    pub space: bool,
}

/// The end of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RemoveSnapshot {
    /// The volume.
    #[serde(with = "text")]
    pub volume: VolumeName,
    /// The snapshot.
    #[serde(with = "text")]
    pub snapshot: SnapshotName,
    /// Unmount it first.
    pub force: bool,
}

/// A snapshot.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SnapshotDetails {
    /// `volume@snapshot`.
    pub name: String,
    /// The volume.
    pub volume: String,
    /// The name within the volume.
    pub snapshot: String,
    /// Always `volfs`.
    pub driver: String,
    /// RFC 3339.
    pub created_at: String,
    /// Seconds since then.
    pub age: u64,
    /// Bytes the data takes before compression and sharing.
    pub size: u64,
    /// Its place in the pool's order; equal for snapshots of one cut.
    pub cut: u64,
    /// Not made by somebody who asked for it.
    pub automatic: bool,
    /// `user`, `rollback` or `policy`.
    pub made_by: String,
    /// It must not be removed.
    pub held: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Where it is mounted; while it is not, where `volfs mount` would mount it.
    pub mountpoint: PathBuf,
    /// Whether it is mounted.
    pub mounted: bool,
    /// Every place where it is mounted.
    pub mountpoints: Vec<PathBuf>,
    /// What it takes in the pool, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub space: Option<SpaceDetails>,
}

/// A writable volume that starts as another one is, or was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CloneVolume {
    /// The volume.
    #[serde(with = "text")]
    pub volume: VolumeName,
    /// The snapshot; none is the present state.
    #[serde(with = "text::option", default)]
    pub snapshot: Option<SnapshotName>,
    /// Name of the new volume.
    #[serde(with = "text")]
    pub new: VolumeName,
    /// As in [`CreateSnapshots`]; for a clone of the present state.
    pub flush_ms: Option<u64>,
}

/// A clone, and what could not be flushed into it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Cloned {
    /// The new volume.
    pub volume: VolumeDetails,
    /// One sentence each.
    pub warnings: Vec<String>,
}

/// The way back to a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RollbackVolume {
    /// The volume.
    #[serde(with = "text")]
    pub volume: VolumeName,
    /// The snapshot.
    #[serde(with = "text")]
    pub snapshot: SnapshotName,
    /// Even while somebody holds files of the volume open.
    pub force: bool,
    /// As in [`CreateSnapshots`]; for the state that is left and kept.
    pub flush_ms: Option<u64>,
}

/// What a rollback did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RolledBack {
    /// `volume@snapshot` that keeps the state that was left.
    pub kept: String,
    /// One sentence each.
    pub warnings: Vec<String>,
}

/// How to mount.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MountFlags {
    /// No changes through this mount point. A snapshot is always read-only.
    #[serde(default)]
    pub read_only: bool,
    /// Other users (and containers) may use it; none: yes for root, else as /etc/fuse.conf says.
    #[serde(default)]
    pub allow_other: Option<bool>,
    /// Set-user-id bits count.
    #[serde(default)]
    pub suid: bool,
    /// Device nodes work.
    #[serde(default)]
    pub dev: bool,
    /// Every write reaches the daemon at once, instead of waiting in the kernel's page cache.
    #[serde(default)]
    pub write_through: bool,
    /// Reads leave access times alone.
    #[serde(default)]
    pub noatime: bool,
    /// File handles last only as long as the kernel knows the inode.
    #[serde(default)]
    pub nohandles: bool,
    /// On top of a folder that is not empty.
    #[serde(default)]
    pub over: bool,
}

/// A mount.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MountVolume {
    /// What to mount.
    pub source: Source,
    /// Where, absolute; none: at the default place in the pool's folder.
    pub path: Option<PathBuf>,
    /// How.
    pub flags: MountFlags,
}

/// A volume or snapshot is mounted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mounted {
    /// Where.
    pub path: PathBuf,
    /// One sentence each.
    pub warnings: Vec<String>,
}

/// Mount again what was mounted when the pool was last in use.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MountAll {}

/// What mounting again did.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AllMounted {
    /// Everything that is mounted now, of what was asked for.
    pub mounted: Vec<PathBuf>,
    /// One sentence each.
    pub warnings: Vec<String>,
    /// What could not be mounted.
    pub failed: Vec<super::ServiceError>,
}

/// All mounts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListMounts {}

/// What to unmount.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnmountTarget {
    /// One mount point, absolute.
    Path(PathBuf),
    /// Every mount point of a volume or snapshot.
    Source(Source),
}

/// The end of a mount.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unmount {
    /// What.
    pub target: UnmountTarget,
    /// Flush, then detach even while files are open.
    pub lazy: bool,
}

/// What unmounting did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unmounted {
    /// The daemon ends now, since that was its last mount.
    pub stopping: bool,
    /// One sentence each.
    pub warnings: Vec<String>,
}

/// A mounted volume or snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MountReport {
    /// `pgdata` or `pgdata@before`.
    pub source: String,
    /// Every place where it is mounted; none: detached, but somebody still uses it.
    pub paths: Vec<PathBuf>,
    /// No changes.
    pub read_only: bool,
}

/// Verify everything; change nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CheckPool {
    /// The content of every frame as well.
    #[serde(default)]
    pub read_data: bool,
}

/// Read and verify everything at low priority, and heal what has a healthy copy. Ends when the
/// client goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScrubPool {
    /// Only what these refer to; none: everything.
    #[serde(default, with = "text::list")]
    pub volumes: Vec<VolumeName>,
    /// Bytes a second at most; 0: no limit.
    pub bytes_per_second: u64,
}

/// Give back the room of what nobody refers to. Ends when the client goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CollectGarbage {
    /// Only say how much there is.
    #[serde(default)]
    pub dry_run: bool,
    /// Bytes a second that are moved at most; 0: no limit.
    #[serde(default)]
    pub bytes_per_second: u64,
}

/// Who owns the pool: the first question of every client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {}

/// The daemon introduces itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Introduction {
    /// Process id.
    pub pid: u32,
    /// Version of volfs.
    pub version: String,
    /// It is about to end.
    pub stopping: bool,
}

/// How the daemon and its pool are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DaemonStatus {}

/// How the daemon and its pool are. Sizes in bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatusReport {
    /// Process id.
    pub pid: u32,
    /// Version of volfs.
    pub version: String,
    /// The pool's folder.
    pub pool: PathBuf,
    /// The pool's identity.
    pub pool_id: String,
    /// Format version of the pool.
    pub format_version: u32,
    /// RFC 3339.
    pub started_at: String,
    /// Whether it stays when the last mount goes.
    pub stays: bool,
    /// What is mounted.
    pub mounts: Vec<MountReport>,
    /// Changed bytes in memory.
    pub dirty_bytes: u64,
    /// Journal bytes in use.
    pub journal_bytes: u64,
    /// Journal bytes there are.
    pub journal_capacity: u64,
    /// Bytes of all segments.
    pub segment_bytes: u64,
    /// Number of segments.
    pub segments: u64,
    /// Free bytes of the filesystem that holds the pool.
    pub free_bytes: u64,
    /// Blocks that were stored already when they were written.
    pub dedup_hits: u64,
    /// Checkpoints since the start.
    pub checkpoints: u64,
    /// Whether the filesystem that holds the pool was found full: writes are refused.
    pub disk_full: bool,
    /// Volumes that take no more changes, and why.
    pub poisoned: BTreeMap<String, String>,
}

/// Stay when the last mount goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeepDaemon {}

/// End the daemon.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StopDaemon {
    /// Even while files are open: they are flushed and detached.
    pub force: bool,
}

/// Nothing to say.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Done {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names are checked when a request arrives, not later.
    #[test]
    fn bad_names_do_not_get_past_decoding() {
        let error = serde_json::from_str::<Source>(r#"{"volume":"a/b"}"#).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("volume name 'a/b' is not valid"),
            "{error}"
        );
        let source: Source = serde_json::from_str(r#"{"volume":"a"}"#).unwrap();
        assert_eq!(source.to_string(), "a");
        let json = r#"{"volume":"a","snapshot":"b"}"#;
        let source: Source = serde_json::from_str(json).unwrap();
        assert_eq!(source.to_string(), "a@b");
        assert_eq!(serde_json::to_string(&source).unwrap(), json);
    }

    /// The JSON of a volume has the keys of `docker volume inspect`.
    #[test]
    fn volumes_print_like_dockers() {
        let volume = VolumeDetails {
            name: "db".into(),
            driver: "volfs".into(),
            mountpoint: "/p/mnt/db".into(),
            mounted: false,
            mountpoints: vec![],
            created_at: "2026-11-22T10:15:00Z".into(),
            labels: BTreeMap::from([("app".into(), "shop".into())]),
            options: BTreeMap::from([("block-size".into(), "8192".into())]),
            scope: "local".into(),
            size: 5,
            inodes: 1,
            snapshots: 0,
            limit: Some(7),
            protected: true,
            origin: None,
            poisoned: None,
            space: None,
        };
        assert_eq!(
            serde_json::to_string(&volume).unwrap(),
            "{\"Name\":\"db\",\"Driver\":\"volfs\",\"Mountpoint\":\"/p/mnt/db\",\"Mounted\":false,\
             \"Mountpoints\":[],\"CreatedAt\":\"2026-11-22T10:15:00Z\",\
             \"Labels\":{\"app\":\"shop\"},\
             \"Options\":{\"block-size\":\"8192\"},\"Scope\":\"local\",\"Size\":5,\"Inodes\":1,\
             \"Snapshots\":0,\"Limit\":7,\"Protected\":true,\"Origin\":null,\"Poisoned\":null}"
        );
    }
}
