//! Names on the command line: `VOLUME`, `VOLUME@SNAPSHOT`, or both as two words.

use crate::base::{NameError, SnapshotName, VolumeName};
use crate::daemon::{InspectSnapshot, Source};

/// `VOLUME` or `VOLUME@SNAPSHOT`.
pub(crate) fn source(text: &str) -> Result<Source, NameError> {
    let (volume, snapshot) = match text.split_once('@') {
        None => (text, None),
        Some((volume, snapshot)) => (volume, Some(snapshot.parse()?)),
    };
    Ok(Source {
        volume: volume.parse()?,
        snapshot,
    })
}

/// `VOLUME@SNAPSHOT`.
pub(crate) fn snapshot(text: &str) -> Result<InspectSnapshot, String> {
    let source = source(text).map_err(|error| error.to_string())?;
    let named = source.snapshot.map(|snapshot| (source.volume, snapshot));
    let (volume, snapshot) = named.ok_or_else(|| format!("'{text}' is not VOLUME@SNAPSHOT"))?;
    Ok(InspectSnapshot {
        volume,
        snapshot,
        space: false,
    })
}

/// Several `VOLUME@SNAPSHOT`, or exactly the two words `VOLUME SNAPSHOT`.
pub(crate) fn snapshots(words: &[String]) -> Result<Vec<InspectSnapshot>, String> {
    if let [volume, name] = words
        && !volume.contains('@')
        && !name.contains('@')
    {
        let volume: VolumeName = volume
            .parse()
            .map_err(|error: NameError| error.to_string())?;
        let name: SnapshotName = name.parse().map_err(|error: NameError| error.to_string())?;
        return Ok(vec![InspectSnapshot {
            volume,
            snapshot: name,
            space: false,
        }]);
    }
    words.iter().map(|word| snapshot(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(found: Vec<InspectSnapshot>) -> Vec<String> {
        found
            .iter()
            .map(|one| format!("{}@{}", one.volume, one.snapshot))
            .collect()
    }

    /// A source is a volume, or a snapshot after an at sign; nothing else.
    #[test]
    fn sources_are_volumes_or_snapshots() {
        assert_eq!(source("db").unwrap().to_string(), "db");
        assert_eq!(source("db@v1").unwrap().to_string(), "db@v1");
        for bad in ["", "@", "db@", "@v1", "db@v1@v2", "a/b", "./db"] {
            assert!(source(bad).is_err(), "{bad:?} was accepted");
        }
    }

    /// Two plain words are a volume and its snapshot; otherwise each word names both.
    #[test]
    fn snapshots_are_one_word_or_two() {
        let words = |words: &[&str]| {
            snapshots(
                &words
                    .iter()
                    .map(|word| word.to_string())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(text(words(&["db", "v1"]).unwrap()), ["db@v1"]);
        assert_eq!(
            text(words(&["db@v1", "db@v2"]).unwrap()),
            ["db@v1", "db@v2"]
        );
        assert_eq!(text(words(&["db@v1"]).unwrap()), ["db@v1"]);
        assert_eq!(words(&["db"]).unwrap_err(), "'db' is not VOLUME@SNAPSHOT");
        assert_eq!(
            words(&["db@v1", "v2"]).unwrap_err(),
            "'v2' is not VOLUME@SNAPSHOT"
        );
        assert!(words(&["a", "b", "c"]).is_err());
    }
}
