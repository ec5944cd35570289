//! `volfs daemon`.

mod run;
mod start;
mod status;
mod stop;

use clap::Subcommand;

use crate::cli::Context;
use crate::cli::exit::Outcome;
use crate::daemon::{Kind, ServiceError, ServiceResult};

/// Commands on the daemon.
#[derive(Subcommand)]
pub(crate) enum Command {
    Start(start::Args),
    Stop(stop::Args),
    Status(status::Args),
    Run(run::Args),
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        match self {
            Command::Start(args) => args.run(context),
            Command::Stop(args) => args.run(context),
            Command::Status(args) => args.run(context),
            Command::Run(args) => args.run(context),
        }
    }
}

/// Where there is no pool yet, no daemon runs either.
fn check_pool(context: &Context) -> ServiceResult<()> {
    if !context.location.is_missing_default() {
        return Ok(());
    }
    let message = format!(
        "no daemon runs: there is no pool at '{}' yet",
        context.location.path.display()
    );
    Err(ServiceError::new(Kind::Unreachable, message))
}
