//! Commands that are run before and after a snapshot.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::args;
use super::exit::warn;
use crate::daemon::{Kind, ServiceError, ServiceResult, Source};

/// How often a command is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Options of commands that make snapshots.
#[derive(clap::Args)]
pub(crate) struct HookArgs {
    /// A shell command that is run before the cut; no snapshot is made if it fails
    #[arg(long, value_name = "COMMAND")]
    before: Option<String>,

    /// A shell command that is run afterwards, whatever has happened
    #[arg(long, value_name = "COMMAND")]
    after: Option<String>,

    /// Bring a database to rest first: postgres (a CHECKPOINT, so that its recovery is short) or
    /// mysql (MariaDB's BACKUP STAGE, held until the cut, so that no commit and no change of a
    /// table is under way); by psql or mysql, which find their server by their own settings
    #[arg(long, value_enum, value_name = "DATABASE")]
    quiesce: Option<Database>,

    /// How long each of these may take; then it is killed, and has failed
    #[arg(long, value_name = "TIME", value_parser = args::span, default_value = "30s")]
    hook_timeout: u64,

    /// Make the snapshot even if what should come before it fails
    #[arg(long)]
    hook_optional: bool,
}

/// What can be brought to rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Database {
    /// PostgreSQL
    Postgres,
    /// MySQL and MariaDB
    Mysql,
}

impl HookArgs {
    /// Does `act` between the commands. The command for afterwards is run whether that, or the
    /// command before, succeeds or fails; its own failure is an error if nothing else was one.
    pub(crate) fn around<T>(
        &self,
        of: &[Source],
        act: impl FnOnce() -> ServiceResult<T>,
    ) -> ServiceResult<T> {
        let result = self.prepare(of).and_then(|rest| {
            let result = act();
            drop(rest);
            result
        });
        let outcome = if result.is_ok() { "ok" } else { "failed" };
        let after = self.run(self.after.as_deref(), "after", of, Some(outcome));
        match (result, after) {
            (Ok(_), Err(error)) if !self.hook_optional => {
                Err(error.hint("the snapshot was made, and is there"))
            }
            (result, Err(error)) => {
                warn(&[error.to_string()]);
                result
            }
            (result, Ok(())) => result,
        }
    }

    /// Runs what comes before. A database at rest goes on when what is returned is dropped.
    fn prepare(&self, of: &[Source]) -> ServiceResult<Option<AtRest>> {
        let prepared = self
            .run(self.before.as_deref(), "before", of, None)
            .and_then(|()| self.quiesce());
        match prepared {
            Err(error) if self.hook_optional => {
                warn(&[error.to_string()]);
                Ok(None)
            }
            prepared => prepared,
        }
    }

    fn quiesce(&self) -> ServiceResult<Option<AtRest>> {
        match self.quiesce {
            None => Ok(None),
            Some(Database::Postgres) => {
                let mut psql = Command::new("psql");
                psql.args(["--quiet", "--no-psqlrc", "--dbname=postgres"]);
                psql.args(["--command=CHECKPOINT"]);
                self.finish(&mut psql, "psql").map(|()| None)
            }
            Some(Database::Mysql) => AtRest::mysql(self.timeout()).map(Some),
        }
    }

    fn run(
        &self,
        command: Option<&str>,
        when: &str,
        of: &[Source],
        outcome: Option<&str>,
    ) -> ServiceResult<()> {
        let Some(command) = command else {
            return Ok(());
        };
        let names: Vec<String> = of.iter().map(ToString::to_string).collect();
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command);
        shell.env("VOLFS_SNAPSHOT", names.join(" "));
        if let Some(outcome) = outcome {
            shell.env("VOLFS_RESULT", outcome);
        }
        self.finish(&mut shell, &format!("the command {when} the snapshot"))
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(self.hook_timeout)
    }

    /// Runs a command to its end, or kills it with all that it has started.
    fn finish(&self, command: &mut Command, what: &str) -> ServiceResult<()> {
        // What it prints is no result of this program.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::from(std::io::stderr()));
        let mut child = spawn(command, what)?;
        match wait(&mut child, self.timeout()) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(failed(format!("{what} failed: {status}"))),
            None => {
                kill(&mut child);
                let secs = self.hook_timeout;
                Err(failed(format!(
                    "{what} was killed: it took longer than {secs} s"
                )))
            }
        }
    }
}

/// A session of MySQL that holds commits back; given up when dropped.
struct AtRest {
    session: Child,
    input: Option<ChildStdin>,
}

