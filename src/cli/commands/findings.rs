//! What check and scrub print.

use crate::cli::exit::{self, Failure, Outcome};
use crate::cli::output::{self, Format, human_bytes};
use crate::daemon::{DAMAGED_JOURNAL_HINT, Kind};
use crate::pool::{CheckReport, JournalCut, Violation};

/// Headers of the table of violations.
const HEADERS: &[&str] = &["KIND", "WHERE", "PROBLEM"];
/// Headers of the table of what a cut journal has lost.
const LOST_HEADERS: &[&str] = &["VOLUME", "RECORDS LOST, AT LEAST"];

/// Prints a report; what is wrong is the outcome.
pub(super) fn print(report: &CheckReport, format: Format) -> Outcome {
    match format {
        Format::Json => output::json(report)?,
        Format::Table => output::text(&text(report))?,
    }
    if report.is_sound() {
        return Ok(());
    }
    let can_be_cut = |one: &Violation| matches!(one, Violation::Journal { lost: Some(_), .. });
    if report.violations.iter().any(can_be_cut) {
        exit::hint(DAMAGED_JOURNAL_HINT);
    }
    Err(Failure::Told(Kind::Corrupt))
}

fn text(report: &CheckReport) -> String {
    let mut text = String::new();
    if !report.violations.is_empty() {
        let row = |one: &Violation| vec![one.kind().to_owned(), one.place(), one.problem()];
        let rows: Vec<Vec<String>> = report.violations.iter().map(row).collect();
        text.push_str(&output::table(HEADERS, &rows));
    }
    if report.unlisted > 0 {
        text.push_str(&format!(
            "and {} more that are not listed\n",
            report.unlisted
        ));
    }
    if let Some(cut) = &report.journal_cut {
        text.push_str(&lost(cut));
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

/// Where a journal was cut off, and what each volume has lost with it.
fn lost(cut: &JournalCut) -> String {
    let (at, problem) = (cut.at, &cut.problem);
    let mut text = format!("journal: cut off at {at}: {problem}\n");
    if cut.lost.is_empty() {
        text.push_str("no records were found behind the damage\n");
        return text;
    }
    let name = |volume: &Option<String>| volume.clone().unwrap_or("(catalog)".to_owned());
    let rows = cut.lost.iter();
    let rows: Vec<Vec<String>> = rows
        .map(|one| vec![name(&one.volume), one.records.to_string()])
        .collect();
    text.push_str(&output::table(LOST_HEADERS, &rows));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Lsn, SegmentId};
    use crate::pool::{LostRecords, Repair};

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

    /// A cut journal is told with its place and what every volume has lost.
    #[test]
    fn a_cut_journal_is_told_by_volume() {
        let of = |volume: Option<&str>, records| LostRecords {
            volume: volume.map(str::to_owned),
            records,
        };
        let mut cut = JournalCut {
            at: Lsn(4096),
            problem: "its checksum does not match".to_owned(),
            lost: vec![of(None, 1), of(Some("db"), 12)],
        };
        assert_eq!(
            lost(&cut),
            "journal: cut off at 4096: its checksum does not match\n\
             VOLUME      RECORDS LOST, AT LEAST\n\
             (catalog)   1\n\
             db          12\n"
        );
        cut.lost.clear();
        assert_eq!(
            lost(&cut),
            "journal: cut off at 4096: its checksum does not match\n\
             no records were found behind the damage\n"
        );
    }
}
