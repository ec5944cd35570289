//! `mounts.json`: what is to be mounted, so that `volfs mount --all` finds it after a reboot, and
//! which bare folders were made immutable, so that the last umount can undo it.
//!
//! A line is added before the mount and removed by an explicit umount only. The end of the
//! daemon, however it comes, leaves the list as it is.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::base::VolumeName;
use crate::daemon::{Kind, MountFlags, ServiceError, ServiceResult, Source};
use crate::disk::{Disk, DiskResult, Replacing, Step, replace_file};

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
    /// XXH3 of the mounts as JSON without white space, in hexadecimal digits: a flipped bit in a
    /// path is a path, too. None: a list of before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
    mounts: Cow<'a, [SavedMount]>,
}

/// The list, in the order of mounting, at most one line per path.
pub(crate) struct SavedMounts {
    disk: Arc<dyn Disk>,
    /// The pool's folder, for errors.
    pool: PathBuf,
    mounts: Vec<SavedMount>,
    /// Why the list could not be read, if so; it lies in `mounts.json.damaged` then.
    problem: Option<String>,
}

impl SavedMounts {
    /// Reads the list. A list that cannot be understood is put aside, so that no mount fails for
    /// it; only [`SavedMounts::all`] tells.
    pub(crate) fn load(disk: Arc<dyn Disk>, pool: &Path) -> SavedMounts {
        let (mounts, problem) = match read(&*disk, &pool.join(FILE)) {
            Ok(mounts) => (mounts, None),
            Err(problem) => {
                log::warn!("{problem}");
                if let Err(error) = disk.rename(FILE, DAMAGED) {
                    log::warn!("{error}: {}", error.source);
                }
                (Vec::new(), Some(problem))
            }
        };
        SavedMounts {
            disk,
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
        replace_file(&*self.disk, "", FILE, &json, steps)?;
        self.mounts = mounts;
        self.problem = None;
        Ok(())
    }
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Vec<SavedMount>, String> {
    let read = || -> DiskResult<Vec<u8>> {
        let file = disk.open(FILE)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => parse(&bytes, path),
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(format!(
            "cannot read '{}': {}",
            path.display(),
            error.source
        )),
    }
}

/// The file with this list.
pub(super) fn to_json(mounts: &[SavedMount]) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec_pretty(&File {
        version: VERSION,
        checksum: Some(checksum(mounts)?),
        mounts: mounts.into(),
    })
}

fn checksum(mounts: &[SavedMount]) -> serde_json::Result<String> {
    let bytes = serde_json::to_vec(mounts)?;
    Ok(format!("{:016x}", xxh3_64(&bytes)))
}

/// The list with these bytes; `path` is the file's, for errors.
pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Vec<SavedMount>, String> {
    let invalid = |problem: String| format!("'{}' is not valid: {problem}", path.display());
    let file: File<'_> =
        serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
    if file.version != VERSION {
        let version = file.version;
        return Err(format!(
            "'{}' has version {version}, known is {VERSION}",
            path.display()
        ));
    }
    let found = checksum(&file.mounts).map_err(|error| invalid(error.to_string()))?;
    if file.checksum.is_some_and(|wanted| wanted != found) {
        return Err(invalid("its checksum does not match its mounts".to_owned()));
    }
    Ok(file.mounts.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Fault, SimDisk};

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

    fn load(disk: &SimDisk) -> SavedMounts {
        SavedMounts::load(Arc::new(disk.clone()), Path::new("/pool"))
    }

    fn put(disk: &SimDisk, bytes: &[u8]) {
        let steps = Replacing {
            written: Step::MountListWritten,
            named: Step::MountListNamed,
        };
        replace_file(disk, "", FILE, bytes, steps).unwrap();
    }

    fn content(disk: &SimDisk, name: &str) -> Vec<u8> {
        let file = disk.open(name).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// The list is the same after it was written and read; a path has one line.
    #[test]
    fn the_list_survives_its_process() {
        let disk = SimDisk::new();
        let mut saved = load(&disk);
        assert_eq!(saved.all().unwrap(), []);
        saved.add(line("a", "/mnt/1")).unwrap();
        saved.add(line("a", "/mnt/2")).unwrap();
        saved.add(line("b", "/mnt/1")).unwrap();

        let mut saved = load(&disk);
        let wanted = [line("b", "/mnt/1"), line("a", "/mnt/2")];
        assert_eq!(saved.all().unwrap(), wanted);
        let of_a = saved.of(&Source::live("a".parse().unwrap()));
        assert_eq!(of_a, [line("a", "/mnt/2")]);
        saved.remove(Path::new("/mnt/1")).unwrap();
        saved.remove(Path::new("/mnt/unknown")).unwrap();
        assert_eq!(load(&disk).all().unwrap(), [line("a", "/mnt/2")]);
    }

    /// Whatever the moment at which power is lost, the list is the one before the change or the one
    /// behind it, and the latter once the change was answered.
    #[test]
    fn a_change_of_the_list_survives_power_loss() {
        let before = SimDisk::new();
        load(&before).add(line("a", "/mnt/1")).unwrap();
        let (old, new) = (
            vec![line("a", "/mnt/1")],
            vec![line("a", "/mnt/1"), line("b", "/mnt/2")],
        );
        let mut answered = 0;
        for moment in 0..12 {
            for seed in 0..40 {
                let disk = before.kill();
                disk.arm(Fault::Die(moment));
                let is_answered = load(&disk).add(line("b", "/mnt/2")).is_ok();
                answered += u32::from(is_answered);
                let found = load(&disk.crash(seed)).all().unwrap();
                let is_right = found == new || (!is_answered && found == old);
                assert!(is_right, "moment {moment}, seed {seed}: {found:?}");
            }
        }
        assert!(0 < answered && answered < 12 * 40, "{answered} answered");
    }

    /// A damaged list is put aside, told about once asked for, and does not block a new one.
    #[test]
    fn a_damaged_list_is_put_aside() {
        let disk = SimDisk::new();
        put(&disk, b"{");
        let mut saved = load(&disk);
        let error = saved.all().unwrap_err();
        let problem = "mounts.json' is not valid";
        assert!(error.message.contains(problem), "{error}");
        assert_eq!(content(&disk, DAMAGED), b"{");
        saved.add(line("a", "/mnt/1")).unwrap();
        assert_eq!(load(&disk).all().unwrap(), [line("a", "/mnt/1")]);
    }

    /// Any flipped bit is noticed, or makes no difference.
    #[test]
    fn a_flipped_bit_is_no_other_list() {
        let list = [line("a", "/mnt/1"), line("b", "/mnt/2")];
        let bytes = to_json(&list).unwrap();
        let mut refused = 0;
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match parse(&flipped, Path::new(FILE)) {
                Ok(found) => assert_eq!(found, list, "bit {bit}"),
                Err(_) => refused += 1,
            }
        }
        assert!(
            refused > bytes.len() * 6,
            "{refused} of {}",
            bytes.len() * 8
        );
    }

    /// A list of a newer version is not taken for one of ours; one without a checksum is.
    #[test]
    fn versions_are_told_apart() {
        let disk = SimDisk::new();
        put(&disk, br#"{"version":2,"mounts":[]}"#);
        let error = load(&disk).all().unwrap_err();
        let problem = "has version 2, known is 1";
        assert!(error.message.ends_with(problem), "{error}");
        put(&disk, br#"{"version":1,"mounts":[]}"#);
        assert_eq!(load(&disk).all().unwrap(), []);
    }
}
