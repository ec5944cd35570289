//! Results on stdout: tables for people, JSON for programs.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;

use crate::daemon::{SnapshotDetails, StatusReport, TrashDetails, VolumeDetails};

/// Spaces between columns.
const GAP: usize = 3;

/// How a result is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns
    Table,
    /// JSON
    Json,
}

/// Options of every command that lists.
#[derive(clap::Args)]
pub(crate) struct ListArgs {
    /// Print names only
    #[arg(short, long, conflicts_with = "format")]
    quiet: bool,

    /// How to print the list
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    format: Format,
}

/// Something that is listed.
pub(crate) trait Listed: Serialize {
    /// Headers of the columns.
    const HEADERS: &'static [&'static str];
    /// One cell per column.
    fn row(&self) -> Vec<String>;
    /// What names it in other commands.
    fn name(&self) -> &str;
}

impl Listed for VolumeDetails {
    const HEADERS: &'static [&'static str] = &["DRIVER", "VOLUME NAME", "SIZE", "MOUNTPOINT"];

    fn row(&self) -> Vec<String> {
        let places: Vec<String> = self
            .mountpoints
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        vec![
            self.driver.clone(),
            self.name.clone(),
            human_bytes(self.size),
            places.join(", "),
        ]
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Listed for SnapshotDetails {
    const HEADERS: &'static [&'static str] = &[
        "VOLUME", "SNAPSHOT", "CREATED", "AGE", "SIZE", "UNIQUE", "HELD",
    ];

    fn row(&self) -> Vec<String> {
        let unique = self.space.as_ref().map(|space| human_bytes(space.unique));
        vec![
            self.volume.clone(),
            self.snapshot.clone(),
            self.created_at.clone(),
            human_age(self.age),
            human_bytes(self.size),
            unique.unwrap_or_else(|| "-".to_owned()),
            if self.held { "held" } else { "" }.to_owned(),
        ]
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Listed for TrashDetails {
    const HEADERS: &'static [&'static str] = &[
        "VOLUME NAME",
        "REMOVED",
        "GOES FOR GOOD",
        "SIZE",
        "SNAPSHOTS",
    ];

    fn row(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.removed_at.clone(),
            self.expires_at.clone(),
            human_bytes(self.size),
            self.snapshots.to_string(),
        ]
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Prints a list.
pub(crate) fn list<T: Listed>(items: &[T], args: &ListArgs) -> io::Result<()> {
    if args.quiet {
        let names: String = items.iter().fold(String::new(), |mut names, item| {
            names.push_str(item.name());
            names.push('\n');
            names
        });
        return text(&names);
    }
    match args.format {
        Format::Json => json(&items),
        Format::Table => text(&table(
            T::HEADERS,
            &items.iter().map(Listed::row).collect::<Vec<_>>(),
        )),
    }
}

/// Prints one line.
pub(crate) fn line(line: impl std::fmt::Display) -> io::Result<()> {
    text(&format!("{line}\n"))
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    let mut json = serde_json::to_string_pretty(value)?;
    json.push('\n');
    text(&json)
}

/// Prints a value as JSON in one line, of several that follow each other.
pub(crate) fn json_line(value: &impl Serialize) -> io::Result<()> {
    let mut json = serde_json::to_string(value)?;
    json.push('\n');
    text(&json)
}

/// Prints text as it is.
pub(crate) fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints the state of a daemon.
pub(crate) fn status(status: &StatusReport, format: Format) -> io::Result<()> {
    match format {
        Format::Json => json(status),
        Format::Table => text(&status_text(status)),
    }
}

fn status_text(status: &StatusReport) -> String {
    let journal = (
        human_bytes(status.journal_bytes),
        human_bytes(status.journal_capacity),
    );
    let ends = if status.stays { "no" } else { "yes" };
    let full = match status.disk_full {
        true => ", full: writes are refused until there is room",
        false => "",
    };
    let facts = [
        ("pid", status.pid.to_string()),
        ("version", status.version.clone()),
        ("pool", status.pool.display().to_string()),
        ("pool id", status.pool_id.clone()),
        ("started", status.started_at.clone()),
        ("ends with last mount", ends.to_owned()),
        ("dirty", human_bytes(status.dirty_bytes)),
        ("journal", format!("{} of {}", journal.0, journal.1)),
        (
            "segments",
            format!(
                "{} in {}",
                human_bytes(status.segment_bytes),
                status.segments
            ),
        ),
        ("free", human_bytes(status.free_bytes) + full),
        ("blocks shared", status.dedup_hits.to_string()),
        ("checkpoints", status.checkpoints.to_string()),
        ("mounts", status.mounts.len().to_string()),
    ];
    let mut text = String::new();
    for (what, value) in facts {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<23}{value}", format!("{what}:"));
    }
    for mount in &status.mounts {
        let how = if mount.read_only { " (read-only)" } else { "" };
        let places: Vec<String> = mount
            .paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let places = if places.is_empty() {
            "detached, but in use".to_owned()
        } else {
            format!("on {}", places.join(", "))
        };
        let _ = writeln!(text, "  {} {places}{how}", mount.source);
    }
    for (volume, reason) in &status.poisoned {
        let _ = writeln!(text, "{:<23}{volume}: {reason}", "poisoned:");
    }
    text
}

/// Columns as wide as their widest cell; no spaces at the end of a line.
pub(crate) fn table(headers: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headers
        .iter()
        .map(|header| header.chars().count())
        .collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut push = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, width) in cells.zip(&widths) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{cell:<width$}{:GAP$}", "");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    push(&mut headers.iter().copied());
    for row in rows {
        push(&mut row.iter().map(String::as_str));
    }
    text
}

