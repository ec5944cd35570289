//! A Postgres on a filesystem, and pgbench.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::command::{as_database_user, give_to_database_user, run, text};
use crate::outcome::Outcome;

/// As Debian packages it; another one may come first in PATH.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const SETTINGS: &str = "-c listen_addresses= -c shared_buffers=128MB -c max_wal_size=1GB";

/// A running server. Dropped, it is stopped.
pub struct Postgres {
    data: PathBuf,
    socket: PathBuf,
}

fn program(name: &str) -> PathBuf {
    Path::new(PROGRAMS).join(name)
}

impl Postgres {
    /// Makes a cluster in a filesystem's folder, starts it and fills pgbench's tables.
    ///
    /// # Errors
    /// One of Postgres' programs fails.
    pub fn make(folder: &Path, socket: PathBuf, scale: u32) -> Result<Postgres> {
        let data = folder.join("pg");
        give_to_database_user(&data)?;
        give_to_database_user(&socket)?;
        let mut initdb = as_database_user(&program("initdb"));
        run(initdb.args(["--auth=trust", "-D", text(&data)?]))?;
        let options = format!("-k {} {SETTINGS}", text(&socket)?);
        let log = socket.join("log");
        let mut start = as_database_user(&program("pg_ctl"));
        start.args(["-D", text(&data)?, "-l", text(&log)?, "-w", "-t", "60"]);
        start.args(["-o", &options, "start"]);
        // The server keeps what it is given: its output would never end.
        start.stdout(std::process::Stdio::null());
        start.stderr(std::process::Stdio::null());
        let started = start.status().context("cannot run pg_ctl")?;
        let server = Postgres { data, socket };
        if !started.success() {
            let said = fs::read_to_string(log).unwrap_or_default();
            anyhow::bail!("Postgres does not start: {said}");
        }
        server.pgbench(&["-i", "-q", "-s", &scale.to_string()])?;
        Ok(server)
    }

    fn pgbench(&self, arguments: &[&str]) -> Result<String> {
        let mut command = as_database_user(&program("pgbench"));
        command.args(["-h", text(&self.socket)?]).args(arguments);
        run(command.arg("postgres"))
    }

    /// Transactions per second of eight clients, behind a checkpoint.
    pub(super) fn run(&self, time: Duration, option: Option<&str>) -> Result<Outcome> {
        let mut psql = as_database_user(&program("psql"));
        psql.args(["-h", text(&self.socket)?, "-X", "-q", "-c", "checkpoint"]);
        run(psql.arg("postgres"))?;
        let seconds = time.as_secs().to_string();
        let mut arguments = vec!["-n", "-c", "8", "-j", "2", "-T", &seconds];
        arguments.extend(option);
        let told = self.pgbench(&arguments)?;
        let value = |start: &str| {
            let line = told.lines().find_map(|line| line.strip_prefix(start))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        let mean_us = value("latency average = ").map(|milliseconds| milliseconds * 1000.0);
        Ok(Outcome {
            value: value("tps = ").context("pgbench tells no tps")?,
            others: mean_us.map(|mean| ("mean us", mean)).into_iter().collect(),
            ..Outcome::default()
        })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut stop = as_database_user(&program("pg_ctl"));
        stop.arg("-D").arg(&self.data);
        if let Err(error) = run(stop.args(["-m", "immediate", "-w", "stop"])) {
            eprintln!("bench: {error:#}");
        }
    }
}
