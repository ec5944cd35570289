//! `volfs daemon start`.

use crate::cli::Context;
use crate::cli::exit::Outcome;
use crate::daemon::{By, KeepDaemon};

const AFTER_HELP: &str = "\
Without it, `volfs mount` starts a daemon that ends with its last mount. One that runs already is
told to stay. Its log is POOL/daemon.log.

Example:
  volfs daemon start";

/// Start the pool's daemon in the background; it stays until it is stopped
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        context.access.call(By::StayingDaemon, &KeepDaemon {})?;
        Ok(())
    }
}
