//! The way from a command to its pool: through the daemon that owns it, or, where none runs, by
//! opening it in this process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::calls::Call;
use super::client::Client;
use super::service::{Life, Service};
use super::wait::{OwnerWatch, process_ended};
use super::{Introduction, Kind, ServiceError, ServiceResult, launch};
use crate::base::progress::{Progress, Silent};
use crate::base::{Clock, SystemClock};
use crate::pool::{Pool, PoolError};

/// How long a process that holds the pool's lock, but does not answer, is waited for: a daemon
/// that is starting or ending, or another command.
pub(crate) const OWNER_PATIENCE: Duration = Duration::from_secs(20);

/// How long a daemon may take to end.
const END_PATIENCE: Duration = Duration::from_secs(120);

/// Who may carry a call out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// The daemon, or this process where none runs.
    Anyone,
    /// A daemon that runs already.
    RunningDaemon,
    /// A daemon, started if none runs; it ends with its last mount.
    Daemon,
    /// A daemon, started if none runs; it stays.
    StayingDaemon,
}

enum Owner {
    Daemon(Client),
    Process(Box<Service>),
}

/// A command's way to a pool.
pub struct Access {
    pool: PathBuf,
    owner: Option<Owner>,
    clock: SystemClock,
}

impl Access {
    /// The pool in this folder, absolute. Nothing is opened yet.
    pub fn new(pool: PathBuf) -> Access {
        Access {
            pool,
            owner: None,
            clock: SystemClock::new(),
        }
    }

    /// The pool's folder.
    pub fn pool(&self) -> &Path {
        &self.pool
    }

