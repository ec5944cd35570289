//! What is known of a volume.

use super::labels::{self, Labels};
use super::snapshot::too_long;
use super::{TEXT_MAX, VERSION, VERSION_EXTENDED, open_versions, put_time, read_flag, read_time};
use crate::base::{DecodeError, PutBytes, Timestamp, VolumeName};
use crate::pool::Policy;
use crate::pool::settings::is_block_size;

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
    pub(crate) labels: Labels,
    /// `volume@snapshot` or `volume` that it was cloned from.
    pub(crate) origin: Option<String>,
    /// What its data may take before compression and sharing, in bytes; 0: no limit.
    pub(crate) limit_bytes: u64,
    /// It must not be removed.
    pub(crate) protected: bool,
    /// In the trash since.
    pub(crate) removed: Option<Timestamp>,
    /// How snapshots are made by themselves, if they are.
    pub(crate) policy: Option<Policy>,
}

impl VolumeRecord {
    /// What keeps labels from being stored, as a sentence for whoever chose them. A record that
    /// could not be read again must not get into the journal, where every opening meets it.
    pub(crate) fn labels_problem(&self) -> Option<String> {
        let bytes = self.encode().len();
        labels::problem(&self.labels).or_else(|| too_long(bytes))
    }

    fn is_extended(&self) -> bool {
        self.limit_bytes != 0 || self.protected || self.removed.is_some() || self.policy.is_some()
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
        out.put_u32(self.block_size);
        out.put_bytes(&self.hash_key);
        out.put_u32(self.uid);
        out.put_u32(self.gid);
        out.put_u16(self.mode);
        labels::put(&mut out, &self.labels);
        out.put_blob(self.origin.as_deref().unwrap_or_default().as_bytes());
        if is_extended {
            out.put_u64(self.limit_bytes);
            out.put_u8(u8::from(self.protected));
            out.put_u8(u8::from(self.removed.is_some()));
            if let Some(removed) = self.removed {
                put_time(&mut out, removed);
            }
            out.put_u8(u8::from(self.policy.is_some()));
            if let Some(policy) = self.policy {
                policy.put(&mut out);
            }
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<VolumeRecord, DecodeError> {
        let (mut reader, version) = open_versions("volume record", bytes)?;
        let name = reader.text(TEXT_MAX)?;
        let name = name
            .parse()
            .map_err(|_| reader.error("not a volume name"))?;
        let created = read_time(&mut reader)?;
        let block_size = reader.u32()?;
        if !is_block_size(block_size) {
            return Err(reader.error("not a block size"));
        }
        let hash_key = reader.array()?;
        let (uid, gid, mode) = (reader.u32()?, reader.u32()?, reader.u16()?);
        let labels = labels::read(&mut reader)?;
        let origin = Some(reader.text(TEXT_MAX)?.to_owned()).filter(|text| !text.is_empty());
        let mut record = VolumeRecord {
            name,
            created,
            block_size,
            hash_key,
            uid,
            gid,
            mode,
            labels,
            origin,
            limit_bytes: 0,
            protected: false,
            removed: None,
            policy: None,
        };
        if version == VERSION_EXTENDED {
            record.limit_bytes = reader.u64()?;
            record.protected = read_flag(&mut reader, "neither protected nor not")?;
            if read_flag(&mut reader, "neither removed nor not")? {
                record.removed = Some(read_time(&mut reader)?);
            }
            if read_flag(&mut reader, "neither with a policy nor without")? {
                record.policy = Some(Policy::read(&mut reader)?);
            }
            if !record.is_extended() {
                return Err(reader.error("a later version than it needs"));
            }
        }
        reader.finish()?;
        Ok(record)
    }
}
