//! `volfs rollback`.

use crate::cli::Context;
use crate::cli::args::FlushArgs;
use crate::cli::exit::{Outcome, warn};
use crate::cli::names;
use crate::daemon::{By, Kind, RollbackVolume, ServiceError};

const AFTER_HELP: &str = "\
Examples:
  volfs rollback pgdata@before-migration
  volfs rollback pgdata before-migration       # the same

To go forward again, roll back to the snapshot that this command has named.";

/// Put a volume back to a snapshot, mounted or not
///
/// The state that is left is kept as an automatic snapshot, whose name goes to stderr, and newer
/// snapshots stay. Refused while somebody holds files of the volume open: stop the database first.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The snapshot, as VOLUME@SNAPSHOT or as two words
    #[arg(value_name = "VOLUME@SNAPSHOT", required = true, num_args = 1..=2)]
    snapshot: Vec<String>,

    /// Even while files are open; whoever holds them gets ESTALE from then on
    #[arg(short, long)]
    force: bool,

    #[command(flatten)]
    flush: FlushArgs,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let usage = |message| ServiceError::new(Kind::Usage, message);
        let mut snapshots = names::snapshots(&self.snapshot).map_err(usage)?;
        let Some(to) = snapshots.pop().filter(|_| snapshots.is_empty()) else {
            return Err(usage("roll back to one snapshot at a time".to_owned()).into());
        };
        let call = RollbackVolume {
            volume: to.volume,
            snapshot: to.snapshot,
            force: self.force,
            flush_ms: self.flush.flush_ms(),
        };
        let done = context.access.call(By::Anyone, &call)?;
        warn(&done.warnings);
        eprintln!("the state before is kept as {}", done.kept);
        Ok(())
    }
}
