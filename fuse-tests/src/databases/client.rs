//! Engines behind the programs of `fuse-tests/clients`, which `scripts/setup.sh` builds.
//!
//! `PROGRAM write FOLDER MODE [LAST]` appends records (up to number LAST, then it closes and ends)
//! and prints a line `written N` or `durable N` for each acknowledgement. `PROGRAM check FOLDER
//! MODE` prints the number of the last record, or says on stderr what is wrong and fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::engine::{Engine, Progress, Site, Writing};
use crate::fixture::text;
use crate::run::{Ran, run_for};
use crate::server::Server;
use crate::tools::tool;

/// How long a check may take, and how long a client may take to notice that its volume is gone.
const LIMIT: Duration = Duration::from_secs(120);

/// How long a client may take to notice that of which it is known that it may never end.
const DEADLOCK_AFTER: Duration = Duration::from_secs(30);

/// What an engine offers to check a closed database, and the last record that was found in it.
pub type Checker = fn(&Client, &Site, u64);

/// A program with the arguments that it always gets, in one of its modes.
#[derive(Debug, Clone)]
pub struct Client {
    name: String,
    program: Vec<String>,
    version: fn() -> String,
    mode: &'static str,
    processes: usize,
    in_flight: u64,
    may_deadlock: bool,
    checker: Checker,
}

impl Client {
    /// A client of one process; `version` is the engine's.
    pub fn new(
        engine: &str,
        version: fn() -> String,
        program: Vec<String>,
        mode: &'static str,
        checker: Checker,
    ) -> Client {
        Client {
            name: format!("{engine}-{mode}"),
            program,
            version,
            mode,
            processes: 1,
            in_flight: 1,
            may_deadlock: false,
            checker,
        }
    }

    /// The same with so many processes that append to one sequence at once.
    pub fn with_processes(mut self, processes: usize) -> Client {
        self.processes = processes;
        self.in_flight = processes as u64;
        self
    }

    /// The same where one process has so many records under way.
    pub fn with_in_flight(mut self, records: u64) -> Client {
        self.in_flight = records;
        self
    }

    /// The same where the engine's threads may wait for each other for ever once its volume has
    /// failed.
    pub fn with_deadlocks(mut self) -> Client {
        self.may_deadlock = true;
        self
    }

    /// Starts its processes.
    pub fn spawn(&self, site: &Site) -> Writers {
        let log = |number| site.outside.join(format!("{}-{number}.log", self.name));
        let logs: Vec<PathBuf> = (0..self.processes).map(log).collect();
        let start = |log: &PathBuf| {
            // What an earlier start has printed is no progress of this one.
            let _ = fs::remove_file(log);
            let mut arguments: Vec<&str> = self.program[1..].iter().map(String::as_str).collect();
            arguments.extend(["write", text(&site.data), self.mode]);
            Server::start(None, Path::new(&self.program[0]), &arguments, log.clone())
        };
        let servers = logs.iter().map(start).collect();
        Writers {
            servers,
            logs,
            may_deadlock: self.may_deadlock,
        }
    }

    /// Appends up to record `last` and closes, below another program such as strace.
    #[track_caller]
    pub fn write_below(&self, wrapper: &[&str], site: &Site, last: u64) {
        let last = last.to_string();
        let arguments = ["write", text(&site.data), self.mode, &last];
        let line: Vec<&str> = wrapper
            .iter()
            .copied()
            .chain(self.program.iter().map(String::as_str))
            .chain(arguments)
            .collect();
        run_for(Command::new(line[0]).args(&line[1..]), LIMIT).expect_code(0);
    }

