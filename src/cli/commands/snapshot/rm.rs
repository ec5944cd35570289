//! `volfs snapshot rm`.

use crate::cli::exit::{Outcome, for_each};
use crate::cli::{Context, names, output};
use crate::daemon::{By, Kind, RemoveSnapshot, ServiceError};

const AFTER_HELP: &str = "\
Examples:
  volfs snapshot rm pgdata@before-migration
  volfs snapshot rm pgdata before-migration    # the same";

/// Remove snapshots, in any order
///
/// Clones made from them, and other snapshots, stay. Prints VOLUME@SNAPSHOT of each. Refused with
/// exit code 4 while one is mounted, or somebody looks into it at MOUNTPOINT/.volfs/snapshots.
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
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let usage = |message| ServiceError::new(Kind::Usage, message);
        for_each(names::snapshots(&self.snapshots).map_err(usage)?, |one| {
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
