//! Reading the log from the medium after a restart.

use std::collections::BTreeMap;
use std::ops::Range;

use super::header::{
    HEADER_BYTES, RECORD_MAX, RecordHeader, SECTOR_BYTES, body_check, chain_behind, headers_in,
    pool_seed,
};
use super::slots::{self, FoundSlot};
use super::{
    Journal, JournalError, JournalOptions, JournalPosition, JournalResult, Record, RecordKind,
    ScanEnd, Since,
};
use crate::base::{DecodeError, Lsn, PoolId, VolumeId};
use crate::disk::{Disk, Step, performs};

/// Bytes of one read.
const WINDOW_BYTES: u64 = 4 << 20;
/// How far into a file behind the end of the log a search for proof of damage goes: far enough
/// to find the second record when the first is damaged.
const LOOK_AHEAD_BYTES: u64 = 2 * RECORD_MAX as u64;

impl Journal {
    /// Reads all valid records behind `from`, in order, and stops at the first that is not valid.
    /// First fdatasyncs every journal file and drops its cached pages, so that what is read is on
    /// the medium. `visit` may refuse with an error, which ends the scan with it.
    ///
    /// # Errors
    /// What the medium or `visit` said; [`JournalError::Malformed`] for a valid record of an
    /// unknown kind; [`JournalError::InvalidOptions`]. Damage is no error here: it is reported in
    /// [`ScanEnd::damage`].
    pub fn scan(
        disk: &dyn Disk,
        pool: PoolId,
        options: &JournalOptions,
        from: JournalPosition,
        visit: &mut dyn FnMut(Record<'_>) -> JournalResult<()>,
    ) -> JournalResult<ScanEnd> {
        let anything = Since {
            at: from.lsn,
            incarnation: 0,
        };
        Journal::scan_since(disk, pool, options, (from, anything), visit)
    }

    /// As [`Journal::scan`], where `published` is known: what an earlier life has left behind that
    /// position is no part of the log, whole or not.
    pub fn scan_since(
        disk: &dyn Disk,
        pool: PoolId,
        options: &JournalOptions,
        (from, published): (JournalPosition, Since),
        visit: &mut dyn FnMut(Record<'_>) -> JournalResult<()>,
    ) -> JournalResult<ScanEnd> {
        options.check()?;
        from.check()?;
        slots::settle(disk)?;
        let pool_seed = pool_seed(pool);
        let slots = slots::find(disk, options, pool_seed)?.slots;
        let mut reader = Reader::new(disk, slots, u64::from(options.file_bytes), pool_seed);
        let mut end = ScanEnd {
            position: from,
            incarnation: 0,
            records: 0,
            torn: None,
            damage: None,
            behind: BTreeMap::new(),
            behind_end: from.lsn,
        };
        loop {
            if end.position.lsn >= published.at {
                end.incarnation = end.incarnation.max(published.incarnation);
            }
            let Some(found) = reader.next(end.position, end.incarnation)? else {
                break;
            };
            let header = found.header;
            let lsn = Lsn(header.end());
            let kind = RecordKind::from_u8(header.kind).ok_or(JournalError::Malformed {
                lsn,
                source: DecodeError {
                    what: "journal record header",
                    offset: 4,
                    problem: "unknown record kind",
                },
            })?;
            let volume = VolumeId(header.volume);
            let body = reader.body(&found);
            visit(Record {
                lsn,
                chain: found.chain,
                kind,
                volume,
                body,
            })?;
            end.position = JournalPosition {
                lsn,
                chain: found.chain,
            };
            end.incarnation = header.incarnation;
            end.records += 1;
        }
        reader.look_ahead(&mut end)?;
        reader.check_start(from, &mut end);
        reader.check_next_file(&mut end);
        end.behind_end = end.position.lsn;
        if end.damage.is_some() {
            reader.survey(&mut end)?;
        }
        Ok(end)
    }
}

/// A valid record, whose bytes are in the reader's window.
struct FoundRecord {
    header: RecordHeader,
    chain: u64,
}

/// Reads records one behind the other.
struct Reader<'a> {
    disk: &'a dyn Disk,
    /// Those with the highest incarnation first: where several claim the same logical file, the
    /// others are left over from before a crash.
    slots: Vec<FoundSlot>,
    file_bytes: u64,
    pool_seed: u64,
    /// Slot of the last valid record.
    current: Option<usize>,
    /// By slot, whether a valid record was found in it.
    held: Vec<bool>,
    window: Window,
}

/// A piece of a slot in memory.
#[derive(Default)]
struct Window {
    slot: usize,
    offset: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The range in the window, if it holds that of this slot.
    fn get(&self, slot: usize, offset: u64, len: u64) -> Option<&[u8]> {
        if self.slot != slot {
            return None;
        }
        let start = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        self.bytes.get(start..start.checked_add(len as usize)?)
    }
}

impl<'a> Reader<'a> {
    fn new(disk: &'a dyn Disk, mut slots: Vec<FoundSlot>, file_bytes: u64, pool_seed: u64) -> Self {
        slots.sort_by_key(|slot| std::cmp::Reverse(slot.incarnation()));
        Reader {
            disk,
            held: vec![false; slots.len()],
            slots,
            file_bytes,
            pool_seed,
            current: None,
            window: Window::default(),
        }
    }

