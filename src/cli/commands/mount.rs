//! `volfs mount`.

use std::path::PathBuf;

use crate::cli::exit::{Outcome, for_each, warn};
use crate::cli::{Context, names};
use crate::daemon::{
    By, Daemon, Kind, Life, MountAll, MountFlags, MountVolume, ServiceError, ServiceResult, Source,
};

const AFTER_HELP: &str = "\
Without a path, NAME is mounted at POOL/mnt/NAME. Mounting it at a second place shows the same
files there (root only). A place where a daemon was killed is cleaned up and mounted again.

As root the bare folder below is made immutable, where its filesystem can: a container that starts
while the volume is not mounted then fails loudly instead of filling the bare folder. `volfs
umount` undoes it.

Examples:
  volfs mount pgdata /mnt/pgdata
  volfs mount pgdata@before-migration /mnt/old   # a snapshot, read-only
  volfs mount --all                              # after a reboot: what was mounted before";

const KNOWN_OPTIONS: &str = "known are ro, rw, suid, nosuid, dev, nodev, noatime, relatime, \
                             nohandles, allow_other";

/// Mount a volume, or a snapshot read-only
///
/// Returns when the mount answers. Starts the pool's daemon in the background if none runs; it
/// ends by itself with its last mount.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// What to mount
    #[arg(
        value_name = "VOLUME[@SNAPSHOT]",
        value_parser = names::source,
        required_unless_present = "all"
    )]
    source: Option<Source>,

    /// Where: an existing, empty folder
    path: Option<PathBuf>,

    /// Mount again what was mounted when the pool was last in use
    #[arg(long, conflicts_with_all = ["source", "path", "foreground", "read_only", "over"])]
    all: bool,

    /// Serve the mount in this process, until it is unmounted or interrupted
    #[arg(short, long)]
    pub(crate) foreground: bool,

    /// No changes through this mount
    #[arg(short, long)]
    read_only: bool,

    /// Let other users and containers use the mount: the default for root, and for others where
    /// /etc/fuse.conf has user_allow_other
    #[arg(long, overrides_with = "no_allow_other")]
    allow_other: bool,

    /// Only for the user who mounts
    #[arg(long)]
    no_allow_other: bool,

    /// Mount options: ro, rw, suid, nosuid, dev, nodev, noatime, relatime, nohandles (for
    /// overlayfs with all its folders on this volume), allow_other; nosuid, nodev and relatime are
    /// the default
    #[arg(short = 'o', value_name = "OPTION", value_delimiter = ',')]
    options: Vec<String>,

    /// Send every write to the daemon at once, instead of letting the kernel collect them: slower,
    /// and a killed daemon then loses only what was written through a shared mapping
    #[arg(long)]
    write_through: bool,

    /// Mount on top of a folder that is not empty; hides what lies there, deletes nothing
    #[arg(long)]
    over: bool,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let flags = self.flags()?;
        let Some(source) = self.source else {
            return mount_all(context);
        };
        let path = self.path.map(|path| {
            std::path::absolute(&path)
                .map_err(|error| ServiceError::environment("resolve", &path, &error))
        });
        let call = MountVolume {
            source,
            path: path.transpose()?,
            flags,
        };
        if self.foreground {
            let daemon = Daemon {
                pool: context.location.path.clone(),
                life: Life::EndsWithLastMount,
                detached: false,
                mount: Some(call),
            };
            return Ok(daemon.run(|mounted| warn(&mounted.warnings))?);
        }
        let mounted = context.access.call(By::Daemon, &call)?;
        warn(&mounted.warnings);
        Ok(())
    }

    fn flags(&self) -> ServiceResult<MountFlags> {
        let mut flags = MountFlags {
            read_only: self.read_only,
            allow_other: match (self.allow_other, self.no_allow_other) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                _ => None,
            },
            suid: false,
            dev: false,
            write_through: self.write_through,
            noatime: false,
            nohandles: false,
            over: self.over,
        };
        for option in &self.options {
            match option.as_str() {
                "ro" => flags.read_only = true,
                "rw" => flags.read_only = false,
                "suid" => flags.suid = true,
                "nosuid" => flags.suid = false,
                "dev" => flags.dev = true,
                "nodev" => flags.dev = false,
                "noatime" => flags.noatime = true,
                "relatime" => flags.noatime = false,
                "nohandles" => flags.nohandles = true,
                "allow_other" => flags.allow_other = Some(true),
                unknown => {
                    let message = format!("mount option '{unknown}' is not known");
                    return Err(ServiceError::new(Kind::Usage, message).hint(KNOWN_OPTIONS));
                }
            }
        }
        Ok(flags)
    }
}

fn mount_all(context: &mut Context) -> Outcome {
    if context.location.is_missing_default() {
        return Ok(());
    }
    let all = context.access.call(By::Daemon, &MountAll {})?;
    warn(&all.warnings);
    for_each(all.failed, |error| Err(error.into()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(words: &[&str]) -> Result<Args, clap::Error> {
        Line::try_parse_from(["mount"].iter().chain(words)).map(|line| line.args)
    }

    /// Something must be mounted, and `--all` stands alone.
    #[test]
    fn a_source_or_all() {
        assert!(parse(&[]).is_err());
        assert!(parse(&["--all", "db"]).is_err());
        assert!(parse(&["--all", "--foreground"]).is_err());
        assert!(parse(&["--all"]).unwrap().all);
        let args = parse(&["db@v1", "/mnt"]).unwrap();
        assert_eq!(args.source.unwrap().to_string(), "db@v1");
        assert_eq!(args.path, Some("/mnt".into()));
        assert!(parse(&["a/b", "/mnt"]).is_err());
    }

    /// Options of mount(8) are understood, unknown ones refused.
    #[test]
    fn options_are_understood() {
        let flags = |words: &[&str]| parse(words).unwrap().flags();
        assert_eq!(flags(&["db"]).unwrap(), MountFlags::default());
        let wanted = MountFlags {
            read_only: true,
            allow_other: Some(true),
            suid: true,
            dev: true,
            noatime: true,
            nohandles: true,
            ..MountFlags::default()
        };
        assert_eq!(
            flags(&[
                "db",
                "-o",
                "ro,suid,noatime,nohandles",
                "-o",
                "dev,allow_other"
            ])
            .unwrap(),
            wanted
        );
        assert!(!flags(&["db", "-o", "suid,nosuid"]).unwrap().suid);
        assert!(!flags(&["db", "-o", "noatime,relatime"]).unwrap().noatime);
        assert_eq!(
            flags(&["db", "-o", "noexec"]).unwrap_err().kind,
            Kind::Usage
        );
        assert_eq!(
            flags(&["db", "--no-allow-other"]).unwrap().allow_other,
            Some(false)
        );
        assert!(flags(&["db", "--over", "--write-through"]).unwrap().over);
    }
}
