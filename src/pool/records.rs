//! The catalog's records and keys (docs/on-disk-format.md, section 7).
//!
//! | kind | owner | sub-key | value |
//! |---|---|---|---|
//! | COUNTERS | 0 | 0 | next volume and snapshot numbers |
//! | VOLUME | volume | 0 | [`VolumeRecord`] |
//! | ROOT | volume | 0 | [`RootRecord`] of the live state; written by checkpoints only |
//! | SNAPSHOT | volume | snapshot | [`SnapshotRecord`] |
//! | SNAPSHOT_ROOT | volume | snapshot | [`RootRecord`]; written by checkpoints only |

use std::collections::BTreeMap;

use crate::base::{
    ByteReader, DecodeError, Key, PutBytes, SnapshotId, SnapshotName, Timestamp, VolumeId,
    VolumeName,
};
use crate::journal::JournalPosition;
use crate::pool::superblock::{put_position, put_root, read_position, read_root};
use crate::tree::TreeRoot;
use crate::volume::Counts;

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

const VERSION: u8 = 1;
const LABELS_MAX: u32 = 1000;
const TEXT_MAX: usize = 8192;

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
            next_volume: reader.u64()?,
            next_snapshot: reader.u64()?,
        };
        reader.finish()?;
        Ok(counters)
    }
}

/// What is known of a volume beside its content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct VolumeRecord {
    pub(crate) name: VolumeName,
    pub(crate) created: Timestamp,
    pub(crate) block_size: u32,
    pub(crate) hash_key: [u8; 16],
    /// Owner and permission bits that the root folder gets.
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u16,
    pub(crate) labels: BTreeMap<String, String>,
    /// `volume@snapshot` or `volume` that it was cloned from.
    pub(crate) origin: Option<String>,
}

impl VolumeRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_blob(self.name.as_str().as_bytes());
        put_time(&mut out, self.created);
        out.put_u32(self.block_size);
        out.put_bytes(&self.hash_key);
        out.put_u32(self.uid);
        out.put_u32(self.gid);
        out.put_u16(self.mode);
        out.put_u32(self.labels.len() as u32);
        for (key, value) in &self.labels {
            out.put_blob(key.as_bytes());
            out.put_blob(value.as_bytes());
        }
        out.put_blob(self.origin.as_deref().unwrap_or_default().as_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<VolumeRecord, DecodeError> {
        let mut reader = open("volume record", bytes)?;
        let name = reader.text(TEXT_MAX)?;
        let name = name
            .parse()
            .map_err(|_| reader.error("not a volume name"))?;
        let created = read_time(&mut reader)?;
        let block_size = reader.u32()?;
        if !super::settings::is_block_size(block_size) {
            return Err(reader.error("not a block size"));
        }
        let hash_key = reader.array()?;
        let (uid, gid, mode) = (reader.u32()?, reader.u32()?, reader.u16()?);
        let count = reader.u32()?;
        if count > LABELS_MAX {
            return Err(reader.error("too many labels"));
        }
        let mut labels = BTreeMap::new();
        for _ in 0..count {
            let key = reader.text(TEXT_MAX)?.to_owned();
            labels.insert(key, reader.text(TEXT_MAX)?.to_owned());
        }
        let origin = Some(reader.text(TEXT_MAX)?.to_owned()).filter(|text| !text.is_empty());
        reader.finish()?;
        Ok(VolumeRecord {
            name,
            created,
            block_size,
            hash_key,
            uid,
            gid,
            mode,
            labels,
            origin,
        })
    }
}

/// What is known of a snapshot beside its content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SnapshotRecord {
    pub(crate) name: SnapshotName,
    pub(crate) created: Timestamp,
    /// Made by volfs itself.
    pub(crate) automatic: bool,
    /// The pool's order of cuts: where the journal ended when it was prepared. Equal for all
    /// snapshots of one cut.
    pub(crate) cut: u64,
}

impl SnapshotRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_blob(self.name.as_str().as_bytes());
        put_time(&mut out, self.created);
        out.put_u8(u8::from(self.automatic));
        out.put_u64(self.cut);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<SnapshotRecord, DecodeError> {
        let mut reader = open("snapshot record", bytes)?;
        let name = reader.text(TEXT_MAX)?;
        let name = name
            .parse()
            .map_err(|_| reader.error("not a snapshot name"))?;
        let created = read_time(&mut reader)?;
        let automatic = reader.u8()? == 1;
        let cut = reader.u64()?;
        reader.finish()?;
        Ok(SnapshotRecord {
            name,
            created,
            automatic,
            cut,
        })
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
    let mut reader = ByteReader::new(what, bytes);
    match reader.u8()? {
        VERSION => Ok(reader),
        _ => Err(reader.error("unknown version")),
    }
}

fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    out.put_i64(time.secs);
    out.put_u32(time.nanos);
}

fn read_time(reader: &mut ByteReader<'_>) -> Result<Timestamp, DecodeError> {
    Ok(Timestamp {
        secs: reader.i64()?,
        nanos: reader.u32()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Lsn;

    /// Every record comes back as it was written, and every truncation is refused.
    #[test]
    fn records_round_trip_and_truncation_is_refused() {
        let volume = VolumeRecord {
            name: "pgdata".parse().unwrap(),
            created: Timestamp { secs: 1, nanos: 2 },
            block_size: 8192,
            hash_key: [4; 16],
            uid: 5,
            gid: 6,
            mode: 0o700,
            labels: [("app".to_owned(), "shop".to_owned())].into(),
            origin: Some("a@b".to_owned()),
        };
        let bytes = volume.encode();
        assert_eq!(VolumeRecord::decode(&bytes).unwrap(), volume);
        assert!((0..bytes.len()).all(|len| VolumeRecord::decode(&bytes[..len]).is_err()));

        let snapshot = SnapshotRecord {
            name: "before".parse().unwrap(),
            created: Timestamp { secs: -1, nanos: 2 },
            automatic: true,
            cut: 77,
        };
        let bytes = snapshot.encode();
        assert_eq!(SnapshotRecord::decode(&bytes).unwrap(), snapshot);
        assert!((0..bytes.len()).all(|len| SnapshotRecord::decode(&bytes[..len]).is_err()));

        let root = RootRecord {
            root: None,
            counts: Counts {
                blocks: 1,
                inodes: 2,
            },
            applied: JournalPosition {
                lsn: Lsn(3),
                chain: 4,
            },
        };
        let bytes = root.encode();
        assert_eq!(RootRecord::decode(&bytes).unwrap(), root);
        assert!((0..bytes.len()).all(|len| RootRecord::decode(&bytes[..len]).is_err()));

        let counters = Counters {
            next_volume: 1,
            next_snapshot: 2,
        };
        assert_eq!(Counters::decode(&counters.encode()).unwrap(), counters);
    }
}
