//! Group commit: one fdatasync serves all who wait.

use std::sync::Arc;

use super::header::own_sector;
use super::open::{Journal, Shared};
use super::{JournalError, JournalResult};
use crate::base::Lsn;
use crate::base::sync::atomic::Ordering;
#[cfg(test)]
use crate::base::sync::{Sabotage, is_sabotaged};
use crate::disk::{DiskFile, Step};

/// Whether somebody flushes, and what for.
#[derive(Default)]
pub(super) struct Flushing {
    /// A thread, the leader, is in a flush; others wait for its end.
    running: bool,
    /// Room for the list of files to sync; the leader takes it and brings it back.
    files: Vec<(u64, Arc<dyn DiskFile>)>,
}

impl Journal {
    /// Returns when everything up to `lsn` is on the medium. One fdatasync serves all who wait;
    /// nothing new: no flush. `step` is what the caller needs it for.
    ///
    /// # Errors
    /// A failed sync poisons the journal for good: its caller gets [`JournalError::Disk`], all who
    /// wait and all later ones [`JournalError::Poisoned`]. It is not tried again, because the
    /// kernel would report success for pages it has lost.
    pub fn sync(&self, lsn: Lsn, step: Step) -> JournalResult<()> {
        let shared = &*self.shared;
        let lsn = lsn.0.min(shared.appended.load(Ordering::Acquire));
        // What is on the medium stays there, also after a later sync has failed.
        if shared.durable.load(Ordering::Acquire) >= lsn {
            return Ok(());
        }
        let mut flushing = shared.flushing.lock();
        while shared.durable.load(Ordering::Acquire) < lsn {
            shared.check_poison()?;
            if flushing.running {
                shared.flushed.wait(&mut flushing);
                continue;
            }
            flushing.running = true;
            let files = std::mem::take(&mut flushing.files);
            drop(flushing);
            let mut leader = Leader {
                shared,
                files,
                done: false,
            };
            let result = leader.flush(step);
            drop(leader);
            // The target covers `lsn`, which was appended before.
            return result;
        }
        Ok(())
    }
}

/// The one thread that flushes; when dropped, also by a panic, those who wait go on.
struct Leader<'a> {
    shared: &'a Shared,
    files: Vec<(u64, Arc<dyn DiskFile>)>,
    done: bool,
}

impl Leader<'_> {
    /// Brings all that was appended onto the medium.
    ///
    /// The order:
    /// 1. take the end of the log and the files to sync, and move the next append to a sector of
    ///    its own, in one step for appends: what is appended afterwards shares no sector with what
    ///    this flush makes durable, so that a torn write of it cannot damage that;
    /// 2. sync the files, oldest first: a crash leaves some prefix of the log, and beyond it
    ///    perhaps remains that do not chain;
    /// 3. publish, after all files: nobody was told before that anything is durable.
    fn flush(&mut self, step: Step) -> JournalResult<()> {
        let shared = self.shared;
        let target = {
            let mut writer = shared.writer.lock();
            writer.next_start = own_sector(&*shared.disk, writer.next_start);
            std::mem::swap(&mut self.files, &mut writer.unsynced);
            writer.position.lsn.0
        };
        for (_, file) in &self.files {
            file.sync(step).map_err(JournalError::Disk)?;
        }
        shared.syncs.fetch_add(1, Ordering::Relaxed);
        #[cfg(test)]
        let target = match is_sabotaged(Sabotage::JournalEndAfterSync) {
            true => shared.writer.lock().position.lsn.0,
            false => target,
        };
        shared.durable.store(target, Ordering::Release);
        self.done = true;
        Ok(())
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.shared.poison();
        }
        self.files.clear();
        let mut flushing = self.shared.flushing.lock();
        flushing.running = false;
        flushing.files = std::mem::take(&mut self.files);
        drop(flushing);
        self.shared.flushed.notify_all();
    }
}
