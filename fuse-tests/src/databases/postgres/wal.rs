//! How Postgres makes its log durable.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::{Postgres, as_user};
use crate::open_files::{DIRECT, DSYNC, SYNC, open_files};
use crate::run::run_for;

/// A value of `wal_sync_method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMethod {
    /// write and fdatasync.
    Fdatasync,
    /// write and fsync.
    Fsync,
    /// Writes on a handle with O_DSYNC.
    OpenDatasync,
    /// Writes on a handle with O_SYNC.
    OpenSync,
}

impl SyncMethod {
    /// All that Linux has.
    pub const ALL: [SyncMethod; 4] = [
        SyncMethod::Fdatasync,
        SyncMethod::Fsync,
        SyncMethod::OpenDatasync,
        SyncMethod::OpenSync,
    ];

    /// The settings of a server that uses it. Those that sync by opening add O_DIRECT if nobody
    /// is to read the log back.
    pub fn settings(self) -> &'static [&'static str] {
        match self {
            SyncMethod::Fdatasync => &["wal_sync_method=fdatasync"],
            SyncMethod::Fsync => &["wal_sync_method=fsync"],
            SyncMethod::OpenDatasync => &[
                "wal_sync_method=open_datasync",
                "wal_level=minimal",
                "max_wal_senders=0",
            ],
            SyncMethod::OpenSync => &[
                "wal_sync_method=open_sync",
                "wal_level=minimal",
                "max_wal_senders=0",
            ],
        }
    }

    /// Those of the flags O_DSYNC, O_SYNC and O_DIRECT with which its log is open.
    pub fn flags(self) -> u32 {
        match self {
            SyncMethod::Fdatasync | SyncMethod::Fsync => 0,
            SyncMethod::OpenDatasync => DSYNC | DIRECT,
            SyncMethod::OpenSync => SYNC | DIRECT,
        }
    }
}

impl Postgres {
    /// The flags, of those that [`SyncMethod::flags`] knows, with which its processes have
    /// segments of the log open now.
    pub fn log_flags(&self) -> BTreeSet<u32> {
        let files = self.processes().into_iter().flat_map(open_files);
        let of_log = files.filter(|file| {
            let path = &file.path;
            let in_log = path
                .parent()
                .is_some_and(|folder| folder.ends_with("pg_wal"));
            // One that is being made is filled first.
            in_log && !path.to_string_lossy().contains("xlogtemp")
        });
        of_log.map(|file| file.flags & (SYNC | DIRECT)).collect()
    }
}

/// Runs `pg_test_fsync` on a new file, one second a test. Returns its report; fails the test when
/// it fails or skips a method that Linux has.
#[track_caller]
pub fn test_fsync(file: &Path) -> String {
    let mut command = as_user("pg_test_fsync");
    command.args(["-s", "1", "-f"]).arg(file);
    let report = run_for(&mut command, Duration::from_secs(120)).ok();
    for line in report.lines().filter(|line| line.contains("n/a")) {
        assert!(line.contains("fsync_writethrough"), "{line}\n{report}");
    }
    report
}
