//! MariaDB as Debian packages it, and sysbench.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::command::{as_database_user, command, give_to_database_user, run as run_command, text};
use crate::outcome::{Latency, Outcome};
use crate::server::Server;

const PROGRAM: &str = "/usr/sbin/mariadbd";
const INSTALL: &str = "/usr/bin/mariadb-install-db";
const SETTINGS: [&str; 3] = [
    "--skip-networking",
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-buffer-pool-size=128M",
];
const TABLES: &str = "--tables=4";
const CLIENTS: &str = "--threads=8";
const DATABASE: &str = "sbtest";
/// Of reads before a run, which bring the tables into the server's memory.
const WARM_UP: Duration = Duration::from_secs(2);

/// A server on a filesystem. It runs only while it is measured: pages that it would write later
/// are not written beside what is measured next.
pub(super) struct MariaDb {
    data: PathBuf,
    place: PathBuf,
    rows: u32,
}

impl MariaDb {
    /// In a filesystem's folder, with the socket in `scratch` and so many rows a table.
    pub(super) fn new(folder: &Path, scratch: &Path, rows: u32) -> MariaDb {
        MariaDb {
            data: folder.join("mariadb"),
            place: scratch.join("mariadb"),
            rows,
        }
    }

    /// Makes the databases and fills the tables.
    pub(super) fn prepare(&self) -> Result<()> {
        give_to_database_user(&self.data)?;
        give_to_database_user(&self.place)?;
        let mut install = as_database_user(Path::new(INSTALL));
        install.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
        install.args([self.option("datadir", &self.data)?]);
        run_command(install.env("TMPDIR", &self.place))?;
        let server = self.start()?;
        run_command(&mut self.query(&format!("create database {DATABASE}"))?)?;
        self.sysbench(&["oltp_read_write", "prepare"])?;
        server.stop()
    }

    /// Transactions per second of eight clients.
    pub(super) fn run(&self, time: Duration) -> Result<Outcome> {
        let server = self.start()?;
        let seconds = |time: Duration| format!("--time={}", time.as_secs());
        self.sysbench(&[&seconds(WARM_UP), "oltp_read_only", "run"])?;
        let told = self.sysbench(&[&seconds(time), "oltp_read_write", "run"])?;
        server.stop()?;
        outcome(&told).with_context(|| format!("sysbench tells no figures: {told}"))
    }

    fn option(&self, name: &str, path: &Path) -> Result<String> {
        Ok(format!("--{name}={}", text(path)?))
    }

    fn start(&self) -> Result<Server> {
        let mut server = as_database_user(Path::new(PROGRAM));
        server.arg("--no-defaults").args([
            self.option("datadir", &self.data)?,
            self.option("socket", &self.place.join("socket"))?,
            self.option("pid-file", &self.place.join("pid"))?,
            self.option("tmpdir", &self.place)?,
        ]);
        server.args(SETTINGS);
        let log = self.place.join("log");
        let mut question = self.query("select 1")?;
        let answers = || run_command(&mut question).is_ok();
        Server::start("MariaDB", server, log, answers)
    }

    fn query(&self, sql: &str) -> Result<Command> {
        let socket = self.option("socket", &self.place.join("socket"))?;
        let words = ["--no-defaults", "--user=root", &socket, "-e", sql];
        Ok(command("mariadb", words))
    }

    fn sysbench(&self, arguments: &[&str]) -> Result<String> {
        let mut sysbench = command("sysbench", ["--db-driver=mysql", "--mysql-user=root"]);
        sysbench.arg(self.option("mysql-socket", &self.place.join("socket"))?);
        sysbench.args([&format!("--mysql-db={DATABASE}"), TABLES, CLIENTS]);
        sysbench.arg(format!("--table-size={}", self.rows));
        run_command(
            sysbench
                .args(["--events=0", "--percentile=99"])
                .args(arguments),
        )
    }
}

/// Latencies are in milliseconds.
fn outcome(told: &str) -> Option<Outcome> {
    let after = |start: &str| {
        let mut lines = told.lines().map(str::trim);
        Some(lines.find_map(|line| line.strip_prefix(start))?.trim())
    };
    let us = |start: &str| Some(after(start)?.parse::<f64>().ok()? * 1000.0);
    let (_, per_second) = after("transactions:")?.split_once('(')?;
    let latency = Latency {
        calls: "transaction",
        p99_us: us("99th percentile:"),
        max_us: us("max:"),
        ..Latency::default()
    };
    Some(Outcome {
        value: per_second.split_whitespace().next()?.parse().ok()?,
        others: us("avg:")
            .map(|mean| ("mean us", mean))
            .into_iter()
            .collect(),
        latencies: vec![latency],
        ..Outcome::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rate is the one in parentheses, and milliseconds become microseconds.
    #[test]
    fn figures_are_found() {
        let told = "    transactions:                        7264   (363.12 per sec.)\n\
                    Latency (ms):\n         min:   4.0\n         avg:   22.5\n\
                    \x20        max:   90.0\n         99th percentile:   52.0\n";
        let found = outcome(told).unwrap();
        assert_eq!(found.value, 363.12);
        assert_eq!(found.others, [("mean us", 22500.0)]);
        assert_eq!(found.latencies[0].p99_us, Some(52000.0));
        assert_eq!(found.latencies[0].max_us, Some(90000.0));
    }
}
