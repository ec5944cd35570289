//! Records of the catalog.

use super::labels::Labels;
use super::*;
use crate::base::Lsn;
use crate::pool::Policy;

fn volume() -> VolumeRecord {
    VolumeRecord {
        name: "pgdata".parse().unwrap(),
        created: Timestamp { secs: 1, nanos: 2 },
        block_size: 8192,
        hash_key: [4; 16],
        uid: 5,
        gid: 6,
        mode: 0o700,
        labels: [("app".to_owned(), "shop".to_owned())].into(),
        origin: Some("a@b".to_owned()),
        limit_bytes: 0,
        protected: false,
        removed: None,
        policy: None,
    }
}

fn snapshot() -> SnapshotRecord {
    SnapshotRecord {
        name: "before".parse().unwrap(),
        created: Timestamp { secs: -1, nanos: 2 },
        made_by: MadeBy::Rollback,
        cut: 77,
        held: false,
        labels: Labels::new(),
    }
}

/// Every record comes back as it was written, and every truncation is refused; what version 1 can
/// say is written as that.
#[test]
fn records_round_trip_and_truncation_is_refused() {
    let removed = Some(Timestamp { secs: 9, nanos: 9 });
    let volumes = [
        (volume(), 1),
        (
            VolumeRecord {
                limit_bytes: 1 << 40,
                ..volume()
            },
            2,
        ),
        (
            VolumeRecord {
                protected: true,
                ..volume()
            },
            2,
        ),
        (
            VolumeRecord {
                removed,
                ..volume()
            },
            2,
        ),
    ];
    for (volume, version) in volumes {
        let bytes = volume.encode();
        assert_eq!(bytes[0], version);
        assert_eq!(VolumeRecord::decode(&bytes).unwrap(), volume);
        assert!((0..bytes.len()).all(|len| VolumeRecord::decode(&bytes[..len]).is_err()));
    }

    let policy = Some(Policy {
        every: 900,
        keep_daily: 7,
        ..Policy::default()
    });
    let with_policy = VolumeRecord { policy, ..volume() };
    let bytes = with_policy.encode();
    assert_eq!(VolumeRecord::decode(&bytes).unwrap(), with_policy);
    assert!((0..bytes.len()).all(|len| VolumeRecord::decode(&bytes[..len]).is_err()));

    let labels: Labels = [("why".to_owned(), "migration".to_owned())].into();
    let snapshots = [
        (snapshot(), 1),
        (
            SnapshotRecord {
                made_by: MadeBy::User,
                ..snapshot()
            },
            1,
        ),
        (
            SnapshotRecord {
                made_by: MadeBy::Policy,
                ..snapshot()
            },
            2,
        ),
        (
            SnapshotRecord {
                held: true,
                ..snapshot()
            },
            2,
        ),
        (
            SnapshotRecord {
                labels,
                ..snapshot()
            },
            2,
        ),
    ];
    for (snapshot, version) in snapshots {
        let bytes = snapshot.encode();
        assert_eq!(bytes[0], version);
        assert_eq!(SnapshotRecord::decode(&bytes).unwrap(), snapshot);
        assert!((0..bytes.len()).all(|len| SnapshotRecord::decode(&bytes[..len]).is_err()));
    }

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
        ..snapshot()
    };
    let refused = |at: usize, bytes: &[u8]| {
        let mut record = snapshot.encode();
        record[at..at + bytes.len()].copy_from_slice(bytes);
        SnapshotRecord::decode(&record).unwrap_err().problem
    };
    assert_eq!(refused(18, &[2]), "made by nobody that is known");
    let second = 1_000_000_000_u32.to_le_bytes();
    assert_eq!(refused(14, &second), "nanoseconds above one second");

    // Version 2 of what needs none.
    let mut record = snapshot.encode();
    record[0] = 2;
    record.extend([0; 5]);
    let error = SnapshotRecord::decode(&record).unwrap_err();
    assert_eq!(error.problem, "a later version than it needs");

    let volume = VolumeRecord {
        name: "v".parse().unwrap(),
        labels: [("a", ""), ("b", "")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        origin: None,
        ..volume()
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
