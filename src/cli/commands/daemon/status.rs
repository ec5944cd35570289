//! `volfs daemon status`.

use super::check_pool;
use crate::cli::Context;
use crate::cli::exit::Outcome;
use crate::cli::output::{self, Format};
use crate::daemon::{By, DaemonStatus};

const AFTER_HELP: &str = "\
Exits with 7 when no daemon runs.

Examples:
  volfs daemon status
  volfs daemon status --format json | jq .pid";

/// Show the pool's daemon: pid, version, mounts, and how full things are
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// How to print the state
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    format: Format,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        check_pool(context)?;
        let status = context.access.call(By::RunningDaemon, &DaemonStatus {})?;
        Ok(output::status(&status, self.format)?)
    }
}
