//! `pool.toml`: identity, format version and settings; a person can read and change it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::{PoolId, Timestamp};
use crate::disk::{Disk, Replacing, Step, replace_file};
use crate::pool::superblock::FORMAT_VERSION;
use crate::pool::{PoolError, PoolOptions, PoolResult};

/// File name within the pool; its appearance is what makes a folder a pool.
pub(crate) const PATH: &str = "pool.toml";
/// Longest file that is read, in bytes.
const BYTES_MAX: usize = 64 << 10;
const REPLACING: Replacing = Replacing {
    written: Step::PoolFileWritten,
    named: Step::PoolFileNamed,
};

/// Block sizes of a volume, in bytes: 4 KiB to 128 KiB, powers of two.
pub(crate) fn is_block_size(bytes: u32) -> bool {
    bytes.is_power_of_two() && (4096..=128 << 10).contains(&bytes)
}

/// The file's content.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolFile {
    format_version: u32,
    id: String,
    created: String,
    #[serde(default)]
    pub(crate) settings: Settings,
}

/// What a person may change; read at opening.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Bytes of a block of new volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) block_size: Option<u32>,
    /// Cap of changed bytes in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    dirty_bytes_max: Option<u64>,
    /// Age in seconds at which changes are checkpointed.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint_age_secs: Option<u64>,
    /// Garbage in percent of what is alive at which it is collected; 0: only on demand.
    #[serde(skip_serializing_if = "Option::is_none")]
    gc_percent: Option<u8>,
    /// Bytes a second that the collection of garbage moves by itself at most; 0: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    gc_bytes_per_second: Option<u64>,
    /// Hours that removed volumes stay in the trash.
    #[serde(skip_serializing_if = "Option::is_none")]
    trash_hours: Option<u64>,
    /// Cap of the block cache in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    block_cache_bytes: Option<u64>,
    /// Cap of the node cache in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    node_cache_bytes: Option<u64>,
    /// Idle cores of a guest poll while requests come fast.
    #[serde(skip_serializing_if = "Option::is_none")]
    poll_idle_cores: Option<bool>,
}

/// Only what every version of the file has.
#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

impl PoolFile {
    /// A new pool's file.
    pub(crate) fn new(id: PoolId, created: Timestamp) -> PoolFile {
        PoolFile {
            format_version: FORMAT_VERSION,
            id: id.to_string(),
            created: created.to_string(),
            settings: Settings::default(),
        }
    }

    /// Writes it, durably: the last step of a pool's creation.
    pub(crate) fn write(&self, disk: &dyn Disk, path: &Path) -> PoolResult<()> {
        let invalid = |problem: String| PoolError::Settings {
            path: path.to_owned(),
            problem,
        };
        let text = toml::to_string(self).map_err(|error| invalid(error.to_string()))?;
        Ok(replace_file(disk, "", PATH, text.as_bytes(), REPLACING)?)
    }

    /// Reads it; `NotAPool` if there is none, `TooNew` if a newer volfs made it.
    pub(crate) fn read(disk: &dyn Disk, path: &Path) -> PoolResult<PoolFile> {
        let file = match disk.open(PATH) {
            Err(error) if error.is_not_found() => {
                return Err(PoolError::NotAPool {
                    path: path.to_owned(),
                });
            }
            other => other?,
        };
        let mut bytes = vec![0; BYTES_MAX + 1];
        let len = file.read_at(&mut bytes, 0)?;
        Self::parse(&bytes[..len], path)
    }

    /// The file with these bytes; `path` is the pool's, for errors.
    pub(super) fn parse(bytes: &[u8], path: &Path) -> PoolResult<PoolFile> {
        let invalid = |problem: String| PoolError::Settings {
            path: path.to_owned(),
            problem,
        };
        if bytes.len() > BYTES_MAX {
            return Err(invalid(format!("it is longer than {BYTES_MAX} bytes")));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| invalid(error.to_string()))?;
        let version: Version =
            toml::from_str(text).map_err(|error| invalid(error.message().to_owned()))?;
        if version.format_version > FORMAT_VERSION {
            return Err(PoolError::TooNew {
                path: path.to_owned(),
                found: version.format_version,
                known: FORMAT_VERSION,
            });
        }
        let file: PoolFile =
            toml::from_str(text).map_err(|error| invalid(error.message().to_owned()))?;
        if let Some(bytes) = file.settings.block_size
            && !is_block_size(bytes)
        {
            return Err(invalid(format!(
                "block_size {bytes}: 4096 to 131072, a power of two"
            )));
        }
        Ok(file)
    }

