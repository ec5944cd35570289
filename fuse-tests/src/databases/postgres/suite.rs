//! Postgres' own regression suite, as `scripts/postgres-suite.sh` lays it out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Postgres, USER, give};
use crate::fixture::text;
use crate::report::Suite;
use crate::run::run;
use crate::server::Server;

/// Debian ships the suite's driver, but nothing that it drives.
const DRIVER: &str = "/usr/lib/postgresql/15/lib/pgxs/src/test/regress/pg_regress";
/// What the server's cluster must be told for the expected results.
pub const SETTINGS: [&str; 2] = ["max_connections=60", "max_prepared_transactions=2"];

/// Names of the tests that passed and that failed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Of the suite and of the server.
    pub version: String,
    /// Results as expected.
    pub passed: BTreeSet<String>,
    /// Others.
    pub failed: BTreeSet<String>,
    /// What the driver printed, and each difference.
    pub log: String,
}

/// Runs the suite's parallel schedule against a server, in a database `regression`, which stays.
/// Files of the tests go to `folder`, which is not there yet.
#[track_caller]
pub fn run_schedule(server: &Postgres, folder: &Path, limit: Duration) -> Report {
    let suite = suite();
    // The server itself reads and writes files of the suite.
    let mut copy = std::process::Command::new("cp");
    run(copy.arg("-r").arg(&suite).arg(folder)).ok();
    let results = folder.join("results");
    fs::create_dir(&results).expect("the folder is new");
    for owned in [folder, &results] {
        give(owned);
    }
    let option = |name: &str, path: &Path| format!("--{name}={}", text(path));
    let arguments = [
        "--bindir=/usr/lib/postgresql/15/bin",
        &format!("--host={}", server.host()),
        "--max-concurrent-tests=20",
        &option("dlpath", &folder.join("lib")),
        &option("inputdir", folder),
        &option("outputdir", folder),
        &option("schedule", &folder.join("parallel_schedule")),
    ];
    let log = folder.join("driver.log");
    let driver = Server::start(Some(USER), Path::new(DRIVER), &arguments, log.clone());
    let code = driver.wait(limit);
    let printed = fs::read_to_string(log).expect("the driver has a log");
    let mut report = parse(&printed, &folder.join("regression.diffs"));
    report.version = fs::read_to_string(folder.join("VERSION")).expect("it was copied");
    assert_eq!(
        code,
        Some(i32::from(!report.failed.is_empty())),
        "{printed}"
    );
    report
}

fn suite() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/suites/postgres-15");
    let is_there = folder.join("VERSION").exists();
    assert!(
        is_there,
        "{} is missing: run scripts/setup.sh",
        folder.display()
    );
    folder
}

/// Lines such as `test tablespace ... ok 123 ms` and, in a group, `     boolean ... FAILED`.
fn parse(printed: &str, differences: &Path) -> Report {
    let mut report = Report::default();
    for line in printed.lines() {
        let Some((name, result)) = line.split_once(" ... ") else {
            continue;
        };
        let name = name.trim_start_matches("test ").trim().to_owned();
        let result = result.trim_start();
        if result.starts_with("ok") || result.starts_with("failed (ignored)") {
            report.passed.insert(name);
        } else {
            report.failed.insert(name);
        }
    }
    let differences = fs::read_to_string(differences).unwrap_or_default();
    report.log = format!("{printed}\n{differences}");
    report
}

impl Report {
    /// The same in the form that all suites have.
    pub fn to_suite(&self) -> Suite {
        Suite::new("Postgres regression tests", self.version.trim())
            .passed(self.passed.len() as u64)
            .failed(self.failed.len() as u64)
    }
}
