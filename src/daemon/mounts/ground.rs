//! The folder that a mount covers: where it is, whether it will do, and its immutable flag.
//!
//! The classic disaster is a container that starts while its volume is not mounted, finds the
//! bare mount point empty, and initialises an empty database there. As root the bare folder is
//! therefore made immutable, so that such a write fails loudly.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use crate::daemon::{Kind, ServiceError, ServiceResult, Source};
use crate::fuse::{self, MountEntry};

/// How many entries of a folder in the way are named.
const NAMED_ENTRIES: usize = 5;

/// Folder of the default mount points, within the pool.
const DEFAULT_FOLDER: &str = "mnt";

/// A folder that passed all checks.
#[derive(Debug)]
pub(crate) struct Ground {
    /// The canonical path.
    pub(crate) path: PathBuf,
    /// Nothing lies in it.
    pub(crate) empty: bool,
}

/// Where a source is mounted when nobody says where.
pub(crate) fn default_path(pool: &Path, source: &Source) -> PathBuf {
    pool.join(DEFAULT_FOLDER).join(source.to_string())
}

/// Makes the default mount point, 0755 whatever the umask is.
pub(crate) fn create_default(pool: &Path, path: &Path) -> ServiceResult<()> {
    for folder in [&pool.join(DEFAULT_FOLDER), path] {
        let made = DirBuilder::new().mode(0o755).create(folder);
        let made = made.and_then(|()| fs::set_permissions(folder, Permissions::from_mode(0o755)));
        match made {
            // A dead mount of ours lies there, or the folder is left from the last time.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(ServiceError::environment(
                    "create the folder",
                    folder,
                    &error,
                ));
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

/// The canonical form of an absolute path, without touching what is mounted at its end: a dead
/// FUSE mount there would fail every call.
pub(crate) fn resolve(path: &Path) -> ServiceResult<PathBuf> {
    let fail = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => missing(path),
        _ => ServiceError::environment("resolve", path, &error),
    };
    if !path.is_absolute() {
        let message = format!("mount point '{}' is not an absolute path", path.display());
        return Err(ServiceError::new(Kind::Usage, message));
    }
    let (Some(parent), Some(Component::Normal(name))) =
        (path.parent(), path.components().next_back())
    else {
        return fs::canonicalize(path).map_err(fail);
    };
    let plain = fs::canonicalize(parent).map_err(fail)?.join(name);
    match fs::symlink_metadata(&plain) {
        Ok(metadata) if metadata.is_symlink() => fs::canonicalize(&plain).map_err(fail),
        _ => Ok(plain),
    }
}

/// Checks that `path` (canonical) can be mounted over. `table` is the mount table; a dead mount of
/// ours at this place must have been taken away already.
pub(crate) fn inspect(
    path: &Path,
    over: bool,
    pool: &Path,
    table: &[MountEntry],
) -> ServiceResult<Ground> {
    let shown = path.display();
    if let Some(entry) = table.iter().rev().find(|entry| entry.path == path) {
        let message = format!(
            "'{shown}' is already a mount point of '{}' ({})",
            entry.source, entry.fs_type
        );
        return Err(ServiceError::new(Kind::Busy, message));
    }
    let defaults = pool.join(DEFAULT_FOLDER);
    if path.starts_with(pool) && (path == defaults || !path.starts_with(&defaults)) {
        let message = format!("'{shown}' lies in the pool's own folder");
        return Err(ServiceError::new(Kind::Failed, message).hint(format!(
            "mount outside of it, or below '{}'",
            defaults.display()
        )));
    }
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => missing(path),
        _ => ServiceError::environment("look at the mount point", path, &error),
    })?;
    if !metadata.is_dir() {
        return Err(ServiceError::new(
            Kind::Failed,
            format!("'{shown}' is not a folder"),
        ));
    }
    let names = entries(path)?;
    if !names.is_empty() && !over {
        return Err(not_empty(path, &names));
    }
    Ok(Ground {
        path: path.to_owned(),
        empty: names.is_empty(),
    })
}

/// The mount table of this process.
pub(crate) fn mount_table() -> ServiceResult<Vec<MountEntry>> {
    fuse::mount_table().map_err(|error| {
        ServiceError::environment("read", Path::new("/proc/self/mountinfo"), &error)
    })
}

/// Whether the bare folder can be, and is not yet, immutable.
pub(crate) fn can_protect(path: &Path) -> bool {
    let flags = File::open(path).and_then(|folder| Ok(ioctl_getflags(&folder)?));
    flags.is_ok_and(|flags| !flags.contains(IFlags::IMMUTABLE))
}

/// Sets or clears the immutable flag of a bare folder.
pub(crate) fn set_immutable(path: &Path, immutable: bool) -> io::Result<()> {
    let folder = File::open(path)?;
    let mut flags = ioctl_getflags(&folder)?;
    flags.set(IFlags::IMMUTABLE, immutable);
    Ok(ioctl_setflags(&folder, flags)?)
}

fn missing(path: &Path) -> ServiceError {
    let shown = path.display();
    ServiceError::new(Kind::NotFound, format!("there is no folder '{shown}'"))
        .hint(format!("make it: mkdir -p '{shown}'"))
}

/// Up to one more name than is shown, sorted.
fn entries(path: &Path) -> ServiceResult<Vec<String>> {
    let fail = |error: io::Error| ServiceError::environment("list", path, &error);
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(fail)?.take(NAMED_ENTRIES + 1) {
        names.push(
            entry
                .map_err(fail)?
                .file_name()
                .to_string_lossy()
                .escape_debug()
                .to_string(),
        );
    }
    names.sort_unstable();
    Ok(names)
}