    /// The record that follows `at`: right behind it, or at the next sector, where the first
    /// append after a sync goes, or at the start of the next logical file.
    ///
    /// Of several that of the latest life: when it began there was no other, and a medium that
    /// shows an earlier one again must not take back what was appended since.
    fn next(
        &mut self,
        at: JournalPosition,
        incarnation: u64,
    ) -> JournalResult<Option<FoundRecord>> {
        let behind = at.lsn.0;
        let sector = behind.next_multiple_of(SECTOR_BYTES);
        let next_file = (behind / self.file_bytes + 1).saturating_mul(self.file_bytes);
        let may_change_file = self.may_change_file(at.lsn);
        let before = self.current;
        let mut latest: Option<(usize, FoundRecord)> = None;
        for start in [behind, sector, next_file] {
            let in_current = start != next_file && !start.is_multiple_of(self.file_bytes);
            let least = match &latest {
                None => incarnation,
                Some((_, found)) if found.header.end() > start => continue,
                Some(_) if start == next_file && !may_change_file => continue,
                Some((_, found)) => found.header.incarnation + 1,
            };
            for slot in 0..self.slots.len() {
                if in_current && before.is_some_and(|current| current != slot) {
                    continue;
                }
                if let Some(found) = self.try_at(slot, start, at.chain, least)? {
                    latest = Some((slot, found));
                    break;
                }
            }
        }
        let Some((slot, found)) = latest else {
            return Ok(None);
        };
        self.current = Some(slot);
        self.held[slot] = true;
        let offset = found.header.start % self.file_bytes;
        self.load(slot, offset, found.header.record_bytes())?;
        Ok(Some(found))
    }

    /// Whether the record behind this position may lie in another file although there is room for
    /// some record in this one: it starts within the next sector, and changes file if it does not
    /// fit.
    fn may_change_file(&self, at: Lsn) -> bool {
        let rest = at.0.next_multiple_of(self.file_bytes) - at.0;
        rest < RECORD_MAX as u64 + SECTOR_BYTES
    }

    /// The record at position `start`, supposed to be in this slot, if it is valid there.
    fn try_at(
        &mut self,
        slot: usize,
        start: u64,
        previous: u64,
        incarnation: u64,
    ) -> JournalResult<Option<FoundRecord>> {
        let offset = start % self.file_bytes;
        if offset + HEADER_BYTES as u64 > self.file_bytes {
            return Ok(None);
        }
        let raw = self.header_at(slot, offset)?;
        let Some((header, chain)) = RecordHeader::decode(&raw, self.pool_seed) else {
            return Ok(None);
        };
        if header.start != start
            || header.incarnation < incarnation
            || (chain != chain_behind(&raw, previous) && performs(self.disk, Step::RecordChain))
            || offset + header.record_bytes() > self.file_bytes
        {
            return Ok(None);
        }
        let record = self.load(slot, offset, header.record_bytes())?;
        let (body, padding) = record[HEADER_BYTES..].split_at(header.body_len as usize);
        let intact =
            body_check(&[body]) == header.body_check && padding.iter().all(|byte| *byte == 0);
        Ok(intact.then_some(FoundRecord { header, chain }))
    }

    /// The body of the record that was found last.
    fn body(&self, found: &FoundRecord) -> &[u8] {
        let offset = found.header.start % self.file_bytes + HEADER_BYTES as u64;
        let len = u64::from(found.header.body_len);
        self.current
            .and_then(|slot| self.window.get(slot, offset, len))
            .expect("a record that was just found is in the window")
    }

    /// The bytes of a header. Of a slot that may turn out to be the wrong one no more is read.
    fn header_at(&mut self, slot: usize, offset: u64) -> JournalResult<[u8; HEADER_BYTES]> {
        let mut raw = [0; HEADER_BYTES];
        if self.current == Some(slot) {
            raw.copy_from_slice(self.load(slot, offset, HEADER_BYTES as u64)?);
        } else {
            self.slots[slot].file.read_exact_at(&mut raw, offset)?;
        }
        Ok(raw)
    }

