//! The content index of a simulated pool: a real folder, which nothing may depend on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::base::SplitMix64;

/// The folder of the index, and perhaps an older copy of it.
pub(in crate::pool::tests) struct IndexFolder {
    folder: TempDir,
}

impl IndexFolder {
    pub(in crate::pool::tests) fn new() -> IndexFolder {
        IndexFolder {
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    pub(in crate::pool::tests) fn path(&self) -> PathBuf {
        self.folder.path().join("index")
    }

    fn older(&self) -> PathBuf {
        self.folder.path().join("older")
    }

    /// Between two runs: the folder is left alone, lost, rolled back to an older copy, or rots.
    /// Says which.
    pub(in crate::pool::tests) fn suffer(&mut self, random: &mut SplitMix64) -> &'static str {
        let done = match random.below(6) {
            0 => (self.lose(), "lost"),
            1 => (self.roll_back(), "rolled back"),
            2 => (self.rot(random), "rotten"),
            3 => (self.keep_a_copy(), "copied"),
            _ => (Ok(()), "left alone"),
        };
        done.0.expect("a temporary folder");
        done.1
    }

    pub(in crate::pool::tests) fn lose(&self) -> io::Result<()> {
        remove(&self.path())
    }

    pub(in crate::pool::tests) fn keep_a_copy(&self) -> io::Result<()> {
        remove(&self.older())?;
        copy(&self.path(), &self.older())
    }

    pub(in crate::pool::tests) fn roll_back(&self) -> io::Result<()> {
        if self.older().exists() {
            self.lose()?;
            copy(&self.older(), &self.path())?;
        }
        Ok(())
    }

    /// Some bytes of each file become others.
    pub(in crate::pool::tests) fn rot(&self, random: &mut SplitMix64) -> io::Result<()> {
        for path in files(&self.path())? {
            let mut bytes = fs::read(&path)?;
            for _ in 0..8 {
                let at = random.below(bytes.len().max(1) as u64) as usize;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            fs::write(&path, bytes)?;
        }
        Ok(())
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// All files below, sorted.
pub(in crate::pool::tests) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        if !folder.exists() {
            continue;
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for path in files(from)? {
        let inside = path.strip_prefix(from).expect("a file below");
        let target = to.join(inside);
        fs::create_dir_all(target.parent().expect("a folder"))?;
        fs::copy(&path, target)?;
    }
    Ok(())
}
