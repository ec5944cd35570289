//! `volfs volume ls`.

use crate::cli::Context;
use crate::cli::exit::Outcome;
use crate::cli::output::{self, ListArgs};
use crate::daemon::{By, Filter, ListTrash, ListVolumes, TrashDetails, VolumeDetails};

const AFTER_HELP: &str = "\
SIZE is what the data takes before compression and sharing; MOUNTPOINT is empty while a volume is
not mounted.

Examples:
  volfs volume ls
  volfs volume ls --filter label=app=shop
  volfs volume ls --trash
  volfs volume ls -q | xargs volfs volume inspect";

/// List the volumes of the pool
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// What is in the trash instead
    #[arg(long)]
    trash: bool,

    /// Only those that fit: label=KEY, label=KEY=VALUE, label!=..., name=TEXT; all that are given
    #[arg(long = "filter", value_name = "FILTER", conflicts_with = "trash")]
    filters: Vec<Filter>,

    #[command(flatten)]
    list: ListArgs,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let is_missing = context.location.is_missing_default();
        if self.trash {
            let trash: Vec<TrashDetails> = match is_missing {
                true => Vec::new(),
                false => context.access.call(By::Anyone, &ListTrash {})?,
            };
            return Ok(output::list(&trash, &self.list)?);
        }
        let mut volumes: Vec<VolumeDetails> = match is_missing {
            true => Vec::new(),
            false => context.access.call(By::Anyone, &ListVolumes {})?,
        };
        let fits = |one: &VolumeDetails, filter: &Filter| filter.fits(&one.name, &one.labels);
        volumes.retain(|one| self.filters.iter().all(|filter| fits(one, filter)));
        Ok(output::list(&volumes, &self.list)?)
    }
}
