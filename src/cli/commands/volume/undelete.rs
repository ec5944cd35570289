//! `volfs volume undelete`.

use crate::base::VolumeName;
use crate::cli::exit::{Outcome, for_each};
use crate::cli::{Context, output};
use crate::daemon::{By, Kind, ServiceError, UndeleteVolume};

const AFTER_HELP: &str = "\
Of several volumes of that name the one that was removed last comes back. Refused with exit code 6
while another volume has the name: --as gives it another one. Prints the name that each has.

Examples:
  volfs volume ls --trash
  volfs volume undelete pgdata
  volfs volume undelete pgdata --as pgdata-old";

/// Take volumes out of the trash, as they were, with their snapshots
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Names of volumes
    #[arg(required = true, value_name = "NAME")]
    names: Vec<VolumeName>,

    /// Bring one volume back under another name
    #[arg(long = "as", value_name = "OTHER")]
    new_name: Option<VolumeName>,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let new_name = self.new_name;
        if new_name.is_some() && self.names.len() > 1 {
            let message = "--as names one volume, and several are to come back";
            return Err(ServiceError::new(Kind::Usage, message)
                .hint("give each a command of its own")
                .into());
        }
        for_each(self.names, |volume| {
            let call = UndeleteVolume {
                volume,
                new_name: new_name.clone(),
            };
            let back = context.access.call(By::Anyone, &call)?;
            Ok(output::line(back.name)?)
        })
    }
}
