//! `volfs restore`.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cli::Context;
use crate::cli::args::FlushArgs;
use crate::cli::exit::{Failure, Outcome, tell, warn};
use crate::cli::names;
use crate::cli::output::{self, Format, human_bytes};
use crate::cli::progress::Bar;
use crate::daemon::{
    By, Call, ExportFiles, Exported, InspectSnapshot, Kind, RestoreFiles, ServiceError,
    ServiceResult,
};
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

--to-host DIR writes plain files into a folder of this machine, mounted volumes excepted: copies,
which need room there. What is told above comes with them. With --force existing files are replaced,
whole; whoever has one open keeps the old one. What is not whole yet is called .volfs-restore-...
and goes when the command is interrupted; only one that was killed can leave such a file, which may
be removed. It is the daemon that writes, where one runs, with its user's rights: only root's daemon
can give files to other owners.

Examples:
  volfs restore pgdata@monday base/16384/1259
  volfs restore pgdata@monday base global --to /restored      # /restored/base, /restored/global
  volfs restore pgdata@monday --force                         # everything
  volfs restore pgdata@monday base --to-host /srv/old         # /srv/old/base, outside of the volume

Exit code 6: there is something already. To put a whole volume back, `volfs rollback` is faster.";

/// Put single files and folders of a snapshot back into the volume, or into a folder of the host
///
/// They go where they were, with --to below another folder of the volume, or with --to-host into a
/// folder of the host. What exists is not touched without --force.
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

    /// Write them as plain files below this folder of the host, which exists, under their whole
    /// paths; the volume stays as it is
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with_all = ["to", "no_flush", "flush_timeout"]
    )]
    to_host: Option<PathBuf>,

    /// Change files that exist, where they differ; in a folder of the host: replace them
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
        match &self.to_host {
            Some(folder) => self.to_host(context, folder),
            None => self.to_volume(context),
        }
    }

    fn to_volume(&self, context: &mut Context) -> Outcome {
        let mut call = RestoreFiles {
            volume: self.snapshot.volume.clone(),
            snapshot: self.snapshot.snapshot.clone(),
            paths: self.paths.clone(),
            to: self.to.clone(),
            force: self.force,
            flush_ms: self.flush.flush_ms(),
        };
        let question = "change them where they differ?";
        let done = match restore(context, &call) {
            Err(error) if is_yes_to(&error, call.force, question)? => {
                call.force = true;
                restore(context, &call)?
            }
            other => other?,
        };
        warn(&done.warnings);
        self.print(&done.restored, text(&done.restored))
    }

    fn to_host(&self, context: &mut Context, folder: &Path) -> Outcome {
        let (to, identity) = find_folder(folder)?;
        let mut call = ExportFiles {
            volume: self.snapshot.volume.clone(),
            snapshot: self.snapshot.snapshot.clone(),
            paths: self.paths.clone(),
            to,
            identity: Some(identity),
            force: self.force,
        };
        let done = match copy(context, &call) {
            Err(Failure::Untold(error)) if is_yes_to(&error, call.force, "replace them?")? => {
                call.force = true;
                copy(context, &call)?
            }
            other => other?,
        };
        self.print(&done, text_of_copies(&done))
    }

    fn print(&self, json: &impl serde::Serialize, text: String) -> Outcome {
        match self.format {
            Format::Json => output::json(json)?,
            Format::Table => output::text(&text)?,
        }
        Ok(())
    }
}

fn restore<C: Call>(context: &mut Context, call: &C) -> ServiceResult<C::Answer> {
    let bar = Bar::new("restoring");
    context.access.call_with_progress(By::Anyone, call, &bar)
}

/// The daemon notices that its client goes; without one this process must notice by itself.
fn copy(context: &mut Context, call: &ExportFiles) -> Result<Exported, Failure> {
    let mut bar = Bar::new("restoring");
    if context.access.daemon()?.is_none() {
        bar = bar.heed_signals()?;
    }
    Ok(context.access.call_with_progress(By::Anyone, call, &bar)?)
}

/// A folder of the host, without links in its path, and which one it is.
fn find_folder(folder: &Path) -> ServiceResult<(PathBuf, (u64, u64))> {
    let found = fs::canonicalize(folder).and_then(|path| Ok((fs::metadata(&path)?, path)));
    let (metadata, path) = found.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let message = format!("the host has no folder '{}'", folder.display());
            ServiceError::new(Kind::NotFound, message)
                .hint("make it first; a folder of the volume is meant by --to")
        }
        _ => ServiceError::environment("open the folder", folder, &error),
    })?;
    match metadata.is_dir() {
        true => Ok((path, (metadata.dev(), metadata.ino()))),
        false => {
            let message = format!("'{}' on the host is no folder", folder.display());
            Err(ServiceError::new(Kind::Failed, message))
        }
    }
}

/// Whether something exists and its owner, asked at a terminal, wants it overwritten. Without a
/// terminal nobody is asked, and the error is the answer.
fn is_yes_to(error: &ServiceError, is_forced: bool, question: &str) -> Result<bool, Failure> {
    if error.kind != Kind::Exists || is_forced || !can_ask() {
        return Ok(false);
    }
    tell(error);
    match is_yes(question)? {
        true => Ok(true),
        false => Err(Failure::Told(Kind::Exists)),
    }
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

fn text_of_copies(exported: &Exported) -> String {
    format!(
        "{} created, {} replaced ({} written)\n",
        exported.created,
        exported.replaced,
        human_bytes(exported.bytes)
    )
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
