//! Storage engines as clients of a volume. Each writes numbered records without a gap, tells which
//! of them it was promised, and can tell whether the promise was kept.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::run::run;

/// Where an engine works.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its data folder: a mounted volume, whole.
    pub data: PathBuf,
    /// A folder on the host's own disk: logs, sockets, whatever must outlive an outage.
    pub outside: PathBuf,
}

impl Site {
    /// A data folder, and a folder beside it that is made if missing.
    #[track_caller]
    pub fn new(data: PathBuf, outside: PathBuf) -> Site {
        fs::create_dir_all(&outside).expect("the folder above exists");
        Site { data, outside }
    }
}

/// How far a writer has come, as numbers of records; 0 before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last record that the engine has acknowledged at all: there may be so many.
    pub taken: u64,
    /// The last record that it has handed to the system: its own death must not harm it.
    pub written: u64,
    /// The last record that it has called durable: nothing may harm it.
    pub durable: u64,
}

impl Progress {
    /// The farther of both, for writers of one sequence.
    pub fn max(self, other: Progress) -> Progress {
        Progress {
            taken: self.taken.max(other.taken),
            written: self.written.max(other.written),
            durable: self.durable.max(other.durable),
        }
    }
}

/// A database that keeps records 1, 2, 3, …
pub trait Engine {
    /// What it is, for messages.
    fn name(&self) -> &str;

    /// The version of what does the work.
    fn version(&self) -> String;

    /// How many records an outage may take the acknowledgement of, but not the record.
    fn in_flight(&self) -> u64 {
        1
    }

    /// Begins to append to what is there, and goes on until something stops it.
    fn start(&self, site: &Site) -> Box<dyn Writing>;

    /// Opens the data as the engine does after a crash. Fails the test unless the engine's own
    /// checker finds nothing, every record has its content and what is redundant agrees. Returns
    /// the number of the last record.
    fn check(&self, site: &Site) -> u64;
}

/// An engine at work. Dropped, it is killed.
pub trait Writing {
    /// How far it has come. Fails the test if it has ended.
    fn progress(&mut self) -> Progress;

    /// SIGKILL; returns what it had been promised.
    fn kill(self: Box<Self>) -> Progress;

    /// Waits until it has noticed that its volume is gone; returns what it had been promised.
    fn fail(self: Box<Self>) -> Progress;
}

/// The first version number that a program prints.
#[track_caller]
pub fn version_of(program: &str, arguments: &[&str]) -> String {
    let text = run(Command::new(program).args(arguments)).ok();
    first_version(&text).unwrap_or_else(|| panic!("no version in {text}"))
}

/// Numbers with points between them.
fn first_version(text: &str) -> Option<String> {
    let parts = text.split(|char: char| !char.is_ascii_digit() && char != '.');
    let mut parts = parts.map(|part| part.trim_matches('.'));
    parts.find(|part| part.contains('.')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words, signs and single numbers around it do not matter.
    #[test]
    fn versions_are_found() {
        let find = |text| first_version(text);
        assert_eq!(find("LMDB 0.9.24: (July 24)"), Some("0.9.24".to_owned()));
        assert_eq!(
            find("Redis server v=7.0.15 sha=0:0"),
            Some("7.0.15".to_owned())
        );
        assert_eq!(find("no 17 here."), None);
    }
}
