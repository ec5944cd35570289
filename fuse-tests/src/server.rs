//! A program that runs beside the test and ends with it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::run::{exits_within, pid_of};

/// Arguments of `setpriv` that make it a user, by name or by a number that may have none.
pub fn to_become(user: &str) -> [&str; 5] {
    let is_number = user.bytes().all(|byte| byte.is_ascii_digit());
    let groups = if is_number {
        "--clear-groups"
    } else {
        "--init-groups"
    };
    ["--reuid", user, "--regid", user, groups]
}

/// How long a server may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How often, and how long apart, the threads of a program that does not end are looked at.
const SAMPLES: u32 = 5;
const SAMPLE_PAUSE: Duration = Duration::from_millis(100);

/// A running program with its output in a log file. Dropped, it is killed.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `program` as `user`, by name or by a number that has none (as the caller when
    /// `None`), output appended to `log`.
    ///
    /// The kernel kills it when the test dies first, so that an interrupted run leaves nothing.
    pub fn start(user: Option<&str>, program: &Path, arguments: &[&str], log: PathBuf) -> Server {
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("log file");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(user) = user {
            command.args(to_become(user));
        }
        let child = command
            .arg("--")
            .arg(program)
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle of the log"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        Server { child, log }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        pid_of(&self.child)
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Where its output goes.
    pub fn log_path(&self) -> PathBuf {
        self.log.clone()
    }

    /// What it has printed until now.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends `signal`, waits for the end and returns the exit code, `None` when a signal ended it.
    #[track_caller]
    pub fn stop(mut self, signal: Signal) -> Option<i32> {
        kill_process(self.pid(), signal).expect("the child has not been waited for");
        assert!(
            exits_within(self.pid(), STOP_LIMIT),
            "does not stop; its log:\n{}",
            self.log()
        );
        self.child
            .wait()
            .expect("the child can be waited for")
            .code()
    }

    /// Waits for an end that comes by itself and returns the exit code.
    #[track_caller]
    pub fn wait(mut self, limit: Duration) -> Option<i32> {
        assert!(
            exits_within(self.pid(), limit),
            "does not end; its threads:\n{}\nits log:\n{}",
            self.stacks(),
            self.log()
        );
        self.child
            .wait()
            .expect("the child can be waited for")
            .code()
    }

    /// As [`Server::wait`], for a program whose threads may wait for each other for ever once its
    /// volume has failed: it is killed then, unless one of them is in a call on a FUSE filesystem.
    #[track_caller]
    pub fn wait_or_kill(self, limit: Duration) -> Option<i32> {
        if exits_within(self.pid(), limit) {
            return self.wait(limit);
        }
        for _ in 0..SAMPLES {
            let stacks = self.stacks();
            assert!(
                stacks.contains("futex") && !stacks.contains("fuse"),
                "does not end, and not by its own doing; its threads:\n{stacks}\nits log:\n{}",
                self.log()
            );
            thread::sleep(SAMPLE_PAUSE);
        }
        self.stop(Signal::KILL)
    }

    /// Where in the kernel its threads are.
    fn stacks(&self) -> String {
        let folder = format!("/proc/{}/task", self.child.id());
        let tasks = fs::read_dir(folder).into_iter().flatten().flatten();
        let stack = |task: fs::DirEntry| {
            let read = |name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            format!("{}{}", read("comm"), read("stack"))
        };
        tasks.map(stack).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(folder: &tempfile::TempDir, program: &str, arguments: &[&str]) -> Server {
        let log = folder.path().join("log");
        Server::start(None, Path::new(program), arguments, log)
    }

    /// A program whose threads wait for each other is killed.
    #[test]
    fn a_deadlock_is_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let deadlock = "import threading; a = threading.Lock(); a.acquire(); a.acquire()";
        let server = start(&folder, "python3", &["-c", deadlock]);
        assert_eq!(server.wait_or_kill(Duration::from_secs(1)), None);
    }

    /// One that waits for anything else is reported.
    #[test]
    #[should_panic(expected = "not by its own doing")]
    fn another_wait_is_reported() {
        let folder = tempfile::tempdir().expect("a folder");
        let server = start(&folder, "sleep", &["60"]);
        server.wait_or_kill(Duration::from_millis(500));
    }
}