impl AtRest {
    /// The locks are the session's: they go with it, also when this process dies.
    fn mysql(patience: Duration) -> ServiceResult<AtRest> {
        let mut mysql = Command::new("mysql");
        mysql.args(["--batch", "--skip-column-names", "--unbuffered"]);
        mysql.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut session = spawn(&mut mysql, "mysql")?;
        let input = session.stdin.take();
        let output = session.stdout.take();
        let mut rest = AtRest { session, input };
        let sent = rest.input.as_mut().map_or(Ok(()), |input| {
            let stages = ["START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT"];
            stages
                .iter()
                .try_for_each(|stage| writeln!(input, "BACKUP STAGE {stage};"))?;
            writeln!(input, "SELECT 'at rest';")?;
            input.flush()
        });
        sent.map_err(|error| failed(format!("mysql does not listen: {error}")))?;
        let (sender, answer) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let read = output.map(|output| BufReader::new(output).read_line(&mut line));
            // Nobody waits any more after the patience.
            let _ = sender.send((read.is_some(), line));
        });
        match answer.recv_timeout(patience) {
            Ok((true, line)) if line.trim() == "at rest" => Ok(rest),
            Ok(_) => Err(failed(
                "mysql did not come to rest; it says why above".to_owned(),
            )),
            Err(_) => Err(failed(
                "mysql was ended: it did not come to rest in time".to_owned(),
            )),
        }
    }
}

impl Drop for AtRest {
    fn drop(&mut self) {
        // The end of its input ends the client, and with it the session.
        if let Some(mut input) = self.input.take() {
            let _ = writeln!(input, "BACKUP STAGE END;");
        }
        if wait(&mut self.session, Duration::from_secs(1)).is_none() {
            kill(&mut self.session);
        }
    }
}

/// In a process group of its own, so that all of it can be killed.
fn spawn(command: &mut Command, what: &str) -> ServiceResult<Child> {
    let fail = |error| failed(format!("{what} cannot be started: {error}"));
    command.process_group(0).spawn().map_err(fail)
}

/// None: it still runs.
fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if start.elapsed() < patience => thread::sleep(LOOK_EVERY),
            // A child that cannot be waited for is treated as one that does not end.
            Ok(None) | Err(_) => return None,
        }
    }
}

fn kill(child: &mut Child) {
    if let Some(group) = rustix::process::Pid::from_raw(child.id() as i32) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}

fn failed(message: String) -> ServiceError {
    ServiceError::new(Kind::Failed, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hooks(before: Option<&str>, after: Option<&str>, hook_optional: bool) -> HookArgs {
        HookArgs {
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
            quiesce: None,
            hook_timeout: 1,
            hook_optional,
        }
    }

    fn around(hooks: &HookArgs, succeeds: bool) -> (bool, ServiceResult<()>) {
        let mut acted = false;
        let result = hooks.around(&[], || {
            acted = true;
            match succeeds {
                true => Ok(()),
                false => Err(failed("no snapshot".to_owned())),
            }
        });
        (acted, result)
    }

    /// What fails before keeps the snapshot from being made, unless it is optional; what comes
    /// after is run in any case, and knows how it went.
    #[test]
    fn the_command_for_afterwards_is_always_run() {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("told");
        let after = format!("echo -n $VOLFS_RESULT >{}", told.display());
        for (before, optional, succeeds, acted, outcome) in [
            (None, false, true, true, "ok"),
            (Some("true"), false, false, true, "failed"),
            (Some("false"), false, true, false, "failed"),
            (Some("false"), true, true, true, "ok"),
        ] {
            let hooks = hooks(before, Some(&after), optional);
            let (has_acted, result) = around(&hooks, succeeds);
            assert_eq!((has_acted, result.is_ok()), (acted, outcome == "ok"));
            assert_eq!(std::fs::read_to_string(&told).unwrap(), outcome);
            std::fs::remove_file(&told).unwrap();
        }
    }

    /// A command that does not end is killed with what it has started.
    #[test]
    fn a_command_that_takes_too_long_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let late = folder.path().join("late");
        let before = format!("(sleep 2; touch {}) & wait", late.display());
        let start = Instant::now();
        let (acted, result) = around(&hooks(Some(&before), None, false), true);
        assert!(!acted && start.elapsed() < Duration::from_secs(2));
        assert!(result.unwrap_err().message.contains("longer than 1 s"));
        thread::sleep(Duration::from_millis(1500));
        assert!(!late.exists(), "what it started goes on");
    }

    /// A failure afterwards is told, and that the snapshot is there.
    #[test]
    fn a_failure_afterwards_is_told() {
        let (_, result) = around(&hooks(None, Some("exit 3"), false), true);
        let error = result.unwrap_err();
        assert!(
            error.message.contains("after the snapshot failed"),
            "{error}"
        );
        assert!(error.hints[0].contains("is there"));
        assert!(around(&hooks(None, Some("exit 3"), true), true).1.is_ok());
    }
}
