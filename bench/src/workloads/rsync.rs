//! A tree of files, copied by rsync.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::command::{command, run as run_command, text};
use crate::fresh::{Bytes, empty_folder};
use crate::outcome::Outcome;

/// Of the sizes, which are the same each time; what is in the files is not.
const SIZES_SEED: u64 = 1;
const FILES_PER_FOLDER: u32 = 50;
/// Sizes are spread evenly over their powers of two, as they are in most trees: 42 KiB on average.
const LEAST_BYTES: f64 = 512.0;
const MOST_BYTES: f64 = 262_144.0;

/// Copies per second of so many files, from a tree in `scratch` that is in the page cache.
pub(super) fn run(folder: &Path, scratch: &Path, files: u32, seed: u64) -> Result<Outcome> {
    let (tree, copy) = (scratch.join("tree"), folder.join("copy"));
    empty_folder(&copy)?;
    let bytes = make_tree(&tree, files, seed)?;
    run_command(&mut command("sync", []))?;
    let from = format!("{}/", text(&tree)?);
    let start = Instant::now();
    run_command(&mut command("rsync", ["-a", &from, text(&copy)?]))?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Outcome {
        value: f64::from(files) / seconds,
        others: vec![("MiB/s", bytes as f64 / seconds / f64::from(1 << 20))],
        ..Outcome::default()
    })
}

/// Makes the files; how many bytes they have.
fn make_tree(tree: &Path, files: u32, seed: u64) -> Result<u64> {
    empty_folder(tree)?;
    let (mut sizes, mut content) = (Bytes::of(SIZES_SEED), Bytes::of(seed));
    let mut sum = 0;
    for number in 0..files {
        let folder = tree.join(format!("folder-{}", number / FILES_PER_FOLDER));
        if number % FILES_PER_FOLDER == 0 {
            fs::create_dir(&folder)?;
        }
        let part = sizes.number() as f64 / u64::MAX as f64;
        let size = LEAST_BYTES * (MOST_BYTES / LEAST_BYTES).powf(part);
        let mut bytes = vec![0; size as usize];
        content.fill(&mut bytes);
        fs::write(folder.join(format!("file-{number}")), &bytes)?;
        sum += bytes.len() as u64;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree has the same sizes each time, and other bytes.
    #[test]
    fn a_tree_is_new_in_its_bytes_only() {
        let folder = tempfile::tempdir().unwrap();
        let read = |seed| {
            let bytes = make_tree(folder.path(), 60, seed).unwrap();
            (
                bytes,
                fs::read(folder.path().join("folder-1/file-55")).unwrap(),
            )
        };
        let (first, second) = (read(1), read(2));
        assert_eq!(first.0, second.0);
        assert_eq!(first.1.len(), second.1.len());
        assert_ne!(first.1, second.1);
    }
}