    /// What the client itself finds in a folder: the number of the last record, or an exit code.
    #[track_caller]
    pub fn content(&self, folder: &Path) -> Ran {
        let arguments = ["check", text(folder), self.mode];
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).args(arguments);
        run_for(&mut command, LIMIT)
    }

    /// The number of the last record in a folder, all of them sound.
    #[track_caller]
    pub fn last_record(&self, folder: &Path) -> u64 {
        let number = self.content(folder).ok();
        number.parse().expect("a client prints a number")
    }

    /// Runs another command of the client on a folder, which must succeed.
    #[track_caller]
    pub fn run(&self, command: &str, folder: &Path, arguments: &[&str]) -> String {
        let mut line = Command::new(&self.program[0]);
        line.args(&self.program[1..])
            .args([command, text(folder), self.mode])
            .args(arguments);
        run_for(&mut line, LIMIT).ok()
    }
}

impl Engine for Client {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> String {
        (self.version)()
    }

    fn in_flight(&self) -> u64 {
        self.in_flight
    }

    fn start(&self, site: &Site) -> Box<dyn Writing> {
        Box::new(self.spawn(site))
    }

    #[track_caller]
    fn check(&self, site: &Site) -> u64 {
        let last = self.last_record(&site.data);
        (self.checker)(self, site, last);
        last
    }
}

/// The processes of a client that append to one sequence.
#[derive(Debug)]
pub struct Writers {
    servers: Vec<Server>,
    logs: Vec<PathBuf>,
    may_deadlock: bool,
}

impl Writers {
    /// SIGKILL for one of them; what it was promised still counts.
    #[track_caller]
    pub fn kill_one(&mut self) {
        let victim = self.servers.pop().expect("one is left");
        victim.stop(Signal::KILL);
    }

    fn promised(&self) -> Progress {
        let read = |log: &PathBuf| acknowledged(&fs::read_to_string(log).unwrap_or_default());
        let each = self.logs.iter().map(read);
        each.fold(Progress::default(), Progress::max)
    }
}

impl Writing for Writers {
    #[track_caller]
    fn progress(&mut self) -> Progress {
        for server in &mut self.servers {
            assert!(server.is_running(), "a client ended:\n{}", tail(server));
        }
        self.promised()
    }

    fn kill(mut self: Box<Self>) -> Progress {
        for server in self.servers.drain(..) {
            server.stop(Signal::KILL);
        }
        self.promised()
    }

    #[track_caller]
    fn fail(mut self: Box<Self>) -> Progress {
        for server in self.servers.drain(..) {
            let log = server.log_path();
            let code = if self.may_deadlock {
                server.wait_or_kill(DEADLOCK_AFTER)
            } else {
                server.wait(LIMIT)
            };
            assert_ne!(code, Some(0), "it did not notice: {}", log.display());
        }
        self.promised()
    }
}

/// The last acknowledgements in a client's output. A line without an end is none yet.
fn acknowledged(log: &str) -> Progress {
    let complete = &log[..log.rfind('\n').map_or(0, |end| end + 1)];
    let last = |word: &str| {
        let numbers = complete.lines().rev();
        numbers
            .filter_map(|line| line.strip_prefix(word)?.trim().parse().ok())
            .next()
            .unwrap_or(0)
    };
    let durable = last("durable ");
    let written = last("written ").max(durable);
    Progress {
        taken: written,
        written,
        durable,
    }
}

fn tail(server: &Server) -> String {
    let log = server.log();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// A program that `scripts/setup.sh` has put into `target/tools`.
#[track_caller]
pub fn built(name: &str) -> String {
    text(&tool(name)).to_owned()
}

/// A program of `fuse-tests/clients` that needs no building.
pub fn script(name: &str) -> String {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    text(&clients.join(name)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last complete lines count, durable implies written, and noise does not matter.
    #[test]
    fn acknowledgements_are_read_from_the_end() {
        let log = "written 1\nnoise\ndurable 1\nwritten 2\nwritten 3\ndurable 2\nwritten 12";
        let expected = Progress {
            taken: 3,
            written: 3,
            durable: 2,
        };
        assert_eq!(acknowledged(log), expected);
        let durable = Progress {
            taken: 7,
            written: 7,
            durable: 7,
        };
        assert_eq!(acknowledged("durable 7\n"), durable);
        assert_eq!(acknowledged("durable 7"), Progress::default());
    }
}
