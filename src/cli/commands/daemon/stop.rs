//! `volfs daemon stop`.

use super::check_pool;
use crate::cli::Context;
use crate::cli::exit::Outcome;
use crate::daemon::{By, StopDaemon};

const AFTER_HELP: &str = "\
Refused with exit code 4, and a list of who holds files open, while a mount is in use. `volfs mount
--all` brings the mounts back. SIGTERM does the same as --force. Exits with 7 when no daemon runs.

Example:
  volfs daemon stop";

/// Flush and unmount everything, and end the pool's daemon
///
/// Returns when it has ended.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Even while files are open: they are flushed and detached, and whoever holds them gets
    /// errors from then on
    #[arg(short, long)]
    force: bool,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        check_pool(context)?;
        context
            .access
            .call(By::RunningDaemon, &StopDaemon { force: self.force })?;
        Ok(context.access.wait_for_end()?)
    }
}
