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
    let own = std::process::id();
    let mut found: Vec<Holder> = process_folders()
        .filter(|(pid, _)| *pid != own)
        .filter_map(|(pid, folder)| {
            let what = first_hold(&folder, device)?;
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

/// Device number of what a link leads to, without a request to that filesystem.
pub(crate) fn device_of(link: &Path) -> Option<u64> {
    let stat = statx(CWD, link, AtFlags::STATX_DONT_SYNC, StatxFlags::empty()).ok()?;
    Some(makedev(stat.stx_dev_major, stat.stx_dev_minor))
}

fn command(process: &Path) -> String {
    let name = fs::read(process.join("comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}

fn first_hold(process: &Path, device: u64) -> Option<String> {
    for (link, what) in [
        ("cwd", "working folder"),
        ("root", "root folder"),
        ("exe", "program"),
    ] {
        let link = process.join(link);
        if device_of(&link) == Some(device) {
            return Some(describe(what, &link));
        }
    }
    for link in descriptor_links(process) {
        if device_of(&link) == Some(device) {
            return Some(describe("open file", &link));
        }
    }
    let maps = fs::read(process.join("maps")).ok()?;
    let maps = String::from_utf8_lossy(&maps);
    let (_, path) = maps
        .lines()
        .filter_map(mapping)
        .find(|(mapped, _)| *mapped == device)?;
    Some(format!("mapped file {path}"))
}

fn describe(what: &str, link: &Path) -> String {
    match fs::read_link(link) {
        Ok(path) => format!("{what} {}", path.display()),
        Err(_) => what.to_owned(),
    }
}

/// Device number and path of a line in `/proc/PID/maps`:
/// `7f00-7f01 r-xp 00000000 fd:02 34521 /usr/bin/app`.
fn mapping(line: &str) -> Option<(u64, &str)> {
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
    (inode != "0").then_some((makedev(hex(major)?, hex(minor)?), path.trim_start()))
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
        assert_eq!(mapping(line), Some((makedev(0xfd, 2), "/srv/a file.so")));
        assert_eq!(
            mapping("7f00-7f01 rw-s 00000000 00:33 12"),
            Some((makedev(0, 0x33), ""))
        );
        assert_eq!(
            mapping("7f00-7f01 rw-p 00000000 00:00 0       [heap]"),
            None
        );
        assert_eq!(mapping("7f00-7f01 rw-p 00000000 00:00 0 "), None);
        assert_eq!(mapping(""), None);
    }

    /// The device number found without asking the filesystem is that of stat.
    #[test]
    fn device_numbers_are_those_of_stat() {
        let expected = fs::metadata("/proc/self").unwrap().dev();
        assert_eq!(device_of(Path::new("/proc/self")), Some(expected));
        assert_eq!(device_of(Path::new("/no/such/file")), None);
    }

    /// A process is found by its open file, by its folder, and says which.
    #[test]
    fn a_process_is_found_by_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("held");
        fs::write(&path, "x").unwrap();
        let device = fs::metadata(&path).unwrap().dev();
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
        assert!(holders(elsewhere).is_empty());
        drop(input);
        child.wait().unwrap();
    }
}
