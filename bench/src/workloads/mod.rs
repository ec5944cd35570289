//! What is run on each filesystem, and how it is measured.

mod fio;
mod metadata;
mod postgres;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

pub use self::postgres::Postgres;
use crate::peers::Peer;

/// How much of everything.
#[derive(Clone, Debug)]
pub struct Size {
    /// Bytes of the file that fio works on.
    pub file_bytes: u64,
    /// Of each timed run.
    pub time: Duration,
    /// Files that are created, looked at, renamed and removed.
    pub files: u64,
    /// pgbench's scale: 100,000 accounts each.
    pub scale: u32,
    /// Of each run of pgbench.
    pub pgbench_time: Duration,
    /// Where the job files are.
    pub jobs: PathBuf,
}

/// What one run tells: numbers by name, of which the first counts.
pub type Figures = Vec<(&'static str, f64)>;

/// How it is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A job of fio: MiB/s read or written.
    Rate,
    /// A job of fio: operations per second.
    Operations,
    Metadata,
    /// pgbench with this option.
    Pgbench(Option<&'static str>),
}

/// One line of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Workload {
    /// In tables and in JSON.
    pub name: &'static str,
    /// Of the first figure.
    pub unit: &'static str,
    /// Name of the job file, and of the workload on the command line.
    pub job: &'static str,
    is_cold: bool,
    kind: Kind,
}

impl Workload {
    /// Whether it needs a server on each filesystem.
    pub fn needs_postgres(&self) -> bool {
        matches!(self.kind, Kind::Pgbench(_))
    }

    /// Runs it once. No run writes bytes that another one has written: `seed` is new each time.
    ///
    /// # Errors
    /// What is run fails.
    pub fn run(
        &self,
        peer: &Peer,
        postgres: Option<&Postgres>,
        size: &Size,
        seed: u64,
    ) -> Result<Figures> {
        if self.is_cold {
            peer.cool()?;
        }
        match self.kind {
            Kind::Rate => fio::run(peer.folder(), self.job, size, seed, fio::Unit::Mebibytes),
            Kind::Operations => fio::run(peer.folder(), self.job, size, seed, fio::Unit::Calls),
            Kind::Metadata => metadata::run(peer.folder(), size.files),
            Kind::Pgbench(option) => postgres
                .context("pgbench needs a server")?
                .run(size.pgbench_time, option),
        }
    }
}

const fn line(name: &'static str, unit: &'static str, job: &'static str, kind: Kind) -> Workload {
    Workload {
        name,
        unit,
        job,
        is_cold: false,
        kind,
    }
}

const fn cold(workload: Workload) -> Workload {
    Workload {
        is_cold: true,
        ..workload
    }
}

/// All lines, in the order in which a round runs them: what reads needs what was written before.
pub const ALL: [Workload; 12] = [
    line(
        "sequential write 1 MiB + fsync",
        "MiB/s",
        "seq-write",
        Kind::Rate,
    ),
    cold(line(
        "sequential read, cold",
        "MiB/s",
        "seq-read",
        Kind::Rate,
    )),
    cold(line(
        "random read 8 KiB, cold",
        "IOPS",
        "rand-read",
        Kind::Operations,
    )),
    line(
        "random read 8 KiB, page cache",
        "IOPS",
        "rand-read-cached",
        Kind::Operations,
    ),
    line(
        "random read 8 KiB, O_DIRECT, queue 16",
        "IOPS",
        "rand-read-direct",
        Kind::Operations,
    ),
    line(
        "random write 8 KiB, fsync each",
        "IOPS",
        "rand-write-fsync",
        Kind::Operations,
    ),
    line(
        "random write 8 KiB, buffered, fsync at end",
        "IOPS",
        "rand-write-buffered",
        Kind::Operations,
    ),
    line(
        "WAL: append 8 KiB + fdatasync",
        "IOPS",
        "wal",
        Kind::Operations,
    ),
    line("WAL: four writers", "IOPS", "wal-four", Kind::Operations),
    line(
        "create, stat, rename, unlink small files",
        "calls/s",
        "metadata",
        Kind::Metadata,
    ),
    line(
        "pgbench TPC-B, 8 clients",
        "tps",
        "pgbench-tpcb",
        Kind::Pgbench(None),
    ),
    line(
        "pgbench select-only",
        "tps",
        "pgbench-select",
        Kind::Pgbench(Some("--select-only")),
    ),
];
