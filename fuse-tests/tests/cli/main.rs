//! The command line: what it prints, where, and with which exit code.

mod awake;
mod check;
mod copies;
mod daemon;
mod differences;
mod full_disk;
mod gc;
mod limits;
mod mount_helper;
mod mounting;
mod owners;
mod policies;
mod pools;
mod restore;
mod snapshots;
mod space;
mod stats;
mod trash;
mod users;
mod volumes;

use fuse_tests::Fixture;

/// Exit codes as documented in README.md.
const FAILED: i32 = 1;
const USAGE: i32 = 2;
const CORRUPT: i32 = 3;
const BUSY: i32 = 4;
const NOT_FOUND: i32 = 5;
const EXISTS: i32 = 6;
const UNREACHABLE: i32 = 7;

/// Fails the test unless `text` holds every one of `parts`.
#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "'{part}' is missing in: {text}");
    }
}

/// The words of a table, row by row, the header first.
fn rows(table: &str) -> Vec<Vec<&str>> {
    table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect()
}

/// `--version` and `--help` work everywhere, on stdout, without a pool.
#[test]
fn version_and_help_are_everywhere() {
    let fixture = Fixture::new();
    let version = fixture.ok(&["--version"]);
    assert!(
        version.starts_with("volfs ") && version.split('.').count() >= 3,
        "{version}"
    );
    let commands = [
        "",
        "volume",
        "volume create",
        "volume ls",
        "volume inspect",
        "volume rm",
        "volume undelete",
        "volume prune",
        "volume set",
        "snapshot",
        "snapshot create",
        "snapshot ls",
        "snapshot inspect",
        "snapshot diff",
        "snapshot rm",
        "snapshot hold",
        "snapshot release",
        "mount",
        "umount",
        "clone",
        "rollback",
        "restore",
        "check",
        "scrub",
        "gc",
        "df",
        "stats",
        "policy",
        "policy set",
        "policy show",
        "policy rm",
        "policy run",
        "daemon",
        "daemon start",
        "daemon stop",
        "daemon status",
    ];
    for command in commands {
        let arguments: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        assert_says(&fixture.ok(&arguments), &["Usage: volfs"]);
    }
    assert!(!fixture.pool().exists(), "asking for help made a pool");
}

/// What cannot be understood is exit code 2 and explained on stderr.
#[test]
fn nonsense_is_a_usage_error() {
    let fixture = Fixture::new();
    for arguments in [
        &["nonsense"][..],
        &["volume", "create"],
        &["volume", "ls", "--nonsense"],
    ] {
        assert_says(&fixture.fails(USAGE, arguments), &["Usage: volfs"]);
    }
}

/// A command whose reader goes away ends quietly.
#[test]
fn broken_pipe_is_quiet() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let mut command = fixture.command();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = command.args(["volume", "inspect", "data"]).stdout(writer);
    let output = child.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