    /// The range of the slot, through the window.
    fn load(&mut self, slot: usize, offset: u64, len: u64) -> JournalResult<&[u8]> {
        if self.window.get(slot, offset, len).is_none() {
            let wanted = len.max(WINDOW_BYTES).min(self.file_bytes - offset);
            // Not valid while it is being filled.
            let mut bytes = std::mem::take(&mut self.window.bytes);
            bytes.resize(wanted as usize, 0);
            self.slots[slot].file.read_exact_at(&mut bytes, offset)?;
            self.window = Window {
                slot,
                offset,
                bytes,
            };
        }
        let start = (offset - self.window.offset) as usize;
        Ok(&self.window.bytes[start..start + len as usize])
    }

    /// Where nothing was found, the file that the start lies in must be there all the same: the
    /// position was on the medium before it was published.
    fn check_start(&self, from: JournalPosition, end: &mut ScanEnd) {
        let file = from.lsn.0 / self.file_bytes;
        let is_held = |slot: &FoundSlot| slot.claim(self.file_bytes) == Some(file);
        let starts_a_file = from.lsn.0.is_multiple_of(self.file_bytes);
        if end.records > 0 || starts_a_file || self.slots.iter().any(is_held) {
            return;
        }
        let problem = "no journal file holds the position at which replay starts".to_owned();
        end.damage.get_or_insert((from.lsn, problem));
    }

    /// Where the next record may have gone to another file, each file must tell what it holds:
    /// records in one that does not would be lost without a trace.
    fn check_next_file(&self, end: &mut ScanEnd) {
        let lsn = end.position.lsn;
        if !self.may_change_file(lsn) {
            return;
        }
        let mut unknown = self.slots.iter().zip(&self.held);
        let Some((slot, _)) = unknown.find(|(slot, held)| slot.is_foreign() && !**held) else {
            return;
        };
        let path = slots::slot_path(slot.number);
        let problem = format!(
            "the log may go on in '{path}', which starts with no record of this pool: it is \
             damaged, or a file of another pool"
        );
        end.damage.get_or_insert((lsn, problem));
    }

    /// Counts everything behind the end of a damaged log.
    fn survey(&mut self, end: &mut ScanEnd) -> JournalResult<()> {
        for slot in 0..self.slots.len() {
            let stop = self.file_bytes;
            self.headers(slot, 0..stop, &mut |header| {
                if header.start < end.position.lsn.0 || header.incarnation < end.incarnation {
                    return;
                }
                *end.behind.entry(VolumeId(header.volume)).or_default() += 1;
                end.behind_end = end.behind_end.max(Lsn(header.end()));
            })?;
        }
        Ok(())
    }

    /// Visits the headers in a range of a slot.
    fn headers(
        &mut self,
        slot: usize,
        range: Range<u64>,
        visit: &mut dyn FnMut(&RecordHeader),
    ) -> JournalResult<()> {
        let Range { start: mut at, end } = range;
        while at + HEADER_BYTES as u64 <= end {
            let len = WINDOW_BYTES.min(end - at);
            let (file_bytes, pool_seed) = (self.file_bytes, self.pool_seed);
            let bytes = self.load(slot, at, len)?;
            for (header, _) in headers_in(bytes, at, file_bytes, pool_seed) {
                visit(&header);
            }
            // The next piece starts with the last header that did not fit into this one.
            at += match at + len == end {
                true => len,
                false => len - HEADER_BYTES as u64,
            };
        }
        Ok(())
    }

    /// Looks behind the end of the log for remains of records, and among them for proof that the
    /// log once was durable beyond its present end.
    ///
    /// A remain of an earlier life of the log proves nothing: that life's durable part was within
    /// what its successor found valid. Remains of an earlier lap state other positions.
    fn look_ahead(&mut self, end: &mut ScanEnd) -> JournalResult<()> {
        let lsn = end.position.lsn.0;
        let (file, offset) = (lsn / self.file_bytes, lsn % self.file_bytes);
        for slot in 0..self.slots.len() {
            let holds_end = match self.current {
                Some(current) if offset > 0 => current == slot,
                _ => self.slots[slot].claim(self.file_bytes) == Some(file),
            };
            let (at, stop) = if holds_end {
                (offset, self.file_bytes)
            } else {
                (0, LOOK_AHEAD_BYTES.min(self.file_bytes))
            };
            self.headers(slot, at..stop, &mut |header| note_remains(end, header))?;
        }
        Ok(())
    }
}

/// Notes a header that was found behind the end of the log.
fn note_remains(end: &mut ScanEnd, header: &RecordHeader) {
    let lsn = end.position.lsn;
    if header.start < lsn.0 || header.incarnation < end.incarnation {
        return;
    }
    end.torn = Some(
        end.torn
            .map_or(Lsn(header.start), |torn| torn.min(Lsn(header.start))),
    );
    if header.durable > lsn.0 && end.damage.is_none() {
        let problem = format!(
            "no valid record follows here, but when the record at {} was appended the log was \
             durable up to {}",
            header.start, header.durable
        );
        end.damage = Some((lsn, problem));
    }
}
