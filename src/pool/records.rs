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
    ByteReader, DecodeError, Key, PutBytes, SnapshotId, SnapshotName, Timestamp, Value, VolumeId,
    VolumeName,
};
use crate::journal::JournalPosition;
use crate::pool::superblock::{put_position, put_root, read_number, read_position, read_root};
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
const NANOS_PER_SECOND: u32 = 1_000_000_000;
/// Most labels of a volume.
const LABELS_MAX: u32 = 1000;
/// Longest text in a record, in bytes: a label's key or value, an origin.
const TEXT_MAX: usize = 8192;
/// Longest record of a volume in bytes.
const VOLUME_BYTES_MAX: usize = 64 << 10;
const _: () = assert!(VOLUME_BYTES_MAX <= Value::MAX_BYTES);

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
    /// What keeps labels from being stored, as a sentence for whoever chose them. A record that
    /// could not be read again must not get into the journal, where every opening meets it.
    pub(crate) fn labels_problem(&self) -> Option<String> {
        if self.labels.len() > LABELS_MAX as usize {
            let count = self.labels.len();
            return Some(format!("{count} labels are too many: at most {LABELS_MAX}"));
        }
        for (key, value) in &self.labels {
            let long = key.len().max(value.len());
            if long > TEXT_MAX {
                let start: String = key.chars().take(40).collect();
                return Some(format!(
                    "label '{start}' has {long} bytes: at most {TEXT_MAX} in key and in value"
                ));
            }
        }
        let bytes = self.encode().len();
        (bytes > VOLUME_BYTES_MAX).then(|| {
            format!(
                "the labels are too long: they make a record of {bytes} bytes, \
                 at most {VOLUME_BYTES_MAX}"
            )
        })
    }

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
            if labels
                .last_key_value()
                .is_some_and(|(last, _)| *last >= key)
            {
                return Err(reader.error("labels are not sorted"));
            }
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
        let automatic = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(reader.error("neither automatic nor not")),
        };
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

    /// A record has one encoding, and numbers have a successor: what no writer writes is refused.
    #[test]
    fn impossible_records_are_refused() {
        let snapshot = SnapshotRecord {
            name: "s".parse().unwrap(),
            created: Timestamp::default(),
            automatic: true,
            cut: 7,
        };
        let refused = |at: usize, bytes: &[u8]| {
            let mut record = snapshot.encode();
            record[at..at + bytes.len()].copy_from_slice(bytes);
            SnapshotRecord::decode(&record).unwrap_err().problem
        };
        assert_eq!(refused(18, &[2]), "neither automatic nor not");
        let second = 1_000_000_000_u32.to_le_bytes();
        assert_eq!(refused(14, &second), "nanoseconds above one second");

        let volume = VolumeRecord {
            name: "v".parse().unwrap(),
            created: Timestamp::default(),
            block_size: 4096,
            hash_key: [0; 16],
            uid: 0,
            gid: 0,
            mode: 0,
            labels: [("a", ""), ("b", "")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            origin: None,
        };
        let bytes = volume.encode();
        let first = bytes.iter().position(|byte| *byte == b'a').unwrap();
        for key in [b'b', b'c'] {
            let mut bytes = bytes.clone();
            bytes[first] = key;
            let error = VolumeRecord::decode(&bytes).unwrap_err();
            assert_eq!(error.problem, "labels are not sorted");
        }

        let last = Counters {
            next_volume: 1 << 62,
            next_snapshot: 1,
        };
        let error = Counters::decode(&last.encode()).unwrap_err();
        assert_eq!(error.problem, "a number above its limit");
    }
}
