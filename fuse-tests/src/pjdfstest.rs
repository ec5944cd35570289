//! The suite pjdfstest (its Rust version, from crates.io) on a mounted filesystem.
//!
//! Everything that it can do on Linux is switched on, nothing is excluded and no failure expected.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::fixture::{text, with_mount_helper};
use crate::report::Suite;
use crate::run::{Ran, run, run_for};
use crate::tools::tool;

const LIMIT: Duration = Duration::from_secs(300);

/// Sleeps between changes whose times must differ: several ticks of the kernel's clock of file
/// times, which are 4 to 10 ms long. Two users that Debian always has, so that none is added.
const CONFIGURATION: &str = r#"
[features]
posix_fallocate = {}
rename_ctime = {}
utime_now = {}
utimensat = {}

[settings]
naptime = 0.03
allow_remount = REMOUNT
expected_failures = []

[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
"#;

/// What became of each case of one run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Names of the cases that passed.
    pub passed: Vec<String>,
    /// Cases that failed, and what the suite says of it.
    pub failed: BTreeMap<String, String>,
    /// Cases that were not run, and why.
    pub skipped: BTreeMap<String, String>,
}

/// Shows the place at a path that leaves room for the suite's long names of sockets, which may have
/// 107 bytes with their path.
const AT_SHORT_PATH: &str = "mount --bind \"$0\" /mnt; exec \"$@\"";

/// The cases for which the suite mounts the filesystem read-only and back again.
const REMOUNTING: &str = "::erofs_";

/// Runs the whole suite in `place`, which is the root of a filesystem or lies in it; `other` lies
/// on another filesystem. The settings go to `scratch`.
///
/// Some cases leave files open for writing until the suite ends, which on any filesystem forbids
/// to mount it read-only: what needs that runs in a process of its own.
#[track_caller]
pub fn run_suite(place: &Path, other: &Path, scratch: &Path) -> Outcome {
    let mut outcome = run_part(place, other, scratch, &[], false);
    let skipped = outcome.skipped.len();
    outcome.skipped.retain(|name, _| !name.contains(REMOUNTING));
    let left_out = skipped - outcome.skipped.len();
    let remounting = run_part(place, other, scratch, &[REMOUNTING], true);
    assert_eq!(remounting.total(), left_out, "each case runs once");
    outcome.add(remounting);
    outcome
}

fn run_part(
    place: &Path,
    other: &Path,
    scratch: &Path,
    patterns: &[&str],
    remount: bool,
) -> Outcome {
    let path = scratch.join("pjdfstest.toml");
    let configuration = CONFIGURATION.replace("REMOUNT", &remount.to_string());
    fs::write(&path, configuration).expect("the folder is ours");
    let mut command = with_mount_helper(scratch);
    command
        .args(["sh", "-ec", AT_SHORT_PATH, text(place)])
        .arg(tool("bin/pjdfstest"))
        .env("NO_COLOR", "1")
        .args(["-c", text(&path), "-p", "/mnt"])
        .args(["--secondary-fs", text(other), "--"])
        .args(patterns);
    parse(&run_for(&mut command, LIMIT))
}

/// The version of the installed suite.
#[track_caller]
pub fn version() -> String {
    let told = run(Command::new(tool("bin/pjdfstest")).arg("--version")).ok();
    told.trim_start_matches("pjdfstest ").to_owned()
}

impl Outcome {
    fn total(&self) -> usize {
        self.passed.len() + self.failed.len() + self.skipped.len()
    }

    fn add(&mut self, other: Outcome) {
        self.passed.extend(other.passed);
        self.failed.extend(other.failed);
        self.skipped.extend(other.skipped);
    }

    /// The outcome as a line of the report, `on` a filesystem.
    pub fn suite(&self, version: &str, on: &str) -> Suite {
        let suite = Suite::new("pjdfstest", version)
            .on(on)
            .passed(self.passed.len() as u64)
            .failed(self.failed.len() as u64);
        self.skipped.iter().fold(suite, |suite, (name, reason)| {
            suite.skipped(1, &format!("{name}: {reason}"))
        })
    }
}

/// A case is a line `NAME ok|FAILED|skipped`; indented lines below it say more. The suite's own
/// counts in its last line must agree, so that nothing is overlooked.
#[track_caller]
fn parse(ran: &Ran) -> Outcome {
    let mut outcome = Outcome::default();
    let mut lines = ran.stdout.lines().peekable();
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[name, result] = words.as_slice() else {
            continue;
        };
        let mut details = Vec::new();
        while let Some(detail) = lines.next_if(|line| line.starts_with([' ', '\t'])) {
            details.push(detail.trim());
        }
        let details = details.join("; ");
        match result {
            "ok" => outcome.passed.push(name.to_owned()),
            "FAILED" => drop(outcome.failed.insert(name.to_owned(), details)),
            "skipped" => drop(outcome.skipped.insert(name.to_owned(), details)),
            _ => {}
        }
    }
    let counted = format!(
        "Summary: {} failed, {} skipped, {} passed, 0 expected failures, {} total",
        outcome.failed.len(),
        outcome.skipped.len(),
        outcome.passed.len(),
        outcome.total()
    );
    assert!(
        ran.stdout.lines().any(|line| line == counted),
        "not `{counted}`: {ran:#?}"
    );
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(stdout: &str) -> Ran {
        Ran {
            command: String::new(),
            code: 1,
            stdout: stdout.to_owned(),
            stderr: String::new(),
        }
    }

    const OUTPUT: &str = "\
chmod::eperm                    ok
link::link_count_max            skipped
\tthe limit is unknown
open::etxtbsy                   FAILED
\tassertion `left == right` failed
  left: EIO
 right: ETXTBSY

Summary: 1 failed, 1 skipped, 1 passed, 0 expected failures, 3 total
";

    /// Names, and what is said of them, are taken from the suite's output.
    #[test]
    fn outcomes_are_parsed() {
        let outcome = parse(&ran(OUTPUT));
        assert_eq!(outcome.passed, ["chmod::eperm"]);
        assert_eq!(
            outcome.skipped["link::link_count_max"],
            "the limit is unknown"
        );
        assert_eq!(
            outcome.failed["open::etxtbsy"],
            "assertion `left == right` failed; left: EIO; right: ETXTBSY"
        );
        let suite = outcome.suite("1", "volfs").to_string();
        assert_eq!(
            suite,
            "pjdfstest 1 on volfs: 1 passed, 1 failed, 1 skipped\n  \
             1 skipped: link::link_count_max: the limit is unknown"
        );
    }

    /// A case that was overlooked, and a suite that broke off, are noticed.
    #[test]
    #[should_panic(expected = "not `Summary: 0 failed, 0 skipped, 1 passed")]
    fn counts_must_agree() {
        parse(&ran(
            "a ok\nSummary: 0 failed, 0 skipped, 2 passed, 0 expected failures, 2 total\n",
        ));
    }
}
