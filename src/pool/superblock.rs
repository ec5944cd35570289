//! The superblock: two slots, far apart, written in turn.
//!
//! A slot is valid when its magic, version, pool id and checksum are. The newest valid slot is the
//! pool's published state; the other one is the state before, or the same once more where an
//! opening went on with what it replayed. It must stay openable, so nothing that it needs is given
//! up before it is overwritten (docs/on-disk-format.md, section 2).

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::base::{ByteReader, DecodeError, Lsn, PoolId, PutBytes, SegmentId};
use crate::disk::{Disk, DiskFile, Replacing, Step, performs, replace_file};
use crate::journal::JournalPosition;
use crate::pool::{PoolError, PoolResult};
use crate::tree::TreeRoot;

/// File name within the pool.
const PATH: &str = "superblock";
/// Bytes of a slot.
const SLOT_BYTES: usize = 4096;
/// Byte offsets of the slots: a megabyte apart, so that one torn or misdirected write, or one
/// failing erase block, does not take both.
pub(super) const SLOT_OFFSETS: [u64; 2] = [0, 1 << 20];
const MAGIC: u64 = u64::from_le_bytes(*b"volfs-sb");
/// Format version that this code writes and reads.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// Numbers that only ever grow by one stay below this, so that the next one always exists.
pub(crate) const NUMBER_LIMIT: u64 = 1 << 62;

/// What a slot publishes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Superblock {
    /// Higher is newer; slot = generation modulo 2.
    pub(crate) generation: u64,
    /// Raised at each opening for writing.
    pub(crate) incarnation: u64,
    /// The catalog's tree.
    pub(crate) catalog: Option<TreeRoot>,
    /// The last journal record that the catalog's tree holds.
    pub(crate) catalog_at: JournalPosition,
    /// Where replay starts: everything before is in the trees.
    pub(crate) replay_from: JournalPosition,
    /// Segments below this number were wholly durable when this was written.
    pub(crate) settled_below: SegmentId,
    /// The next segment gets at least this number.
    pub(crate) next_segment: SegmentId,
}

impl Superblock {
    pub(super) fn encode(&self, pool: PoolId) -> Vec<u8> {
        let mut out = Vec::with_capacity(SLOT_BYTES);
        out.put_u64(MAGIC);
        out.put_u32(FORMAT_VERSION);
        out.put_u32(0);
        out.put_bytes(&pool.0);
        out.put_u64(self.generation);
        out.put_u64(self.incarnation);
        put_position(&mut out, &self.catalog_at);
        put_position(&mut out, &self.replay_from);
        out.put_u64(self.settled_below.0);
        out.put_u64(self.next_segment.0);
        put_root(&mut out, self.catalog.as_ref());
        out.resize(SLOT_BYTES - 8, 0);
        let checksum = xxh3_64(&out);
        out.put_u64(checksum);
        out
    }

    /// The state in a slot; an error for anything but exactly what [`Superblock::encode`] writes.
    pub(super) fn decode(slot: &[u8], pool: PoolId) -> Result<Superblock, DecodeError> {
        let mut reader = ByteReader::new("superblock slot", slot);
        if reader.u64()? != MAGIC {
            return Err(reader.error("wrong magic"));
        }
        let parts = slot.split_last_chunk().filter(|_| slot.len() == SLOT_BYTES);
        let Some((body, checksum)) = parts else {
            return Err(reader.error("not as long as a slot"));
        };
        if xxh3_64(body).to_le_bytes() != *checksum {
            return Err(reader.error("wrong checksum"));
        }
        if reader.u32()? != FORMAT_VERSION {
            return Err(reader.error("unknown version"));
        }
        reader.u32()?;
        if reader.array()? != pool.0 {
            return Err(reader.error("of another pool"));
        }
        let superblock = Superblock {
            generation: read_number(&mut reader)?,
            incarnation: read_number(&mut reader)?,
            catalog_at: read_position(&mut reader)?,
            replay_from: read_position(&mut reader)?,
            settled_below: SegmentId(read_number(&mut reader)?),
            next_segment: SegmentId(read_number(&mut reader)?),
            catalog: read_root(&mut reader)?,
        };
        if superblock.encode(pool) != slot {
            return Err(reader.error("reserved bytes are used"));
        }
        Ok(superblock)
    }
}

/// Reads a number of those that only ever grow by one.
pub(crate) fn read_number(reader: &mut ByteReader<'_>) -> Result<u64, DecodeError> {
    let number = reader.u64()?;
    if number >= NUMBER_LIMIT {
        return Err(reader.error("a number above its limit"));
    }
    Ok(number)
}

/// Appends a journal position.
pub(crate) fn put_position(out: &mut Vec<u8>, position: &JournalPosition) {
    out.put_u64(position.lsn.0);
    out.put_u64(position.chain);
}

