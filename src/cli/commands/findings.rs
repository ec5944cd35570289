//! What check and scrub print.

use crate::cli::exit::{Failure, Outcome};
use crate::cli::output::{self, Format, human_bytes};
use crate::daemon::Kind;
use crate::pool::CheckReport;

/// Headers of the table of violations.
const HEADERS: &[&str] = &["KIND", "WHERE", "PROBLEM"];

/// Prints a report; what is wrong is the outcome.
pub(super) fn print(report: &CheckReport, format: Format) -> Outcome {
    match format {
        Format::Json => output::json(report)?,
        Format::Table => output::text(&text(report))?,
    }
    if report.is_sound() {
        Ok(())
    } else {
        Err(Failure::Told(Kind::Corrupt))
    }
}

fn text(report: &CheckReport) -> String {
    let mut text = String::new();
    if !report.violations.is_empty() {
        let row =
            |one: &crate::pool::Violation| vec![one.kind().to_owned(), one.place(), one.problem()];
        let rows: Vec<Vec<String>> = report.violations.iter().map(row).collect();
        text.push_str(&output::table(HEADERS, &rows));
    }
    if report.unlisted > 0 {
        text.push_str(&format!(
            "and {} more that are not listed\n",
            report.unlisted
        ));
    }
    for repair in &report.repaired {
        text.push_str(&format!("repaired: {repair}\n"));
    }
    let wrong = report.violations.len() as u64 + report.unlisted;
    text.push_str(&format!(
        "{} volumes, {} snapshots, {} entries, {} blocks, {}, {} segments, {} frames: {}{}\n",
        report.volumes,
        report.snapshots,
        report.entries,
        report.blocks,
        human_bytes(report.bytes),
        report.segments,
        report.frames,
        match report.repaired.len() {
            0 => String::new(),
            count => format!("{count} repaired, "),
        },
        match wrong {
            0 => "everything is sound".to_owned(),
            1 => "1 violation".to_owned(),
            count => format!("{count} violations"),
        },
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SegmentId;
    use crate::pool::{Repair, Violation};

    /// Violations are a table, then come repairs, one per line, then the sum.
    #[test]
    fn a_report_is_readable() {
        let mut report = CheckReport {
            volumes: 2,
            snapshots: 1,
            entries: 7,
            blocks: 9,
            bytes: 73_728,
            segments: 2,
            frames: 12,
            ..CheckReport::default()
        };
        assert_eq!(
            text(&report),
            "2 volumes, 1 snapshots, 7 entries, 9 blocks, 72.0 KiB, 2 segments, 12 frames: \
             everything is sound\n"
        );
        report.violations = vec![Violation::Frame {
            segment: SegmentId(4),
            offset: 64,
            id: None,
            copy: None,
            problem: "no frame starts here".to_owned(),
        }];
        report.repaired = vec![Repair::SuperblockSlot { slot: 1 }];
        assert_eq!(
            text(&report),
            "KIND    WHERE             PROBLEM\n\
             frame   segment 4 at 64   no frame starts here\n\
             repaired: superblock_slot: slot 1: written anew\n\
             2 volumes, 1 snapshots, 7 entries, 9 blocks, 72.0 KiB, 2 segments, 12 frames: \
             1 repaired, 1 violation\n"
        );
    }
}
