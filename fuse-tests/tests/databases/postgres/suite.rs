//! Postgres' own regression suite.

use std::env;
use std::path::Path;
use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::chance::rounds;
use fuse_tests::databases::postgres::{self, Postgres, suite};

const LIMIT: Duration = Duration::from_secs(600);

/// A cluster in the empty folder `data` that has run the suite, stopped; `name` is the folder's
/// of everything else.
fn run_suite(fixture: &Fixture, data: &Path, name: &str) -> suite::Report {
    postgres::initdb(data);
    let server = Postgres::start_with(data, fixture.folder(), name, &suite::SETTINGS);
    let folder = fixture.folder().join(format!("{name}-suite"));
    let report = suite::run_schedule(&server, &folder, LIMIT);
    server.check_structure(&["-d", "regression"]);
    server.stop();
    postgres::check_pages(data);
    report
}

/// The same on the host's filesystem.
fn run_control(fixture: &Fixture) -> suite::Report {
    let folder = fixture.folder().join("plain");
    std::fs::create_dir(&folder).unwrap();
    let report = run_suite(fixture, &folder, "on-host");
    report.to_suite().on("the host's filesystem").record();
    report
}

/// All tests of the suite's parallel schedule pass; what they leave is sound, and every page of it
/// has its checksum. A test that fails is excused only if it fails on the host's filesystem, too.
/// `VOLFS_TEST_PLAIN=1` runs the suite there and nowhere else.
#[test]
fn postgres_passes_its_own_regression_suite() {
    let fixture = Fixture::with_limit(2 * LIMIT);
    if env::var_os("VOLFS_TEST_PLAIN").is_some() {
        run_control(&fixture);
        return;
    }
    for round in 0..rounds(1) {
        let volume = format!("db-{round}");
        fixture.ok(&["volume", "create", &volume]);
        let report = run_suite(&fixture, &fixture.mount(&volume), &volume);
        report.to_suite().record();
        assert!(report.passed.len() > 200, "{}", report.log);
        if !report.failed.is_empty() {
            let control = run_control(&fixture);
            let own: Vec<_> = report.failed.difference(&control.failed).collect();
            assert!(own.is_empty(), "fail here only: {own:?}\n{}", report.log);
        }
    }
}
