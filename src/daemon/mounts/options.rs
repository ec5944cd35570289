//! What a mount may allow, by who asks and what /etc/fuse.conf says.

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::thread::available_parallelism;

use crate::daemon::{Kind, MountFlags, ServiceError, ServiceResult, Source};
use crate::fuse::MountOptions;
use crate::volume::core::ACCEPTED_BYTES;

/// Most threads that read requests of one mount.
const READERS_MAX: usize = 8;

const FUSE_CONF: &str = "/etc/fuse.conf";
const FUSE_CONF_LINE: &str = "user_allow_other";

/// The options of a first mount, and what the user should know about them.
pub(crate) fn plan(
    source: &Source,
    path: &Path,
    flags: &MountFlags,
) -> ServiceResult<(MountOptions, Vec<String>)> {
    let root = rustix::process::geteuid().is_root();
    let conf = fs::read_to_string(FUSE_CONF).unwrap_or_default();
    check_rights(flags, root)?;
    let (allow_other, warning) = allow_other(flags.allow_other, root, &conf)?;
    let options = MountOptions {
        source: source.to_string(),
        path: path.to_owned(),
        read_only: flags.read_only || source.snapshot.is_some(),
        allow_other,
        suid: flags.suid,
        dev: flags.dev,
        write_through: flags.write_through,
        noatime: flags.noatime,
        nohandles: flags.nohandles,
        readers: available_parallelism()
            .map_or(1, NonZero::get)
            .clamp(MountOptions::READERS_MIN, READERS_MAX),
        dirty_bytes_max: ACCEPTED_BYTES,
        poll_idle_cores: root,
    };
    Ok((options, warning.into_iter().collect()))
}

/// fusermount3 grants neither to a normal user.
fn check_rights(flags: &MountFlags, root: bool) -> ServiceResult<()> {
    if !root && (flags.suid || flags.dev) {
        return Err(ServiceError::new(
            Kind::Usage,
            "only root can mount with suid or dev",
        ));
    }
    Ok(())
}

/// Whether other users may use the mount, and a warning when that was not to be had.
fn allow_other(
    wanted: Option<bool>,
    root: bool,
    conf: &str,
) -> ServiceResult<(bool, Option<String>)> {
    if root || wanted == Some(false) {
        return Ok((wanted.unwrap_or(true), None));
    }
    let permitted = conf.lines().any(|line| line.trim() == FUSE_CONF_LINE);
    match wanted {
        _ if permitted => Ok((true, None)),
        Some(_) => Err(
            ServiceError::new(Kind::Usage, format!("{FUSE_CONF} forbids allow_other"))
                .hint(format!("add the line '{FUSE_CONF_LINE}' to {FUSE_CONF}")),
        ),
        None => Ok((
            false,
            Some(format!(
                "containers and other users will not see the mount: \
                 add the line '{FUSE_CONF_LINE}' to {FUSE_CONF}"
            )),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Root shares by default; a user as far as fuse.conf goes, and is told the missing line.
    #[test]
    fn sharing_follows_fuse_conf() {
        let permitting = "# user_allow_other\n user_allow_other \n";
        assert_eq!(allow_other(None, true, "").unwrap(), (true, None));
        assert_eq!(allow_other(Some(false), true, "").unwrap(), (false, None));
        assert_eq!(allow_other(None, false, permitting).unwrap(), (true, None));
        assert_eq!(
            allow_other(Some(false), false, permitting).unwrap(),
            (false, None)
        );
        let (shared, warning) = allow_other(None, false, "#user_allow_other\n").unwrap();
        assert!(!shared);
        assert!(
            warning
                .unwrap()
                .ends_with("add the line 'user_allow_other' to /etc/fuse.conf")
        );
        assert_eq!(
            allow_other(Some(true), false, "").unwrap_err().kind,
            Kind::Usage
        );
    }

    /// A normal user cannot have suid or dev.
    #[test]
    fn suid_and_dev_are_for_root() {
        let flags = MountFlags {
            suid: true,
            ..MountFlags::default()
        };
        assert_eq!(check_rights(&flags, false).unwrap_err().kind, Kind::Usage);
        check_rights(&flags, true).unwrap();
        check_rights(&MountFlags::default(), false).unwrap();
    }

    /// A snapshot is mounted read-only whatever is asked for.
    #[test]
    fn snapshots_are_read_only() {
        let mut source = Source::live("db".parse().unwrap());
        let flags = MountFlags {
            allow_other: Some(false),
            ..MountFlags::default()
        };
        let plan_of = |source: &Source| plan(source, Path::new("/mnt"), &flags).unwrap().0;
        assert!(!plan_of(&source).read_only);
        source.snapshot = Some("before".parse().unwrap());
        assert!(plan_of(&source).read_only);
        assert_eq!(plan_of(&source).source, "db@before");
    }
}
