//! `volfs snapshot hold` and `volfs snapshot release`.

use crate::cli::exit::{Outcome, for_each};
use crate::cli::{Context, names, output};
use crate::daemon::{By, HoldSnapshot, Kind, ServiceError};

/// Snapshots to hold, or to let go.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Snapshots as VOLUME@SNAPSHOT, or one as two words
    #[arg(required = true, value_name = "VOLUME@SNAPSHOT")]
    snapshots: Vec<String>,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context, held: bool) -> Outcome {
        let usage = |message| ServiceError::new(Kind::Usage, message);
        for_each(names::snapshots(&self.snapshots).map_err(usage)?, |one| {
            let name = format!("{}@{}", one.volume, one.snapshot);
            let call = HoldSnapshot {
                volume: one.volume,
                snapshot: one.snapshot,
                held,
            };
            context.access.call(By::Anyone, &call)?;
            Ok(output::line(name)?)
        })
    }
}