/// Reads a journal position.
pub(crate) fn read_position(reader: &mut ByteReader<'_>) -> Result<JournalPosition, DecodeError> {
    Ok(JournalPosition {
        lsn: Lsn(reader.u64()?),
        chain: reader.u64()?,
    })
}

/// Appends an optional tree root.
pub(crate) fn put_root(out: &mut Vec<u8>, root: Option<&TreeRoot>) {
    out.put_u8(u8::from(root.is_some()));
    if let Some(root) = root {
        root.encode(out);
    }
}

/// Reads an optional tree root.
pub(crate) fn read_root(reader: &mut ByteReader<'_>) -> Result<Option<TreeRoot>, DecodeError> {
    match reader.u8()? {
        0 => Ok(None),
        1 => Ok(Some(TreeRoot::decode(reader)?)),
        _ => Err(reader.error("neither with nor without a root")),
    }
}

/// The superblock's file.
pub(crate) struct SuperblockFile {
    file: Arc<dyn DiskFile>,
    pool: PoolId,
    /// A write or a sync of it failed: it is never written again, but replaced.
    has_failed: bool,
}

/// What one slot holds, or what is wrong with it.
pub(crate) type SlotContent = Result<Superblock, String>;

/// What was found in the two slots.
pub(crate) struct Slots {
    /// The newest valid slot.
    pub(crate) newest: Superblock,
    /// The other slot, where it is valid.
    pub(crate) older: Option<Superblock>,
    /// What is wrong with a slot that is not valid.
    pub(crate) damage: Option<String>,
}

impl SuperblockFile {
    /// Creates the file with its first state in both slots.
    pub(crate) fn create(disk: &dyn Disk, pool: PoolId, first: &Superblock) -> PoolResult<()> {
        let file = disk.create(PATH)?;
        let slot = first.encode(pool);
        for offset in SLOT_OFFSETS {
            file.write_at(&[&slot], offset)?;
        }
        file.sync(Step::FirstSuperblock)?;
        Ok(disk.sync_dir("", Step::PoolFilesNamed)?)
    }

    /// What each of the two slots holds, or what is wrong with it. What is read comes from the
    /// medium: after a daemon's death the host's cache may hold what the medium does not.
    pub(crate) fn read_slots(disk: &dyn Disk, pool: PoolId) -> PoolResult<[SlotContent; 2]> {
        let missing = || Err("the file is missing".to_owned());
        match disk.open(PATH) {
            Err(error) if error.is_not_found() => Ok([missing(), missing()]),
            other => Self::read_both(&*other?, pool),
        }
    }

    fn read_both(file: &dyn DiskFile, pool: PoolId) -> PoolResult<[SlotContent; 2]> {
        file.sync(Step::SuperblockSettled)?;
        file.drop_cache(Step::SuperblockReread);
        let read = |offset| -> SlotContent {
            let mut slot = vec![0; SLOT_BYTES];
            file.read_exact_at(&mut slot, offset)
                .map_err(|error| error.source.to_string())?;
            Superblock::decode(&slot, pool).map_err(|error| error.problem.to_owned())
        };
        Ok(SLOT_OFFSETS.map(read))
    }

    /// Opens the file and finds the newest valid slot.
    pub(crate) fn open(
        disk: &dyn Disk,
        pool: PoolId,
        path: &std::path::Path,
    ) -> PoolResult<(SuperblockFile, Slots)> {
        let file = match disk.open(PATH) {
            Err(error) if error.is_not_found() => {
                let missing = || "the file is missing".to_owned();
                return Err(PoolError::Superblock {
                    path: path.to_owned(),
                    first: missing(),
                    second: missing(),
                });
            }
            other => other?,
        };
        let [first, second] = Self::read_both(&*file, pool)?;
        let slots = match (first, second) {
            (Ok(a), Ok(b)) => {
                let (newest, older) = if a.generation > b.generation {
                    (a, b)
                } else {
                    (b, a)
                };
                Slots {
                    newest,
                    older: Some(older),
                    damage: None,
                }
            }
            (Ok(newest), Err(problem)) => Slots {
                newest,
                older: None,
                damage: Some(format!("slot 1: {problem}")),
            },
            (Err(problem), Ok(newest)) => Slots {
                newest,
                older: None,
                damage: Some(format!("slot 0: {problem}")),
            },
            (Err(first), Err(second)) => {
                return Err(PoolError::Superblock {
                    path: path.to_owned(),
                    first,
                    second,
                });
            }
        };
        let has_failed = false;
        Ok((
            SuperblockFile {
                file,
                pool,
                has_failed,
            },
            slots,
        ))
    }

