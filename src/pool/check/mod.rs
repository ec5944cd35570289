//! Check and scrub: everything that a pool holds is verified.
//!
//! ```text
//! subject   what is checked: a live pool's published state, or a closed pool as it would open
//! checker   the walk: segments, trees, blocks, inodes, index; healing
//! entries   what a state shows as far as it can be read, and paths of its files
//! watch     progress, rate, end before time
//! ```
//!
//! A check changes nothing. What is torn since a power loss and was never acknowledged is no
//! violation. Damage to a frame is told once: as the block or node that it was, if a state refers
//! to it, else as a frame.

mod checker;
mod entries;
mod files;
mod report;
mod subject;
mod violation;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::thread;

pub use report::{CheckOptions, CheckReport, Repair};
pub use violation::{InodeRule, StateName, Violation};

use self::checker::Checker;
use self::subject::Subject;
use self::watch::Watch;
use super::recovery::{Ground, ground_in, take_lock};
use super::settings::PoolFile;
use super::{Pool, PoolError, PoolOptions, PoolResult};
use crate::base::progress::Progress;
use crate::disk::{FileDisk, ReadOnlyDisk};

/// Nice value of a scrub's thread: behind everybody who works.
const SCRUB_NICE: i32 = 10;

impl Pool {
    /// Checks everything, all content included; see [`Pool::check_with`].
    pub fn check(&self, progress: &dyn Progress) -> PoolResult<CheckReport> {
        let options = CheckOptions {
            read_data: true,
            ..CheckOptions::default()
        };
        self.check_with(&options, progress)
    }

    /// Checks what an open pool has published, after a checkpoint, beside everybody who uses it.
    /// What snapshots share is read once. Takes 8 bytes of memory a frame, and 64 bytes for each
    /// inode and name of a volume.
    ///
    /// # Errors
    /// `BrokenOff` when `progress` says that nobody waits any more; what keeps the check from
    /// coming to its end. Damage is no error: it is in the report.
    pub fn check_with(
        &self,
        options: &CheckOptions,
        progress: &dyn Progress,
    ) -> PoolResult<CheckReport> {
        let _one = self.maintain(progress)?;
        let subject = Subject::live(self, &options.volumes)?;
        run(&subject, options, progress)
    }

    /// As [`Pool::check`], at low priority, and heals what has a healthy copy.
    pub fn scrub(
        &self,
        options: &CheckOptions,
        progress: &dyn Progress,
    ) -> PoolResult<CheckReport> {
        let options = CheckOptions {
            read_data: true,
            heal: true,
            ..options.clone()
        };
        // A thread of its own: a priority that was lowered can only be raised again by root.
        thread::scope(|scope| {
            let work = || {
                lower_priority();
                self.check_with(&options, progress)
            };
            let thread = thread::Builder::new().name("scrub".to_owned());
            let fail = |source| PoolError::Folder {
                path: self.path.clone(),
                action: "start the scrub thread of",
                source,
            };
            let scrub = thread.spawn_scoped(scope, work).map_err(fail)?;
            scrub
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Checks a pool that nobody has open, as it would be after recovery, and changes nothing of
    /// it; only the content index's own files, which are derived, may be put in order by it.
    ///
    /// # Errors
    /// `Locked` when somebody has it open; else as [`Pool::check`].
    pub fn inspect(
        path: &Path,
        options: &CheckOptions,
        progress: &dyn Progress,
    ) -> PoolResult<CheckReport> {
        let disk = Arc::new(ReadOnlyDisk::new(Arc::new(FileDisk::new(path))));
        let file = PoolFile::read(&*disk, path)?;
        let lock = take_lock(path)?;
        inspect_on(&ground_in(path, disk, Some(lock)), &file, options, progress)
    }
}

/// Checks a pool at rest on any ground; heals, if that is asked for.
pub(super) fn inspect_on(
    ground: &Ground,
    file: &PoolFile,
    options: &CheckOptions,
    progress: &dyn Progress,
) -> PoolResult<CheckReport> {
    let id = file.id(&ground.path)?;
    let pool_options = file.options(PoolOptions::default());
    let subject = Subject::at_rest(ground, id, &pool_options)?;
    let report = run(&subject, options, progress);
    let closed = subject.shared.store.close();
    let report = report?;
    closed?;
    Ok(report)
}

fn run(
    subject: &Subject,
    options: &CheckOptions,
    progress: &dyn Progress,
) -> PoolResult<CheckReport> {
    let clock = subject.shared.clock.clone();
    let total = subject.records();
    let watch = Watch::new(progress, clock, options.bytes_per_second, total);
    Checker::new(subject, options, &watch).run()
}

fn lower_priority() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), SCRUB_NICE) {
        log::debug!("a scrub keeps its priority: {error}");
    }
}
