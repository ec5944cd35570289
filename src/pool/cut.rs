//! The record that changes the catalog and, in the same instant, what volumes stand on.
//!
//! Body of a journal record of kind `Cut`: the catalog's transaction, then the actions
//! (docs/on-disk-format.md, section 6). Plain catalog changes are cuts without actions.

use crate::base::{ByteReader, DecodeError, PutBytes, SnapshotId, VolumeId};
use crate::journal::Transaction;

/// What happens to a volume's state at the cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// The snapshot keeps the volume's present state.
    Freeze {
        volume: VolumeId,
        snapshot: SnapshotId,
    },
    /// The volume goes back to its snapshot.
    Reset {
        volume: VolumeId,
        snapshot: SnapshotId,
    },
    /// A new volume starts from the snapshot of `volume`.
    Clone {
        volume: VolumeId,
        snapshot: SnapshotId,
        new: VolumeId,
    },
    /// A new volume starts from the volume's present state.
    Fork { volume: VolumeId, new: VolumeId },
}

impl Action {
    /// The volume whose state is frozen or replaced, and must be locked.
    pub(crate) fn volume(&self) -> VolumeId {
        match self {
            Action::Freeze { volume, .. }
            | Action::Reset { volume, .. }
            | Action::Clone { volume, .. }
            | Action::Fork { volume, .. } => *volume,
        }
    }

    /// The volume that it makes.
    pub(crate) fn new_volume(&self) -> Option<VolumeId> {
        match self {
            Action::Clone { new, .. } | Action::Fork { new, .. } => Some(*new),
            Action::Freeze { .. } | Action::Reset { .. } => None,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let (tag, numbers) = match *self {
            Action::Freeze { volume, snapshot } => (1, [volume.0, snapshot.0, 0]),
            Action::Reset { volume, snapshot } => (2, [volume.0, snapshot.0, 0]),
            Action::Clone {
                volume,
                snapshot,
                new,
            } => (3, [volume.0, snapshot.0, new.0]),
            Action::Fork { volume, new } => (4, [volume.0, 0, new.0]),
        };
        out.put_u8(tag);
        numbers.into_iter().for_each(|number| out.put_u64(number));
    }

    fn decode(reader: &mut ByteReader<'_>) -> Result<Action, DecodeError> {
        let tag = reader.u8()?;
        let volume = VolumeId(reader.u64()?);
        let snapshot = SnapshotId(reader.u64()?);
        let new = VolumeId(reader.u64()?);
        let is_unused_set = match tag {
            1 | 2 => new.0 != 0,
            4 => snapshot.0 != 0,
            _ => false,
        };
        if is_unused_set {
            return Err(reader.error("a number that the action has not"));
        }
        match tag {
            1 => Ok(Action::Freeze { volume, snapshot }),
            2 => Ok(Action::Reset { volume, snapshot }),
            3 => Ok(Action::Clone {
                volume,
                snapshot,
                new,
            }),
            4 => Ok(Action::Fork { volume, new }),
            _ => Err(reader.error("unknown action")),
        }
    }
}

/// A change of the catalog and what goes with it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cut {
    pub(crate) catalog: Transaction,
    pub(crate) actions: Vec<Action>,
}

impl Cut {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u32(self.actions.len() as u32);
        self.actions
            .iter()
            .for_each(|action| action.encode(&mut out));
        for part in self.catalog.encode().slices() {
            out.put_bytes(part);
        }
        out
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Cut, DecodeError> {
        let mut reader = ByteReader::new("cut record", body);
        let count = reader.u32()?;
        let mut actions = Vec::new();
        for _ in 0..count {
            actions.push(Action::decode(&mut reader)?);
        }
        let catalog = Transaction::decode(reader.bytes(reader.remaining())?)?;
        Ok(Cut { catalog, actions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Key, Value};
    use crate::journal::Change;

    /// A cut comes back as it was written, and every truncation is refused.
    #[test]
    fn cuts_round_trip() {
        let put = Change::Put(Key::new(1, 2, 3), Value::record(b"x".as_slice()));
        let cut = Cut {
            catalog: Transaction {
                changes: vec![put],
                ..Transaction::default()
            },
            actions: vec![
                Action::Freeze {
                    volume: VolumeId(1),
                    snapshot: SnapshotId(2),
                },
                Action::Reset {
                    volume: VolumeId(3),
                    snapshot: SnapshotId(4),
                },
                Action::Clone {
                    volume: VolumeId(5),
                    snapshot: SnapshotId(6),
                    new: VolumeId(7),
                },
                Action::Fork {
                    volume: VolumeId(8),
                    new: VolumeId(9),
                },
            ],
        };
        let body = cut.encode();
        assert_eq!(Cut::decode(&body).unwrap(), cut);
        assert!((0..body.len()).all(|len| Cut::decode(&body[..len]).is_err()));
        // The new volume of a freeze and of a reset, the snapshot of a fork.
        for unused in [4 + 17, 4 + 25 + 17, 4 + 75 + 9] {
            let mut body = body.clone();
            body[unused] = 1;
            let error = Cut::decode(&body).unwrap_err();
            assert_eq!(error.problem, "a number that the action has not");
        }
    }
}
