//! `volfs snapshot ls`.

use crate::base::VolumeName;
use crate::cli::Context;
use crate::cli::exit::Outcome;
use crate::cli::output::{self, ListArgs};
use crate::daemon::{By, Filter, ListSnapshots, SnapshotDetails};

const AFTER_HELP: &str = "\
Examples:
  volfs snapshot ls
  volfs snapshot ls pgdata --space --format json
  volfs snapshot ls --filter label=release";

/// List snapshots, of one volume or of all
///
/// Sorted by volume and time. With -q each is printed as VOLUME@SNAPSHOT.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Only the snapshots of this volume
    volume: Option<VolumeName>,

    /// Find out as well what each takes in the pool: reads the metadata of the whole pool
    #[arg(long)]
    space: bool,

    /// Only those that fit: label=KEY, label=KEY=VALUE, label!=..., name=TEXT; all that are given
    #[arg(long = "filter", value_name = "FILTER")]
    filters: Vec<Filter>,

    #[command(flatten)]
    list: ListArgs,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let nothing_yet = self.volume.is_none() && context.location.is_missing_default();
        let mut snapshots: Vec<SnapshotDetails> = match nothing_yet {
            true => Vec::new(),
            false => {
                let call = ListSnapshots {
                    volume: self.volume,
                    space: self.space,
                };
                context.access.call(By::Anyone, &call)?
            }
        };
        let fits = |one: &SnapshotDetails, filter: &Filter| filter.fits(&one.name, &one.labels);
        snapshots.retain(|one| self.filters.iter().all(|filter| fits(one, filter)));
        Ok(output::list(&snapshots, &self.list)?)
    }
}
