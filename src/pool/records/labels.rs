//! Free text of the user.

use std::collections::BTreeMap;

use super::TEXT_MAX;
use crate::base::{ByteReader, DecodeError, PutBytes};

/// Most labels of a volume or a snapshot.
const LABELS_MAX: u32 = 1000;

/// By key.
pub(crate) type Labels = BTreeMap<String, String>;

/// What keeps labels from being stored, as a sentence for whoever chose them.
pub(super) fn problem(labels: &Labels) -> Option<String> {
    if labels.len() > LABELS_MAX as usize {
        let count = labels.len();
        return Some(format!("{count} labels are too many: at most {LABELS_MAX}"));
    }
    labels.iter().find_map(|(key, value)| {
        let long = key.len().max(value.len());
        let start: String = key.chars().take(40).collect();
        (long > TEXT_MAX).then(|| {
            format!("label '{start}' has {long} bytes: at most {TEXT_MAX} in key and in value")
        })
    })
}

pub(super) fn put(out: &mut Vec<u8>, labels: &Labels) {
    out.put_u32(labels.len() as u32);
    for (key, value) in labels {
        out.put_blob(key.as_bytes());
        out.put_blob(value.as_bytes());
    }
}

pub(super) fn read(reader: &mut ByteReader<'_>) -> Result<Labels, DecodeError> {
    let count = reader.u32()?;
    if count > LABELS_MAX {
        return Err(reader.error("too many labels"));
    }
    let mut labels = Labels::new();
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
    Ok(labels)
}
