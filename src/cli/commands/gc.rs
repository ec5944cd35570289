//! `volfs gc`.

use crate::cli::Context;
use crate::cli::args;
use crate::cli::exit::Outcome;
use crate::cli::output::{self, Format, human_bytes};
use crate::cli::progress::Bar;
use crate::daemon::{By, CollectGarbage};
use crate::pool::GcReport;

const AFTER_HELP: &str = "\
Works beside everything that is mounted. Ctrl-C ends it; what was given back by then stays so.

Segments of which less than 5 % is garbage are left alone. A pool that is mounted collects by
itself when garbage passes 30 % of what is in use: gc_percent under [settings] in its pool.toml,
0 for never.

Examples:
  volfs gc --dry-run
  volfs gc --rate 50M";

/// Give back the room of blocks that no volume and no snapshot refers to any more
///
/// What is in use is moved out of segments that hold garbage, and the segments are deleted.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Only say how much there is to give back
    #[arg(long)]
    dry_run: bool,

    /// Bytes that are moved a second at most, as 50M; 0: as fast as it goes
    #[arg(long, value_name = "BYTES", value_parser = args::bytes, default_value = "0")]
    rate: u64,

    /// How to print the result
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    format: Format,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let bar = Bar::new("moving");
        let call = CollectGarbage {
            dry_run: self.dry_run,
            bytes_per_second: self.rate,
        };
        let report = context.access.call_with_progress(By::Anyone, &call, &bar)?;
        drop(bar);
        match self.format {
            Format::Json => output::json(&report)?,
            Format::Table => output::text(&text(&report, self.dry_run))?,
        }
        Ok(())
    }
}

fn text(report: &GcReport, is_dry: bool) -> String {
    let mut text = format!(
        "{} segments: {} in use, {} garbage\n",
        report.segments,
        human_bytes(report.live_bytes),
        human_bytes(report.garbage_bytes)
    );
    if is_dry {
        text.push_str(&format!("{} segments would be cleaned\n", report.chosen));
        return text;
    }
    text.push_str(&format!(
        "{} segments deleted, {} moved, {} given back\n",
        report.removed,
        human_bytes(report.moved_bytes),
        human_bytes(report.freed_bytes)
    ));
    for segment in &report.damaged {
        text.push_str(&format!(
            "segment {segment} stays: something in it is needed and damaged; `volfs scrub` says \
             what\n"
        ));
    }
    text
}
