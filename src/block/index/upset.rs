//! What a test has happen while a content index is built.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// By the folder of the index.
static UPSETS: Mutex<BTreeMap<PathBuf, Arc<Shared>>> = Mutex::new(BTreeMap::new());

/// What happens to an index once so many batches of frames have been fed to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Upset {
    /// There is no room for more of them.
    NoRoom,
    /// The feeder stops and waits.
    Pause,
}

struct Shared {
    upset: Upset,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    left: u64,
    /// Batches that were fed before it happened.
    fed: u64,
    /// How often it has happened.
    happened: u64,
    is_over: bool,
}

/// When dropped, nothing happens any more, and whoever waits goes on.
pub(crate) struct Armed {
    dir: PathBuf,
    shared: Arc<Shared>,
}

impl Armed {
    /// Has it happen to the index in `dir` when `after` further batches have been fed, and again
    /// at each one that follows.
    pub(crate) fn new(dir: &Path, upset: Upset, after: u64) -> Armed {
        let state = State {
            left: after,
            fed: 0,
            happened: 0,
            is_over: false,
        };
        let shared = Arc::new(Shared {
            upset,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        UPSETS.lock().insert(dir.to_owned(), shared.clone());
        Armed {
            dir: dir.to_owned(),
            shared,
        }
    }

    /// Batches that were fed before it happened.
    pub(crate) fn fed(&self) -> u64 {
        self.shared.state.lock().fed
    }

    /// Returns when it has happened so often.
    pub(crate) fn wait(&self, times: u64) {
        let mut state = self.shared.state.lock();
        while state.happened < times {
            self.shared.changed.wait(&mut state);
        }
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        UPSETS.lock().remove(&self.dir);
        self.shared.state.lock().is_over = true;
        self.shared.changed.notify_all();
    }
}

/// Before a batch is fed to the index in `dir`.
pub(super) fn reach(dir: &Path) -> io::Result<()> {
    let Some(shared) = UPSETS.lock().get(dir).cloned() else {
        return Ok(());
    };
    let mut state = shared.state.lock();
    if state.left > 0 {
        state.left -= 1;
        state.fed += 1;
        return Ok(());
    }
    state.happened += 1;
    shared.changed.notify_all();
    if shared.upset == Upset::NoRoom {
        return Err(io::Error::from_raw_os_error(libc::ENOSPC));
    }
    while !state.is_over {
        shared.changed.wait(&mut state);
    }
    Ok(())
}
