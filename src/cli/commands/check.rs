//! `volfs check`.

use crate::base::progress::Progress;
use crate::cli::Context;
use crate::cli::commands::findings;
use crate::cli::exit::Outcome;
use crate::cli::output::Format;
use crate::cli::progress::Bar;
use crate::daemon::{By, CheckPool, Kind, ServiceResult};
use crate::pool::{CheckOptions, CheckReport, RepairOptions};

const AFTER_HELP: &str = "\
Without --repair nothing is changed. Where a daemon serves the pool it checks what it has
published; otherwise this command looks at the pool itself.

--repair needs a pool that no daemon serves. It writes anew what derives from something else
(tables of contents, the index, a superblock slot) and heals blocks and tree nodes of which there
is a healthy copy. What is lost stays an I/O error for who reads it, and is listed.

A damaged journal is only listed, and the pool not opened by any command: what it recorded in and
behind the damage cannot be brought back. With --cut-journal the log is cut off there. Every
volume is then as it was at some moment before, changes that were fsynced later are gone, and so
are snapshots and volumes made later; what is lost is told by volume. Copy the folder first.

Exits with 3 when something is wrong, and after --repair when something still is.

Examples:
  volfs check --read-data
  volfs check --repair --format json
  volfs check --repair --cut-journal";

/// Verify the pool, and repair what can be
///
/// Verifies superblock, journal, every segment, every tree node, where every block lies, links,
/// parents, sizes and orphans of all files, and the index.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Repair what can be repaired; includes --read-data
    #[arg(long)]
    repair: bool,

    /// Cut a damaged journal off at the damage: gives up fsynced changes
    #[arg(long, requires = "repair")]
    cut_journal: bool,

    /// Read the content of every block, too, and verify it
    #[arg(long)]
    read_data: bool,

    /// How to print the result
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    format: Format,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let bar = Bar::new("checking");
        let report = self.report(context, &bar)?;
        drop(bar);
        findings::print(&report, self.format)
    }

    fn report(&self, context: &mut Context, bar: &dyn Progress) -> ServiceResult<CheckReport> {
        if self.repair {
            let options = RepairOptions {
                cut_journal: self.cut_journal,
            };
            return context.access.repair(options, bar);
        }
        let read_data = self.read_data;
        let options = CheckOptions {
            read_data,
            ..CheckOptions::default()
        };
        if let Some(report) = context.access.inspect(&options, bar)? {
            return Ok(report);
        }
        let call = CheckPool { read_data };
        let access = &mut context.access;
        match access.call_with_progress(By::RunningDaemon, &call, bar) {
            // The daemon has ended before it began.
            Err(error) if error.kind == Kind::Unreachable => {
                access.inspect(&options, bar)?.ok_or(error)
            }
            told => told,
        }
    }
}
