//! The use cases: plain functions on plain data, for the control API and for commands that work
//! without a daemon.

mod earlier;
mod export;
mod keep;
mod maintenance;
mod mounts;
mod names;
mod policies;
mod rollback;
mod snapshots;
mod space;
mod stats;
mod volumes;

pub(in crate::daemon) use keep::hint_to_let_go;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::calls::Call;
use super::mounts::{MountTable, Session, Sessions};
use super::operations::Operations;
use super::{Introduction, ServiceResult, Source};
use crate::base::progress::Progress;
use crate::base::sync::Mutex;
use crate::base::{Clock, SystemClock, Timestamp, VolumeId, VolumeName};
use crate::pool::{Pool, PoolError, PoolOptions, PoolResult};

/// Name of the driver, as Docker shows it.
pub const DRIVER: &str = "volfs";

/// Version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// An open pool and its mounts.
pub struct Service {
    pool: Arc<Pool>,
    mounts: MountTable,
    clock: Box<dyn Clock>,
    started: Timestamp,
    operations: Operations,
    /// Since when each volume was seen in the trash, on the clock that knows no jumps.
    trash_seen: Mutex<HashMap<VolumeId, Duration>>,
    /// How often in a row the policy of each volume has failed.
    policy_failures: Mutex<HashMap<VolumeName, u64>>,
    /// Snapshots that are being read, and must stay so long.
    in_reading: Mutex<Vec<Source>>,
}

/// Whether the process ends when the last mount goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// It goes on.
    Stays,
    /// It ends.
    EndsWithLastMount,
}

impl Service {
    /// Opens the pool. `PoolError::Locked` while another process owns it.
    pub fn open(path: &Path, life: Life) -> PoolResult<Service> {
        let path = canonical(path)?;
        let pool = Pool::open(&path, PoolOptions::default())?;
        let clock = Box::new(SystemClock::new());
        Ok(Service {
            mounts: MountTable::new(&path, life == Life::Stays),
            started: clock.now(),
            operations: Operations::default(),
            trash_seen: Mutex::default(),
            policy_failures: Mutex::default(),
            in_reading: Mutex::default(),
            pool,
            clock,
        })
    }

    /// Unmounts everything (what is busy is flushed and detached) and closes the pool.
    pub fn close(&self) -> ServiceResult<()> {
        self.mounts.shut_down();
        Ok(self.pool.close()?)
    }

    /// Carries a request out, and counts it.
    pub(super) fn answer<C: Call>(
        &self,
        call: &C,
        progress: &dyn Progress,
    ) -> ServiceResult<C::Answer> {
        let run = || call.run(self, progress);
        match C::NAME {
            Some(name) => self.operations.timed(name, run),
            None => run(),
        }
    }

    /// Who this is.
    pub fn introduce(&self) -> Introduction {
        Introduction {
            pid: std::process::id(),
            version: VERSION.to_owned(),
            stopping: self.mounts.sessions().is_stopping(),
        }
    }

    /// What is mounted, and whether the daemon is about to end.
    pub(crate) fn sessions(&self) -> &Arc<Sessions> {
        self.mounts.sessions()
    }

    /// Flushes the kernel's dirty pages of these volumes, all at the same time, and says what
    /// could not be flushed.
    fn flush(&self, volumes: &[&VolumeName], flush_ms: Option<u64>) -> Vec<String> {
        let Some(patience) = flush_ms.map(Duration::from_millis) else {
            return Vec::new();
        };
        let session = |volume: &&VolumeName| {
            self.mounts
                .sessions()
                .find(&Source::live((*volume).clone()))
        };
        let sessions: Vec<Session> = volumes
            .iter()
            .filter_map(session)
            .filter(Session::is_writable)
            .collect();
        let report = |session: &Session| {
            let report = session.mount.flush_open_files(patience);
            let line = |file| format!("'{}': not flushed: {file}", session.source);
            report.failed.into_iter().map(line).collect::<Vec<_>>()
        };
        thread::scope(|scope| {
            let report = &report;
            let flushing: Vec<_> = sessions
                .iter()
                .map(|session| scope.spawn(move || report(session)))
                .collect();
            let died = || vec!["a flush has panicked".to_owned()];
            flushing
                .into_iter()
                .flat_map(|one| one.join().unwrap_or_else(|_| died()))
                .collect()
        })
    }

    /// Where a source is mounted in these sessions, in the order of mounting, and the place to
    /// show: the first of them, or the default.
    fn mountpoints(&self, sessions: &[Session], source: &Source) -> (PathBuf, Vec<PathBuf>) {
        let session = sessions.iter().find(|session| session.source == *source);
        let places = session.map(Session::paths).unwrap_or_default();
        let shown = places
            .first()
            .cloned()
            .unwrap_or_else(|| self.mounts.default_path(source));
        (shown, places)
    }
}

fn canonical(path: &Path) -> PoolResult<PathBuf> {
    match std::fs::canonicalize(path) {
        Ok(path) => Ok(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(PoolError::NotAPool {
            path: path.to_owned(),
        }),
        Err(source) => Err(PoolError::Folder {
            path: path.to_owned(),
            action: "open the folder",
            source,
        }),
    }
}
