//! Prints the table of docs/conformance.md, for `scripts/conformance.sh`.
//!
//! Usage: volfs-test-conformance VERSION RESULTS LOG...
//! RESULTS is the file of `report::VARIABLE`, a LOG is what `cargo test` printed. Exit code 1 when
//! anything failed.

use std::env;
use std::fs;
use std::process::ExitCode;

use fuse_tests::report::table;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [version, results, logs @ ..] = arguments.as_slice() else {
        eprintln!("usage: volfs-test-conformance VERSION RESULTS LOG...");
        return ExitCode::from(2);
    };
    let read = |path: &String| {
        fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
    };
    let mut rows = table::recorded(&read(results)).unwrap_or_else(|problem| panic!("{problem}"));
    for log in logs {
        rows.extend(table::programs(&read(log), version));
    }
    print!("{}", table::markdown(&rows));
    if table::any_failed(&rows) {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    }
}