    /// Makes the pool if there is none.
    pub fn create_pool(&self) -> ServiceResult<()> {
        if Pool::exists(&self.pool) {
            return Ok(());
        }
        if let Some(parent) = self.pool.parent() {
            fs::create_dir_all(parent)
                .map_err(|error| ServiceError::environment("create the folder", parent, &error))?;
        }
        match Pool::create(&self.pool) {
            // Another command was faster.
            Err(_) if Pool::exists(&self.pool) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Carries a call out.
    pub fn call<C: Call>(&mut self, by: By, call: &C) -> ServiceResult<C::Answer> {
        self.call_with_progress(by, call, &Silent)
    }

    /// Carries a call out and tells how it goes on.
    pub fn call_with_progress<C: Call>(
        &mut self,
        by: By,
        call: &C,
        progress: &dyn Progress,
    ) -> ServiceResult<C::Answer> {
        let deadline = self.clock.monotonic() + OWNER_PATIENCE;
        loop {
            let answer = match self.reach(by, deadline)? {
                Owner::Process(service) => return call.run(service, progress),
                Owner::Daemon(client) => client.call(call, progress),
            };
            match answer {
                // Nothing was begun: whoever owns the pool next can do it.
                Err(error) if error.kind == Kind::Stopping => {
                    self.leave_stopping(deadline, error)?
                }
                answer => return answer,
            }
        }
    }

    /// The daemon, if one runs.
    pub fn daemon(&mut self) -> ServiceResult<Option<Introduction>> {
        Ok(Client::connect(&self.pool)?.map(|client| client.daemon().clone()))
    }

    /// Waits until the daemon that was talked to has ended.
    pub fn wait_for_end(&mut self) -> ServiceResult<()> {
        let Some(Owner::Daemon(client)) = self.owner.take() else {
            return Ok(());
        };
        let pid = client.daemon().pid;
        drop(client);
        if process_ended(pid, END_PATIENCE) {
            return Ok(());
        }
        let message = format!("the daemon (pid {pid}) has not ended yet");
        Err(ServiceError::new(Kind::Unreachable, message)
            .hint("its log, daemon.log in the pool's folder, says more"))
    }

    /// Closes what was opened in this process.
    pub fn close(&mut self) -> ServiceResult<()> {
        match self.owner.take() {
            Some(Owner::Process(service)) => service.close(),
            _ => Ok(()),
        }
    }

    fn leave_stopping(&mut self, deadline: Duration, error: ServiceError) -> ServiceResult<()> {
        if let Some(Owner::Daemon(client)) = self.owner.take() {
            let pid = client.daemon().pid;
            drop(client);
            if !process_ended(pid, deadline.saturating_sub(self.clock.monotonic())) {
                return Err(error);
            }
        }
        Ok(())
    }

    fn reach(&mut self, by: By, deadline: Duration) -> ServiceResult<&mut Owner> {
        let owner = match self.owner.take() {
            Some(owner) => owner,
            None => self.find_owner(by, deadline)?,
        };
        Ok(self.owner.insert(owner))
    }

    fn find_owner(&self, by: By, deadline: Duration) -> ServiceResult<Owner> {
        check_exists(&self.pool)?;
        loop {
            let watch = OwnerWatch::new(&self.pool)
                .map_err(|error| ServiceError::environment("watch", &self.pool, &error))?;
            let in_the_way = match Client::connect(&self.pool)? {
                Some(client) if !client.daemon().stopping => return Ok(Owner::Daemon(client)),
                Some(client) => client.daemon().pid,
                None => match self.without_daemon(by)? {
                    Without::Opened(service) => return Ok(Owner::Process(service)),
                    Without::Launched => 0,
                    Without::Locked(pid) => pid,
                },
            };
            let rest = deadline.saturating_sub(self.clock.monotonic());
            if rest.is_zero() {
                return Err(locked(&self.pool, in_the_way));
            }
            watch
                .wait(in_the_way, rest)
                .map_err(|error| ServiceError::environment("watch", &self.pool, &error))?;
        }
    }

    fn without_daemon(&self, by: By) -> ServiceResult<Without> {
        let life = match by {
            By::Anyone => {
                return match Service::open(&self.pool, Life::Stays) {
                    Ok(service) => Ok(Without::Opened(Box::new(service))),
                    Err(PoolError::Locked { pid, .. }) => Ok(Without::Locked(pid)),
                    Err(error) => Err(error.into()),
                };
            }
            By::RunningDaemon => {
                let message = format!("no daemon runs for pool '{}'", self.pool.display());
                return Err(ServiceError::new(Kind::Unreachable, message)
                    .hint("`volfs mount` and `volfs daemon start` start one"));
            }
            By::Daemon => Life::EndsWithLastMount,
            By::StayingDaemon => Life::Stays,
        };
        launch::launch(&self.pool, life)?;
        Ok(Without::Launched)
    }
}

enum Without {
    Opened(Box<Service>),
    /// A daemon runs now: this one's, or one that was faster.
    Launched,
    Locked(u32),
}

/// The refusal: somebody holds the pool and does not answer.
pub(crate) fn locked(pool: &Path, pid: u32) -> ServiceError {
    let who = if pid == 0 {
        "another process".to_owned()
    } else {
        format!("process {pid}")
    };
    let message = format!(
        "pool '{}' is in use by {who}, which does not answer",
        pool.display()
    );
    ServiceError::new(Kind::Busy, message)
        .hint("it may be another volfs command or a daemon that is starting or ending: try again")
}

/// Tells a missing pool, and one that may not be looked at, before anything else is tried.
pub(crate) fn check_exists(pool: &Path) -> ServiceResult<()> {
    match fs::symlink_metadata(pool.join("pool.toml")) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(ServiceError::environment("open the pool", pool, &error)
                .hint("it belongs to another user"))
        }
        // A disk that does not answer says nothing about whether there is a pool.
        Err(error) if !is_absence(&error) => {
            Err(ServiceError::environment("open the pool", pool, &error))
        }
        Err(_) if pool.is_dir() => Err(PoolError::NotAPool {
            path: pool.to_owned(),
        }
        .into()),
        Err(_) => {
            let message = format!("no pool at '{}'", pool.display());
            Err(ServiceError::new(Kind::NotFound, message)
                .hint("`volfs volume create NAME` makes one"))
        }
    }
}

fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::ListVolumes;

    /// No pool, and a folder that is none, are told apart; nothing is created.
    #[test]
    fn missing_pools_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut access = Access::new(folder.path().join("none"));
        let error = access.call(By::Anyone, &ListVolumes {}).unwrap_err();
        assert_eq!(error.kind, Kind::NotFound);
        assert!(error.message.starts_with("no pool at '"), "{error}");

        let mut access = Access::new(folder.path().to_owned());
        let error = access.call(By::Daemon, &ListVolumes {}).unwrap_err();
        assert_eq!(error.kind, Kind::NotFound);
        assert!(error.message.contains("is not a volfs pool"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// A path that cannot be followed is told as that, and not as a missing pool.
    #[test]
    fn unreadable_pools_are_not_called_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loop");
        std::os::unix::fs::symlink(&path, &path).unwrap();
        let mut access = Access::new(path);
        let error = access.call(By::Anyone, &ListVolumes {}).unwrap_err();
        assert_eq!(error.kind, Kind::Environment);
        assert!(!error.message.contains("no pool at"), "{error}");
    }
}
