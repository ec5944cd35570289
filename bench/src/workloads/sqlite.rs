//! SQLite, in a process of its own.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::command::{command, run as run_command, text};
use crate::fresh::empty_folder;
use crate::outcome::{Latency, Outcome};

/// Debian's: another one may come first in PATH, with another SQLite or none.
const PYTHON: &str = "/usr/bin/python3";
const CLIENT: &str = include_str!("../../clients/sqlite.py");

#[derive(Deserialize)]
struct Told {
    seconds: f64,
    commits_us: Vec<f64>,
}

/// Commits per second of one writer, into a new database with this journal mode.
pub(super) fn run(folder: &Path, journal: &str, time: Duration) -> Result<Outcome> {
    let place = folder.join("sqlite");
    empty_folder(&place)?;
    let database = place.join("file.db");
    let seconds = time.as_secs_f64().to_string();
    let words = ["-c", CLIENT, text(&database)?, journal, &seconds];
    let told = run_command(&mut command(PYTHON, words))?;
    let told: Told = serde_json::from_str(&told).context("the client's JSON")?;
    Ok(Outcome {
        value: told.commits_us.len() as f64 / told.seconds,
        latencies: vec![Latency::of("commit", told.commits_us)],
        ..Outcome::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both journal modes work, also where a database is left from before.
    #[test]
    fn commits_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        for journal in ["wal", "delete"] {
            let outcome = run(folder.path(), journal, Duration::from_millis(50)).unwrap();
            assert!(outcome.value > 0.0, "{outcome:?}");
            assert!(outcome.latencies[0].max_us > Some(0.0), "{outcome:?}");
        }
    }
}
