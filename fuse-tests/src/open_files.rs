//! The files that a process has open, as `/proc` shows them.

use std::fs::{self, DirEntry};
use std::path::PathBuf;

use rustix::process::Pid;

/// O_DSYNC as Linux has it; for rustix it is another name of O_SYNC.
pub const DSYNC: u32 = 0o10_000;
/// O_SYNC, which includes it.
pub const SYNC: u32 = 0o4_010_000;
/// O_DIRECT.
pub const DIRECT: u32 = rustix::fs::OFlags::DIRECT.bits();

/// An open file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFile {
    /// Where it was opened. Ends with ` (deleted)` when it has no name any more.
    pub path: PathBuf,
    /// Flags of open(2), also those set later.
    pub flags: u32,
}

/// All that a process has open now; nothing of one that has ended.
pub fn open_files(pid: Pid) -> Vec<OpenFile> {
    let entries = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()));
    // It may be closed while it is looked at.
    let files = entries.into_iter().flatten().flatten();
    files.filter_map(|entry| look_at(&entry)).collect()
}

fn look_at(entry: &DirEntry) -> Option<OpenFile> {
    let path = fs::read_link(entry.path()).ok()?;
    let process = entry.path().parent()?.parent()?.to_owned();
    let info = fs::read_to_string(process.join("fdinfo").join(entry.file_name())).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    let flags = u32::from_str_radix(flags.trim(), 8).ok()?;
    Some(OpenFile { path, flags })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    /// An open file is there with its flags, and gone when it is closed.
    #[test]
    fn open_files_have_their_flags() {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let path = folder.path().join("file");
        let mut options = File::options();
        let options = options.write(true).create(true);
        let file = options.custom_flags(DSYNC as i32).open(&path).unwrap();
        let flags = || {
            let files = open_files(rustix::process::getpid());
            let file = files.into_iter().find(|file| file.path == path);
            file.map(|file| file.flags & (SYNC | DIRECT))
        };
        assert_eq!(flags(), Some(DSYNC));
        drop(file);
        assert_eq!(flags(), None);
    }
}
