//! Making a pool.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::settings::{self, PoolFile};
use super::superblock::{Superblock, SuperblockFile};
use super::{Pool, PoolError, PoolResult};
use crate::base::{Clock, Lsn, PoolId, SegmentId, SystemClock};
use crate::disk::{Disk, DiskResult, FileDisk, Step};
use crate::journal::{Journal, JournalOptions, JournalPosition};

/// Folders that a pool has.
pub(super) const JOURNAL: &str = "journal";
/// Folders that a pool has.
pub(super) const SEGMENTS: &str = "segments";
/// What an interrupted creation can leave; everything else is somebody's data.
const OWN_NAMES: [&str; 6] = [
    JOURNAL,
    SEGMENTS,
    "superblock",
    "lock",
    "pool.toml.tmp",
    "daemon.log",
];

impl Pool {
    /// Whether the folder holds a pool.
    pub fn exists(path: &Path) -> bool {
        path.join(settings::PATH).exists()
    }

    /// Creates a pool in `path`, which is made 0700 if it is missing and must be empty if not.
    ///
    /// Order: the folder itself, journal, segments' folder, superblock, and `pool.toml` last, when
    /// all else is durable. A crash before that leaves no pool; the next creation clears it away.
    pub fn create(path: &Path) -> PoolResult<()> {
        let fail = |action| {
            move |source| PoolError::Folder {
                path: path.to_owned(),
                action,
                source,
            }
        };
        let (around, own) = split(path).map_err(fail("create the folder of"))?;
        make_folder(&FileDisk::new(around), own)
            .map_err(|error| fail("create the folder of")(error.source))?;
        clear_leftovers(&FileDisk::new(path), path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(fail("set the permissions of"))?;

        let id = fresh_id().map_err(fail("find a random identity for"))?;
        let file = PoolFile::new(id, SystemClock::new().now());
        Self::create_on(
            &FileDisk::new(path),
            path,
            &file,
            &JournalOptions::default(),
        )
    }

    /// Makes a pool on any ground.
    pub(super) fn create_on(
        disk: &dyn Disk,
        path: &Path,
        file: &PoolFile,
        journal: &JournalOptions,
    ) -> PoolResult<()> {
        let id = file.id(path)?;
        let start = Journal::create(disk, id, journal)?;
        disk.create_dir(SEGMENTS)?;
        SuperblockFile::create(disk, id, &first_state(start))?;
        file.write(disk, path)
    }
}

/// A superblock where none can be read: it names nothing.
pub(super) fn nothing() -> Superblock {
    first_state(JournalPosition {
        lsn: Lsn(0),
        chain: 0,
    })
}

/// The nearest folder above `path` that is there, and what of `path` lies below it.
fn split(path: &Path) -> io::Result<(&Path, &str)> {
    let is_there = |above: &&Path| above.as_os_str().is_empty() || above.is_dir();
    let above = path.ancestors().skip(1).find(is_there);
    let around = above.unwrap_or(Path::new(""));
    let own = path.strip_prefix(around).ok().and_then(Path::to_str);
    let own = own.ok_or(io::ErrorKind::InvalidFilename)?;
    match around.as_os_str().is_empty() {
        true => Ok((Path::new("."), own)),
        false => Ok((around, own)),
    }
}

/// Makes a folder and what is missing above it, each durable in the folder above before anything
/// is made in it: a power loss never takes a pool with a folder that it lies in.
pub(super) fn make_folder(around: &dyn Disk, path: &str) -> DiskResult<()> {
    let ends = path.match_indices('/').map(|(at, _)| at);
    let mut above = "";
    for end in ends.chain([path.len()]) {
        around.create_dir(&path[..end])?;
        around.sync_dir(above, Step::PoolFolderNamed)?;
        above = &path[..end];
    }
    Ok(())
}

fn first_state(start: JournalPosition) -> Superblock {
    Superblock {
        generation: 0,
        incarnation: 0,
        catalog: None,
        catalog_at: JournalPosition {
            lsn: Lsn(0),
            chain: 0,
        },
        replay_from: start,
        settled_below: SegmentId(1),
        next_segment: SegmentId(1),
    }
}

/// Removes what an interrupted creation left; refuses if anything else lies there. Nothing is
/// synced: what a power loss brings back is cleared away again by the next creation, and until it
/// has synced a folder that it makes anew no creation counts on what lies there.
pub(super) fn clear_leftovers(disk: &dyn Disk, path: &Path) -> PoolResult<()> {
    let leftovers = disk.list("")?;
    let is_pool = leftovers.iter().any(|name| name == settings::PATH);
    let foreign = |name: &&String| is_pool || !OWN_NAMES.contains(&name.as_str());
    if let Some(found) = leftovers.iter().find(foreign) {
        return Err(PoolError::NotEmpty {
            path: path.to_owned(),
            found: found.clone(),
        });
    }
    for name in leftovers {
        if ![JOURNAL, SEGMENTS].contains(&name.as_str()) {
            disk.remove(&name)?;
            continue;
        }
        // The folders themselves are made where they are missing only.
        for file in disk.list(&name)? {
            disk.remove(&format!("{name}/{file}"))?;
        }
    }
    Ok(())
}

fn fresh_id() -> std::io::Result<PoolId> {
    Ok(PoolId(random()?))
}

/// Random bytes from the kernel.
pub(super) fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::rand::getrandom(&mut bytes[filled..], flags)?;
    }
    Ok(bytes)
}
