//! Who uses a mount: open files, working and root folders, programs, memory maps.
//!
//! Nothing here asks the filesystem in question, so that it works for a mount that hangs: device
//! numbers come from statx(2) without a mask, which the kernel answers by itself.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};

/// A process that holds something on a mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its name, as `ps` shows it.
    pub command: String,
    /// "open file /mnt/x", "working folder /mnt", "mapped file /mnt/x".
    pub what: String,
}

/// Who holds something on the filesystem with this device number (`st_dev`), other than this
/// process; one entry per process, in order of process id. Processes that this one may not look
/// into are left out.
pub fn holders(device: u64) -> Vec<Holder> {
    holders_where(device, &|_| true)
}

/// The same for those inodes (`st_ino`) of the filesystem that are asked for.
pub(crate) fn holders_where(device: u64, is_meant: &dyn Fn(u64) -> bool) -> Vec<Holder> {
    let is_meant = |(found, inode): (u64, u64)| found == device && is_meant(inode);
    let own = std::process::id();
    let mut found: Vec<Holder> = process_folders()
        .filter(|(pid, _)| *pid != own)
        .filter_map(|(pid, folder)| {
            let what = first_hold(&folder, &is_meant)?;
            Some(Holder {
                pid,
                command: command(&folder),
                what,
            })
        })
        .collect();
    found.sort_by_key(|holder| holder.pid);
    found
}

/// All processes: pid and folder in `/proc`.
pub(crate) fn process_folders() -> impl Iterator<Item = (u32, PathBuf)> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, entry.path()))
        })
}

/// Links to the open files of a process.
pub(crate) fn descriptor_links(process: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(process.join("fd"));
    entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

/// Device and inode number of what a link leads to, without a request to that filesystem.
fn file_of(link: &Path) -> Option<(u64, u64)> {
    let stat = statx(CWD, link, AtFlags::STATX_DONT_SYNC, StatxFlags::INO).ok()?;
    let device = makedev(stat.stx_dev_major, stat.stx_dev_minor);
    Some((device, stat.stx_ino))
}

fn command(process: &Path) -> String {
    let name = fs::read(process.join("comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}

fn first_hold(process: &Path, is_meant: &dyn Fn((u64, u64)) -> bool) -> Option<String> {
    for (link, what) in [
        ("cwd", "working folder"),
        ("root", "root folder"),
        ("exe", "program"),
    ] {
        let link = process.join(link);
        if file_of(&link).is_some_and(is_meant) {
            return Some(describe(what, &link));
        }
    }
    for link in descriptor_links(process) {
        if file_of(&link).is_some_and(is_meant) {
            return Some(describe("open file", &link));
        }
    }
    let maps = fs::read(process.join("maps")).ok()?;
    let maps = String::from_utf8_lossy(&maps);
    let (_, path) = maps
        .lines()
        .filter_map(mapping)
        .find(|(mapped, _)| is_meant(*mapped))?;
    Some(format!("mapped file {path}"))
}

fn describe(what: &str, link: &Path) -> String {
    match fs::read_link(link) {
        Ok(path) => format!("{what} {}", path.display()),
        Err(_) => what.to_owned(),
    }
}

/// Device number, inode number and path of a line in `/proc/PID/maps`:
/// `7f00-7f01 r-xp 00000000 fd:02 34521 /usr/bin/app`.
fn mapping(line: &str) -> Option<((u64, u64), &str)> {
    let mut rest = line;
    let mut field = || {
        let (field, behind) = rest.split_once(' ')?;
        rest = behind.trim_start();
        Some(field)
    };
    let device = field()
        .and_then(|_| field())
        .and_then(|_| field())
        .and_then(|_| field())?;
    let (major, minor) = device.split_once(':')?;
    let hex = |text| u32::from_str_radix(text, 16).ok();
    // Memory without a file has device 0:0 and no path.
    let (inode, path) = rest.split_once(' ').unwrap_or((rest, ""));
    let (device, inode) = (makedev(hex(major)?, hex(minor)?), inode.parse().ok()?);
    (inode != 0).then_some(((device, inode), path.trim_start()))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::fs::MetadataExt;
    use std::process::{Command, Stdio};

    use super::*;

    /// A line of maps gives device and path; memory without a file gives nothing.
    #[test]
    fn lines_of_maps_are_parsed() {
        let line = "7f00-7f01 r-xp 00000000 fd:02 34521                      /srv/a file.so";
        let file = (makedev(0xfd, 2), 34521);
        assert_eq!(mapping(line), Some((file, "/srv/a file.so")));
        assert_eq!(
            mapping("7f00-7f01 rw-s 00000000 00:33 12"),
            Some(((makedev(0, 0x33), 12), ""))
        );
        assert_eq!(
            mapping("7f00-7f01 rw-p 00000000 00:00 0       [heap]"),
            None
        );
        assert_eq!(mapping("7f00-7f01 rw-p 00000000 00:00 0 "), None);
        assert_eq!(mapping(""), None);
    }

    /// The numbers found without asking the filesystem are those of stat.
    #[test]
    fn numbers_of_files_are_those_of_stat() {
        let folder = tempfile::tempdir().unwrap();
        let stat = fs::metadata(folder.path()).unwrap();
        assert_eq!(file_of(folder.path()), Some((stat.dev(), stat.ino())));
        assert_eq!(file_of(Path::new("/no/such/file")), None);
    }

    /// A process is found by its open file, by its folder, and says which.
    #[test]
    fn a_process_is_found_by_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("held");
        fs::write(&path, "x").unwrap();
        let stat = fs::metadata(&path).unwrap();
        let device = stat.dev();
        let elsewhere = makedev(0xfff, 0xfff);

        let mut child = Command::new("cat")
            .current_dir("/proc")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::open(&path).unwrap())
            .spawn()
            .unwrap();
        // It has started when it echoes.
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        input.write_all(b"!").unwrap();
        output.read_exact(&mut [0]).unwrap();
        let found = holders(device);
        let of_file = holders_where(device, &|inode| inode == stat.ino());
        let of_no_file = holders_where(device, &|_| false);
        let links: Vec<PathBuf> = descriptor_links(Path::new("/proc/self")).collect();

        let holder = found
            .iter()
            .find(|holder| holder.pid == child.id())
            .unwrap();
        assert_eq!(holder.command, "cat");
        assert!(
            ["open file ", "program ", "root folder "]
                .iter()
                .any(|what| holder.what.starts_with(what)),
            "{holder:?}"
        );
        assert!(found.iter().all(|holder| holder.pid != std::process::id()));
        assert!(links.len() > 2);
        assert!(holders(elsewhere).is_empty() && of_no_file.is_empty());
        let held: Vec<(u32, &str)> = of_file
            .iter()
            .map(|holder| (holder.pid, holder.what.as_str()))
            .collect();
        let expected = format!("open file {}", path.display());
        assert_eq!(held, [(child.id(), expected.as_str())]);
        drop(input);
        child.wait().unwrap();
    }
}
