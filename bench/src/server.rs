//! A server that the benchmark starts, and ends by its process id.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::command::wait_until;

/// How long it may take until it answers, and until it has ended.
const LIMIT: Duration = Duration::from_secs(60);

/// A running program. Dropped, it is killed.
pub struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a program, with its output in a log of its own, and waits until it answers.
    ///
    /// # Errors
    /// It cannot be run, or ends, or does not answer: with what it says.
    pub fn start(
        name: &'static str,
        mut command: Command,
        log: PathBuf,
        mut answers: impl FnMut() -> bool,
    ) -> Result<Server> {
        let output = File::create(&log).with_context(|| format!("the log of {name}"))?;
        command.stdout(output.try_clone()?).stderr(output);
        let child = command.spawn();
        let child = child.with_context(|| format!("cannot run {command:?}"))?;
        let mut server = Server { name, child, log };
        let mut has_ended = false;
        let started = wait_until("it answers", LIMIT, || {
            has_ended = !matches!(server.child.try_wait(), Ok(None));
            has_ended || answers()
        });
        if started.is_err() || has_ended {
            bail!("{name} does not start: {}", server.said());
        }
        Ok(server)
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Lets it write what it still holds, and waits for its end.
    ///
    /// # Errors
    /// It does not end, or fails: with what it says.
    pub fn stop(mut self) -> Result<()> {
        let name = self.name;
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let mut ended = None;
        wait_until(&format!("{name} has ended"), LIMIT, || {
            ended = self.child.try_wait().ok().flatten();
            ended.is_some()
        })?;
        let is_success = ended.is_some_and(|status| status.success());
        ensure!(is_success, "{name} ended with {ended:?}: {}", self.said());
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::command;

    /// A program that ends at once is told from one that answers, with what it has said.
    #[test]
    fn a_server_that_does_not_start_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let program = command("sh", ["-c", "echo no room; exit 3"]);
        let failed = Server::start("sh", program, log, || false);
        let said = failed.err().unwrap().to_string();
        assert!(said.contains("sh does not start: no room"), "{said}");
    }
}
