//! Calls on the kernel's mounts that are not FUSE's: bind mounts, plain unmounting, and mounts in
//! other mount namespaces.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use rustix::mount::{MountFlags as KernelFlags, UnmountFlags, mount_bind, mount_remount, unmount};

use crate::daemon::MountFlags;
use crate::fuse::Holder;

/// Shows what is mounted at `from` also at `to`, with flags of its own.
pub(crate) fn bind(from: &Path, to: &Path, flags: &MountFlags) -> io::Result<()> {
    mount_bind(from, to)?;
    let mut kernel = KernelFlags::BIND;
    kernel.set(KernelFlags::RDONLY, flags.read_only);
    kernel.set(KernelFlags::NOSUID, !flags.suid);
    kernel.set(KernelFlags::NODEV, !flags.dev);
    kernel.set(KernelFlags::NOATIME, flags.noatime);
    mount_remount(to, kernel, c"").map_err(|error| {
        // With the first one's flags it would not be what was asked for.
        if let Err(errno) = unmount(to, UnmountFlags::DETACH) {
            log::warn!(
                "cannot take the bind mount at '{}' away: {errno}",
                to.display()
            );
        }
        error.into()
    })
}

/// umount(2) of one place.
pub(crate) fn take_away(path: &Path, lazy: bool) -> io::Result<()> {
    let mut flags = UnmountFlags::NOFOLLOW;
    flags.set(UnmountFlags::DETACH, lazy);
    Ok(unmount(path, flags)?)
}

/// Processes in whose own mount namespace the device is mounted and stays mounted when it is
/// unmounted here, one per namespace: containers that got it as a bind mount. They do not keep
/// umount(2) from succeeding, but the filesystem lives on for them.
pub(crate) fn elsewhere(device: u64) -> Vec<Holder> {
    let (Ok(own), Ok(mountinfo)) = (
        fs::read_link("/proc/self/ns/mnt"),
        fs::read_to_string("/proc/self/mountinfo"),
    ) else {
        return Vec::new();
    };
    let groups = parent_groups(&mountinfo, device);
    let mut seen = HashSet::from([own]);
    let mut found = Vec::new();
    let Ok(processes) = fs::read_dir("/proc") else {
        return found;
    };
    for process in processes.flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let folder = process.path();
        let Ok(namespace) = fs::read_link(folder.join("ns/mnt")) else {
            continue;
        };
        if !seen.insert(namespace) {
            continue;
        }
        let Ok(mountinfo) = fs::read_to_string(folder.join("mountinfo")) else {
            continue;
        };
        if let Some(path) = stays_at(&mountinfo, device, &groups) {
            let command = fs::read_to_string(folder.join("comm")).unwrap_or_default();
            found.push(Holder {
                pid,
                command: command.trim_end().to_owned(),
                what: format!("mount point {path} in a mount namespace of its own"),
            });
        }
    }
    found
}

/// One line of a mountinfo.
struct Line<'a> {
    id: &'a str,
    parent: &'a str,
    device: u64,
    path: &'a str,
    /// `shared:1`, `master:2`, `propagate_from:3`.
    tags: Vec<&'a str>,
}

fn lines(mountinfo: &str) -> Vec<Line<'_>> {
    let parse = |line| {
        let mut fields = str::split(line, ' ');
        let (id, parent) = (fields.next()?, fields.next()?);
        let (major, minor) = fields.next()?.split_once(':')?;
        let device = rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?);
        let path = fields.nth(1)?;
        let tags = fields.skip(1).take_while(|field| *field != "-").collect();
        Some(Line {
            id,
            parent,
            device,
            path,
            tags,
        })
    };
    mountinfo.lines().filter_map(parse).collect()
}

/// Peer groups that the parents of the device's mounts share: an unmount reaches their members.
fn parent_groups<'a>(mountinfo: &'a str, device: u64) -> Vec<&'a str> {
    let lines = lines(mountinfo);
    let parents: HashSet<&str> = lines
        .iter()
        .filter(|line| line.device == device)
        .map(|line| line.parent)
        .collect();
    let shared = |line: &Line<'a>| line.tags.iter().find_map(|tag| tag.strip_prefix("shared:"));
    lines
        .iter()
        .filter(|line| parents.contains(line.id))
        .filter_map(shared)
        .collect()
}

/// Where the device is mounted on a parent that no unmount in `groups` reaches.
fn stays_at<'a>(mountinfo: &'a str, device: u64, groups: &[&str]) -> Option<&'a str> {
    let lines = lines(mountinfo);
    let reached = |line: &Line<'_>| {
        let of_group = |tag: &&str| {
            tag.split_once(':')
                .is_some_and(|(_, group)| groups.contains(&group))
        };
        let parent = lines.iter().find(|parent| parent.id == line.parent);
        parent.is_some_and(|parent| parent.tags.iter().any(of_group))
    };
    lines
        .iter()
        .find(|line| line.device == device && !reached(line))
        .map(|line| line.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "28 1 253:0 / / rw shared:1 - ext4 /dev/vda rw\n\
                        40 28 0:37 / /data/pg rw,nosuid shared:9 - fuse.volfs pgdata rw\n\
                        nonsense\n";

    /// A container's private bind mount stays when the host unmounts; the copy of a service whose
    /// namespace follows the host's does not, and does not count.
    #[test]
    fn only_mounts_that_stay_count() {
        let device = rustix::fs::makedev(0, 37);
        let groups = parent_groups(HOST, device);
        assert_eq!(groups, ["1"]);

        let container = "90 80 0:50 / / rw - overlay overlay rw\n\
                         91 90 0:37 / /var/lib/postgresql rw - fuse.volfs pgdata rw\n";
        assert_eq!(
            stays_at(container, device, &groups),
            Some("/var/lib/postgresql")
        );
        let service = "60 59 253:0 / / rw master:1 - ext4 /dev/vda rw\n\
                       61 60 0:37 / /data/pg rw master:9 - fuse.volfs pgdata rw\n";
        assert_eq!(stays_at(service, device, &groups), None);
        let other = "60 59 253:0 / / rw shared:7 master:1 - ext4 /dev/vda rw\n";
        assert_eq!(stays_at(other, device, &groups), None);
    }
}
