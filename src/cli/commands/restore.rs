//! `volfs restore`.

use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Write};

use crate::cli::Context;
use crate::cli::args::FlushArgs;
use crate::cli::exit::{Outcome, tell, warn};
use crate::cli::names;
use crate::cli::output::{self, Format, human_bytes};
use crate::cli::progress::Bar;
use crate::daemon::{By, FilesRestored, InspectSnapshot, Kind, RestoreFiles, ServiceResult};
use crate::volume::ops::Restored;

const AFTER_HELP: &str = "\
Nothing is copied: what is put back shares its blocks with the snapshot, so that it takes an instant
and next to no space, whatever its size. Owners, modes, times, extended attributes, symbolic links,
holes, and hard links among what is put back come with it. Folders on the way are made where they
are missing. Works while the volume is mounted; everybody sees the files at once.

A new file appears whole or not at all. With --force, an existing file is changed in place, and only
where it differs; whoever has it open sees that, and if it is interrupted, part of it is done: the
same command does the rest. A file that is open and would change its size is refused. What exists in
the volume and not in the snapshot stays.

Examples:
  volfs restore pgdata@monday base/16384/1259
  volfs restore pgdata@monday base global --to /restored      # /restored/base, /restored/global
  volfs restore pgdata@monday --force                         # everything

Exit code 6: there is something already. To put a whole volume back, `volfs rollback` is faster.";

/// Put single files and folders of a snapshot back into the volume
///
/// They go where they were, or with --to below another folder of the volume. What exists is not
/// touched without --force.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The snapshot
    #[arg(value_name = "VOLUME@SNAPSHOT", value_parser = names::snapshot)]
    snapshot: InspectSnapshot,

    /// Files and folders, from the volume's root; none: everything
    #[arg(value_name = "PATH")]
    paths: Vec<String>,

    /// Put them below this folder of the volume, which exists, under their whole paths
    #[arg(long, value_name = "DIR")]
    to: Option<String>,

    /// Change files that exist, where they differ
    #[arg(short, long)]
    force: bool,

    #[command(flatten)]
    flush: FlushArgs,

    /// How to print the result
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    format: Format,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let mut call = RestoreFiles {
            volume: self.snapshot.volume,
            snapshot: self.snapshot.snapshot,
            paths: self.paths,
            to: self.to,
            force: self.force,
            flush_ms: self.flush.flush_ms(),
        };
        let done = match restore(context, &call) {
            Err(error) if error.kind == Kind::Exists && !call.force && can_ask() => {
                tell(&error);
                if !is_yes("change them where they differ?")? {
                    return Err(crate::cli::exit::Failure::Told(Kind::Exists));
                }
                call.force = true;
                restore(context, &call)?
            }
            other => other?,
        };
        warn(&done.warnings);
        match self.format {
            Format::Json => output::json(&done.restored)?,
            Format::Table => output::text(&text(&done.restored))?,
        }
        Ok(())
    }
}

fn restore(context: &mut Context, call: &RestoreFiles) -> ServiceResult<FilesRestored> {
    let bar = Bar::new("restoring");
    context.access.call_with_progress(By::Anyone, call, &bar)
}

fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn is_yes(question: &str) -> io::Result<bool> {
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn text(restored: &Restored) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} created ({}), {} changed, {} the same",
        restored.created,
        human_bytes(restored.created_bytes),
        restored.changed,
        restored.same
    );
    if restored.changed + restored.same > 0 {
        let _ = writeln!(
            text,
            "{} bytes changed of {} bytes compared",
            restored.changed_bytes, restored.compared_bytes
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes are told of what existed only.
    #[test]
    fn the_result_is_a_line_or_two() {
        let mut restored = Restored {
            created: 3,
            created_bytes: 4096,
            ..Restored::default()
        };
        assert_eq!(
            text(&restored),
            "3 created (4.0 KiB), 0 changed, 0 the same\n"
        );
        restored.changed = 1;
        (restored.changed_bytes, restored.compared_bytes) = (8192, 70_000);
        assert_eq!(
            text(&restored),
            "3 created (4.0 KiB), 1 changed, 0 the same\n\
             8192 bytes changed of 70000 bytes compared\n"
        );
    }
}
