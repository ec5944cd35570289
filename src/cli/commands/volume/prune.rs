//! `volfs volume prune`.

use std::io::{IsTerminal, Write};

use crate::cli::exit::{Outcome, warn};
use crate::cli::output::human_bytes;
use crate::cli::progress::Bar;
use crate::cli::{Context, output};
use crate::daemon::{By, Kind, PruneVolumes, ServiceError, ServiceResult};

const AFTER_HELP: &str = "\
Stay all the same: what is mounted (also one of its snapshots), protected volumes, and those with a
snapshot that is held. The trash keeps what was removed for a day, unless --now is given.

Examples:
  volfs volume prune
  volfs volume prune --force --filter label=test
  volfs volume prune --now --filter label!=keep";

/// Remove all volumes that nobody has mounted
///
/// Asks first. Prints their names, and how much space they alone took.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Do not ask
    #[arg(short, long)]
    force: bool,

    /// For good, past the trash
    #[arg(long)]
    now: bool,

    /// Only those that fit: label=KEY, label=KEY=VALUE, label!=..., name=TEXT; all that are given
    #[arg(long = "filter", value_name = "FILTER")]
    filters: Vec<String>,

    /// Only say which, and how much
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let mut call = PruneVolumes {
            filters: self.filters,
            now: self.now,
            dry_run: true,
        };
        if self.dry_run || !self.force {
            let pruned = context.access.call(By::Anyone, &call)?;
            let names = pruned.volumes.join("\n  ");
            if self.dry_run || pruned.volumes.is_empty() {
                return report(&pruned.volumes, pruned.reclaimed, self.now);
            }
            let how = if self.now {
                "for good"
            } else {
                "into the trash"
            };
            if !confirm(&format!("These volumes go {how}:\n  {names}\nGo on?"))? {
                return Ok(());
            }
        }
        call.dry_run = false;
        let bar = Bar::new("looking");
        let pruned = context.access.call_with_progress(By::Anyone, &call, &bar)?;
        drop(bar);
        warn(&pruned.warnings);
        report(&pruned.volumes, pruned.reclaimed, self.now)
    }
}

fn report(volumes: &[String], reclaimed: u64, is_now: bool) -> Outcome {
    for name in volumes {
        output::line(name)?;
    }
    let when = match is_now || volumes.is_empty() {
        true => "",
        false => " (when they leave the trash)",
    };
    let bytes = human_bytes(reclaimed);
    Ok(output::line(format!(
        "Total reclaimed space: {bytes}{when}"
    ))?)
}

/// Asks on the terminal. Without one there is nobody to answer.
fn confirm(question: &str) -> ServiceResult<bool> {
    if !std::io::stdin().is_terminal() {
        let message = "nobody can be asked: the input is no terminal";
        return Err(ServiceError::new(Kind::Usage, message).hint("--force does not ask"));
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    // Nothing to read is a no.
    let _ = std::io::stderr().flush();
    let _ = std::io::stdin().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
