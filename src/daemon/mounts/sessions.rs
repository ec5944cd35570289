//! The sessions that live, and when the daemon ends for want of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use super::ground;
use crate::daemon::{Kind, MountFlags, ServiceError, ServiceResult, Source};
use crate::fuse::Mount;
use crate::volume::Volume;

/// A place where a session is mounted.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Canonical.
    pub(crate) path: PathBuf,
    /// As asked for at this place.
    pub(crate) flags: MountFlags,
}

/// A mounted volume or snapshot.
#[derive(Clone)]
pub(crate) struct Session {
    id: u64,
    pub(crate) source: Source,
    pub(crate) volume: Arc<Volume>,
    pub(crate) mount: Arc<Mount>,
    /// None left: detached, but somebody still holds something of it.
    pub(crate) places: Vec<Place>,
    ended: bool,
}

impl Session {
    /// The places' paths.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.places.iter().map(|place| place.path.clone()).collect()
    }

    /// Whether changes can come through it.
    pub(crate) fn is_writable(&self) -> bool {
        !self.mount.options().read_only
    }
}

#[derive(Default)]
struct State {
    sessions: Vec<Session>,
    /// Sessions that ended before they were entered here.
    ended_early: Vec<u64>,
    next_id: u64,
    /// Mounts and unmounts that are under way.
    working: usize,
    stays: bool,
    stopping: bool,
}

/// The sessions of a process.
pub(crate) struct Sessions {
    state: Mutex<State>,
    changed: Condvar,
    wake: Notify,
}

/// A mount or unmount under way: the daemon does not end for want of mounts meanwhile.
pub(crate) struct Work<'a> {
    sessions: &'a Sessions,
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.sessions.state.lock().working -= 1;
        self.sessions.stop_if_idle();
    }
}

impl Sessions {
    /// None.
    pub(crate) fn new(stays: bool) -> Sessions {
        let state = State {
            stays,
            ..State::default()
        };
        Sessions {
            state: Mutex::new(state),
            changed: Condvar::new(),
            wake: Notify::new(),
        }
    }

