//! `volfs scrub`.

use crate::base::VolumeName;
use crate::cli::Context;
use crate::cli::args;
use crate::cli::commands::findings;
use crate::cli::exit::Outcome;
use crate::cli::output::Format;
use crate::cli::progress::Bar;
use crate::daemon::{By, ScrubPool};

const AFTER_HELP: &str = "\
Works at low priority beside everything that is mounted. Ctrl-C ends it; nothing is half done.

Exits with 3 when something is damaged that could not be healed.

Examples:
  volfs scrub
  volfs scrub pgdata --rate 20M";

/// Read and verify everything while the pool is in use, and heal what has a healthy copy
///
/// Reads every frame of every segment, whether or not anybody refers to it, and all that `volfs
/// check --read-data` verifies; of named volumes only what they and their snapshots refer to.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Volumes; all and everything beside, if none is named
    #[arg(value_name = "VOLUME")]
    volumes: Vec<VolumeName>,

    /// Bytes that are read a second at most, as 20M; 0: as fast as it goes
    #[arg(long, value_name = "BYTES", value_parser = args::bytes, default_value = "100M")]
    rate: u64,

    /// How to print the result
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    format: Format,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let bar = Bar::new("scrubbing");
        let call = ScrubPool {
            volumes: self.volumes,
            bytes_per_second: self.rate,
        };
        let report = context.access.call_with_progress(By::Anyone, &call, &bar)?;
        drop(bar);
        findings::print(&report, self.format)
    }
}
