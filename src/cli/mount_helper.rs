//! What mount(8) asks of the program of a FUSE filesystem: `volfs SOURCE FOLDER -o OPTIONS`.
//!
//! mount(8) passes everything about the type `fuse.volfs` on to mount.fuse (package fuse3), which
//! runs the program that the subtype names in that form. So volumes may stand in /etc/fstab, and
//! `mount -o remount,ro` works as on other filesystems. No command of volfs has this form: names of
//! sources have no slash, and no other command takes a folder and options behind it.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::Parser;
use rustix::mount::{MountFlags, mount_remount};

use super::exit::Outcome;
use super::{Cli, run};
use crate::daemon::{Kind, ServiceError, ServiceResult};
use crate::fuse::{FS_TYPE, mount_table};

/// Options that are mount(8)'s or systemd's own, and those that the kernel shows of every FUSE
/// mount and that are volfs's own affair.
const OTHERS: [&str; 17] = [
    "defaults",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "owner",
    "group",
    "nofail",
    "_netdev",
    "exec",
    "async",
    "atime",
    "diratime",
    "default_permissions",
    "loud",
    "silent",
];
/// Flags that are the kernel's alone, set when the mount is there. Not `noatime`: FUSE leaves
/// access times to the daemon, which must know.
const KERNELS: [&str; 3] = ["noexec", "nodiratime", "strictatime"];
/// Options of others with a value.
const OTHERS_WITH_VALUE: [&str; 7] = [
    "x-",
    "X-",
    "comment=",
    "user_id=",
    "group_id=",
    "max_read=",
    "rootmode=",
];

/// One call by mount(8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    source: OsString,
    folder: OsString,
    options: Vec<String>,
}

impl Call {
    /// The call that these arguments are, the program's name first.
    pub(crate) fn from_arguments(arguments: &[OsString]) -> Option<Call> {
        let [_, source, folder, dash_o, options] = arguments else {
            return None;
        };
        let is_name = |source: &OsStr| !source.as_encoded_bytes().starts_with(b"-");
        if dash_o != "-o" || !is_name(source) || !Path::new(folder).is_absolute() {
            return None;
        }
        let options = options.to_string_lossy();
        Some(Call {
            source: source.clone(),
            folder: folder.clone(),
            options: options.split(',').map(str::to_owned).collect(),
        })
    }

    /// Mounts, or changes the flags of what is mounted.
    pub(crate) fn run(self) -> Outcome {
        if self.options.iter().any(|option| option == "remount") {
            return Ok(self.remount()?);
        }
        let cli = Cli::try_parse_from(self.command_line()).map_err(|error| {
            ServiceError::new(Kind::Usage, error.to_string().trim_end().to_owned())
        })?;
        run(cli)?;
        if self.options.iter().any(|option| is_kernels(option)) {
            self.remount()?;
        }
        Ok(())
    }

    /// As `volfs mount`, which refuses options that it does not know.
    fn command_line(&self) -> Vec<OsString> {
        let mut line: Vec<OsString> = vec!["volfs".into(), "mount".into()];
        for option in &self.options {
            if let Some(pool) = option.strip_prefix("pool=") {
                line.extend(["--pool".into(), pool.into()]);
            } else if !is_others(option) && !is_kernels(option) {
                line.extend(["-o".into(), option.into()]);
            }
        }
        line.extend(["--".into(), self.source.clone(), self.folder.clone()]);
        line
    }

    /// Sets the kernel's flags. mount(8) has named all: those that the mount has, and the changes.
    fn remount(&self) -> ServiceResult<()> {
        let folder = Path::new(&self.folder);
        let failed = |error| ServiceError::environment("remount", folder, &error);
        let table = mount_table().map_err(failed)?;
        let top = table.iter().rev().find(|entry| entry.path == folder);
        if top.is_none_or(|entry| entry.fs_type != FS_TYPE) {
            let message = format!("'{}' is not a mount of volfs", folder.display());
            return Err(ServiceError::new(Kind::NotFound, message));
        }
        mount_remount(folder, flags(&self.options), c"").map_err(|errno| failed(errno.into()))
    }
}

