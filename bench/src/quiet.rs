//! When a disk has nothing left to do for those who were measured before.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::fs::{major, minor, stat};

use crate::command::wait_until;

/// A disk on which nothing has ended for so long rests.
const QUIET: Duration = Duration::from_millis(500);
/// Others on the machine may never let it rest.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until the disk below `folder` rests, for as long as patience allows, and says so where it
/// does not. A filesystem that lies on no single disk is not waited for.
///
/// # Errors
/// There is no such folder, or what the kernel tells of the disk is not understood.
pub fn wait_for_rest(folder: &Path) -> Result<()> {
    let device = stat(folder)
        .with_context(|| folder.display().to_string())?
        .st_dev;
    let counters = format!("/sys/dev/block/{}:{}/stat", major(device), minor(device));
    let look = || -> Result<Option<Work>> {
        let Ok(line) = fs::read_to_string(&counters) else {
            return Ok(None);
        };
        let now = work(&line).with_context(|| format!("{counters}: {line:?}"))?;
        Ok(Some(now))
    };
    let Some(mut seen) = look()? else {
        return Ok(());
    };
    let mut since = Instant::now();
    let rest = wait_until("the disk has not come to rest", PATIENCE, || {
        // Understood before, and if the disk is gone there is nothing to wait for.
        let Ok(Some(now)) = look() else {
            return true;
        };
        if now.under_way > 0 || seen != now {
            (seen, since) = (now, Instant::now());
        }
        since.elapsed() >= QUIET
    });
    if let Err(error) = rest {
        println!("measured beside something else: {error:#}");
    }
    Ok(())
}

/// What a disk has done and does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Work {
    ended: u64,
    under_way: u64,
}

/// From the kernel's line of a disk (Documentation/block/stat.rst): reads, writes and, where it tells
/// them, discards and flushes.
fn work(line: &str) -> Option<Work> {
    const READS: usize = 0;
    const WRITES: usize = 4;
    const UNDER_WAY: usize = 8;
    const DISCARDS: usize = 11;
    const FLUSHES: usize = 15;
    let fields: Option<Vec<u64>> = line
        .split_whitespace()
        .map(|field| field.parse().ok())
        .collect();
    let fields = fields?;
    let told = |at: usize| fields.get(at).copied();
    Some(Work {
        ended: told(READS)?
            + told(WRITES)?
            + told(DISCARDS).unwrap_or(0)
            + told(FLUSHES).unwrap_or(0),
        under_way: told(UNDER_WAY)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let line = "  7 0 8 1 5 2 99 4 3 10 11 2 0 0 0 1 9\n";
        assert_eq!(
            work(line),
            Some(Work {
                ended: 15,
                under_way: 3
            })
        );
        let before_5_5 = "7 0 8 1 5 2 99 4 0 10 11";
        assert_eq!(
            work(before_5_5),
            Some(Work {
                ended: 12,
                under_way: 0
            })
        );
        assert_eq!(work("7 0 8 1"), None);
        assert_eq!(work("what is this"), None);
    }

    #[test]
    fn no_single_disk_is_not_waited_for() {
        wait_for_rest(Path::new("/proc")).expect("there is nothing to wait for");
        assert!(wait_for_rest(Path::new("/no such folder")).is_err());
    }
}
