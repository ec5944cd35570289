//! The table of mounts, as `/proc/self/mountinfo` shows it.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MountEntry {
    /// The mount point.
    pub path: PathBuf,
    /// What is mounted: for ours the volume's name.
    pub source: String,
    /// File system type, with subtype: `fuse.volfs`.
    pub fs_type: String,
    /// Device number, as `st_dev` of the files in it.
    pub device: u64,
}

/// All mounts that this process sees; a later one covers earlier ones at the same path.
pub fn mount_table() -> io::Result<Vec<MountEntry>> {
    Ok(parse_mountinfo(&std::fs::read("/proc/self/mountinfo")?))
}

/// Parses the format of `/proc/PID/mountinfo` (proc(5)). Lines that make no sense are left out.
pub fn parse_mountinfo(text: &[u8]) -> Vec<MountEntry> {
    text.split(|byte| *byte == b'\n')
        .filter_map(parse_line)
        .collect()
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`: id, parent,
/// device, root, mount point, options, any number of optional fields, a dash, type, source and
/// options.
fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let device = parse_device(fields.nth(2)?)?;
    let path = unescape(fields.nth(1)?);
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let fs_type = unescape(fields.next()?);
    let source = unescape(fields.next()?);
    Some(MountEntry {
        path: PathBuf::from(OsString::from_vec(path)),
        source: String::from_utf8_lossy(&source).into_owned(),
        fs_type: String::from_utf8_lossy(&fs_type).into_owned(),
        device,
    })
}

fn parse_device(field: &[u8]) -> Option<u64> {
    let (major, minor) = std::str::from_utf8(field).ok()?.split_once(':')?;
    Some(rustix::fs::makedev(
        major.parse().ok()?,
        minor.parse().ok()?,
    ))
}

/// Space, tab, newline and backslash are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [byte, behind @ ..] = rest {
        if let [
            b'\\',
            a @ b'0'..=b'3',
            b @ b'0'..=b'7',
            c @ b'0'..=b'7',
            behind @ ..,
        ] = rest
        {
            plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = behind;
        } else {
            plain.push(*byte);
            rest = behind;
        }
    }
    plain
}

/// Where a mount stands in relation to a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Visibility {
    /// A path walk ends in it.
    Top,
    /// Another mount at the same path or above hides it.
    Covered,
    /// It is not there.
    Gone,
}

/// Whether the filesystem with this device number is what lies at `path`.
pub(crate) fn visibility(table: &[MountEntry], path: &Path, device: u64) -> Visibility {
    let Some(at) = table
        .iter()
        .rposition(|entry| entry.path == path && entry.device == device)
    else {
        return Visibility::Gone;
    };
    // The kernel lists mounts in the order of mounting.
    if table[at + 1..]
        .iter()
        .any(|later| path.starts_with(&later.path))
    {
        Visibility::Covered
    } else {
        Visibility::Top
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &[u8] = b"\
22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw,discard
25 22 0:23 / /proc rw,nosuid,nodev,noexec,relatime shared:12 master:3 - proc proc rw
90 22 0:51 / /mnt/with\\040space\\134and\\011tab rw,nosuid - fuse.volfs pgdata@monday rw,user_id=0
91 22 0:52 / /mnt/plain rw,nosuid - fuse.volfs pgdata rw,user_id=0
this line makes no sense
92 22 0:x / /mnt/odd rw - fuse a rw
93 22 0:53 / /mnt/short rw -";

    /// Optional fields are skipped, escapes undone, and senseless lines left out.
    #[test]
    fn mountinfo_is_parsed() {
        let entries = parse_mountinfo(TABLE);
        assert_eq!(entries.len(), 4);
        assert_eq!(entries[0].path, Path::new("/"));
        assert_eq!(
            (entries[0].fs_type.as_str(), entries[0].device),
            ("ext4", 259 << 8 | 1)
        );
        assert_eq!(
            (entries[1].fs_type.as_str(), entries[1].source.as_str()),
            ("proc", "proc")
        );
        let volume = MountEntry {
            path: PathBuf::from("/mnt/with space\\and\ttab"),
            source: "pgdata@monday".into(),
            fs_type: "fuse.volfs".into(),
            device: 51,
        };
        assert_eq!(entries[2], volume);
        assert_eq!(parse_mountinfo(b""), []);
    }

    /// The machine's own table has a root.
    #[test]
    fn the_real_table_is_parsed() {
        let table = mount_table().unwrap();
        assert!(table.iter().any(|entry| entry.path == Path::new("/")));
    }

    /// A mount is covered by what is mounted later at its path or above, not by what is below.
    #[test]
    fn later_mounts_cover_earlier_ones() {
        let entry = |path: &str, device| MountEntry {
            path: path.into(),
            source: String::new(),
            fs_type: "fuse.volfs".into(),
            device,
        };
        let mut table = vec![entry("/", 1), entry("/mnt/a", 7)];
        let path = Path::new("/mnt/a");
        assert_eq!(visibility(&table, path, 7), Visibility::Top);
        assert_eq!(visibility(&table, path, 8), Visibility::Gone);
        assert_eq!(visibility(&table, Path::new("/mnt"), 7), Visibility::Gone);
        table.push(entry("/mnt/a/b", 8));
        table.push(entry("/mnt/ab", 9));
        assert_eq!(visibility(&table, path, 7), Visibility::Top);
        table.push(entry("/mnt", 10));
        assert_eq!(visibility(&table, path, 7), Visibility::Covered);
        table.pop();
        table.push(entry("/mnt/a", 11));
        assert_eq!(visibility(&table, path, 7), Visibility::Covered);
        assert_eq!(visibility(&table, path, 11), Visibility::Top);
    }

    proptest! {
        /// No input makes the parser panic.
        #[test]
        fn any_bytes_are_survived(text: Vec<u8>) {
            parse_mountinfo(&text);
            unescape(&text);
        }
    }
}
