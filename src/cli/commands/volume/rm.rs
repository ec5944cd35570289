//! `volfs volume rm`.

use crate::base::VolumeName;
use crate::cli::exit::{Outcome, for_each};
use crate::cli::output::human_bytes;
use crate::cli::progress::Bar;
use crate::cli::{Context, output};
use crate::daemon::{By, MeasureRemoval, RemoveVolume};

const AFTER_HELP: &str = "\
Refused with exit code 4 while the volume or a snapshot of it is mounted, while it is protected
(volfs volume set) and while a snapshot of it is held.

The trash keeps a volume for a day (trash_hours under [settings] in pool.toml); what it takes is
given back after that, or by --now, also for what is in the trash already.

Examples:
  volfs volume rm pgtest
  volfs volume rm --force pgtest shop
  volfs volume rm --now pgtest
  volfs volume undelete pgtest";

/// Remove volumes and their snapshots, into the trash
///
/// Clones made from them stay. Prints the name of each removed volume.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Names of volumes
    #[arg(required = true, value_name = "NAME")]
    names: Vec<VolumeName>,

    /// Unmount them first; refused all the same while files are open
    #[arg(short, long)]
    force: bool,

    /// For good, past the trash
    #[arg(long)]
    now: bool,

    /// Only say how much removing all of them for good would give back
    #[arg(long, conflicts_with_all = ["force", "now"])]
    dry_run: bool,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        if self.dry_run {
            let call = MeasureRemoval {
                volumes: self.names,
                snapshots: Vec::new(),
            };
            return freed(context, &call);
        }
        for_each(self.names, |volume| {
            let call = RemoveVolume {
                volume,
                force: self.force,
                now: self.now,
            };
            context.access.call(By::Anyone, &call)?;
            Ok(output::line(&call.volume)?)
        })
    }
}

/// Tells what a removal would give back.
pub(crate) fn freed(context: &mut Context, call: &MeasureRemoval) -> Outcome {
    let bar = Bar::new("looking");
    let freed = context.access.call_with_progress(By::Anyone, call, &bar)?;
    drop(bar);
    let bytes = freed.bytes;
    Ok(output::line(format!(
        "would give back {bytes} bytes ({})",
        human_bytes(bytes)
    ))?)
}
