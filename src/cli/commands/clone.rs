//! `volfs clone`.

use crate::base::VolumeName;
use crate::cli::Context;
use crate::cli::args::FlushArgs;
use crate::cli::exit::{Outcome, warn};
use crate::cli::{names, output};
use crate::daemon::{By, CloneVolume, Source};

const AFTER_HELP: &str = "\
Examples:
  volfs clone pgdata@before-migration pgtest   # starts as the snapshot is
  volfs clone pgdata pgtest                    # starts as the volume is now, mounted or not";

/// Make a writable volume from a snapshot, or from a live volume
///
/// Takes an instant and no space, whatever the size; source and clone then change independently,
/// and either may be removed. Prints the name of the new volume.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The volume or snapshot to start from
    #[arg(value_name = "VOLUME[@SNAPSHOT]", value_parser = names::source)]
    from: Source,

    /// Name of the new volume
    #[arg(value_name = "NEW")]
    new: VolumeName,

    #[command(flatten)]
    flush: FlushArgs,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let call = CloneVolume {
            volume: self.from.volume,
            snapshot: self.from.snapshot,
            new: self.new,
            flush_ms: self.flush.flush_ms(),
        };
        let cloned = context.access.call(By::Anyone, &call)?;
        warn(&cloned.warnings);
        Ok(output::line(cloned.volume.name)?)
    }
}
