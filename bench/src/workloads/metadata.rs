//! Small files: created, looked at, renamed and removed.

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};

use crate::outcome::Outcome;

/// As many as the machines have cores.
const THREADS: u64 = 2;
const CALLS_PER_FILE: u64 = 4;

/// So many files, in a folder for each thread.
pub(super) fn run(folder: &Path, files: u64) -> Result<Outcome> {
    let start = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|number| scope.spawn(move || work(&folder.join(format!("files-{number}")), files)))
            .collect();
        workers.into_iter().try_for_each(|worker| {
            let done = worker.join().map_err(|_| anyhow!("a thread panicked"))?;
            Ok::<(), anyhow::Error>(done?)
        })
    })?;
    let calls = (files / THREADS * THREADS * CALLS_PER_FILE) as f64;
    Ok((calls / start.elapsed().as_secs_f64()).into())
}

fn work(folder: &Path, files: u64) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let numbers = 0..files / THREADS;
    let (old, new) = ("created", "renamed");
    let path = |name: &str, number: u64| folder.join(format!("{name}-{number}"));
    for number in numbers.clone() {
        File::create(path(old, number))?;
    }
    for number in numbers.clone() {
        fs::metadata(path(old, number))?;
    }
    for number in numbers.clone() {
        fs::rename(path(old, number), path(new, number))?;
    }
    for number in numbers {
        fs::remove_file(path(new, number))?;
    }
    fs::remove_dir(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All calls are made, and nothing is left.
    #[test]
    fn small_files_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let outcome = run(folder.path(), 20).unwrap();
        assert!(outcome.value > 0.0, "{outcome:?}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }
}
