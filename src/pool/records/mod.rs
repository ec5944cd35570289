//! The catalog's records and keys (docs/on-disk-format.md, section 7).
//!
//! | kind | owner | sub-key | value |
//! |---|---|---|---|
//! | COUNTERS | 0 | 0 | next volume and snapshot numbers |
//! | VOLUME | volume | 0 | [`VolumeRecord`] |
//! | ROOT | volume | 0 | [`RootRecord`] of the live state; written by checkpoints only |
//! | SNAPSHOT | volume | snapshot | [`SnapshotRecord`] |
//! | SNAPSHOT_ROOT | volume | snapshot | [`RootRecord`]; written by checkpoints only |

mod labels;
mod snapshot;
mod volume;

use crate::base::{ByteReader, DecodeError, Key, PutBytes, SnapshotId, Timestamp, Value, VolumeId};
use crate::journal::JournalPosition;
use crate::pool::superblock::{put_position, put_root, read_number, read_position, read_root};
use crate::tree::TreeRoot;
use crate::volume::Counts;

pub use self::snapshot::MadeBy;
pub(crate) use self::snapshot::SnapshotRecord;
pub(crate) use self::volume::VolumeRecord;

/// Kind byte.
pub(crate) const COUNTERS: u8 = 1;
/// Kind byte.
pub(crate) const VOLUME: u8 = 2;
/// Kind byte.
pub(crate) const ROOT: u8 = 3;
/// Kind byte.
pub(crate) const SNAPSHOT: u8 = 4;
/// Kind byte.
pub(crate) const SNAPSHOT_ROOT: u8 = 5;

/// Every record begins with its version; the newest one of records that have only had this one.
const VERSION: u8 = 1;
/// Version of the records of a volume and of a snapshot that say more than those of version 1
/// could. What version 1 can say is written as version 1, which older programs read.
const VERSION_EXTENDED: u8 = 2;
const NANOS_PER_SECOND: u32 = 1_000_000_000;
/// Longest text in a record, in bytes: a label's key or value, an origin.
const TEXT_MAX: usize = 8192;
/// Longest record of a volume or a snapshot in bytes.
const RECORD_BYTES_MAX: usize = 64 << 10;
const _: () = assert!(RECORD_BYTES_MAX <= Value::MAX_BYTES);

/// Where the counters are.
pub(crate) fn counters_key() -> Key {
    Key::new(0, COUNTERS, 0)
}

/// Where a volume's record is.
pub(crate) fn volume_key(id: VolumeId) -> Key {
    Key::new(id.0, VOLUME, 0)
}

/// Where a volume's root is.
pub(crate) fn root_key(id: VolumeId) -> Key {
    Key::new(id.0, ROOT, 0)
}

/// Where a snapshot's record is.
pub(crate) fn snapshot_key(volume: VolumeId, id: SnapshotId) -> Key {
    Key::new(volume.0, SNAPSHOT, id.0)
}

/// Where a snapshot's root is.
pub(crate) fn snapshot_root_key(volume: VolumeId, id: SnapshotId) -> Key {
    Key::new(volume.0, SNAPSHOT_ROOT, id.0)
}

/// Numbers that are never given out twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Counters {
    pub(crate) next_volume: u64,
    pub(crate) next_snapshot: u64,
}

impl Counters {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_u64(self.next_volume);
        out.put_u64(self.next_snapshot);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Counters, DecodeError> {
        let mut reader = open("catalog counters", bytes)?;
        let counters = Counters {
            next_volume: read_number(&mut reader)?,
            next_snapshot: read_number(&mut reader)?,
        };
        reader.finish()?;
        Ok(counters)
    }
}

/// A published state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RootRecord {
    pub(crate) root: Option<TreeRoot>,
    pub(crate) counts: Counts,
    /// Records of the volume up to here are in the tree; replay goes on behind.
    pub(crate) applied: JournalPosition,
}

impl RootRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_u64(self.counts.blocks);
        out.put_u64(self.counts.inodes);
        put_position(&mut out, &self.applied);
        put_root(&mut out, self.root.as_ref());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<RootRecord, DecodeError> {
        let mut reader = open("root record", bytes)?;
        let counts = Counts {
            blocks: reader.u64()?,
            inodes: reader.u64()?,
        };
        let applied = read_position(&mut reader)?;
        let root = read_root(&mut reader)?;
        reader.finish()?;
        Ok(RootRecord {
            root,
            counts,
            applied,
        })
    }
}

fn open<'a>(what: &'static str, bytes: &'a [u8]) -> Result<ByteReader<'a>, DecodeError> {
    match open_versions(what, bytes)? {
        (reader, VERSION) => Ok(reader),
        (reader, _) => Err(reader.error("unknown version")),
    }
}

/// A record that may be extended, and its version.
fn open_versions<'a>(
    what: &'static str,
    bytes: &'a [u8],
) -> Result<(ByteReader<'a>, u8), DecodeError> {
    let mut reader = ByteReader::new(what, bytes);
    match reader.u8()? {
        version @ (VERSION | VERSION_EXTENDED) => Ok((reader, version)),
        _ => Err(reader.error("unknown version")),
    }
}

fn read_flag(reader: &mut ByteReader<'_>, problem: &'static str) -> Result<bool, DecodeError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(reader.error(problem)),
    }
}

fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    out.put_i64(time.secs);
    out.put_u32(time.nanos);
}

fn read_time(reader: &mut ByteReader<'_>) -> Result<Timestamp, DecodeError> {
    let time = Timestamp {
        secs: reader.i64()?,
        nanos: reader.u32()?,
    };
    if time.nanos >= NANOS_PER_SECOND {
        return Err(reader.error("nanoseconds above one second"));
    }
    Ok(time)
}

#[cfg(test)]
mod tests;
