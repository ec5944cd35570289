//! `volfs volume ls`.

use crate::cli::Context;
use crate::cli::exit::Outcome;
use crate::cli::output::{self, ListArgs};
use crate::daemon::{By, ListVolumes, VolumeDetails};

const AFTER_HELP: &str = "\
SIZE is what the data takes before compression and sharing; MOUNTPOINT is empty while a volume is
not mounted.

Examples:
  volfs volume ls
  volfs volume ls -q | xargs volfs volume inspect";

/// List the volumes of the pool
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    list: ListArgs,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let volumes: Vec<VolumeDetails> = if context.location.is_missing_default() {
            Vec::new()
        } else {
            context.access.call(By::Anyone, &ListVolumes {})?
        };
        Ok(output::list(&volumes, &self.list)?)
    }
}
