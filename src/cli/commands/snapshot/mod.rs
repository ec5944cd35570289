//! `volfs snapshot`.

mod create;
mod diff;
mod hold;
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
    /// Say that snapshots must not be removed, until they are released
    ///
    /// Prints VOLUME@SNAPSHOT of each. A volume with a held snapshot cannot be removed either.
    Hold(hold::Args),
    /// Say that snapshots may be removed again
    Release(hold::Args),
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
            Command::Hold(args) => args.run(context, true),
            Command::Release(args) => args.run(context, false),
        }
    }
}
