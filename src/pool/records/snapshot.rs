//! What is known of a snapshot.

use super::labels::{self, Labels};
use super::{
    RECORD_BYTES_MAX, TEXT_MAX, VERSION, VERSION_EXTENDED, open_versions, put_time, read_flag,
    read_time,
};
use crate::base::{DecodeError, PutBytes, SnapshotName, Timestamp};

/// Who made a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MadeBy {
    /// Somebody who asked for it.
    #[default]
    User,
    /// A rollback, which keeps the state that it leaves.
    Rollback,
    /// The volume's policy, which also removes it.
    Policy,
}

/// What is known of a snapshot beside its content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SnapshotRecord {
    pub(crate) name: SnapshotName,
    pub(crate) created: Timestamp,
    pub(crate) made_by: MadeBy,
    /// The pool's order of cuts: where the journal ended when it was prepared. Equal for all
    /// snapshots of one cut.
    pub(crate) cut: u64,
    /// It must not be removed.
    pub(crate) held: bool,
    pub(crate) labels: Labels,
}

impl SnapshotRecord {
    /// What keeps labels from being stored, as a sentence for whoever chose them.
    pub(crate) fn labels_problem(&self) -> Option<String> {
        let bytes = self.encode().len();
        labels::problem(&self.labels).or_else(|| too_long(bytes))
    }

    fn is_extended(&self) -> bool {
        self.made_by == MadeBy::Policy || self.held || !self.labels.is_empty()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let is_extended = self.is_extended();
        let mut out = vec![if is_extended {
            VERSION_EXTENDED
        } else {
            VERSION
        }];
        out.put_blob(self.name.as_str().as_bytes());
        put_time(&mut out, self.created);
        out.put_u8(match self.made_by {
            MadeBy::User => 0,
            MadeBy::Rollback => 1,
            MadeBy::Policy => 2,
        });
        out.put_u64(self.cut);
        if is_extended {
            out.put_u8(u8::from(self.held));
            labels::put(&mut out, &self.labels);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<SnapshotRecord, DecodeError> {
        let (mut reader, version) = open_versions("snapshot record", bytes)?;
        let name = reader.text(TEXT_MAX)?;
        let name = name
            .parse()
            .map_err(|_| reader.error("not a snapshot name"))?;
        let created = read_time(&mut reader)?;
        let made_by = match (reader.u8()?, version) {
            (0, _) => MadeBy::User,
            (1, _) => MadeBy::Rollback,
            (2, VERSION_EXTENDED) => MadeBy::Policy,
            _ => return Err(reader.error("made by nobody that is known")),
        };
        let mut record = SnapshotRecord {
            name,
            created,
            made_by,
            cut: reader.u64()?,
            held: false,
            labels: Labels::new(),
        };
        if version == VERSION_EXTENDED {
            record.held = read_flag(&mut reader, "neither held nor not")?;
            record.labels = labels::read(&mut reader)?;
            if !record.is_extended() {
                return Err(reader.error("a later version than it needs"));
            }
        }
        reader.finish()?;
        Ok(record)
    }
}

/// Why a record of so many bytes cannot be stored.
pub(super) fn too_long(bytes: usize) -> Option<String> {
    (bytes > RECORD_BYTES_MAX).then(|| {
        format!(
            "the labels are too long: they make a record of {bytes} bytes, at most \
             {RECORD_BYTES_MAX}"
        )
    })
}