    /// Writes and syncs a state into the slot that its generation names. `last` is the state that
    /// was published last, in the other slot.
    ///
    /// After a failure nobody knows what the slot holds, and a later sync of the file would prove
    /// nothing: so the next publication makes the file anew, with both states, and renames it into
    /// place. A crash before the rename is durable leaves the old file, whose other slot holds.
    pub(crate) fn publish(
        &mut self,
        disk: &dyn Disk,
        last: &Superblock,
        superblock: &Superblock,
    ) -> PoolResult<()> {
        if self.has_failed {
            let mut bytes = vec![0; SLOT_OFFSETS[1] as usize + SLOT_BYTES];
            for state in [last, superblock] {
                let at = slot_offset(state) as usize;
                bytes[at..at + SLOT_BYTES].copy_from_slice(&state.encode(self.pool));
            }
            let steps = Replacing {
                written: Step::SuperblockReplaced,
                named: Step::SuperblockNamed,
            };
            replace_file(disk, "", PATH, &bytes, steps)?;
            self.file = disk.open(PATH)?;
            self.has_failed = false;
            return Ok(());
        }
        let slot = superblock.encode(self.pool);
        let offset = match performs(disk, Step::UnusedSlot) {
            true => slot_offset(superblock),
            false => SLOT_OFFSETS[0],
        };
        let written = self.file.write_at(&[&slot], offset);
        let published = written.and_then(|()| self.file.sync(Step::SuperblockPublished));
        self.has_failed = published.is_err();
        Ok(published?)
    }
}

/// Byte offset of the slot that a state goes to.
fn slot_offset(superblock: &Superblock) -> u64 {
    SLOT_OFFSETS[(superblock.generation % 2) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::FileDisk;

    const POOL: PoolId = PoolId([9; 16]);

    fn superblock(generation: u64) -> Superblock {
        Superblock {
            generation,
            incarnation: 3,
            catalog: None,
            catalog_at: JournalPosition {
                lsn: Lsn(70),
                chain: 71,
            },
            replay_from: JournalPosition {
                lsn: Lsn(60),
                chain: 61,
            },
            settled_below: SegmentId(4),
            next_segment: SegmentId(5),
        }
    }

    /// A slot comes back as it was written, and any flipped byte is detected.
    #[test]
    fn every_flipped_byte_of_a_slot_is_detected() {
        let slot = superblock(8).encode(POOL);
        assert_eq!(slot.len(), SLOT_BYTES);
        assert_eq!(Superblock::decode(&slot, POOL), Ok(superblock(8)));
        assert!(Superblock::decode(&slot, PoolId([8; 16])).is_err());
        for at in 0..slot.len() {
            let mut damaged = slot.clone();
            damaged[at] ^= 0x40;
            assert!(Superblock::decode(&damaged, POOL).is_err(), "byte {at}");
        }
    }

    /// What no writer writes is refused even under a valid checksum: numbers without a successor,
    /// reserved bytes in use, another length.
    #[test]
    fn impossible_slots_are_refused() {
        let problem = |slot: &[u8]| Superblock::decode(slot, POOL).unwrap_err().problem;
        let changed = |at: usize, bytes: &[u8]| {
            let mut slot = superblock(8).encode(POOL);
            slot[at..at + bytes.len()].copy_from_slice(bytes);
            let checksum = xxh3_64(&slot[..SLOT_BYTES - 8]).to_le_bytes();
            slot[SLOT_BYTES - 8..].copy_from_slice(&checksum);
            slot
        };
        for at in [32, 40, 80, 88] {
            assert_eq!(
                problem(&changed(at, &[0xff; 8])),
                "a number above its limit"
            );
        }
        assert_eq!(problem(&changed(12, &[1])), "reserved bytes are used");
        assert_eq!(problem(&changed(2000, &[1])), "reserved bytes are used");
        let slot = superblock(8).encode(POOL);
        for len in [8, 100, 4087, 4088, 4095] {
            assert_eq!(problem(&slot[..len]), "not as long as a slot");
        }
    }

    /// The newest valid slot counts; when it is damaged the older one does, and the damage is told.
    #[test]
    fn a_damaged_slot_leaves_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let disk = FileDisk::new(folder.path());
        SuperblockFile::create(&disk, POOL, &superblock(0)).unwrap();
        let (mut file, slots) = SuperblockFile::open(&disk, POOL, folder.path()).unwrap();
        assert_eq!(slots.newest.generation, 0);
        file.publish(&disk, &superblock(0), &superblock(1)).unwrap();
        file.publish(&disk, &superblock(1), &superblock(2)).unwrap();
        let newest = |disk: &FileDisk| SuperblockFile::open(disk, POOL, folder.path()).map(|f| f.1);
        assert_eq!(newest(&disk).unwrap().newest.generation, 2);
        assert_eq!(newest(&disk).unwrap().older.unwrap().generation, 1);

        disk.open("superblock")
            .unwrap()
            .write_at(&[b"torn"], 40)
            .unwrap();
        let slots = newest(&disk).unwrap();
        assert_eq!(slots.newest.generation, 1);
        assert_eq!(slots.damage.unwrap(), "slot 0: wrong checksum");

        disk.open("superblock").unwrap().set_len(4096).unwrap();
        let error = newest(&disk).err().unwrap().to_string();
        assert!(
            error.contains("both superblock slots are damaged"),
            "{error}"
        );
    }
}
