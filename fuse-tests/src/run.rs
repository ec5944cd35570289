//! Runs a program to its end, with a limit on the time, and keeps what it printed.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// How long an ordinary program may take.
pub const LIMIT: Duration = Duration::from_secs(60);

/// What a program left behind.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The command line, for messages.
    pub command: String,
    /// The exit code; 128 + the signal's number when a signal ended it.
    pub code: i32,
    /// All that it wrote to stdout.
    pub stdout: String,
    /// All that it wrote to stderr.
    pub stderr: String,
}

impl Ran {
    /// Fails the test unless the exit code was `code`.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "exit code of {self:#?}");
        self
    }

    /// stdout without the last newline, of a program that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        self.expect_code(0).stdout.trim_end_matches('\n').to_owned()
    }
}

/// Runs `command` for at most [`LIMIT`].
#[track_caller]
pub fn run(command: &mut Command) -> Ran {
    run_for(command, LIMIT)
}

/// Runs `command`; after `limit` it is killed with its children and the test fails.
#[track_caller]
pub fn run_for(command: &mut Command, limit: Duration) -> Ran {
    try_run(command, limit).unwrap_or_else(|problem| panic!("{problem}"))
}

/// Like [`run_for`], for who must not panic: the error says what did not end.
///
/// A child that outlives the program and keeps its stdout or stderr open counts as still running:
/// a shell that waits for the output would hang on it too.
pub fn try_run(command: &mut Command, limit: Duration) -> Result<Ran, String> {
    let line = format!("{command:?}");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let started = command.process_group(0).spawn();
    let mut child = started.map_err(|error| format!("cannot start {line}: {error}"))?;
    let stdout = collect(child.stdout.take().expect("stdout is a pipe"));
    let stderr = collect(child.stderr.take().expect("stderr is a pipe"));
    if !exits_within(pid_of(&child), limit) {
        let _ = kill_process_group(pid_of(&child), Signal::KILL);
        let partial = stderr
            .recv_timeout(Duration::from_secs(1))
            .unwrap_or_default();
        return Err(format!(
            "{line} still runs after {limit:?}; stderr so far: {partial}"
        ));
    }
    let status = child.wait().expect("the child can be waited for");
    let all_of = |pipe: &mpsc::Receiver<String>, what| {
        let held = format!("{line} ended, but a process that it started keeps its {what} open");
        pipe.recv_timeout(limit).map_err(|_| held)
    };
    Ok(Ran {
        code: status
            .code()
            .or(status.signal().map(|signal| 128 + signal))
            .unwrap_or(-1),
        stdout: all_of(&stdout, "stdout")?,
        stderr: all_of(&stderr, "stderr")?,
        command: line,
    })
}

/// Reads a pipe to its end on a thread of its own.
fn collect(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// The process id of a child.
pub fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Waits for the end of any process, also one that is not a child. `true`: it has ended.
pub fn exits_within(pid: Pid, limit: Duration) -> bool {
    let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else {
        return true;
    };
    let timeout = Timespec::try_from(limit).expect("a limit of seconds fits");
    let mut waited = [PollFd::new(&descriptor, PollFlags::IN)];
    matches!(poll(&mut waited, Some(&timeout)), Ok(1))
}

/// Calls `done` until it is true, every 20 ms; fails the test when `limit` passes first.
///
/// For conditions that other programs bring about and that send no event.
#[track_caller]
pub fn eventually(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code, stdout and stderr are kept apart, and a signal becomes 128 + its number.
    #[test]
    fn output_and_code_are_kept() {
        let ran = run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 7"]));
        assert_eq!(
            (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
            (7, "out\n", "err\n")
        );
        assert_eq!(run(Command::new("sh").args(["-c", "kill -9 $$"])).code, 137);
    }

    /// A program that does not end is killed and reported.
    #[test]
    #[should_panic(expected = "still runs after 100ms")]
    fn endless_program_is_killed() {
        run_for(Command::new("sleep").arg("60"), Duration::from_millis(100));
    }
}
