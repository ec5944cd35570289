//! Mounts that a killed daemon left behind.

use std::path::Path;

use super::attach::{Detach, detach};
use super::mount_table::mount_table;
use super::{FS_TYPE, MountError};

/// Whether a dead FUSE mount lies here: its daemon is gone, and every request fails.
pub fn is_stale(path: &Path) -> bool {
    // Attributes may still be cached, and statfs always asks; but a user who may not use the mount
    // gets an answer to statfs from the kernel.
    let asked = rustix::fs::statfs(path).map(drop);
    let looked_at = rustix::fs::stat(path).map(drop);
    [asked, looked_at].contains(&Err(rustix::io::Errno::NOTCONN))
}

/// Takes a dead mount of ours away, as many as lie one above the other; other filesystems and live
/// mounts are left alone.
pub fn clean_stale(path: &Path) -> Result<(), MountError> {
    let failed = |source| MountError::Failed {
        action: "read the mount table for",
        path: path.to_owned(),
        source,
    };
    let ours = |path: &Path| {
        let table = mount_table().map_err(failed)?;
        let top = table.iter().rev().find(|entry| entry.path == path);
        Ok::<bool, MountError>(top.is_some_and(|entry| entry.fs_type == FS_TYPE))
    };
    while is_stale(path) && ours(path)? {
        detach(path, Detach::Lazy)?;
        log::info!("took away the dead mount at {}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A live folder is not stale, and cleaning it changes nothing.
    #[test]
    fn live_folders_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_stale(folder.path()));
        clean_stale(folder.path()).unwrap();
        assert!(folder.path().exists());
        assert!(!is_stale(Path::new("/no/such/folder")));
    }
}
