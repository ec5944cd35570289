//! The files of InnoDB, looked at from outside.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::data_folder;
use crate::run::run;

/// The doublewrite buffer lies in the system tablespace from its 64th page on, 128 pages long. It
/// is written page by page and holds copies of some moment, or nothing yet.
const BEFORE_DOUBLEWRITE: [&str; 2] = ["--end-page", "63"];
const BEHIND_DOUBLEWRITE: [&str; 2] = ["--start-page", "192"];

/// Fails the test unless every page of every InnoDB file of a stopped server has the checksum
/// that it bears. Returns how many tables those are.
#[track_caller]
pub fn check_pages(volume: &Path) -> usize {
    let data = data_folder(volume);
    let tables = table_files(&data);
    for file in &tables {
        run(Command::new("innochecksum").arg(file)).ok();
    }
    for part in [BEFORE_DOUBLEWRITE, BEHIND_DOUBLEWRITE] {
        run(Command::new("innochecksum")
            .args(part)
            .arg(data.join("ibdata1")))
        .ok();
    }
    tables.len()
}

fn table_files(data: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(data).expect("the data folder can be read");
    let folders = folders.flatten().map(|entry| entry.path());
    let folders: Vec<PathBuf> = folders.filter(|path| path.is_dir()).collect();
    let files = folders.iter().flat_map(|folder| {
        let files = fs::read_dir(folder).expect("a database's folder can be read");
        files.flatten().map(|entry| entry.path())
    });
    files
        .filter(|path| path.extension().is_some_and(|end| end == "ibd"))
        .collect()
}

/// Length and allocated bytes of the file of one table.
#[track_caller]
pub fn table_file(volume: &Path, database: &str, table: &str) -> (u64, u64) {
    let path = data_folder(volume)
        .join(database)
        .join(format!("{table}.ibd"));
    let metadata = fs::metadata(path).expect("the table has a file");
    (metadata.len(), metadata.blocks() * 512)
}
