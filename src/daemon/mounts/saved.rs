//! `mounts.json`: what is to be mounted, so that `volfs mount --all` finds it after a reboot, and
//! which bare folders were made immutable, so that the last umount can undo it.
//!
//! A line is added before the mount and removed by an explicit umount only. The end of the
//! daemon, however it comes, leaves the list as it is.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::VolumeName;
use crate::daemon::{Kind, MountFlags, ServiceError, ServiceResult, Source};
use crate::disk::{FileDisk, Replacing, Step, replace_file};

const FILE: &str = "mounts.json";
const DAMAGED: &str = "mounts.json.damaged";
const VERSION: u32 = 1;

/// One wanted mount.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct SavedMount {
    /// What.
    pub(crate) source: Source,
    /// Where, canonical.
    pub(crate) path: PathBuf,
    /// How.
    pub(crate) flags: MountFlags,
    /// The bare folder bears an immutable flag that volfs has set, or was about to set.
    pub(crate) immutable: bool,
}

#[derive(Serialize, Deserialize)]
struct File<'a> {
    version: u32,
    mounts: Cow<'a, [SavedMount]>,
}

/// The list, in the order of mounting, at most one line per path.
pub(crate) struct SavedMounts {
    pool: PathBuf,
    mounts: Vec<SavedMount>,
    /// Why the list could not be read, if so; it lies in `mounts.json.damaged` then.
    problem: Option<String>,
}

impl SavedMounts {
    /// Reads the list. A list that cannot be understood is put aside, so that no mount fails for
    /// it; only [`SavedMounts::all`] tells.
    pub(crate) fn load(pool: &Path) -> SavedMounts {
        let (mounts, problem) = match read(&pool.join(FILE)) {
            Ok(mounts) => (mounts, None),
            Err(problem) => {
                log::warn!("{problem}");
                if let Err(error) = fs::rename(pool.join(FILE), pool.join(DAMAGED)) {
                    log::warn!("cannot rename {FILE} to {DAMAGED}: {error}");
                }
                (Vec::new(), Some(problem))
            }
        };
        SavedMounts {
            pool: pool.to_owned(),
            mounts,
            problem,
        }
    }

    /// Everything that is wanted.
    pub(crate) fn all(&self) -> ServiceResult<Vec<SavedMount>> {
        match &self.problem {
            None => Ok(self.mounts.clone()),
            Some(problem) => Err(ServiceError::new(Kind::Failed, problem.clone())
                .hint(format!(
                    "what it held lies in '{}'",
                    self.pool.join(DAMAGED).display()
                ))
                .hint("mount each volume once by name to start a new list")),
        }
    }

    /// The line for a path.
    pub(crate) fn at(&self, path: &Path) -> Option<&SavedMount> {
        self.mounts.iter().find(|mount| mount.path == path)
    }

    /// The lines for a source.
    pub(crate) fn of(&self, source: &Source) -> Vec<SavedMount> {
        self.mounts
            .iter()
            .filter(|mount| mount.source == *source)
            .cloned()
            .collect()
    }

    /// The lines for a volume and all its snapshots.
    pub(crate) fn of_volume(&self, volume: &VolumeName) -> Vec<SavedMount> {
        self.mounts
            .iter()
            .filter(|mount| mount.source.volume == *volume)
            .cloned()
            .collect()
    }

    /// Adds a line, in place of the one with the same path. Durable when it returns; after an
    /// error the list is as before.
    pub(crate) fn add(&mut self, mount: SavedMount) -> ServiceResult<()> {
        if self.mounts.contains(&mount) {
            return Ok(());
        }
        let mut mounts = self.mounts.clone();
        match mounts.iter_mut().find(|old| old.path == mount.path) {
            Some(old) => *old = mount,
            None => mounts.push(mount),
        }
        self.write(mounts)
    }

