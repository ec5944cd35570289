//! Unmounting.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::MountTable;
use super::ground;
use super::kernel;
use super::saved::SavedMount;
use super::sessions::{Place, Session};
use super::users::{holders_of, in_use};
use crate::base::VolumeName;
use crate::daemon::{Kind, ServiceError, ServiceResult, Source, UnmountTarget, Unmounted};
use crate::fuse::{self, MountEntry, MountError};

/// How long files open for writing are flushed before a session is detached.
const FLUSH_PATIENCE: Duration = Duration::from_secs(10);

/// How long the kernel may take to end a session that was unmounted.
const END_PATIENCE: Duration = Duration::from_secs(10);

impl MountTable {
    /// Unmounts for good: the place is no longer listed, its bare folder no longer immutable.
    /// Everything is durable when it returns.
    pub(crate) fn unmount(&self, target: &UnmountTarget, lazy: bool) -> ServiceResult<Unmounted> {
        let work = self.sessions.begin()?;
        let turn = self.turn.lock();
        let warnings = match target {
            UnmountTarget::Path(path) => self.unmount_path(&resolve(path)?, lazy)?,
            UnmountTarget::Source(source) => self.unmount_source(source, lazy)?,
        };
        self.sessions.reap();
        drop(turn);
        drop(work);
        Ok(Unmounted {
            stopping: self.sessions.is_stopping(),
            warnings,
        })
    }

    fn unmount_path(&self, path: &Path, lazy: bool) -> ServiceResult<Vec<String>> {
        let Some(session) = self.sessions.at(path) else {
            return self.give_up(path);
        };
        if session.places.len() > 1 {
            take_away(&session, path, lazy)?;
            return Ok(self.forget(&[path.to_owned()], Vec::new()));
        }
        self.end(&session, lazy, &[path.to_owned()])
    }

    fn unmount_source(&self, source: &Source, lazy: bool) -> ServiceResult<Vec<String>> {
        self.let_end(self.sessions.find(source));
        let paths = |lines: Vec<SavedMount>| lines.into_iter().map(|line| line.path);
        let listed: Vec<PathBuf> = paths(self.saved.lock().of(source)).collect();
        let session = self.sessions.find(source);
        match &session {
            Some(session) if session.places.is_empty() => Err(in_use(source, &holders_of(session))
                .hint("it is detached already and ends when they do")),
            Some(session) => {
                let mut places = session.paths();
                places.extend(listed);
                self.end(session, lazy, &places)
            }
            None if listed.is_empty() => {
                let message = format!("'{source}' is not mounted");
                Err(ServiceError::new(Kind::NotFound, message))
            }
            None => {
                for path in &listed {
                    fuse::clean_stale(path)?;
                }
                Ok(self.forget(&listed, Vec::new()))
            }
        }
    }

    /// Waits for those of the sessions that somebody else has unmounted and nobody is known to
    /// hold: umount(8) returns before the volume has been synced, and who mounts it again right
    /// behind that is not to be refused. A session whose holder cannot be seen stays.
    pub(crate) fn let_end(&self, sessions: impl IntoIterator<Item = Session>) {
        for session in sessions {
            if !session.places.is_empty() || !holders_of(&session).is_empty() {
                continue;
            }
            while !self.sessions.wait_ended(&session, END_PATIENCE) && !session.mount.is_alive() {
                log::info!("'{}' is still being synced", session.source);
            }
        }
        self.sessions.reap();
    }

    /// Takes a session down and forgets its places, also when it ended with an error: it is
    /// unmounted then all the same.
    fn end(&self, session: &Session, lazy: bool, places: &[PathBuf]) -> ServiceResult<Vec<String>> {
        match self.take_down(session, lazy) {
            Ok(warnings) => Ok(self.forget(places, warnings)),
            Err(error) => {
                if !session.mount.is_alive() {
                    for warning in self.forget(places, Vec::new()) {
                        log::warn!("{warning}");
                    }
                }
                Err(error)
            }
        }
    }

    /// A place without a session: what a dead daemon or another hand has left there.
    fn give_up(&self, path: &Path) -> ServiceResult<Vec<String>> {
        let listed = self.saved.lock().at(path).is_some();
        let table = ground::mount_table()?;
        let top = table.iter().rev().find(|entry| entry.path == path);
        let ours = top.is_some_and(|entry| entry.fs_type == fuse::FS_TYPE);
        fuse::clean_stale(path)?;
        let still = ground::mount_table()?
            .iter()
            .any(|entry| entry.path == path);
        if listed && !still {
            return Ok(self.forget(&[path.to_owned()], Vec::new()));
        }
        match top {
            Some(_) if ours && !still => Ok(Vec::new()),
            Some(entry) if ours => {
                let message = format!(
                    "'{}' is a mount of '{}', but not from this pool",
                    path.display(),
                    entry.source
                );
                Err(ServiceError::new(Kind::NotFound, message)
                    .hint("name its pool with --pool or VOLFS_POOL"))
            }
            _ => {
                let message = format!("'{}' is not mounted", path.display());
                Err(ServiceError::new(Kind::NotFound, message))
            }
        }
    }

