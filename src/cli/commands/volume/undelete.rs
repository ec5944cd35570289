//! `volfs volume undelete`.

use crate::base::VolumeName;
use crate::cli::exit::{Outcome, for_each};
use crate::cli::{Context, output};
use crate::daemon::{By, UndeleteVolume};

const AFTER_HELP: &str = "\
Of several volumes of that name the one that was removed last comes back. Refused with exit code 6
while another volume has the name.

Examples:
  volfs volume ls --trash
  volfs volume undelete pgdata";

/// Take volumes out of the trash, as they were, with their snapshots
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
        for_each(self.names, |volume| {
            let back = context
                .access
                .call(By::Anyone, &UndeleteVolume { volume })?;
            Ok(output::line(back.name)?)
        })
    }
}