    /// Begins a mount or an unmount; `Kind::Stopping` when the daemon is about to end.
    pub(crate) fn begin(&self) -> ServiceResult<Work<'_>> {
        let mut state = self.state.lock();
        if state.stopping {
            return Err(ServiceError::new(
                Kind::Stopping,
                "the daemon is about to end",
            ));
        }
        state.working += 1;
        Ok(Work { sessions: self })
    }

    /// A number for a session that is about to start.
    pub(crate) fn reserve(&self) -> u64 {
        let mut state = self.state.lock();
        state.next_id += 1;
        state.next_id
    }

    /// Enters a session that has started under a reserved number.
    pub(crate) fn enter(
        &self,
        id: u64,
        source: Source,
        volume: Arc<Volume>,
        mount: Arc<Mount>,
        place: Place,
    ) {
        let mut state = self.state.lock();
        let ended = state.ended_early.contains(&id);
        state.ended_early.retain(|early| *early != id);
        state.sessions.push(Session {
            id,
            source,
            volume,
            mount,
            places: vec![place],
            ended,
        });
    }

    /// Adds a further place to a session.
    pub(crate) fn add_place(&self, session: &Session, place: Place) {
        let mut state = self.state.lock();
        if let Some(session) = state
            .sessions
            .iter_mut()
            .find(|entry| entry.id == session.id)
        {
            session.places.push(place);
        }
    }

    /// A session is over; called from FUSE's threads, so nothing of it is dropped here.
    pub(crate) fn ended(&self, id: u64) {
        let mut state = self.state.lock();
        match state.sessions.iter_mut().find(|session| session.id == id) {
            Some(session) => session.ended = true,
            None => state.ended_early.push(id),
        }
        self.changed.notify_all();
        self.wake.notify_one();
    }

    /// Whether the session has ended; waits for it up to `patience`.
    pub(crate) fn wait_ended(&self, session: &Session, patience: Duration) -> bool {
        let mut state = self.state.lock();
        let alive = |state: &mut State| {
            state
                .sessions
                .iter()
                .any(|entry| entry.id == session.id && !entry.ended)
        };
        !self
            .changed
            .wait_while_for(&mut state, alive, patience)
            .timed_out()
    }

    /// Lets ended sessions go, forgets places that somebody else has unmounted, and ends the
    /// daemon if it is to end for want of mounts.
    pub(crate) fn reap(&self) {
        let mut gone = Vec::new();
        {
            let mut state = self.state.lock();
            for session in std::mem::take(&mut state.sessions) {
                if session.ended {
                    gone.push(session)
                } else {
                    state.sessions.push(session)
                }
            }
        }
        for session in gone {
            log::debug!("the session of '{}' has ended", session.source);
        }
        self.refresh();
        self.stop_if_idle();
    }

    /// Forgets places that are no longer in the mount table.
    pub(crate) fn refresh(&self) {
        // Without the table nothing is known to be gone.
        let Ok(table) = ground::mount_table() else {
            return;
        };
        let mut state = self.state.lock();
        for session in &mut state.sessions {
            let device = session.mount.device();
            session.places.retain(|place| {
                table
                    .iter()
                    .any(|entry| entry.device == device && entry.path == place.path)
            });
        }
    }

    /// The session of a source.
    pub(crate) fn find(&self, source: &Source) -> Option<Session> {
        self.refresh();
        let state = self.state.lock();
        state
            .sessions
            .iter()
            .find(|entry| !entry.ended && entry.source == *source)
            .cloned()
    }

    /// The session that is mounted at a path.
    pub(crate) fn at(&self, path: &Path) -> Option<Session> {
        self.refresh();
        let state = self.state.lock();
        let here = |session: &&Session| session.places.iter().any(|place| place.path == path);
        state
            .sessions
            .iter()
            .filter(|session| !session.ended)
            .find(here)
            .cloned()
    }

    /// All sessions, in the order of mounting.
    pub(crate) fn all(&self) -> Vec<Session> {
        self.refresh();
        let state = self.state.lock();
        state
            .sessions
            .iter()
            .filter(|session| !session.ended)
            .cloned()
            .collect()
    }

    /// Something ended, or the daemon is to end.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// From now on the daemon stays without mounts.
    pub(crate) fn stay(&self) -> ServiceResult<()> {
        let mut state = self.state.lock();
        if state.stopping {
            return Err(ServiceError::new(
                Kind::Stopping,
                "the daemon is about to end",
            ));
        }
        state.stays = true;
        Ok(())
    }

    /// Whether the daemon stays without mounts.
    pub(crate) fn stays(&self) -> bool {
        self.state.lock().stays
    }

    /// The daemon ends.
    pub(crate) fn stop(&self) {
        self.state.lock().stopping = true;
        self.wake.notify_one();
    }

    /// The daemon ends if it was to end without mounts, has none, and none is under way.
    pub(crate) fn stop_if_idle(&self) {
        let mut state = self.state.lock();
        let alive = state.sessions.iter().any(|session| !session.ended);
        if !alive && state.working == 0 && !state.stays && !state.stopping {
            state.stopping = true;
            self.wake.notify_one();
        }
    }

    /// Whether the daemon is about to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.state.lock().stopping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A daemon without mounts ends when the last mount or unmount is through, not before, and
    /// begins nothing after that.
    #[test]
    fn the_last_work_ends_an_idle_daemon() {
        let sessions = Sessions::new(false);
        let first = sessions.begin().unwrap();
        let second = sessions.begin().unwrap();
        drop(first);
        assert!(!sessions.is_stopping());
        drop(second);
        assert!(sessions.is_stopping());
        assert_eq!(sessions.begin().err().unwrap().kind, Kind::Stopping);
        assert_eq!(sessions.stay().unwrap_err().kind, Kind::Stopping);
    }

    /// A daemon that was told to stay does so.
    #[test]
    fn a_staying_daemon_stays() {
        let sessions = Sessions::new(false);
        let work = sessions.begin().unwrap();
        sessions.stay().unwrap();
        drop(work);
        assert!(!sessions.is_stopping());
        sessions.stop();
        assert!(sessions.is_stopping());
    }
}