    /// Removes a path's line. Durable when it returns.
    pub(crate) fn remove(&mut self, path: &Path) -> ServiceResult<()> {
        let mut mounts = self.mounts.clone();
        mounts.retain(|mount| mount.path != path);
        if mounts.len() == self.mounts.len() {
            Ok(())
        } else {
            self.write(mounts)
        }
    }

    fn write(&mut self, mounts: Vec<SavedMount>) -> ServiceResult<()> {
        let json = to_json(&mounts).map_err(|error| {
            ServiceError::new(Kind::Failed, format!("cannot encode {FILE}: {error}"))
        })?;
        let steps = Replacing {
            written: Step::MountListWritten,
            named: Step::MountListNamed,
        };
        replace_file(&FileDisk::new(&self.pool), "", FILE, &json, steps)?;
        self.mounts = mounts;
        self.problem = None;
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<SavedMount>, String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("cannot read '{}': {error}", path.display())),
    };
    parse(&bytes, path)
}

/// The file with this list.
pub(super) fn to_json(mounts: &[SavedMount]) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec_pretty(&File {
        version: VERSION,
        mounts: mounts.into(),
    })
}

/// The list with these bytes; `path` is the file's, for errors.
pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Vec<SavedMount>, String> {
    let file: File<'_> = serde_json::from_slice(bytes)
        .map_err(|error| format!("'{}' is not valid: {error}", path.display()))?;
    if file.version != VERSION {
        let version = file.version;
        return Err(format!(
            "'{}' has version {version}, known is {VERSION}",
            path.display()
        ));
    }
    Ok(file.mounts.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(volume: &str, path: &str) -> SavedMount {
        SavedMount {
            source: Source::live(volume.parse().unwrap()),
            path: path.into(),
            flags: MountFlags {
                read_only: true,
                ..MountFlags::default()
            },
            immutable: true,
        }
    }

    /// The list is the same after it was written and read; a path has one line.
    #[test]
    fn the_list_survives_its_process() {
        let pool = tempfile::tempdir().unwrap();
        let mut saved = SavedMounts::load(pool.path());
        assert_eq!(saved.all().unwrap(), []);
        saved.add(line("a", "/mnt/1")).unwrap();
        saved.add(line("a", "/mnt/2")).unwrap();
        saved.add(line("b", "/mnt/1")).unwrap();

        let mut saved = SavedMounts::load(pool.path());
        assert_eq!(
            saved.all().unwrap(),
            [line("b", "/mnt/1"), line("a", "/mnt/2")]
        );
        assert_eq!(
            saved.of(&Source::live("a".parse().unwrap())),
            [line("a", "/mnt/2")]
        );
        saved.remove(Path::new("/mnt/1")).unwrap();
        saved.remove(Path::new("/mnt/unknown")).unwrap();
        assert_eq!(
            SavedMounts::load(pool.path()).all().unwrap(),
            [line("a", "/mnt/2")]
        );
    }

    /// A damaged list is put aside, told about once asked for, and does not block a new one.
    #[test]
    fn a_damaged_list_is_put_aside() {
        let pool = tempfile::tempdir().unwrap();
        fs::write(pool.path().join(FILE), "{").unwrap();
        let mut saved = SavedMounts::load(pool.path());
        let error = saved.all().unwrap_err();
        assert!(
            error.message.contains("mounts.json' is not valid"),
            "{error}"
        );
        assert_eq!(fs::read_to_string(pool.path().join(DAMAGED)).unwrap(), "{");
        saved.add(line("a", "/mnt/1")).unwrap();
        assert_eq!(
            SavedMounts::load(pool.path()).all().unwrap(),
            [line("a", "/mnt/1")]
        );
    }

    /// A list of a newer version is not taken for one of ours.
    #[test]
    fn a_newer_list_is_refused() {
        let pool = tempfile::tempdir().unwrap();
        fs::write(pool.path().join(FILE), r#"{"version":2,"mounts":[]}"#).unwrap();
        let error = SavedMounts::load(pool.path()).all().unwrap_err();
        assert!(
            error.message.ends_with("has version 2, known is 1"),
            "{error}"
        );
    }
}
