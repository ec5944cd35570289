//! What must hold of the superblock, the catalog's records and `pool.toml` with any bytes.

use std::collections::HashMap;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::PoolOptions;
use super::cut::Cut;
use super::records::{Counters, MadeBy, RootRecord, SnapshotRecord, VolumeRecord};
use super::recovery::read_marks;
use super::settings::PoolFile;
use super::superblock::Superblock;
use crate::base::PoolId;

const POOL: PoolId = PoolId([9; 16]);

/// A slot is refused, or is what it encodes to.
pub(crate) fn superblock(bytes: &[u8]) {
    check_slot(bytes);
    let mut slot = bytes.to_vec();
    slot.resize(4096, 0);
    let body = slot.len() - 8;
    let checksum = xxh3_64(&slot[..body]).to_le_bytes();
    slot[body..].copy_from_slice(&checksum);
    check_slot(&slot);
}

fn check_slot(slot: &[u8]) {
    if let Ok(superblock) = Superblock::decode(slot, POOL) {
        assert_eq!(superblock.encode(POOL), slot);
    }
}

/// A record of each kind is refused, or is what it encodes to.
pub(crate) fn catalog(bytes: &[u8]) {
    if let Ok(counters) = Counters::decode(bytes) {
        assert_eq!(counters.encode(), bytes);
    }
    if let Ok(volume) = VolumeRecord::decode(bytes) {
        assert_eq!(volume.encode(), bytes);
        assert!(volume.created.to_string().ends_with('Z'));
    }
    if let Ok(snapshot) = SnapshotRecord::decode(bytes) {
        assert_eq!(snapshot.encode(), bytes);
        assert!(snapshot.created.sortable().ends_with('Z'));
    }
    if let Ok(root) = RootRecord::decode(bytes) {
        assert_eq!(root.encode(), bytes);
    }
}

/// The body of a cut or of a watermark is refused, or (a cut) is what it encodes to.
pub(crate) fn cut(bytes: &[u8]) {
    if let Ok(cut) = Cut::decode(bytes) {
        assert_eq!(cut.encode(), bytes);
    }
    let mut marks = HashMap::new();
    if read_marks(bytes, &mut marks).is_ok() {
        assert!(marks.len() * 12 <= bytes.len());
    }
}

/// Settings are refused, or mean the same once they were written.
pub(crate) fn settings(bytes: &[u8]) {
    let path = Path::new("pool");
    let Ok(file) = PoolFile::parse(bytes, path) else {
        return;
    };
    file.options(PoolOptions::default());
    // Numbers above i64::MAX can be read in TOML, but not written.
    let Ok(text) = toml::to_string(&file) else {
        return;
    };
    if let Ok(id) = file.id(path) {
        assert!(text.to_lowercase().contains(&id.to_string()));
    }
    let again = PoolFile::parse(text.as_bytes(), path).expect("what was written can be read");
    assert_eq!(format!("{again:?}"), format!("{file:?}"));
}

/// A slot with a catalog.
#[cfg(test)]
pub(crate) fn superblock_seeds() -> Vec<(&'static str, Vec<u8>)> {
    use crate::base::SegmentId;

    let superblock = Superblock {
        generation: 8,
        incarnation: 3,
        catalog: Some(seed::root()),
        catalog_at: seed::position(),
        replay_from: seed::position(),
        settled_below: SegmentId(4),
        next_segment: SegmentId(5),
    };
    let mut bytes = superblock.encode(POOL);
    // The rest is zeros and the checksum, which the target sets.
    bytes.truncate(192);
    vec![("slot", bytes)]
}

