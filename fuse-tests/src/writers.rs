//! Programs that write to a volume while something happens to it.

mod modes;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::fixture::{built, text};
use crate::promises::Promises;
use crate::run::{exits_within, pid_of};

pub use modes::Mode;

/// How long a writer may live on after its mount has died, or after it was told to stop.
const END_LIMIT: Duration = Duration::from_secs(30);

const UNPOISONED: &str = "nobody panics while holding the promises";

/// Running writers. Dropped, they are killed.
#[derive(Debug)]
pub struct Writers {
    running: Vec<Writer>,
}

#[derive(Debug)]
struct Writer {
    mode: Mode,
    child: Child,
    shared: Arc<(Mutex<Promises>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

impl Writers {
    /// Starts one writer per mode; they stop by themselves after `duration`.
    pub fn start(folder: &Path, modes: &[Mode], seed: u64, duration: Duration) -> Writers {
        let start = |mode| Writer::start(folder, mode, seed, duration);
        Writers {
            running: modes.iter().copied().map(start).collect(),
        }
    }

    /// Waits until each writer that makes promises has made `count`, so that what follows hits
    /// real load.
    #[track_caller]
    pub fn wait_for(&self, count: usize) {
        for writer in self
            .running
            .iter()
            .filter(|writer| writer.mode != Mode::Buffered)
        {
            let (promises, changed) = &*writer.shared;
            let promises = promises.lock().expect(UNPOISONED);
            let too_few = |promises: &mut Promises| promises.made() < count;
            let waited = changed.wait_timeout_while(promises, END_LIMIT, too_few);
            let timed_out = waited.expect(UNPOISONED).1.timed_out();
            assert!(
                !timed_out,
                "{}: no {count} promises in {END_LIMIT:?}",
                writer.mode
            );
        }
    }

    /// What has been promised until now.
    pub fn promised(&self) -> Promises {
        let mut all = Promises::default();
        for writer in &self.running {
            all.extend(writer.shared.0.lock().expect(UNPOISONED).clone());
        }
        all
    }

    /// Waits for the end of all and returns every promise.
    #[track_caller]
    pub fn finish(mut self) -> Promises {
        for writer in &mut self.running {
            if writer.mode == Mode::Buffered {
                // Only fills the kernel's cache, and does not notice that the mount has died.
                let _ = writer.child.kill();
            }
            assert!(
                exits_within(pid_of(&writer.child), END_LIMIT),
                "{} hangs",
                writer.mode
            );
            let _ = writer.child.wait();
            let reader = writer.reader.take().expect("finished only once");
            reader.join().expect("the reader does not panic");
        }
        self.promised()
    }

    /// Kills all and returns every promise; for writers that have no reason to fail.
    pub fn stop(mut self) -> Promises {
        for writer in &mut self.running {
            let _ = writer.child.kill();
        }
        self.finish()
    }
}

impl Writer {
    fn start(folder: &Path, mode: Mode, seed: u64, duration: Duration) -> Writer {
        let mut child = Command::new(built("volfs-test-writer"))
            .args([&mode.to_string(), text(folder), &seed.to_string()])
            .arg(duration.as_secs().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the writer can be started");
        let output = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let shared = Arc::new((Mutex::new(Promises::default()), Condvar::new()));
        let filled = Arc::clone(&shared);
        let reader = thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                filled.0.lock().expect(UNPOISONED).add_line(&line);
                filled.1.notify_all();
            }
        });
        Writer {
            mode,
            child,
            shared,
            reader: Some(reader),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
