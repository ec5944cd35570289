//! Ends a test that hangs.
//!
//! A process that waits for a FUSE reply ignores signals, so a hung mount can hang its test for
//! ever. The watchdog breaks the connection instead: every waiting call then fails, and with it
//! the test.

use std::env;
use std::path::PathBuf;
use std::process::exit;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::mounts;

/// Time for a test to fail and clean up after its mounts were broken.
const GRACE: Duration = Duration::from_secs(60);

/// Breaks the mounts below a folder after a time, unless dropped before.
#[derive(Debug)]
pub struct Watchdog {
    /// Dropping it tells the thread that the test is over.
    _alive: Sender<()>,
}

impl Watchdog {
    /// Starts to count. When a minute more passes, the whole test program ends.
    ///
    /// `VOLFS_TEST_LIMIT` (seconds) raises the limit, for runs with more rounds or larger folders.
    pub fn start(folder: PathBuf, limit: Duration) -> Watchdog {
        let raised = env::var("VOLFS_TEST_LIMIT")
            .ok()
            .and_then(|seconds| seconds.parse().ok());
        let limit = limit.max(raised.map_or(Duration::ZERO, Duration::from_secs));
        let (alive, over) = mpsc::channel();
        let test = thread::current().name().unwrap_or("a test").to_owned();
        thread::spawn(move || {
            if over.recv_timeout(limit) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            eprintln!("watchdog: {test} takes longer than {limit:?}; breaking its mounts");
            mounts::abort_below(&folder);
            if over.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
                eprintln!("watchdog: {test} hangs although its mounts are gone");
                exit(101);
            }
        });
        Watchdog { _alive: alive }
    }
}
