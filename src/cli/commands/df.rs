//! `volfs df`.

use crate::cli::exit::{Failure, Outcome};
use crate::cli::output::{self, Format, human_bytes};
use crate::cli::progress::Bar;
use crate::cli::{Context, exit};
use crate::daemon::{By, MeasureSpace, SpaceOf, SpaceReport};

const AFTER_HELP: &str = "\
LOGICAL is what the data takes before compression and sharing, REFERENCED what a volume or snapshot
would take alone and without finding equal blocks, UNIQUE what no other one refers to, and FREED
what removing it gives back (of a volume with its snapshots). Reads metadata only.

Exit code 8 while the disk under the pool has little room left: less than 2 GiB and less than a
tenth.

Examples:
  volfs df
  volfs df --snapshots
  volfs df --format json";

/// Show what the pool takes of its disk, and what each volume takes of the pool
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Snapshots too; JSON always has them
    #[arg(long)]
    snapshots: bool,

    /// How to print it
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    format: Format,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let bar = Bar::new("looking");
        let call = MeasureSpace {};
        let report = context.access.call_with_progress(By::Anyone, &call, &bar)?;
        drop(bar);
        match self.format {
            Format::Json => output::json(&report)?,
            Format::Table => output::text(&text(&report, self.snapshots))?,
        }
        match report.low || report.full {
            true => Err(low(&report)),
            false => Ok(()),
        }
    }
}

fn low(report: &SpaceReport) -> Failure {
    let state = match report.full {
        true => "full: writes are refused".to_owned(),
        false => format!("nearly full: {} left", human_bytes(report.free)),
    };
    exit::warn(&[format!("the disk under the pool is {state}")]);
    exit::hint("`volfs gc` gives back the garbage; snapshots, volumes and the trash can go");
    Failure::Code(exit::LOW)
}

fn text(report: &SpaceReport, with_snapshots: bool) -> String {
    let mut text = String::new();
    for (what, bytes) in [
        ("disk", report.disk),
        ("free", report.free),
        ("pool", report.used),
        ("  live", report.live),
        ("  garbage", report.garbage),
        ("  journal", report.journal),
        ("  index", report.index),
        ("  reserve", report.reserve),
    ] {
        text.push_str(&format!("{:<12}{:>10}\n", what, human_bytes(bytes)));
    }
    let listed = report.volumes.iter();
    let listed = listed.filter(|one| with_snapshots || one.snapshot.is_none());
    let rows: Vec<Vec<String>> = listed.map(row).collect();
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&output::table(
            &[
                "NAME",
                "LOGICAL",
                "LIMIT",
                "REFERENCED",
                "UNIQUE",
                "FREED",
                "COMPRESSION",
            ],
            &rows,
        ));
    }
    text
}

fn row(one: &SpaceOf) -> Vec<String> {
    let snapshot = one.snapshot.as_ref();
    let name = snapshot.map_or(one.volume.clone(), |name| format!("{}@{name}", one.volume));
    let limit = one.limit.filter(|_| one.snapshot.is_none());
    vec![
        if one.removed {
            format!("{name} (trash)")
        } else {
            name
        },
        human_bytes(one.space.logical),
        limit.map_or("-".to_owned(), human_bytes),
        human_bytes(one.space.referenced),
        human_bytes(one.space.unique),
        human_bytes(one.space.freed),
        format!("{:.2}x", one.space.compression),
    ]
}
