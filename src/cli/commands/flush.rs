//! `volfs flush-open-files`: the helper process of a snapshot, not for people.

use crate::cli::exit::{Failure, Outcome};
use crate::fuse;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self) -> Outcome {
        match fuse::flush_helper_main(&self.words) {
            0 => Ok(()),
            // Anything beyond a byte is a failure without a name.
            code => Err(Failure::Code(u8::try_from(code).unwrap_or(1))),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::cli::Cli;
    use crate::fuse;

    /// The helper is called by the name under which FUSE starts it.
    #[test]
    fn the_helper_has_its_name() {
        assert!(
            Cli::command()
                .find_subcommand(fuse::FLUSH_SUBCOMMAND)
                .is_some()
        );
    }
}
