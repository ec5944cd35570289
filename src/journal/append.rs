//! Appending records.

use std::sync::Arc;

use super::grow::Growth;
use super::header::{self, BODY_MAX, HEADER_BYTES, RecordHeader};
use super::open::Shared;
use super::{Journal, JournalError, JournalOptions, JournalPosition, JournalResult, RecordKind};
use crate::base::sync::MutexGuard;
use crate::base::sync::atomic::Ordering;
use crate::base::{Lsn, VolumeId};
use crate::disk::DiskFile;

/// Parts of one write: above it copying the body together is cheaper than a long vector.
const PARTS_MAX: usize = 32;
/// Page of the host's cache. Writes end with a page: into one that is not cached a part could
/// only be written after reading it, which costs more than the whole append.
const PAGE_BYTES: usize = 4096;
static ZEROS: [u8; PAGE_BYTES + header::ALIGN_BYTES] = [0; PAGE_BYTES + header::ALIGN_BYTES];

const _: () = assert!(JournalOptions::FILE_UNIT_BYTES as usize == PAGE_BYTES);

/// A file of the log, open.
pub(super) struct Slot {
    pub(super) number: u32,
    pub(super) file: Arc<dyn DiskFile>,
    /// The logical file that was written here last, if that may still be needed.
    pub(super) held: Option<u64>,
}

/// Where the next record goes.
pub(super) struct Writer {
    /// End of the last appended record.
    pub(super) position: JournalPosition,
    /// Where the next record starts: at `position`, at the next sector after a sync was issued,
    /// or at the start of a file. Always within the current file or at the start of another.
    pub(super) next_start: u64,
    /// The logical file being written, and its index in `slots`.
    pub(super) current: Option<(u64, usize)>,
    pub(super) slots: Vec<Slot>,
    /// Logical files with bytes written since the last sync was issued, in order.
    pub(super) unsynced: Vec<(u64, Arc<dyn DiskFile>)>,
    /// Whether it was decided for the current file if another one must be made ahead.
    pub(super) spare_considered: bool,
    pub(super) growth: Growth,
}

impl Writer {
    /// Start of a record of this length: it goes to the next file when it does not fit.
    fn place(&self, record_bytes: u64, file_bytes: u64) -> u64 {
        let offset = self.next_start % file_bytes;
        if offset + record_bytes <= file_bytes {
            self.next_start
        } else {
            self.next_start - offset + file_bytes
        }
    }

    /// Index of a slot that may be overwritten when all below logical file `released` may be.
    fn free_slot(&self, released: u64) -> Option<usize> {
        self.slots
            .iter()
            .position(|slot| slot.held.is_none_or(|file| file < released))
    }
}

impl Journal {
    /// Appends a record of the concatenated parts of `body` (one pwrite, in order, under the
    /// journal's own lock) and returns its LSN. Not durable before [`Journal::sync`].
    ///
    /// # Errors
    /// [`JournalError::Full`] when no released file is left and none can be made,
    /// [`JournalError::NoSpace`] when the host's disk has no room for the write, and
    /// [`JournalError::TooLarge`]: nothing was appended, others can be. Any other failed write
    /// poisons the journal; after that [`JournalError::Poisoned`].
    pub fn append(
        &self,
        kind: RecordKind,
        volume: VolumeId,
        body: &[&[u8]],
    ) -> JournalResult<JournalPosition> {
        let shared = &*self.shared;
        let body_len: usize = body.iter().map(|part| part.len()).sum();
        let max = BODY_MAX.min(shared.file_bytes as usize - HEADER_BYTES);
        if body_len > max {
            return Err(JournalError::TooLarge {
                bytes: body_len,
                max,
            });
        }
        if body.len() > PARTS_MAX - 2 {
            return self.append(kind, volume, &[&body.concat()]);
        }
        let body_check = header::body_check(body);
        let record_bytes = header::record_bytes(body_len);

        let mut writer = shared.writer.lock();
        let (start, slot) = self.make_room(&mut writer, record_bytes as u64)?;
        let header = RecordHeader {
            kind: kind as u8,
            start,
            incarnation: shared.incarnation,
            durable: shared.durable.load(Ordering::Acquire),
            volume: volume.0,
            body_len: body_len as u32,
            body_check,
        };
        let (raw, chain) = header.encode(shared.pool_seed, writer.position.chain);
        let mut parts: [&[u8]; PARTS_MAX] = [&[]; PARTS_MAX];
        parts[0] = &raw;
        parts[1..=body.len()].copy_from_slice(body);
        let offset = start % shared.file_bytes;
        let written = offset as usize + HEADER_BYTES + body_len;
        let stop = (offset as usize + record_bytes).next_multiple_of(PAGE_BYTES);
        parts[body.len() + 1] = &ZEROS[..stop - written];
        let file = &writer.slots[slot].file;
        if let Err(error) = file.write_at(&parts[..body.len() + 2], offset) {
            // Part of the record may be there, or all of it: the next one starts at the same place,
            // or in the next sector, and must be what a reader finds behind the last one.
            if error.is_no_space() && take_back(&**file, offset, &raw) {
                return Err(JournalError::NoSpace(error));
            }
            shared.poison();
            return Err(error.into());
        }
        let end = header.end();
        writer.position = JournalPosition {
            lsn: Lsn(end),
            chain,
        };
        writer.next_start = end;
        shared.appended.store(end, Ordering::Release);
        self.consider_spare(&mut writer);
        Ok(writer.position)
    }

