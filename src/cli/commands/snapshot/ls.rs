//! `volfs snapshot ls`.

use crate::base::VolumeName;
use crate::cli::Context;
use crate::cli::exit::Outcome;
use crate::cli::output::{self, ListArgs};
use crate::daemon::{By, ListSnapshots, SnapshotDetails};

const AFTER_HELP: &str = "\
Examples:
  volfs snapshot ls
  volfs snapshot ls pgdata --format json";

/// List snapshots, of one volume or of all
///
/// Sorted by volume and time. With -q each is printed as VOLUME@SNAPSHOT.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Only the snapshots of this volume
    volume: Option<VolumeName>,

    #[command(flatten)]
    list: ListArgs,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let nothing_yet = self.volume.is_none() && context.location.is_missing_default();
        let snapshots: Vec<SnapshotDetails> = if nothing_yet {
            Vec::new()
        } else {
            context.access.call(
                By::Anyone,
                &ListSnapshots {
                    volume: self.volume,
                },
            )?
        };
        Ok(output::list(&snapshots, &self.list)?)
    }
}