/// One record of each kind.
#[cfg(test)]
pub(crate) fn catalog_seeds() -> Vec<(&'static str, Vec<u8>)> {
    use crate::base::Timestamp;
    use crate::pool::Policy;
    use crate::volume::Counts;

    let counters = Counters {
        next_volume: 4,
        next_snapshot: 9,
    };
    let labels = [("app", "shop"), ("tier", "db")];
    let volume = VolumeRecord {
        name: "pgdata".parse().expect("a name"),
        created: Timestamp { secs: 1, nanos: 2 },
        block_size: 8192,
        hash_key: [4; 16],
        uid: 5,
        gid: 6,
        mode: 0o700,
        labels: labels
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        origin: Some("a@b".to_owned()),
        limit_bytes: 0,
        protected: false,
        removed: None,
        policy: None,
    };
    let limited = VolumeRecord {
        limit_bytes: 20 << 30,
        protected: true,
        removed: Some(Timestamp { secs: 3, nanos: 4 }),
        policy: Some(Policy {
            every: 900,
            keep_last: 4,
            keep_daily: 7,
            ..Policy::default()
        }),
        ..volume.clone()
    };
    let snapshot = SnapshotRecord {
        name: "before".parse().expect("a name"),
        created: Timestamp { secs: -1, nanos: 2 },
        made_by: MadeBy::Rollback,
        cut: 77,
        held: false,
        labels: Default::default(),
    };
    let held = SnapshotRecord {
        made_by: MadeBy::Policy,
        held: true,
        labels: volume.labels.clone(),
        ..snapshot.clone()
    };
    let root = RootRecord {
        root: Some(seed::root()),
        counts: Counts {
            blocks: 10,
            inodes: 2,
        },
        applied: seed::position(),
    };
    vec![
        ("counters", counters.encode()),
        ("volume", volume.encode()),
        ("volume-limited", limited.encode()),
        ("snapshot", snapshot.encode()),
        ("snapshot-held", held.encode()),
        ("root", root.encode()),
    ]
}

/// A cut with every action, and a watermark.
#[cfg(test)]
pub(crate) fn cut_seeds() -> Vec<(&'static str, Vec<u8>)> {
    use super::cut::Action;
    use crate::base::{Key, SnapshotId, Value, VolumeId};
    use crate::journal::{Change, Transaction};

    let (volume, new, snapshot) = (VolumeId(1), VolumeId(2), SnapshotId(3));
    let cut = Cut {
        catalog: Transaction {
            changes: vec![Change::Put(Key::new(1, 4, 3), Value::record([7; 30]))],
            ..Transaction::default()
        },
        actions: vec![
            Action::Freeze { volume, snapshot },
            Action::Reset { volume, snapshot },
            Action::Clone {
                volume,
                snapshot,
                new,
            },
            Action::Fork { volume, new },
        ],
    };
    let mut watermark = 5_u64.to_le_bytes().to_vec();
    watermark.extend(4096_u32.to_le_bytes());
    vec![("actions", cut.encode()), ("watermark", watermark)]
}

/// A file with every setting.
#[cfg(test)]
pub(crate) fn settings_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let text = "format_version = 1\n\
                id = \"0123456789abcdef0123456789abcdef\"\n\
                created = \"2026-11-22T10:15:00Z\"\n\n\
                [settings]\n\
                block_size = 8192\n\
                dirty_bytes_max = 1000000\n\
                checkpoint_age_secs = 30\n\
                block_cache_bytes = 1000000\n\
                node_cache_bytes = 1000000\n";
    vec![("all", text.as_bytes().to_vec())]
}

#[cfg(test)]
mod seed {
    use crate::base::{BlockId, Lsn, Place, Pointer, SegmentId};
    use crate::journal::JournalPosition;
    use crate::tree::TreeRoot;

    pub(super) fn position() -> JournalPosition {
        JournalPosition {
            lsn: Lsn(4096),
            chain: 71,
        }
    }

    pub(super) fn root() -> TreeRoot {
        let place = Place {
            segment: SegmentId(3),
            offset: 64,
            len: 4096,
        };
        TreeRoot {
            node: Pointer {
                id: BlockId([7; 32]),
                place,
            },
            height: 1,
        }
    }
}
