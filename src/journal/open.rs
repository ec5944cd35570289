//! Making a log and opening it for appending.

use std::sync::Arc;

use super::append::{Slot, Writer};
use super::grow::Growth;
use super::header::{
    ALIGN_BYTES, BODY_MAX, HEADER_BYTES, RECORD_MAX, RecordHeader, headers_in, own_sector,
    pool_seed,
};
use super::slots::{self, FoundSlot};
use super::sync::Flushing;
use super::{JournalError, JournalOptions, JournalPosition, JournalResult};
use crate::base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::base::sync::{Condvar, Mutex};
use crate::base::{Lsn, PoolId};
use crate::disk::Disk;

/// The log, open for appending. All methods may be called from several threads at once.
pub struct Journal {
    pub(super) shared: Arc<Shared>,
}

/// What the journal shares with the thread that makes a further file.
///
/// Locks: `writer` and `flushing` are never held together. `writer` is held over a record's write,
/// so that the log is contiguous up to its end; neither is held over a sync.
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) file_bytes: u64,
    pub(super) files_max: u32,
    pub(super) pool_seed: u64,
    pub(super) incarnation: u64,
    pub(super) writer: Mutex<Writer>,
    /// Signals under `writer` that a further file was made, or could not be.
    pub(super) grown: Condvar,
    pub(super) flushing: Mutex<Flushing>,
    /// Signals under `flushing` that a flush has ended.
    pub(super) flushed: Condvar,
    /// End of the last appended record.
    pub(super) appended: AtomicU64,
    /// End of the last record known to be on the medium.
    pub(super) durable: AtomicU64,
    /// Everything below may be overwritten.
    pub(super) released: AtomicU64,
    /// Set when a further file could not be made; a release clears it.
    pub(super) growth_blocked: AtomicBool,
    /// Files there are.
    pub(super) files: AtomicU64,
    pub(super) poisoned: AtomicBool,
    /// Flushes since the opening.
    pub(super) syncs: AtomicU64,
}

impl Journal {
    /// Largest body of one record in bytes.
    pub const BODY_MAX: usize = BODY_MAX;

    /// Creates the folder `journal/` with its first two files, zero-filled and synced. Returns
    /// the position at which a new pool's log starts. A crash inside leaves an unfinished pool; the
    /// folder's own name is durable when the caller has synced the pool's folder.
    ///
    /// # Errors
    /// What the medium said, also when there are such files already;
    /// [`JournalError::InvalidOptions`].
    pub fn create(
        disk: &dyn Disk,
        pool: PoolId,
        options: &JournalOptions,
    ) -> JournalResult<JournalPosition> {
        options.check()?;
        disk.create_dir(slots::DIR)?;
        for number in 0..slots::FIRST_SLOTS {
            slots::make(disk, number, u64::from(options.file_bytes))?;
        }
        Ok(JournalPosition {
            lsn: Lsn(0),
            chain: pool_seed(pool),
        })
    }

    /// Opens the log for appending at `at` (from [`Journal::scan`]), with a new, higher
    /// incarnation that the caller has already made durable. Everything below `released` may be
    /// overwritten.
    ///
    /// # Errors
    /// What the medium said; [`JournalError::InvalidOptions`], also for an incarnation that is
    /// not higher than that of the record at `at`.
    pub fn open(
        disk: Arc<dyn Disk>,
        pool: PoolId,
        options: JournalOptions,
        at: JournalPosition,
        released: Lsn,
        incarnation: u64,
    ) -> JournalResult<Journal> {
        options.check()?;
        at.check()?;
        let pool_seed = pool_seed(pool);
        let file_bytes = u64::from(options.file_bytes);
        let mut found = slots::find(&*disk, &options, pool_seed)?;
        // Not synced: one that comes back after a power loss is as unfinished as it was, and the
        // folder's sync after the next making of this number settles which of the two it names.
        for number in &found.unfinished {
            disk.remove(&slots::slot_path(*number))?;
        }
        let released = released.min(at.lsn);
        found.slots.sort_by_key(|slot| slot.number);
        let last = find_last(&found.slots, at, file_bytes, pool_seed)?;
        for slot in &found.slots {
            slot.file.uncache();
        }
        if let Some((_, header)) = last.filter(|(_, header)| header.incarnation >= incarnation) {
            let last = header.incarnation;
            let problem = format!("incarnation {incarnation} does not follow {last}");
            return Err(JournalError::InvalidOptions { problem });
        }
        let current = last.map(|(slot, _)| slot);
        let slots = assign(found.slots, current, at.lsn, released, file_bytes);
        // Where the last record is not found in any slot, its file may be anywhere: the next
        // file is a safe place, because readers look at its start too.
        let next_start = match current {
            Some(_) => own_sector(&*disk, at.lsn.0),
            None => at.lsn.0.next_multiple_of(file_bytes),
        };
        let files = slots.len() as u32;
        let writer = Writer {
            position: at,
            next_start,
            current: current.map(|slot| (at.lsn.0 / file_bytes, slot)),
            slots,
            unsynced: Vec::new(),
            spare_considered: false,
            growth: Growth::default(),
        };
        Ok(Journal {
            shared: Arc::new(Shared {
                disk,
                file_bytes,
                files_max: options.files_max,
                pool_seed,
                incarnation,
                writer: Mutex::new(writer),
                grown: Condvar::new(),
                flushing: Mutex::new(Flushing::default()),
                flushed: Condvar::new(),
                appended: AtomicU64::new(at.lsn.0),
                durable: AtomicU64::new(at.lsn.0),
                released: AtomicU64::new(released.0),
                growth_blocked: AtomicBool::new(false),
                files: AtomicU64::new(u64::from(files)),
                poisoned: AtomicBool::new(false),
                syncs: AtomicU64::new(0),
            }),
        })
    }

