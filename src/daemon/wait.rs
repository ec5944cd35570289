//! Waiting for the owner of a pool to come or to go.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// How often to look when the owner cannot be told.
const UNKNOWN_OWNER_PATIENCE: Duration = Duration::from_millis(50);

/// Watches a pool's folder for a socket that appears, from its creation on: what happens between
/// a failed attempt and the wait is not missed.
pub(crate) struct OwnerWatch {
    events: OwnedFd,
}

impl OwnerWatch {
    /// Starts to watch.
    pub(crate) fn new(pool: &Path) -> io::Result<OwnerWatch> {
        let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        // The socket is renamed into place.
        inotify::add_watch(&events, pool, inotify::WatchFlags::MOVED_TO)?;
        Ok(OwnerWatch { events })
    }

    /// Returns when something appeared in the folder since the watch began, when the process
    /// `owner` (0: unknown) has ended, or when `patience` is over.
    pub(crate) fn wait(&self, owner: u32, patience: Duration) -> io::Result<()> {
        let process = watch_process(owner);
        let patience = match process {
            Some(_) => patience,
            // It has gone, or lives in another pid namespace.
            None => patience.min(UNKNOWN_OWNER_PATIENCE),
        };
        let mut watched = vec![PollFd::new(&self.events, PollFlags::IN)];
        watched.extend(
            process
                .as_ref()
                .map(|process| PollFd::new(process, PollFlags::IN)),
        );
        let timeout = Timespec {
            tv_sec: patience.as_secs() as i64,
            tv_nsec: i64::from(patience.subsec_nanos()),
        };
        match poll(&mut watched, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.drain();
        Ok(())
    }

    fn drain(&self) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.events, &mut buffer);
        while events.next().is_ok() {}
    }
}

/// Waits until a process has ended, up to `patience`; whether it has.
pub(crate) fn process_ended(pid: u32, patience: Duration) -> bool {
    let Some(process) = watch_process(pid) else {
        return true;
    };
    let timeout = Timespec {
        tv_sec: patience.as_secs() as i64,
        tv_nsec: i64::from(patience.subsec_nanos()),
    };
    poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)).is_ok_and(|ready| ready > 0)
}

fn watch_process(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    /// A socket that appeared after the watch began, but before the wait, ends the wait at once.
    #[test]
    fn an_early_appearance_is_not_missed() {
        let pool = tempfile::tempdir().unwrap();
        let watch = OwnerWatch::new(pool.path()).unwrap();
        fs::write(pool.path().join("new"), "").unwrap();
        fs::rename(pool.path().join("new"), pool.path().join("control.sock")).unwrap();
        watch
            .wait(std::process::id(), Duration::from_secs(60))
            .unwrap();
    }

    /// The end of the owner ends the wait.
    #[test]
    fn the_end_of_the_owner_is_seen() {
        let pool = tempfile::tempdir().unwrap();
        let watch = OwnerWatch::new(pool.path()).unwrap();
        let mut owner = Command::new("true").spawn().unwrap();
        watch.wait(owner.id(), Duration::from_secs(60)).unwrap();
        assert!(process_ended(owner.id(), Duration::from_secs(60)));
        owner.wait().unwrap();
        assert!(process_ended(owner.id(), Duration::ZERO));
        assert!(!process_ended(std::process::id(), Duration::ZERO));
    }
}
