//! How many dirty pages the kernel keeps for a mount, and how far it reads ahead.
//!
//! By default it allows a FUSE mount 1 % of its dirty pages and throttles writers far below that,
//! and reads 128 KiB ahead: both cost half the throughput of sequential work.

use std::fs;
use std::io;
use std::path::PathBuf;

use log::Level;

/// Read ahead in KiB: two requests, so that one is served while the next one waits. Not more: the
/// kernel reads as much around the first faults of a mapped file.
const READ_AHEAD_KIB: u32 = 2048;
const PAGE_BYTES: u64 = 4096;

/// Sets the limits of a mount; `dirty_bytes_max` is the stated cap of its dirty pages. Without it
/// the mount works as well, only slower: what fails is logged.
pub(crate) fn configure(device: u64, dirty_bytes_max: u64) {
    let folder = folder_of(device);
    let set = |name: &str, value: u64| fs::write(folder.join(name), value.to_string());
    let log_failure = |name: &str, outcome: io::Result<()>| {
        if let Err(error) = outcome {
            // Only root may, so that it is no news for a normal user.
            let expected = error.kind() == io::ErrorKind::PermissionDenied;
            let level = if expected { Level::Debug } else { Level::Warn };
            log::log!(level, "cannot set {}: {error}", folder.join(name).display());
        }
    };
    // Before strict_limit goes, so that the cap holds at every moment.
    if set("max_bytes", dirty_bytes_max).is_err() {
        // A kernel before 6.3, or less memory than that: then a share of what may be dirty.
        log_failure(
            "max_ratio",
            set("max_ratio", ratio(dirty_bytes_max, dirty_threshold())),
        );
    }
    log_failure("strict_limit", set("strict_limit", 0));
    log_failure(
        "read_ahead_kb",
        set("read_ahead_kb", u64::from(READ_AHEAD_KIB)),
    );
}

fn folder_of(device: u64) -> PathBuf {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    PathBuf::from(format!("/sys/class/bdi/{major}:{minor}"))
}

/// Bytes that may be dirty on this machine before writers are throttled.
fn dirty_threshold() -> Option<u64> {
    let text = fs::read_to_string("/proc/vmstat").ok()?;
    let pages = text
        .lines()
        .find_map(|line| line.strip_prefix("nr_dirty_threshold "))?;
    Some(pages.trim().parse::<u64>().ok()?.saturating_mul(PAGE_BYTES))
}

/// Percent of the threshold that make up `bytes`, at least 1.
fn ratio(bytes: u64, threshold: Option<u64>) -> u64 {
    match threshold {
        Some(threshold) if threshold > 0 => (bytes.saturating_mul(100) / threshold).clamp(1, 100),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fallback is the cap's share of what may be dirty, from 1 to 100 percent.
    #[test]
    fn the_ratio_is_the_caps_share() {
        const GIB: u64 = 1 << 30;
        assert_eq!(ratio(GIB / 4, Some(4 * GIB)), 6);
        assert_eq!(ratio(GIB, Some(1000 * GIB)), 1);
        assert_eq!(ratio(GIB, Some(GIB / 2)), 100);
        assert_eq!(ratio(GIB, None), 1);
        assert_eq!(ratio(GIB, Some(0)), 1);
    }

    /// A device number names its folder in sysfs.
    #[test]
    fn limits_lie_in_sysfs() {
        let device = rustix::fs::makedev(0, 51);
        assert_eq!(folder_of(device), PathBuf::from("/sys/class/bdi/0:51"));
        assert!(dirty_threshold().is_some_and(|bytes| bytes > 0));
    }
}
