//! What the kernel counts for this process and for all, and what a folder takes on disk.

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

/// Milliseconds that a host has kept all processors together from running although there was work,
/// since the start of this machine; a hundredth of a second each time (`steal` in proc_stat(5)).
pub fn stolen_ms() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/stat")?;
    let all = text.lines().find_map(|line| line.strip_prefix("cpu "));
    let ticks: Option<u64> = all.and_then(|all| all.split_whitespace().nth(7)?.parse().ok());
    let ticks = ticks.ok_or_else(|| io::Error::other("/proc/stat tells no stolen time"))?;
    Ok(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

fn number_in(file: &str, key: &str) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    let number = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("{file} has no {key}")))
}
