//! A program that runs beside the test and ends with it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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
            "does not end; its log:\n{}",
            self.log()
        );
        self.child
            .wait()
            .expect("the child can be waited for")
            .code()
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
