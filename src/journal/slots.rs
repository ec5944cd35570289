//! The files that hold the log: finding them, making them, telling what they hold.

use std::sync::Arc;

use super::header::{self, HEADER_BYTES, RecordHeader};
use super::{JournalError, JournalOptions, JournalResult};
use crate::disk::{Disk, DiskFile, DiskResult, Step};

/// Folder of the slots.
pub(super) const DIR: &str = "journal";
/// Slots that a new log starts with.
pub(super) const FIRST_SLOTS: u32 = 2;

static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// One file of the log as it was found.
pub(super) struct FoundSlot {
    pub(super) number: u32,
    pub(super) file: Arc<dyn DiskFile>,
    /// The record at its start, if that is valid by itself.
    pub(super) first: Option<RecordHeader>,
    /// Whether nothing was ever written at its start.
    pub(super) blank: bool,
    /// Whether all parts of a header are at its start, valid or not.
    pub(super) has_whole_header: bool,
}

impl FoundSlot {
    /// The logical file that the slot claims to hold.
    pub(super) fn claim(&self, file_bytes: u64) -> Option<u64> {
        self.first.map(|first| first.start / file_bytes)
    }

    /// Whether something that is no record of this pool lies at its start: what an outage left of
    /// a sector that was being written, damage, or another pool's record.
    pub(super) fn is_illegible(&self) -> bool {
        !self.blank && self.first.is_none()
    }

    /// Whether that is a whole header under another checksum: of another pool, or damaged.
    pub(super) fn is_foreign(&self) -> bool {
        self.is_illegible() && self.has_whole_header
    }

    /// Incarnation of the record at its start.
    pub(super) fn incarnation(&self) -> u64 {
        self.first.map_or(0, |first| first.incarnation)
    }
}

/// The files of the log.
pub(super) struct FoundSlots {
    pub(super) slots: Vec<FoundSlot>,
    /// Numbers of files whose making did not finish; they never held a record.
    pub(super) unfinished: Vec<u32>,
}

/// Path of a slot.
pub(super) fn slot_path(number: u32) -> String {
    format!("{DIR}/{number:04}.journal")
}

fn slot_numbers(disk: &dyn Disk) -> DiskResult<Vec<u32>> {
    let number = |name: &String| {
        let number = name.strip_suffix(".journal")?.parse().ok()?;
        (slot_path(number) == format!("{DIR}/{name}")).then_some(number)
    };
    Ok(disk.list(DIR)?.iter().filter_map(number).collect())
}

/// Makes a slot: a file full of zeros whose blocks are allocated and written.
///
/// The order, and what a crash before each step has finished leaves:
/// 1. create: nothing;
/// 2. write zeros: perhaps a file that is too short, which [`find`] tells apart;
/// 3. sync of the file: the same;
/// 4. sync of the folder: perhaps the file, perhaps nothing.
///
/// The file takes its first record after that, so no record is lost with it.
pub(super) fn make(disk: &dyn Disk, number: u32, file_bytes: u64) -> DiskResult<Arc<dyn DiskFile>> {
    let file = disk.create(&slot_path(number))?;
    let mut offset = 0;
    while offset < file_bytes {
        let len = (file_bytes - offset).min(ZEROS.len() as u64);
        file.write_at(&[&ZEROS[..len as usize]], offset)?;
        // Writing out early keeps the sync short, which shares the medium with commits.
        file.start_writeback(offset, len);
        offset += len;
    }
    file.sync(Step::JournalFileMade)?;
    disk.sync_dir(DIR, Step::JournalFileNamed)?;
    file.uncache();
    Ok(file)
}

/// Brings every file of the log onto the medium and forgets cached pages, so that what is read
/// next is what is on the medium: after a failed sync the kernel keeps lost pages readable.
pub(super) fn settle(disk: &dyn Disk) -> DiskResult<()> {
    for number in slot_numbers(disk)? {
        let file = disk.open(&slot_path(number))?;
        file.sync(Step::JournalSettled)?;
        file.drop_cache(Step::JournalReread);
    }
    disk.sync_dir(DIR, Step::JournalFolderSettled)
}

/// Makes the start of every file that tells nothing of itself blank, so that it counts as never
/// used. A crash leaves each as it was, or blank.
pub(super) fn blank_illegible(
    disk: &dyn Disk,
    options: &JournalOptions,
    pool_seed: u64,
) -> JournalResult<()> {
    for slot in find(disk, options, pool_seed)?.slots {
        if slot.is_illegible() {
            slot.file.write_at(&[&ZEROS[..HEADER_BYTES]], 0)?;
            slot.file.sync(Step::JournalFileMade)?;
        }
    }
    Ok(())
}

/// Opens the slots and reads what each holds.
pub(super) fn find(
    disk: &dyn Disk,
    options: &JournalOptions,
    pool_seed: u64,
) -> JournalResult<FoundSlots> {
    let mut found = FoundSlots {
        slots: Vec::new(),
        unfinished: Vec::new(),
    };
    for number in slot_numbers(disk)? {
        let file = disk.open(&slot_path(number))?;
        let len = file.len()?;
        let mut head = [0; HEADER_BYTES];
        if len >= HEADER_BYTES as u64 {
            file.read_exact_at(&mut head, 0)?;
        }
        let first = RecordHeader::decode(&head, pool_seed).map(|(header, _)| header);
        let wanted = u64::from(options.file_bytes);
        if len == wanted {
            let blank = head == [0; HEADER_BYTES];
            found.slots.push(FoundSlot {
                number,
                file,
                first,
                blank,
                has_whole_header: header::is_whole(&head),
            });
        } else if len < wanted && first.is_none() {
            found.unfinished.push(number);
        } else {
            let path = slot_path(number);
            let problem = format!("'{path}' has {len} bytes instead of {wanted}");
            return Err(JournalError::Incomplete { problem });
        }
    }
    check_complete(&found)?;
    Ok(found)
}

/// Slots are made one after the other and never removed, so one that is missing below the last
/// was taken away, with whatever records it held.
fn check_complete(found: &FoundSlots) -> JournalResult<()> {
    let numbers = found.slots.iter().map(|slot| slot.number);
    let missing = (0..)
        .zip(numbers)
        .find(|(expected, number)| expected != number);
    let missing = match missing {
        Some((expected, _)) => expected,
        None if (found.slots.len() as u64) < u64::from(FIRST_SLOTS) => found.slots.len() as u32,
        None => return Ok(()),
    };
    let problem = format!("'{}' is missing or cut short", slot_path(missing));
    Err(JournalError::Incomplete { problem })
}
