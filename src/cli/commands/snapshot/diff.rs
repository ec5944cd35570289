//! `volfs snapshot diff`.

use std::fmt::Write as _;

use crate::cli::Context;
use crate::cli::args::FlushArgs;
use crate::cli::exit::{Outcome, warn};
use crate::cli::names;
use crate::cli::output::{self, Format, human_bytes};
use crate::daemon::{By, CompareSnapshot, Compared, Source};
use crate::daemon::{InspectSnapshot, ServiceError};
use crate::volume::ops::{Aspect, Difference, How};

const AFTER_HELP: &str = "\
Paths start at the volume's root. CHANGED is bytes of the blocks that differ; of what is new or
gone, of its blocks. A file that was written anew and renamed over the old one is told as changed.
A folder that was renamed is told once, without what is in it. Access times do not count.

It costs what differs, not the size of the volume: what both states share is not read. Of each
folder in which a file has changed the names are read.

Examples:
  volfs snapshot diff pgdata@monday                   # since monday
  volfs snapshot diff pgdata@monday pgdata@tuesday
  volfs snapshot diff pgdata@monday pgtest            # a clone, as it is now
  volfs snapshot diff pgdata@monday --format json";

/// Show which files differ between a snapshot and another state
///
/// The other state is a snapshot of the same volume or of a clone, or a volume as it is when the
/// command is given: without a second word, the snapshot's own. Files that are open for writing are
/// flushed first, as for a snapshot.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The earlier state
    #[arg(value_name = "VOLUME@SNAPSHOT", value_parser = names::snapshot)]
    before: InspectSnapshot,

    /// The later state; none: the volume as it is
    #[arg(value_name = "VOLUME[@SNAPSHOT]", value_parser = names::source)]
    after: Option<Source>,

    #[command(flatten)]
    flush: FlushArgs,

    /// How to print it
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    format: Format,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let call = CompareSnapshot {
            volume: self.before.volume,
            snapshot: self.before.snapshot,
            with: self.after,
            flush_ms: self.flush.flush_ms(),
        };
        let compared: Result<Compared, ServiceError> = context.access.call(By::Anyone, &call);
        let compared = compared?;
        warn(&compared.warnings);
        match self.format {
            Format::Json => output::json(&compared.report)?,
            Format::Table => output::text(&text(&compared))?,
        }
        Ok(())
    }
}

fn text(compared: &Compared) -> String {
    let report = &compared.report;
    let mut text = String::new();
    if !report.differences.is_empty() {
        let rows: Vec<Vec<String>> = report.differences.iter().map(row).collect();
        let headers = [
            "CHANGE", "KIND", "BEFORE", "AFTER", "CHANGED", "WHAT", "PATH",
        ];
        text = output::table(&headers, &rows);
    }
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} added, {} removed, {} changed, {} renamed, {} in blocks that differ",
        report.added,
        report.removed,
        report.changed,
        report.renamed,
        human_bytes(report.bytes_changed)
    );
    text
}

fn row(difference: &Difference) -> Vec<String> {
    let size = |size: Option<u64>| size.map_or_else(|| "-".to_owned(), human_bytes);
    let is_folder = difference.kind == "folder";
    let sizes = match is_folder {
        true => (None, None),
        false => (difference.size_before, difference.size_after),
    };
    let path = match &difference.from {
        Some(from) => format!("{from} -> {}", difference.path),
        None => difference.path.clone(),
    };
    vec![
        how(difference.change).to_owned(),
        difference.kind.clone(),
        size(sizes.0),
        size(sizes.1),
        size((!is_folder).then_some(difference.bytes_changed)),
        what(difference),
        // A name may hold what would end the line.
        path.replace(|letter: char| letter.is_control(), "?"),
    ]
}

fn how(how: How) -> &'static str {
    match how {
        How::Added => "added",
        How::Removed => "removed",
        How::Changed => "changed",
        How::Renamed => "renamed",
    }
}

fn what(difference: &Difference) -> String {
    let word = |aspect: &Aspect| match aspect {
        Aspect::Content => "content",
        Aspect::Mode => "mode",
        Aspect::Owner => "owner",
        Aspect::Times => "times",
        Aspect::Attributes => "attributes",
    };
    let mut words: Vec<&str> = difference.aspects.iter().map(word).collect();
    if difference.hard_link {
        words.push("hard link");
    }
    match words.is_empty() {
        true => "-".to_owned(),
        false => words.join(","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::DiffReport;

    fn difference(change: How, path: &str) -> Difference {
        Difference {
            change,
            path: path.to_owned(),
            from: None,
            kind: "file".to_owned(),
            size_before: None,
            size_after: Some(8192),
            bytes_changed: 4096,
            aspects: Vec::new(),
            hard_link: false,
            replaced: false,
        }
    }

    fn compared(differences: Vec<Difference>) -> Compared {
        let report = DiffReport {
            before: "db@a".into(),
            after: "db".into(),
            added: 1,
            removed: 0,
            changed: 0,
            renamed: 1,
            bytes_changed: 8192,
            nodes_read: 7,
            differences,
        };
        Compared {
            report,
            warnings: Vec::new(),
        }
    }

    /// One line a difference, then the sum; names cannot end a line.
    #[test]
    fn differences_are_a_table() {
        let mut renamed = difference(How::Renamed, "/b\nc");
        renamed.from = Some("/a".into());
        renamed.size_before = Some(1024);
        renamed.aspects = vec![Aspect::Content, Aspect::Times];
        let compared = compared(vec![difference(How::Added, "/a b"), renamed]);
        assert_eq!(
            text(&compared),
            "CHANGE    KIND   BEFORE    AFTER     CHANGED   WHAT            PATH\n\
             added     file   -         8.0 KiB   4.0 KiB   -               /a b\n\
             renamed   file   1.0 KiB   8.0 KiB   4.0 KiB   content,times   /a -> /b?c\n\
             1 added, 0 removed, 0 changed, 1 renamed, 8.0 KiB in blocks that differ\n"
        );
    }
}