    /// Takes all places of a session away and waits for its end.
    ///
    /// 1. Lazy: flush what is open for writing and make it durable, since nobody waits for those
    ///    files later. Otherwise nothing may be held: the kernel writes dirty pages at close.
    /// 2. Bind mounts, then the session's own place; the last one ends the session.
    /// 3. Make durable what the end has still written.
    fn take_down(&self, session: &Session, lazy: bool) -> ServiceResult<Vec<String>> {
        let mut warnings = Vec::new();
        if lazy {
            warnings = flush(session)?;
        } else {
            let elsewhere = kernel::elsewhere(session.mount.device());
            if !elsewhere.is_empty() || session.places.len() > 1 {
                let users = holders_of(session);
                if !users.is_empty() {
                    return Err(busy(session, &users));
                }
            }
        }
        let own = &session.mount.options().path;
        for place in session.places.iter().filter(|place| place.path != *own) {
            take_away(session, &place.path, lazy)?;
        }
        if session.places.iter().any(|place| place.path == *own) {
            match session.mount.unmount(lazy) {
                // Somebody came between the look and the unmount; told below.
                Err(MountError::Lingering { .. }) => {}
                Err(MountError::Busy { .. }) => return Err(busy(session, &holders_of(session))),
                other => other?,
            }
        }
        if !self
            .sessions
            .wait_ended(session, if lazy { Duration::ZERO } else { END_PATIENCE })
        {
            let users = holders_of(session);
            if !users.is_empty() {
                warnings.push(format!(
                    "'{}' was detached, but is still in use by: {}",
                    session.source,
                    users.join("; ")
                ));
            }
        }
        make_durable(session)?;
        Ok(warnings)
    }

    /// Takes places off the list and the immutable flags off their folders. What fails is a
    /// warning: the unmount itself is done.
    fn forget(&self, places: &[PathBuf], mut warnings: Vec<String>) -> Vec<String> {
        let mut saved = self.saved.lock();
        for path in places {
            let immutable = saved.at(path).is_some_and(|line| line.immutable);
            // First the flag: a crash between the two leaves a line whose flag is clear already.
            if immutable
                && let Err(error) = ground::set_immutable(path, false)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                let shown = path.display();
                warnings.push(format!(
                    "cannot clear the immutable flag of '{shown}' (chattr -i does it): {error}"
                ));
            }
            if let Err(error) = saved.remove(path) {
                warnings.push(error.to_string());
            }
        }
        warnings
    }

    /// A volume is gone: none of its places is wanted any more.
    pub(crate) fn forget_volume(&self, volume: &VolumeName) {
        let lines = self.saved.lock().of_volume(volume);
        self.forget_lines(lines);
    }

    /// A snapshot is gone: none of its places is wanted any more.
    pub(crate) fn forget_source(&self, source: &Source) {
        let lines = self.saved.lock().of(source);
        self.forget_lines(lines);
    }

    fn forget_lines(&self, lines: Vec<SavedMount>) {
        let places: Vec<PathBuf> = lines.into_iter().map(|line| line.path).collect();
        for path in &places {
            if let Err(error) = fuse::clean_stale(path) {
                log::warn!("{error}");
            }
        }
        for warning in self.forget(&places, Vec::new()) {
            log::warn!("{warning}");
        }
    }

    /// Unmounts everything, latest first, because the daemon ends; the list stays. What is busy
    /// is flushed and detached.
    pub(crate) fn shut_down(&self) {
        let _turn = self.turn.lock();
        for session in self.sessions.all().iter().rev() {
            let taken = match self.take_down(session, session.places.is_empty()) {
                Err(error) if error.kind == Kind::Busy => {
                    log::warn!("{error}: detaching it");
                    self.take_down(session, true)
                }
                other => other,
            };
            match taken {
                Ok(warnings) => warnings.iter().for_each(|warning| log::warn!("{warning}")),
                Err(error) => log::error!("unmounting '{}': {error}", session.source),
            }
        }
        self.sessions.reap();
    }
}

/// As [`ground::resolve`]; a mount point whose folder is gone is simply not mounted.
fn resolve(path: &Path) -> ServiceResult<PathBuf> {
    ground::resolve(path).map_err(|error| match error.kind {
        Kind::NotFound => ServiceError::new(
            Kind::NotFound,
            format!("'{}' is not mounted", path.display()),
        ),
        _ => error,
    })
}

fn take_away(session: &Session, path: &Path, lazy: bool) -> ServiceResult<()> {
    kernel::take_away(path, lazy).map_err(|error| match error.kind() {
        std::io::ErrorKind::ResourceBusy => busy(session, &holders_of(session)),
        _ => ServiceError::environment("unmount", path, &error),
    })
}

fn busy(session: &Session, users: &[String]) -> ServiceError {
    let mut users = users.to_vec();
    users.extend(mounts_inside(session));
    in_use(&session.source, &users).hint("--lazy flushes open files and detaches it all the same")
}

/// Other mounts whose mount points lie within a session's.
fn mounts_inside(session: &Session) -> Vec<String> {
    let inside = |entry: &MountEntry| {
        let below = |place: &Place| entry.path != place.path && entry.path.starts_with(&place.path);
        session.places.iter().any(below)
    };
    let table = ground::mount_table().unwrap_or_default();
    let found = table.iter().filter(|entry| inside(entry));
    found
        .map(|entry| format!("mount point {} inside of it", entry.path.display()))
        .collect()
}

fn flush(session: &Session) -> ServiceResult<Vec<String>> {
    if !session.is_writable() {
        return Ok(Vec::new());
    }
    let report = session.mount.flush_open_files(FLUSH_PATIENCE);
    make_durable(session)?;
    Ok(report
        .failed
        .into_iter()
        .map(|file| format!("not flushed: {file}"))
        .collect())
}

fn make_durable(session: &Session) -> ServiceResult<()> {
    if !session.is_writable() {
        return Ok(());
    }
    session.volume.sync().map_err(|error| {
        let error = ServiceError::from(error);
        let message = format!(
            "'{}': its last changes are not durable: {error}",
            session.source
        );
        ServiceError { message, ..error }
    })
}
