//! `volfs check`.

use crate::cli::Context;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::output::{self, Format, human_bytes};
use crate::cli::progress::Bar;
use crate::daemon::{By, CheckPool, Checked, Kind};

const AFTER_HELP: &str = "\
Exits with 3 when something is damaged; every damaged place is one line on stdout.

Example:
  volfs check";

/// Verify every block and every tree node of the pool
///
/// Reads everything that volumes and snapshots refer to and compares it with its checksum.
/// Works beside a running daemon and its mounts, and without one.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// How to print the result
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    format: Format,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let bar = Bar::new("checking");
        let checked = context
            .access
            .call_with_progress(By::Anyone, &CheckPool {}, &bar)?;
        drop(bar);
        match self.format {
            Format::Json => output::json(&checked)?,
            Format::Table => output::text(&text(&checked))?,
        }
        if checked.violations.is_empty() {
            Ok(())
        } else {
            Err(Failure::Told(Kind::Corrupt))
        }
    }
}

fn text(checked: &Checked) -> String {
    let mut text = String::new();
    for violation in &checked.violations {
        text.push_str(violation);
        text.push('\n');
    }
    text.push_str(&format!(
        "{} volumes, {} snapshots, {} entries, {} blocks, {}: {}\n",
        checked.volumes,
        checked.snapshots,
        checked.entries,
        checked.blocks,
        human_bytes(checked.bytes),
        match checked.violations.len() {
            0 => "everything is sound".to_owned(),
            1 => "1 violation".to_owned(),
            count => format!("{count} violations"),
        }
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Violations come first, one per line, then the sum.
    #[test]
    fn violations_are_listed() {
        let mut checked = Checked {
            volumes: 2,
            snapshots: 1,
            entries: 7,
            blocks: 9,
            bytes: 73728,
            ..Checked::default()
        };
        assert_eq!(
            text(&checked),
            "2 volumes, 1 snapshots, 7 entries, 9 blocks, 72.0 KiB: everything is sound\n"
        );
        checked.violations = vec!["volume 'db': block 3 of file 12 is damaged".into()];
        assert_eq!(
            text(&checked),
            "volume 'db': block 3 of file 12 is damaged\n\
             2 volumes, 1 snapshots, 7 entries, 9 blocks, 72.0 KiB: 1 violation\n"
        );
    }
}
