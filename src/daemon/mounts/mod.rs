//! The daemon's mounts: which volume is where, mounting, unmounting, and the list that survives.
//!
//! One volume has one FUSE session; further places are bind mounts of the first. Locks, in the
//! order in which they may be taken: `turn` (one mount, unmount or rollback at a time, held
//! through the whole operation), `saved` (the list on disk), `state` (never held while anything
//! is mounted, unmounted or flushed: the end of a session takes it from FUSE's own threads).

mod browse;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod ground;
mod kernel;
mod mount;
mod options;
mod saved;
mod sessions;
mod unmount;
mod users;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::base::VolumeName;
use crate::daemon::{MountReport, Source};
use crate::disk::FileDisk;
pub(crate) use browse::PoolSnapshots;
pub(crate) use mount::Opened;
use saved::SavedMounts;
pub(crate) use sessions::{Session, Sessions};
pub(crate) use users::{holders_of, holders_of_live, holders_of_snapshot, in_use};

/// All mounts of one pool.
pub(crate) struct MountTable {
    /// Canonical.
    pool: PathBuf,
    turn: Mutex<()>,
    saved: Mutex<SavedMounts>,
    sessions: Arc<Sessions>,
}

impl MountTable {
    /// No mounts yet; `stays` is whether the process goes on when there are none.
    pub(crate) fn new(pool: &Path, stays: bool) -> MountTable {
        MountTable {
            pool: pool.to_owned(),
            turn: Mutex::new(()),
            saved: Mutex::new(SavedMounts::load(Arc::new(FileDisk::new(pool)), pool)),
            sessions: Arc::new(Sessions::new(stays)),
        }
    }

    /// What is mounted, and the life of the daemon that hangs on it.
    pub(crate) fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// Keeps mounts as they are while the guard lives.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    /// Where a source would be mounted if nobody said where.
    pub(crate) fn default_path(&self, source: &Source) -> PathBuf {
        ground::default_path(&self.pool, source)
    }

    /// Sessions of a volume and of its snapshots.
    pub(crate) fn sessions_of_volume(&self, volume: &VolumeName) -> Vec<Session> {
        let mut sessions = self.sessions.all();
        sessions.retain(|session| session.source.volume == *volume);
        sessions
    }

    /// Everything that is mounted.
    pub(crate) fn report(&self) -> Vec<MountReport> {
        let report = |session: Session| MountReport {
            source: session.source.to_string(),
            paths: session.paths(),
            read_only: session.mount.options().read_only,
        };
        self.sessions.all().into_iter().map(report).collect()
    }
}
