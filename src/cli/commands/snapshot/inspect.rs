//! `volfs snapshot inspect`.

use crate::cli::exit::{Outcome, for_each};
use crate::cli::{Context, names, output};
use crate::daemon::{By, InspectSnapshot, Kind, ServiceError};

const AFTER_HELP: &str = "\
Snapshots of one cut have the same Cut.

Example:
  volfs snapshot inspect pgdata@before-migration";

/// Show all about snapshots, as a JSON array
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Snapshots as VOLUME@SNAPSHOT, or one as two words
    #[arg(required = true, value_name = "VOLUME@SNAPSHOT")]
    snapshots: Vec<String>,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let usage = |message| ServiceError::new(Kind::Usage, message);
        let mut found = Vec::new();
        let outcome = for_each(names::snapshots(&self.snapshots).map_err(usage)?, |call| {
            let call = InspectSnapshot {
                space: true,
                ..call
            };
            found.push(context.access.call(By::Anyone, &call)?);
            Ok(())
        });
        output::json(&found)?;
        outcome
    }
}
