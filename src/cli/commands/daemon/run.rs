//! `volfs daemon run`.

use crate::cli::Context;
use crate::cli::exit::Outcome;
use crate::daemon::{Daemon, Life};

const AFTER_HELP: &str = "\
Logs to stderr. SIGTERM and SIGINT flush, unmount and end it with exit code 0.

Example, in a systemd unit:
  ExecStart=/usr/local/bin/volfs daemon run
  ExecStartPost=/usr/local/bin/volfs mount --all";

/// Be the pool's daemon, in the foreground
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Started in the background by another command, which waits for a report on stdout
    #[arg(long, hide = true)]
    detached: bool,

    /// End with the last mount
    #[arg(long)]
    until_unmounted: bool,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let life = if self.until_unmounted {
            Life::EndsWithLastMount
        } else {
            Life::Stays
        };
        let daemon = Daemon {
            pool: context.location.path.clone(),
            life,
            detached: self.detached,
            mount: None,
        };
        Ok(daemon.run(|_| {})?)
    }
}