fn not_empty(path: &Path, names: &[String]) -> ServiceError {
    let shown = path.display();
    let more = if names.len() > NAMED_ENTRIES {
        ", ..."
    } else {
        ""
    };
    let listed = names[..names.len().min(NAMED_ENTRIES)].join(", ");
    let message = format!("mount point '{shown}' is not empty: it has {listed}{more}");
    ServiceError::new(Kind::Failed, message)
        .hint(format!(
            "to keep what lies there: mv '{shown}' '{shown}.old', mkdir '{shown}', mount again, \
             then cp -a --sparse=always '{shown}.old/.' '{shown}/'"
        ))
        .hint("--over mounts on top of it, hides it while mounted and deletes nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(folder.path()).unwrap();
        (folder, path)
    }

    fn entry(path: &Path) -> MountEntry {
        MountEntry {
            path: path.to_owned(),
            source: "/dev/sdb".into(),
            fs_type: "ext4".into(),
            device: 1,
        }
    }

    /// An empty folder will do.
    #[test]
    fn an_empty_folder_is_good() {
        let (_keep, path) = folder();
        let ground = inspect(&path, false, Path::new("/pool"), &[]).unwrap();
        assert!(ground.empty);
        assert_eq!(ground.path, path);
    }

    /// What lies in the way is named, and `over` goes on top of it.
    #[test]
    fn a_folder_with_files_is_refused_by_name() {
        let (_keep, path) = folder();
        for name in ["a", "b", "c", "d", "e", "f", "g"] {
            fs::write(path.join(name), "").unwrap();
        }
        let error = inspect(&path, false, Path::new("/pool"), &[]).unwrap_err();
        assert_eq!(error.kind, Kind::Failed);
        assert!(error.message.contains("is not empty: it has "), "{error}");
        assert!(error.message.ends_with(", ..."), "{error}");
        assert!(
            error.hints[0].contains("cp -a --sparse=always"),
            "{:?}",
            error.hints
        );
        assert!(!inspect(&path, true, Path::new("/pool"), &[]).unwrap().empty);
    }

    /// Missing folders, files, foreign mounts and the pool itself are each told apart.
    #[test]
    fn other_grounds_are_refused_with_their_reason() {
        let (_keep, path) = folder();
        let pool = Path::new("/pool");
        let error = inspect(&path.join("x"), false, pool, &[]).unwrap_err();
        assert_eq!(error.kind, Kind::NotFound);
        assert_eq!(
            error.hints,
            [format!("make it: mkdir -p '{}/x'", path.display())]
        );

        fs::write(path.join("file"), "").unwrap();
        let error = inspect(&path.join("file"), true, pool, &[]).unwrap_err();
        assert!(error.message.ends_with("/file' is not a folder"), "{error}");

        let error = inspect(&path, true, pool, &[entry(&path)]).unwrap_err();
        assert_eq!(error.kind, Kind::Busy);
        assert!(
            error
                .message
                .ends_with("is already a mount point of '/dev/sdb' (ext4)")
        );

        fs::create_dir_all(path.join("segments")).unwrap();
        fs::create_dir_all(path.join("mnt/db")).unwrap();
        for inside in [path.clone(), path.join("segments"), path.join("mnt")] {
            let error = inspect(&inside, true, &path, &[]).unwrap_err();
            assert!(
                error.message.ends_with("lies in the pool's own folder"),
                "{error}"
            );
        }
        inspect(&path.join("mnt/db"), false, &path, &[]).unwrap();
    }

    /// Links and dots are followed, to the parent even when the end does not exist.
    #[test]
    fn paths_are_made_canonical() {
        let (_keep, path) = folder();
        fs::create_dir(path.join("real")).unwrap();
        std::os::unix::fs::symlink("real", path.join("link")).unwrap();
        assert_eq!(resolve(&path.join("link")).unwrap(), path.join("real"));
        assert_eq!(resolve(&path.join("link/.")).unwrap(), path.join("real"));
        assert_eq!(resolve(&path.join("real/..")).unwrap(), path);
        assert_eq!(
            resolve(&path.join("link/new")).unwrap(),
            path.join("real/new")
        );
        assert_eq!(resolve(Path::new("/")).unwrap(), Path::new("/"));
        assert_eq!(
            resolve(&path.join("no/where")).unwrap_err().kind,
            Kind::NotFound
        );
        assert_eq!(
            resolve(Path::new("relative")).unwrap_err().kind,
            Kind::Usage
        );
    }

    /// The default place is made readable for all, and making it again is no error.
    #[test]
    fn the_default_place_is_made() {
        let (_keep, pool) = folder();
        let source = Source::live("db".parse().unwrap());
        let path = default_path(&pool, &source);
        assert_eq!(path, pool.join("mnt/db"));
        create_default(&pool, &path).unwrap();
        create_default(&pool, &path).unwrap();
        for folder in [pool.join("mnt"), path] {
            assert_eq!(
                fs::metadata(folder).unwrap().permissions().mode() & 0o7777,
                0o755
            );
        }
    }

    /// Where the filesystem knows the flag and we are root, nothing can be made in the folder
    /// while it is set, and everything after it was cleared.
    #[test]
    fn an_immutable_folder_refuses_new_files() {
        let (_keep, path) = folder();
        if !rustix::process::geteuid().is_root() || set_immutable(&path, true).is_err() {
            return;
        }
        assert!(!can_protect(&path));
        let refused = fs::write(path.join("PG_VERSION"), "18").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        set_immutable(&path, false).unwrap();
        assert!(can_protect(&path));
        fs::write(path.join("PG_VERSION"), "18").unwrap();
    }
}
