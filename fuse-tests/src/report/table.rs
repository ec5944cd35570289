//! The table of docs/conformance.md, from what suites recorded and what cargo printed.

use std::fmt::Write;

use serde_json::Value;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    suite: String,
    version: String,
    on: String,
    passed: u64,
    failed: u64,
    skipped: Vec<(u64, String)>,
}

/// Lines of JSON as `Suite::record` writes them. A suite that was run again counts once, with
/// its last result.
pub fn recorded(text: &str) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> = Vec::new();
    for line in text.lines() {
        let row = from_json(line).ok_or_else(|| format!("not a suite's result: {line}"))?;
        let same = |other: &&mut Row| (&other.suite, &other.on) == (&row.suite, &row.on);
        match rows.iter_mut().find(same) {
            Some(old) => *old = row,
            None => rows.push(row),
        }
    }
    rows.sort_by_key(|row| {
        (
            row.suite.clone(),
            !row.on.starts_with(super::VOLFS),
            row.on.clone(),
        )
    });
    Ok(rows)
}

fn from_json(line: &str) -> Option<Row> {
    let value: Value = serde_json::from_str(line).ok()?;
    let text = |key: &str| Some(value[key].as_str()?.to_owned());
    let skipped = value["skipped"].as_array()?.iter();
    let skipped = skipped.map(|one| {
        let reason = one["reason"].as_str()?.to_owned();
        Some((one["count"].as_u64()?, reason))
    });
    Some(Row {
        suite: text("suite")?,
        version: text("version")?,
        on: text("on")?,
        passed: value["passed"].as_u64()?,
        failed: value["failed"].as_u64()?,
        skipped: skipped.collect::<Option<_>>()?,
    })
}

/// What `cargo test` printed, stdout and stderr together: a line for each test program.
pub fn programs(log: &str, version: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut program = None;
    let mut ignored = Vec::new();
    for line in log.lines() {
        let line = line.trim();
        if let Some(name) = started(line) {
            program = Some(name);
            ignored.clear();
        } else if let Some((_, reason)) = line.split_once(" ... ignored, ") {
            ignored.push((1, reason.to_owned()));
        } else if let (Some(name), Some((passed, failed))) = (&program, counts(line)) {
            rows.push(Row {
                suite: format!("fuse-tests/{name}"),
                version: version.to_owned(),
                on: super::VOLFS.to_owned(),
                passed,
                failed,
                skipped: std::mem::take(&mut ignored),
            });
        }
    }
    // A program with all its tests filtered out has nothing to tell.
    rows.retain(|row| row.passed + row.failed > 0);
    rows
}

/// `Running tests/posix/main.rs (target/debug/deps/posix-0123456789abcdef)`
fn started(line: &str) -> Option<String> {
    let path = line.strip_prefix("Running ")?.split_once('(')?.1;
    let file = path.trim_end_matches(')').rsplit('/').next()?;
    let (name, _hash) = file.rsplit_once('-')?;
    Some(match name {
        "fuse_tests" => "tests of the fixtures".to_owned(),
        name => name.to_owned(),
    })
}

/// `test result: ok. 12 passed; 0 failed; 1 ignored; ...`
fn counts(line: &str) -> Option<(u64, u64)> {
    let words: Vec<&str> = line
        .strip_prefix("test result: ")?
        .split_whitespace()
        .collect();
    let before = |what: &str| {
        let at = words.iter().position(|word| word.starts_with(what))?;
        words[at.checked_sub(1)?].parse().ok()
    };
    Some((before("passed")?, before("failed")?))
}

/// Whether anything failed on volfs; what a control run finds is only told.
pub fn any_failed(rows: &[Row]) -> bool {
    let ours = |row: &Row| row.on.starts_with(super::VOLFS);
    rows.iter().any(|row| row.failed > 0 && ours(row))
}

/// The rows as a table of Markdown.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| suite | version | on | passed | failed | skipped, with the reason for each |\n\
         |---|---|---|---:|---:|---|\n",
    );
    for row in rows {
        let skipped: Vec<String> = row
            .skipped
            .iter()
            .map(|(count, reason)| format!("{count}: {}", cell(reason)))
            .collect();
        let skipped = match skipped.as_slice() {
            [] => "0".to_owned(),
            reasons => reasons.join("<br>"),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {skipped} |",
            cell(&row.suite),
            cell(&row.version),
            cell(&row.on),
            row.passed,
            row.failed
        );
    }
    text
}

/// Text that does not end a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(suite: &str, on: &str, passed: u64, failed: u64) -> String {
        let skipped = serde_json::json!([{ "count": 3, "reason": "no | here" }]);
        let line = serde_json::json!({
            "suite": suite, "version": "1", "on": on, "passed": passed, "failed": failed,
            "skipped": if suite == "a" { skipped } else { serde_json::json!([]) },
        });
        format!("{line}\n")
    }

    const LOG: &str = "\
     Running unittests src/lib.rs (target/debug/deps/fuse_tests-0123456789abcdef)
test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.00s
     Running tests/posix/main.rs (target/debug/deps/posix-0123456789abcdef)
test control ... ignored, needs a control
test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 9.1s
";

    /// A table has a line for each suite and filesystem, with its last result, and for each
    /// program that ran tests.
    #[test]
    fn results_become_a_table() {
        let lines = [
            line("b", "ext4", 2, 7),
            line("b", "volfs", 1, 1),
            line("a", "volfs", 5, 0),
            line("b", "volfs", 2, 0),
        ];
        let mut rows = recorded(&lines.concat()).unwrap();
        assert!(!any_failed(&rows));
        rows.extend(programs(LOG, "0.1.0"));
        assert!(any_failed(&rows));
        let expected = r"
| a | 1 | volfs | 5 | 0 | 3: no \| here |
| b | 1 | volfs | 2 | 0 | 0 |
| b | 1 | ext4 | 2 | 7 | 0 |
| fuse-tests/posix | 0.1.0 | volfs | 12 | 2 | 1: needs a control |
";
        let table = markdown(&rows);
        assert!(table.ends_with(expected), "{table}");
    }

    /// A line that is no result is not passed over.
    #[test]
    fn odd_lines_are_refused() {
        assert!(recorded("{\"suite\":\"a\"}\n").is_err());
    }
}
