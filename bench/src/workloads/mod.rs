//! What is run on each filesystem, and how it is measured.

mod compile;
mod fio;
mod lines;
mod mariadb;
mod metadata;
mod postgres;
mod redis;
mod rsync;
mod sqlite;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

pub use self::lines::ALL;
use self::mariadb::MariaDb;
pub use self::postgres::Postgres;
use crate::attempts::HostWatch;
use crate::command::{command, run};
use crate::outcome::Outcome;
use crate::peers::Peer;
use crate::quiet::wait_for_rest;

/// How much of everything.
#[derive(Clone, Debug)]
pub struct Size {
    /// Bytes of the file that fio works on.
    pub file_bytes: u64,
    /// Bytes of the file that is written beside commits.
    pub stream_bytes: u64,
    /// Of each timed run of fio and SQLite.
    pub time: Duration,
    /// Files that are created, looked at, renamed and removed.
    pub files: u64,
    /// Files that rsync copies.
    pub tree_files: u32,
    /// pgbench's scale: 100,000 accounts each.
    pub scale: u32,
    /// Rows in each of sysbench's tables.
    pub rows: u32,
    /// Of redis-benchmark.
    pub requests: u32,
    /// Of each run of pgbench and sysbench.
    pub server_time: Duration,
}

/// Where things are that no filesystem is measured with.
#[derive(Clone, Debug)]
pub struct Places {
    /// The job files of fio.
    pub jobs: PathBuf,
    /// The source that is compiled.
    pub source: PathBuf,
    /// A folder for sockets, logs, and trees to be copied from.
    pub scratch: PathBuf,
}

/// Where and with how much a workload is run.
pub struct Run<'a> {
    /// The filesystem.
    pub peer: &'a Peer,
    /// A server on it, for those that need one.
    pub postgres: Option<&'a Postgres>,
    /// How much.
    pub size: &'a Size,
    /// What it needs beside.
    pub places: &'a Places,
}

/// How it is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Fio(fio::Unit),
    Metadata,
    Rsync,
    Compile,
    /// SQLite with this journal mode.
    Sqlite(&'static str),
    Redis,
    Sysbench,
    /// pgbench with this option.
    Pgbench(Option<&'static str>),
}

/// One line of the table.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Workload {
    /// In tables and in JSON.
    pub name: &'static str,
    /// Of the value.
    pub unit: &'static str,
    /// Its name on the command line, and of its job file if it has one.
    pub job: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// The least ratio to ext4 that volfs is meant to reach.
    pub bar: Option<f64>,
    is_cold: bool,
    kind: Kind,
}

impl Workload {
    /// Whether it needs a server on each filesystem.
    pub fn needs_postgres(&self) -> bool {
        matches!(self.kind, Kind::Pgbench(_))
    }

    /// Whether a run right behind another one measures the same. An ext4 takes several times as long
    /// to create files where as many were removed just before.
    pub fn is_repeatable(&self) -> bool {
        !matches!(self.kind, Kind::Metadata)
    }

    /// Makes what all its runs on a filesystem work on.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn prepare(&self, on: &Run) -> Result<()> {
        match self.kind {
            Kind::Sysbench => mariadb(on).prepare(),
            _ => Ok(()),
        }
    }

    /// Runs it once. No run writes bytes that another one has written: `seed` is new each time.
    ///
    /// # Errors
    /// What is run fails.
    pub fn run(&self, on: &Run, seed: u64) -> Result<Outcome> {
        // What others have left is not written beside this.
        run(&mut command("sync", []))?;
        if self.is_cold {
            on.peer.cool()?;
        }
        wait_for_rest(&on.places.scratch)?;
        let (folder, size) = (on.peer.folder(), on.size);
        let scratch = &on.places.scratch;
        let host = HostWatch::start()?;
        let mut outcome = match self.kind {
            Kind::Fio(unit) => fio::run(folder, &on.places.jobs, self.job, size, seed, unit),
            Kind::Metadata => metadata::run(folder, size.files),
            Kind::Rsync => rsync::run(folder, scratch, size.tree_files, seed),
            Kind::Compile => compile::run(folder, scratch, &on.places.source, seed),
            Kind::Sqlite(journal) => sqlite::run(folder, journal, size.time),
            Kind::Redis => redis::run(folder, scratch, size.requests),
            Kind::Sysbench => mariadb(on).run(size.server_time),
            Kind::Pgbench(option) => on
                .postgres
                .context("pgbench needs a server")?
                .run(size.server_time, option),
        }?;
        outcome.stolen = host.stolen()?;
        on.peer.settle()?;
        Ok(outcome)
    }
}

fn mariadb(on: &Run) -> MariaDb {
    MariaDb::new(on.peer.folder(), &on.places.scratch, on.size.rows)
}