    /// Finds the start and the slot of a record of this length, entering the next file when it
    /// does not fit into the present one; waits for a file that is being made.
    fn make_room(
        &self,
        writer: &mut MutexGuard<'_, Writer>,
        record_bytes: u64,
    ) -> JournalResult<(u64, usize)> {
        let shared = &self.shared;
        loop {
            shared.check_poison()?;
            // Anew after each wait: a smaller record may have been appended meanwhile.
            let start = writer.place(record_bytes, shared.file_bytes);
            let file = start / shared.file_bytes;
            let slot = match writer.current {
                Some((current, slot)) if current == file => Some(slot),
                _ => shared.enter(writer, file),
            };
            if let Some(slot) = slot {
                shared.note_unsynced(writer, file, slot);
                return Ok((start, slot));
            }
            if !writer.growth.is_running() && !self.start_growth(writer) {
                let (used, capacity) = shared.fill();
                return Err(JournalError::Full { used, capacity });
            }
            shared.grown.wait(writer);
        }
    }

    /// In the second half of a file, has another one made if none is free for what follows, so
    /// that no append waits for that.
    fn consider_spare(&self, writer: &mut Writer) {
        let shared = &self.shared;
        if writer.spare_considered || writer.next_start % shared.file_bytes < shared.file_bytes / 2
        {
            return;
        }
        writer.spare_considered = true;
        if writer.free_slot(shared.released_file()).is_none() && !writer.growth.is_running() {
            self.start_growth(writer);
        }
    }
}

/// Makes sure that nobody takes for a record what a write for which there was no room has left,
/// though it may be whole: it was refused, and what is appended next continues its predecessor.
/// The remains still tell which file they lie in, as a record must that is the first of a file.
///
/// Nothing here is synced: a power loss finds the header as it was before, as it was written, or
/// like this. The sync that makes the next record durable covers it, too, because the file was
/// noted for it before the write.
///
/// False: the record may be taken for one that was appended.
fn take_back(file: &dyn DiskFile, offset: u64, raw: &[u8; HEADER_BYTES]) -> bool {
    let unchained = header::unchained(raw);
    if file.write_at(&[&unchained], offset).is_ok() {
        return true;
    }
    // Where there is no room for a header either, it should not have got there.
    let mut found = [0; HEADER_BYTES];
    file.read_exact_at(&mut found, offset).is_ok() && found != *raw
}

impl Shared {
    /// The logical file in which the released part ends.
    fn released_file(&self) -> u64 {
        self.released.load(Ordering::Acquire) / self.file_bytes
    }

    /// Makes logical file `file` the current one, in a slot that may be overwritten.
    fn enter(&self, writer: &mut Writer, file: u64) -> Option<usize> {
        let slot = writer.free_slot(self.released_file())?;
        writer.slots[slot].held = Some(file);
        writer.current = Some((file, slot));
        writer.next_start = file * self.file_bytes;
        writer.spare_considered = false;
        Some(slot)
    }

    /// Has the next sync cover the file; before the write, so that one that fails halfway is
    /// covered too.
    fn note_unsynced(&self, writer: &mut Writer, file: u64, slot: usize) {
        if writer.unsynced.last().is_none_or(|(last, _)| *last != file) {
            let handle = Arc::clone(&writer.slots[slot].file);
            writer.unsynced.push((file, handle));
        }
    }
}
