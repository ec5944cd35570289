//! The mounts that this machine has now, and how to get rid of one that hangs.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, IFlags, Mode, OFlags, ioctl_getflags, ioctl_setflags, open};
use rustix::mount::{UnmountFlags, unmount};

/// One line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountLine {
    /// Where it is mounted.
    pub path: PathBuf,
    /// The folder of the filesystem that lies there; `/` unless it is a bind mount of a part.
    pub root: String,
    /// The minor device number, which names a FUSE connection.
    pub minor: u32,
    /// Options of this mount point, such as `nosuid`.
    pub options: String,
    /// Type, such as `fuse.volfs`.
    pub fs_type: String,
    /// Source, such as `pgdata`.
    pub source: String,
}

/// All mounts at or below `folder`, outermost first.
pub fn mounts_below(folder: &Path) -> Vec<MountLine> {
    let text = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo can be read");
    text.lines()
        .filter_map(parse)
        .filter(|line| line.path.starts_with(folder))
        .collect()
}

/// The topmost mount exactly at `path`.
pub fn mount_at(path: &Path) -> Option<MountLine> {
    mounts_below(path)
        .into_iter()
        .rfind(|line| line.path == path)
}

/// Fields as in proc(5): id parent major:minor root path options optional... - type source super.
fn parse(line: &str) -> Option<MountLine> {
    let (place, kind) = line.split_once(" - ")?;
    let place: Vec<&str> = place.split(' ').collect();
    let mut kind = kind.split(' ');
    Some(MountLine {
        path: PathBuf::from(unescape(place.get(4)?)),
        root: unescape(place.get(3)?),
        minor: place.get(2)?.split_once(':')?.1.parse().ok()?,
        options: place.get(5)?.to_string(),
        fs_type: kind.next()?.to_owned(),
        source: unescape(kind.next()?),
    })
}

/// The kernel writes blank, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (code, plain)| {
            text.replace(code, plain)
        })
}

/// Makes every waiting request of the FUSE mounts below `folder` fail, so that nothing hangs.
pub fn abort_below(folder: &Path) {
    for line in mounts_below(folder)
        .iter()
        .filter(|line| line.fs_type.starts_with("fuse"))
    {
        let _ = fs::write(
            format!("/sys/fs/fuse/connections/{}/abort", line.minor),
            "1",
        );
        let _ = unmount(&line.path, UnmountFlags::FORCE);
    }
}

/// Detaches every mount below `folder`, innermost first.
pub fn detach_below(folder: &Path) {
    for line in mounts_below(folder).iter().rev() {
        let _ = unmount(&line.path, UnmountFlags::DETACH);
    }
}

/// Whether a folder bears the immutable flag; `false` also where the filesystem has no flags.
pub fn is_immutable(folder: &Path) -> bool {
    flags_of(folder).is_some_and(|(_, flags)| flags.contains(IFlags::IMMUTABLE))
}

/// Takes the immutable flag off every folder in `parent`, so that they can be removed.
pub fn make_removable(parent: &Path) {
    let Ok(directory) = open(parent, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) else {
        return;
    };
    let Ok(entries) = Dir::read_from(&directory) else {
        return;
    };
    for entry in entries.flatten() {
        let child = parent.join(entry.file_name().to_string_lossy().as_ref());
        if let Some((descriptor, flags)) = flags_of(&child)
            && flags.contains(IFlags::IMMUTABLE)
        {
            let _ = ioctl_setflags(descriptor, flags - IFlags::IMMUTABLE);
        }
    }
}

fn flags_of(folder: &Path) -> Option<(rustix::fd::OwnedFd, IFlags)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let descriptor = open(folder, flags, Mode::empty()).ok()?;
    let flags = ioctl_getflags(&descriptor).ok()?;
    Some((descriptor, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Path with a blank, device, options, type and source are taken from the right fields.
    #[test]
    fn mountinfo_line_is_parsed() {
        let line = r"42 21 0:57 / /mnt/a\040b rw,nosuid,nodev shared:7 - fuse.volfs pgdata rw";
        let expected = MountLine {
            path: "/mnt/a b".into(),
            root: "/".into(),
            minor: 57,
            options: "rw,nosuid,nodev".into(),
            fs_type: "fuse.volfs".into(),
            source: "pgdata".into(),
        };
        assert_eq!(parse(line), Some(expected));
    }
}
