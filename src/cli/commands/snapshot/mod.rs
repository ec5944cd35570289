//! `volfs snapshot`.

mod create;
mod diff;
mod inspect;
mod ls;
mod rm;

use clap::Subcommand;

use crate::cli::Context;
use crate::cli::exit::Outcome;

/// Commands on snapshots.
#[derive(Subcommand)]
pub(crate) enum Command {
    Create(create::Args),
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    Inspect(inspect::Args),
    Diff(diff::Args),
    #[command(visible_alias = "remove")]
    Rm(rm::Args),
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        match self {
            Command::Create(args) => args.run(context),
            Command::Ls(args) => args.run(context),
            Command::Inspect(args) => args.run(context),
            Command::Diff(args) => args.run(context),
            Command::Rm(args) => args.run(context),
        }
    }
}
