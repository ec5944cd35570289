//! FUSE: translation only. Request -> operation of a volume -> reply; the one errno table.
//!
//! ```text
//! kernel <-> adapter (fuser) -> operations -> volume
//!                                  |-- sync_queue   fsync: one reader flushes, the others park
//!                                  |-- workers      reads when no reader stays idle; reaping
//!                                  |-- seek         holes that may hide what only the kernel has
//!                                  `-- browse       snapshots, seen through the live mount
//! requests  counts and times what is asked; awake keeps cores from halting meanwhile
//! session   mounts, runs the readers, ends; flush and holders look at the mount from outside
//! ```
//!
//! Three rules. A handler never waits without bound. Nothing here touches its own mount from a
//! thread that serves it: flushing open files is a helper process's work. And the kernel is never
//! notified while a lock is held, for it may call back before the notification returns.

mod adapter;
mod attach;
mod awake;
mod bdi;
mod browse;
mod capabilities;
mod convert;
mod errno;
mod error;
mod flush;
mod flush_helper;
mod guard;
mod handles;
mod holders;
mod mount_table;
mod node;
mod notify;
mod operations;
mod owed;
mod refresh;
mod replies;
mod requests;
mod seek;
mod session;
mod stale;
mod sync_queue;
mod workers;

use std::path::PathBuf;

pub use browse::{ENTRANCE, Snapshot, Snapshots};
pub use error::MountError;
pub use flush::FlushReport;
pub use flush_helper::{SUBCOMMAND as FLUSH_SUBCOMMAND, helper_main as flush_helper_main};
pub use holders::{Holder, holders};
pub use mount_table::{MountEntry, mount_table, parse_mountinfo};
pub use requests::{RequestCounts, RequestReport};
pub use session::Mount;
pub use stale::{clean_stale, is_stale};

/// File system type of our mounts in `/proc/mounts`.
pub const FS_TYPE: &str = "fuse.volfs";

/// How and where a volume is mounted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MountOptions {
    /// `pgdata` or `pgdata@snapshot`: the source in `/proc/mounts`.
    pub source: String,
    /// An existing folder.
    pub path: PathBuf,
    /// No changes; always so for a snapshot.
    pub read_only: bool,
    /// Users other than the one who mounts may use it. A normal user needs `user_allow_other` in
    /// `/etc/fuse.conf` for that.
    pub allow_other: bool,
    /// Honour set-user-id bits.
    pub suid: bool,
    /// Honour device files.
    pub dev: bool,
    /// The kernel passes every write(2) on at once, instead of collecting them in its cache.
    pub write_through: bool,
    /// Reads leave access times alone; else they move them as relatime does.
    pub noatime: bool,
    /// File handles (open_by_handle_at) last only as long as the kernel knows the inode. overlayfs
    /// with its upper and a lower folder on one volume needs that: it keeps handles of its own,
    /// and Linux takes what it finds by them in a FUSE filesystem for stale.
    pub nohandles: bool,
    /// Threads that read requests; at least [`MountOptions::READERS_MIN`] are started.
    pub readers: usize,
    /// Bytes of dirty pages that the kernel may keep for this mount (only as root).
    pub dirty_bytes_max: u64,
    /// Idle cores of a guest poll in place of halting while requests come fast (only as root).
    pub poll_idle_cores: bool,
}

impl MountOptions {
    /// Fewest readers. One may be in a device flush, and others in a write that waits for room or
    /// in a cold read; the last idle one passes reads on, so that it stays free for short requests.
    pub const READERS_MIN: usize = 4;

    /// Whether the kernel collects writes in its page cache.
    pub(crate) fn writeback_cache(&self) -> bool {
        !self.write_through && !self.read_only
    }
}
