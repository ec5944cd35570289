//! `volfs umount`.

use std::path::Path;

use crate::cli::exit::{Outcome, for_each, tell, warn};
use crate::cli::{Context, names};
use crate::daemon::{By, Kind, ServiceError, ServiceResult, Unmount, UnmountTarget};

const AFTER_HELP: &str = "\
Everything is durable when it returns. The place is then no longer among those that `volfs mount
--all` mounts, and its bare folder no longer immutable; umount(8) leaves both as they are.

Examples:
  volfs umount /mnt/pgdata
  volfs umount pgdata              # wherever it is mounted
  volfs umount ./pgdata            # a path without a slash would be taken for a name";

/// Unmount a place, or every place of a volume or snapshot
///
/// Refused with exit code 4, and a list of who holds files open, while it is in use.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Mount points, or names of what is mounted
    #[arg(value_name = "PATH|VOLUME[@SNAPSHOT]", required = true)]
    targets: Vec<String>,

    /// Flush open files, then detach even though it is in use; whoever holds files keeps them
    /// until the daemon ends
    #[arg(short, long, visible_alias = "force")]
    lazy: bool,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        for_each(&self.targets, |text| {
            let call = Unmount {
                target: target(text)?,
                lazy: self.lazy,
            };
            let done = context.access.call(By::Anyone, &call)?;
            warn(&done.warnings);
            if done.stopping
                && let Err(error) = context.access.wait_for_end()
            {
                // The unmount is done all the same.
                tell(&error);
            }
            Ok(())
        })
    }
}

/// A path has a slash, a name has none.
fn target(text: &str) -> ServiceResult<UnmountTarget> {
    if !text.contains('/') && text != "." && text != ".." {
        return Ok(UnmountTarget::Source(names::source(text)?));
    }
    let path = std::path::absolute(text).map_err(|error| {
        ServiceError::new(
            Kind::Usage,
            format!("'{}': {error}", Path::new(text).display()),
        )
    })?;
    Ok(UnmountTarget::Path(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What has a slash is a path, the rest is a name.
    #[test]
    fn paths_and_names_are_told_apart() {
        assert_eq!(
            target("/mnt/db").unwrap(),
            UnmountTarget::Path("/mnt/db".into())
        );
        assert!(matches!(target("./db").unwrap(), UnmountTarget::Path(path) if path.is_absolute()));
        assert!(matches!(target(".").unwrap(), UnmountTarget::Path(path) if path.is_absolute()));
        let source = names::source("db@v1").unwrap();
        assert_eq!(target("db@v1").unwrap(), UnmountTarget::Source(source));
        assert_eq!(target("-x").unwrap_err().kind, Kind::Usage);
    }
}
