//! What the kernel counts for this process, and what a folder takes on disk.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes that this process has sent to the block layer, from `/proc/self/io`.
pub fn bytes_written() -> io::Result<u64> {
    number_in("/proc/self/io", "write_bytes:")
}

/// Resident memory of this process in bytes.
pub fn resident_bytes() -> io::Result<u64> {
    Ok(number_in("/proc/self/status", "VmRSS:")? * 1024)
}

/// Bytes allocated for a folder and all below it.
pub fn allocated_bytes(folder: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += metadata.blocks() * 512;
        if metadata.is_dir() {
            sum += allocated_bytes(&entry.path())?;
        }
    }
    Ok(sum)
}

fn number_in(file: &str, key: &str) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    let number = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("{file} has no {key}")))
}