    /// Makes files whose start is damaged usable again: a scan that gets to the end of a file takes
    /// them for damage, because the log might go on in them. Only while nothing is appended, and
    /// where nothing behind `released` is needed of them.
    ///
    /// # Errors
    /// What the medium said; [`JournalError::Incomplete`].
    pub fn blank_damaged_starts(&self) -> JournalResult<()> {
        let options = JournalOptions {
            file_bytes: self.shared.file_bytes as u32,
            files_max: self.shared.files_max,
        };
        slots::blank_illegible(&*self.shared.disk, &options, self.shared.pool_seed)
    }

    /// End of the last appended record, with its chain value.
    pub fn appended(&self) -> JournalPosition {
        self.shared.writer.lock().position
    }

    /// How far the log is known to be on the medium.
    pub fn durable(&self) -> Lsn {
        Lsn(self.shared.durable.load(Ordering::Acquire))
    }

    /// Everything up to `lsn` is no longer needed: its files may be recycled. It must be the
    /// position that the older superblock slot states, so that either slot can be opened.
    pub fn release(&self, lsn: Lsn) {
        let lsn = lsn.0.min(self.shared.appended.load(Ordering::Acquire));
        self.shared.released.fetch_max(lsn, Ordering::AcqRel);
        self.shared.growth_blocked.store(false, Ordering::Release);
    }

    /// Bytes between release and append, and those of the most files there may be; of those there
    /// are where no more could be made. Space is released by whole files, so that the log can be
    /// full up to one file's bytes below that. Takes no lock.
    pub fn fill(&self) -> (u64, u64) {
        self.shared.fill()
    }

    /// End of the last appended record. Takes no lock.
    pub fn end(&self) -> Lsn {
        Lsn(self.shared.appended.load(Ordering::Acquire))
    }

    /// How often the log was flushed to the medium since the opening; one flush serves all who
    /// wait for it.
    pub fn syncs(&self) -> u64 {
        self.shared.syncs.load(Ordering::Relaxed)
    }

    /// Whether a write or sync failed; the call that failed has returned the error.
    pub fn poisoned(&self) -> bool {
        self.shared.poisoned.load(Ordering::Acquire)
    }
}

impl Shared {
    pub(super) fn fill(&self) -> (u64, u64) {
        // In this order `released` is never the newer of the two.
        let released = self.released.load(Ordering::Acquire);
        let appended = self.appended.load(Ordering::Acquire);
        let used = appended.saturating_sub(released);
        if self.growth_blocked.load(Ordering::Acquire) {
            // The file in which the release ends is not free.
            let files = self.files.load(Ordering::Acquire);
            let usable = files * self.file_bytes - released % self.file_bytes;
            return (used, usable.max(1));
        }
        (used, u64::from(self.files_max) * self.file_bytes)
    }

    pub(super) fn check_poison(&self) -> JournalResult<()> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(JournalError::Poisoned);
        }
        Ok(())
    }

    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }
}

/// The slot in which the record that ends at `at` lies, and that record. None when it is not on
/// the medium, and when it ends with its file.
fn find_last(
    slots: &[FoundSlot],
    at: JournalPosition,
    file_bytes: u64,
    pool_seed: u64,
) -> JournalResult<Option<(usize, RecordHeader)>> {
    let stop = at.lsn.0 % file_bytes;
    if stop < HEADER_BYTES as u64 || !stop.is_multiple_of(ALIGN_BYTES as u64) {
        return Ok(None);
    }
    let start = stop.saturating_sub(RECORD_MAX as u64);
    let mut bytes = vec![0; (stop - start) as usize];
    for (index, slot) in slots.iter().enumerate() {
        slot.file.read_exact_at(&mut bytes, start)?;
        let last = headers_in(&bytes, start, file_bytes, pool_seed)
            .find(|(header, chain)| header.end() == at.lsn.0 && *chain == at.chain);
        if let Some((header, _)) = last {
            return Ok(Some((index, header)));
        }
    }
    Ok(None)
}

/// Says of each slot which logical file it holds that must not be overwritten yet.
fn assign(
    found: Vec<FoundSlot>,
    current: Option<usize>,
    at: Lsn,
    released: Lsn,
    file_bytes: u64,
) -> Vec<Slot> {
    let current_file = at.0 / file_bytes;
    let needed = released.0 / file_bytes..at.0.div_ceil(file_bytes);
    let holds = |(index, slot): (usize, &FoundSlot)| match current {
        Some(current) if current == index => Some(current_file),
        // A further claim to the current file is left over from before a crash.
        Some(_) => slot.claim(file_bytes).filter(|file| *file != current_file),
        None => slot.claim(file_bytes),
    };
    let mut held: Vec<Option<u64>> = found
        .iter()
        .enumerate()
        .map(|slot| holds(slot).filter(|file| needed.contains(file)))
        .collect();
    // A needed file that no slot claims may lie in one whose first record is damaged.
    if let Some(missing) = needed.rev().find(|file| !held.contains(&Some(*file))) {
        for (slot, held) in found.iter().zip(&mut held) {
            if held.is_none() && slot.first.is_none() && !slot.blank {
                *held = Some(missing);
            }
        }
    }
    found
        .into_iter()
        .zip(held)
        .map(|(slot, held)| Slot {
            number: slot.number,
            file: slot.file,
            held,
        })
        .collect()
}
