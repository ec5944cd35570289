//! What a suite of tests found, told in one form, so that `scripts/conformance.sh` can put all of
//! them into the table of docs/conformance.md.
//!
//! A test that runs a suite of somebody else's (pjdfstest, Postgres' regression tests), or many
//! cases of our own in one test, counts what happened and calls [`Suite::record`] before it
//! asserts:
//!
//! ```no_run
//! use fuse_tests::report::Suite;
//!
//! Suite::new("pjdfstest", "0.2.2")
//!     .passed(1200)
//!     .failed(0)
//!     .skipped(2, "file flags: FreeBSD only")
//!     .record();
//! ```
//!
//! Tests that record nothing need nothing: the table has a line for each test program, with how
//! many of its tests passed.

pub mod table;

use std::env;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::thread;

use serde_json::json;

/// Names the file that [`Suite::record`] appends to.
pub const VARIABLE: &str = "VOLFS_CONFORMANCE";
/// What a suite runs on unless it says otherwise.
pub const VOLFS: &str = "volfs";

/// The result of one run of a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    name: String,
    version: String,
    on: String,
    passed: u64,
    failed: u64,
    skipped: Vec<(u64, String)>,
}

impl Suite {
    /// A suite by name and version, nothing counted yet. A name tells runs apart that differ in
    /// how they were made: "fsx, 4 KiB blocks".
    pub fn new(name: &str, version: &str) -> Suite {
        Suite {
            name: name.to_owned(),
            version: version.to_owned(),
            on: VOLFS.to_owned(),
            passed: 0,
            failed: 0,
            skipped: Vec::new(),
        }
    }

    /// For a control run: on another filesystem, such as `ext4`.
    pub fn on(mut self, filesystem: &str) -> Suite {
        self.on = filesystem.to_owned();
        self
    }

    /// So many cases passed, besides those told before.
    pub fn passed(mut self, count: u64) -> Suite {
        self.passed += count;
        self
    }

    /// So many cases failed, besides those told before.
    pub fn failed(mut self, count: u64) -> Suite {
        self.failed += count;
        self
    }

    /// So many cases were not run, and why. Equal reasons become one.
    pub fn skipped(mut self, count: u64, reason: &str) -> Suite {
        match self.skipped.iter_mut().find(|(_, known)| known == reason) {
            Some((sum, _)) => *sum += count,
            None if count > 0 => self.skipped.push((count, reason.to_owned())),
            None => {}
        }
        self
    }

    /// Prints the result, and appends it as a line of JSON to the file that [`VARIABLE`] names.
    ///
    /// It asserts nothing: a test that allows no failure says so itself, afterwards.
    #[track_caller]
    pub fn record(&self) {
        println!("{self}");
        if let Some(path) = env::var_os(VARIABLE) {
            self.append(Path::new(&path));
        }
    }

    /// One line in one write, so that tests that run at the same time do not mix theirs.
    #[track_caller]
    fn append(&self, path: &Path) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .unwrap_or_else(|error| panic!("{VARIABLE}: {}: {error}", path.display()));
        let line = format!("{}\n", self.to_json());
        file.write_all(line.as_bytes()).expect("the report is ours");
    }

    fn to_json(&self) -> serde_json::Value {
        let skipped = self.skipped.iter();
        let skipped = skipped.map(|(count, reason)| json!({ "count": count, "reason": reason }));
        json!({
            "suite": self.name,
            "version": self.version,
            "on": self.on,
            "passed": self.passed,
            "failed": self.failed,
            "skipped": skipped.collect::<Vec<_>>(),
            "program": program(),
            "test": thread::current().name(),
        })
    }
}

impl std::fmt::Display for Suite {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let skipped: u64 = self.skipped.iter().map(|(count, _)| count).sum();
        write!(
            out,
            "{} {} on {}: {} passed, {} failed, {skipped} skipped",
            self.name, self.version, self.on, self.passed, self.failed
        )?;
        for (count, reason) in &self.skipped {
            write!(out, "\n  {count} skipped: {reason}")?;
        }
        Ok(())
    }
}

/// The name of this test program, without the hash that cargo appends.
fn program() -> Option<String> {
    let path = env::current_exe().ok()?;
    let name = path.file_name()?.to_str()?;
    let name = name.rsplit_once('-').map_or(name, |(name, _)| name);
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Each result is one line of JSON with all that was counted, behind those from before.
    #[test]
    fn results_are_lines_of_json() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results");
        let suite = Suite::new("suite", "1.2")
            .passed(3)
            .skipped(1, "no flags")
            .skipped(0, "never")
            .skipped(2, "no flags");
        suite.append(&path);
        suite.on("ext4").failed(1).append(&path);

        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            (&lines[0]["on"], &lines[0]["passed"], &lines[0]["failed"]),
            (&json!("volfs"), &json!(3), &json!(0))
        );
        assert_eq!(
            lines[0]["skipped"],
            json!([{ "count": 3, "reason": "no flags" }])
        );
        assert_eq!(lines[0]["program"], json!("fuse_tests"));
        assert_eq!(
            (&lines[1]["on"], &lines[1]["failed"]),
            (&json!("ext4"), &json!(1))
        );
    }
}
