//! `volfs volume rm`.

use crate::base::VolumeName;
use crate::cli::exit::{Outcome, for_each};
use crate::cli::{Context, output};
use crate::daemon::{By, RemoveVolume};

const AFTER_HELP: &str = "\
Refused with exit code 4 while the volume or a snapshot of it is mounted.

Examples:
  volfs volume rm pgtest
  volfs volume rm --force pgtest shop";

/// Remove volumes and their snapshots
///
/// Clones made from them stay. Prints the name of each removed volume.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Names of volumes
    #[arg(required = true, value_name = "NAME")]
    names: Vec<VolumeName>,

    /// Unmount them first; refused all the same while files are open
    #[arg(short, long)]
    force: bool,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        for_each(self.names, |volume| {
            let call = RemoveVolume {
                volume,
                force: self.force,
            };
            context.access.call(By::Anyone, &call)?;
            Ok(output::line(&call.volume)?)
        })
    }
}