/// A size for people: `17 B`, `8.0 KiB`, `1.5 GiB`.
pub(crate) fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    // What would print as 1024.0 is 1.0 of the next unit.
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// A time span for people, in its largest unit: `40 s`, `3 h`, `12 d`.
pub(crate) fn human_age(secs: u64) -> String {
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} min", secs / 60),
        3600..86_400 => format!("{} h", secs / 3600),
        _ => format!("{} d", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::daemon::MountReport;

    fn volume(name: &str, size: u64, mountpoints: &[&str]) -> VolumeDetails {
        VolumeDetails {
            name: name.into(),
            driver: "volfs".into(),
            mountpoint: "/pool/mnt".into(),
            mounted: !mountpoints.is_empty(),
            mountpoints: mountpoints.iter().map(Into::into).collect(),
            created_at: "2026-11-22T10:15:00Z".into(),
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
            scope: "local".into(),
            size,
            inodes: 1,
            snapshots: 0,
            limit: None,
            protected: false,
            origin: None,
            poisoned: None,
            space: None,
        }
    }

    /// Columns are aligned, and a volume shows where it is mounted.
    #[test]
    fn volumes_are_listed_as_a_table() {
        let volumes = [
            volume("pgdata", 12_900_000, &["/mnt/pgdata", "/srv/pg"]),
            volume("x", 0, &[]),
        ];
        let rows: Vec<_> = volumes.iter().map(Listed::row).collect();
        assert_eq!(
            table(VolumeDetails::HEADERS, &rows),
            "DRIVER   VOLUME NAME   SIZE       MOUNTPOINT\n\
             volfs    pgdata        12.3 MiB   /mnt/pgdata, /srv/pg\n\
             volfs    x             0 B\n"
        );
        assert_eq!(
            table(VolumeDetails::HEADERS, &[]),
            "DRIVER   VOLUME NAME   SIZE   MOUNTPOINT\n"
        );
    }

    /// Snapshots show their volume, time and size.
    #[test]
    fn snapshots_are_listed_as_a_table() {
        let snapshot = SnapshotDetails {
            name: "pgdata@before".into(),
            volume: "pgdata".into(),
            snapshot: "before".into(),
            driver: "volfs".into(),
            created_at: "2026-11-22T10:15:00Z".into(),
            age: 7200,
            size: 8192,
            cut: 7,
            automatic: false,
            made_by: "user".into(),
            held: true,
            labels: BTreeMap::new(),
            space: None,
            mountpoint: "/pool/mnt/pgdata@before".into(),
            mounted: false,
            mountpoints: vec![],
        };
        assert_eq!(
            table(SnapshotDetails::HEADERS, &[snapshot.row()]),
            "VOLUME   SNAPSHOT   CREATED                AGE   SIZE      UNIQUE   HELD\n\
             pgdata   before     2026-11-22T10:15:00Z   2 h   8.0 KiB   -        held\n"
        );
    }

    /// Sizes have one digit after the point, and never four before it.
    #[test]
    fn sizes_are_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
    }

    /// The state of a daemon is a list of facts, then its mounts; its JSON has `pid`.
    #[test]
    fn a_status_is_readable() {
        let mount = |source: &str, paths: &[&str], read_only| MountReport {
            source: source.into(),
            paths: paths.iter().map(Into::into).collect(),
            read_only,
        };
        let status = StatusReport {
            pid: 42,
            version: "0.1.0".into(),
            pool: "/pool".into(),
            pool_id: "ab".into(),
            format_version: 1,
            started_at: "2026-11-22T10:15:00Z".into(),
            stays: false,
            mounts: vec![
                mount("db", &["/mnt/db", "/srv/db"], false),
                mount("db@v1", &["/mnt/old"], true),
                mount("gone", &[], false),
            ],
            dirty_bytes: 4096,
            journal_bytes: 1 << 20,
            journal_capacity: 64 << 20,
            segment_bytes: 3 << 30,
            segments: 5,
            free_bytes: 1 << 40,
            dedup_hits: 9,
            checkpoints: 3,
            disk_full: true,
            poisoned: [("db".to_owned(), "a sync failed".to_owned())].into(),
        };
        assert_eq!(
            status_text(&status),
            "pid:                   42\n\
             version:               0.1.0\n\
             pool:                  /pool\n\
             pool id:               ab\n\
             started:               2026-11-22T10:15:00Z\n\
             ends with last mount:  yes\n\
             dirty:                 4.0 KiB\n\
             journal:               1.0 MiB of 64.0 MiB\n\
             segments:              3.0 GiB in 5\n\
             free:                  1.0 TiB, full: writes are refused until there is room\n\
             blocks shared:         9\n\
             checkpoints:           3\n\
             mounts:                3\n  \
               db on /mnt/db, /srv/db\n  \
               db@v1 on /mnt/old (read-only)\n  \
               gone detached, but in use\n\
             poisoned:              db: a sync failed\n"
        );
        assert_eq!(serde_json::to_value(&status).unwrap()["pid"], 42);
    }
}
