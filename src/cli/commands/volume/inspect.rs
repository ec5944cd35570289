//! `volfs volume inspect`.

use crate::base::VolumeName;
use crate::cli::exit::{Outcome, for_each};
use crate::cli::{Context, output};
use crate::daemon::{By, InspectVolume};

const AFTER_HELP: &str = "\
Mountpoint is where the volume is mounted or, while it is not (Mounted is false), where `volfs
mount NAME` would mount it. space tells what it takes in the pool, in bytes; that reads the metadata
of the whole pool.

Example:
  volfs volume inspect pgdata";

/// Show all about volumes, as a JSON array
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Names of volumes
    #[arg(required = true, value_name = "NAME")]
    names: Vec<VolumeName>,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let mut found = Vec::new();
        let outcome = for_each(self.names, |volume| {
            let call = InspectVolume {
                volume,
                space: true,
            };
            found.push(context.access.call(By::Anyone, &call)?);
            Ok(())
        });
        output::json(&found)?;
        outcome
    }
}
