//! `volfs snapshot rm`.

use crate::cli::commands::volume::rm::freed;
use crate::cli::exit::{Outcome, for_each};
use crate::cli::{Context, names, output};
use crate::daemon::{
    By, InspectSnapshot, Kind, MeasureRemoval, RemoveSnapshot, ServiceError, Source,
};

const AFTER_HELP: &str = "\
Examples:
  volfs snapshot rm pgdata@before-migration
  volfs snapshot rm pgdata before-migration    # the same
  volfs snapshot rm --dry-run pgdata@monday pgdata@tuesday";

/// Remove snapshots, in any order
///
/// Clones made from them, and other snapshots, stay. Prints VOLUME@SNAPSHOT of each. Refused with
/// exit code 4 while one is mounted or held (volfs snapshot hold), or somebody looks into it at
/// MOUNTPOINT/.volfs/snapshots.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Snapshots as VOLUME@SNAPSHOT, or one as two words
    #[arg(required = true, value_name = "VOLUME@SNAPSHOT")]
    snapshots: Vec<String>,

    /// Unmount them first, which is refused while files are open; what is open of them at
    /// MOUNTPOINT/.volfs/snapshots then answers ESTALE
    #[arg(short, long)]
    force: bool,

    /// Only say how much removing all of them would give back
    #[arg(long, conflicts_with = "force")]
    dry_run: bool,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let usage = |message| ServiceError::new(Kind::Usage, message);
        let snapshots = names::snapshots(&self.snapshots).map_err(usage)?;
        if self.dry_run {
            let source = |one: InspectSnapshot| Source {
                volume: one.volume,
                snapshot: Some(one.snapshot),
            };
            let call = MeasureRemoval {
                volumes: Vec::new(),
                snapshots: snapshots.into_iter().map(source).collect(),
            };
            return freed(context, &call);
        }
        for_each(snapshots, |one| {
            let name = format!("{}@{}", one.volume, one.snapshot);
            let call = RemoveSnapshot {
                volume: one.volume,
                snapshot: one.snapshot,
                force: self.force,
            };
            context.access.call(By::Anyone, &call)?;
            Ok(output::line(name)?)
        })
    }
}