    /// The pool's identity.
    pub(crate) fn id(&self, path: &Path) -> PoolResult<PoolId> {
        let problem = || PoolError::Settings {
            path: path.to_owned(),
            problem: "id is not 32 hexadecimal digits".to_owned(),
        };
        // Every digit: parsing a pair would take a sign for one.
        if self.id.len() != 32 || !self.id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(problem());
        }
        let mut id = [0; 16];
        for (byte, digits) in id.iter_mut().zip(self.id.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| problem())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| problem())?;
        }
        Ok(PoolId(id))
    }

    /// The options, as the file changes them.
    pub(crate) fn options(&self, options: PoolOptions) -> PoolOptions {
        let settings = &self.settings;
        PoolOptions {
            dirty_bytes_max: settings.dirty_bytes_max.unwrap_or(options.dirty_bytes_max),
            checkpoint_age_secs: settings
                .checkpoint_age_secs
                .unwrap_or(options.checkpoint_age_secs),
            gc_percent: settings.gc_percent.unwrap_or(options.gc_percent),
            gc_bytes_per_second: settings
                .gc_bytes_per_second
                .unwrap_or(options.gc_bytes_per_second),
            trash_secs: settings
                .trash_hours
                .map_or(options.trash_secs, |hours| hours.saturating_mul(3600)),
            block_cache_bytes: settings
                .block_cache_bytes
                .map_or(options.block_cache_bytes, |bytes| bytes as usize),
            node_cache_bytes: settings
                .node_cache_bytes
                .map_or(options.node_cache_bytes, |bytes| bytes as usize),
            poll_idle_cores: settings.poll_idle_cores.unwrap_or(options.poll_idle_cores),
            cut_damaged_journal: options.cut_damaged_journal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::FileDisk;

    /// The file comes back; a newer format, an unknown key and a broken id are told apart.
    #[test]
    fn pool_toml_is_read_back_and_judged() {
        let folder = tempfile::tempdir().unwrap();
        let disk = FileDisk::new(folder.path());
        let path = folder.path();
        assert!(matches!(
            PoolFile::read(&disk, path),
            Err(PoolError::NotAPool { .. })
        ));
        let id = PoolId([0xab; 16]);
        PoolFile::new(id, Timestamp::default())
            .write(&disk, path)
            .unwrap();
        assert_eq!(PoolFile::read(&disk, path).unwrap().id(path).unwrap(), id);

        let put = |text: &str| replace_file(&disk, "", PATH, text.as_bytes(), REPLACING).unwrap();
        put("format_version = 99\nnews = true\n");
        assert!(matches!(
            PoolFile::read(&disk, path),
            Err(PoolError::TooNew { found: 99, .. })
        ));
        for id in ["zz".to_owned(), "+f".repeat(16), "é".repeat(16)] {
            put(&format!(
                "format_version = 1\nid = \"{id}\"\ncreated = \"\"\n"
            ));
            assert!(PoolFile::read(&disk, path).unwrap().id(path).is_err());
        }
        put(&format!("{}#", "format_version = 1\n".repeat(4096)));
        let error = PoolFile::read(&disk, path).unwrap_err().to_string();
        assert!(error.contains("longer than 65536 bytes"), "{error}");
        put("format_version = 1\nid = \"\"\ncreated = \"\"\n[settings]\nblock_size = 5000\n");
        let error = PoolFile::read(&disk, path).unwrap_err().to_string();
        assert!(error.contains("block_size 5000"), "{error}");
        put("not toml");
        assert!(matches!(
            PoolFile::read(&disk, path),
            Err(PoolError::Settings { .. })
        ));
    }
}