fn is_kernels(option: &str) -> bool {
    KERNELS.contains(&option)
}

fn is_others(option: &str) -> bool {
    OTHERS.contains(&option)
        || OTHERS_WITH_VALUE
            .iter()
            .any(|start| option.starts_with(start))
}

/// Flags that the kernel keeps itself; later options win.
fn flags(options: &[String]) -> MountFlags {
    let mut flags = MountFlags::empty();
    for option in options {
        let (flag, set) = match option.as_str() {
            "ro" => (MountFlags::RDONLY, true),
            "rw" => (MountFlags::RDONLY, false),
            "nosuid" => (MountFlags::NOSUID, true),
            "suid" => (MountFlags::NOSUID, false),
            "nodev" => (MountFlags::NODEV, true),
            "dev" => (MountFlags::NODEV, false),
            "noexec" => (MountFlags::NOEXEC, true),
            "exec" => (MountFlags::NOEXEC, false),
            "noatime" => (MountFlags::NOATIME, true),
            "atime" | "relatime" => (MountFlags::NOATIME, false),
            "strictatime" => (MountFlags::STRICTATIME, true),
            "nodiratime" => (MountFlags::NODIRATIME, true),
            "diratime" => (MountFlags::NODIRATIME, false),
            _ => continue,
        };
        flags.set(flag, set);
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str) -> Option<Call> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Call::from_arguments(&arguments)
    }

    /// Only what mount.fuse sends is such a call; no command of volfs is.
    #[test]
    fn calls_of_mount_are_told_from_commands() {
        assert!(call("volfs pgdata /mnt/pg -o rw,dev,suid").is_some());
        for line in [
            "volfs mount pgdata /mnt/pg -o ro",
            "volfs pgdata mnt -o ro",
            "volfs --pool /pool volume ls",
            "volfs umount /mnt/pg",
            "volfs volume create -o x",
        ] {
            assert_eq!(call(line), None, "{line}");
        }
    }

    /// Options of mount(8) are left out, the pool is named, the rest is volfs's to judge.
    #[test]
    fn a_mount_becomes_a_command() {
        let line =
            "volfs pg@v1 /mnt/pg -o rw,noexec,_netdev,x-systemd.automount,pool=/p,dev,max_read=9";
        let line = call(line).unwrap().command_line();
        let expected = "volfs mount -o rw --pool /p -o dev -- pg@v1 /mnt/pg";
        assert_eq!(line.join(OsStr::new(" ")), expected);
        assert!(Cli::try_parse_from(line).is_ok());
    }

    /// What the daemon must know it is told, in the order in which it was said.
    #[test]
    fn access_times_are_the_daemons() {
        let line = call("volfs pg /mnt/pg -o rw,relatime,nodiratime,noatime");
        let line = line.unwrap().command_line();
        let expected = "volfs mount -o rw -o relatime -o noatime -- pg /mnt/pg";
        assert_eq!(line.join(OsStr::new(" ")), expected);
    }

    /// A remount sets the kernel's flags, and the last word on one counts.
    #[test]
    fn a_remount_becomes_flags() {
        let flags_of =
            |options: &str| flags(&options.split(',').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(flags_of("rw,relatime,remount"), MountFlags::empty());
        assert_eq!(
            flags_of("rw,nosuid,nodev,noatime,max_read=1048576,remount,ro"),
            MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME
        );
        assert_eq!(flags_of("nosuid,suid,ro,rw"), MountFlags::empty());
    }

    /// What is no mount of volfs is not touched.
    #[test]
    fn only_our_mounts_are_remounted() {
        let refused = call("volfs proc /proc -o remount,ro").unwrap().remount();
        assert_eq!(refused.unwrap_err().kind, Kind::NotFound);
    }
}
