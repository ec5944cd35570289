//! `volfs volume`.

mod create;
mod inspect;
mod ls;
mod prune;
pub(crate) mod rm;
mod set;
mod undelete;

use clap::Subcommand;

use crate::cli::Context;
use crate::cli::exit::Outcome;

/// Commands on volumes.
#[derive(Subcommand)]
pub(crate) enum Command {
    Create(create::Args),
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    Inspect(inspect::Args),
    #[command(visible_alias = "remove")]
    Rm(rm::Args),
    Undelete(undelete::Args),
    Prune(prune::Args),
    Set(set::Args),
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        match self {
            Command::Create(args) => args.run(context),
            Command::Ls(args) => args.run(context),
            Command::Inspect(args) => args.run(context),
            Command::Rm(args) => args.run(context),
            Command::Undelete(args) => args.run(context),
            Command::Prune(args) => args.run(context),
            Command::Set(args) => args.run(context),
        }
    }
}
