//! Jobs of fio.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Size;
use crate::command::{command, run as run_command, text};
use crate::outcome::{Latency, Outcome};

const MIB: f64 = 1048576.0;

/// What the value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    Mebibytes,
    Calls,
}

/// Runs a job in a folder: its value, and the latencies of its reads, writes and syncs.
pub(super) fn run(
    folder: &Path,
    jobs: &Path,
    job: &str,
    size: &Size,
    seed: u64,
    unit: Unit,
) -> Result<Outcome> {
    if let Some(start) = appended(job) {
        remove(folder, start)?;
    }
    let file = jobs.join(format!("{job}.fio"));
    let mut fio = command("fio", ["--output-format=json", text(&file)?]);
    fio.env("FOLDER", folder)
        .env("SIZE", size.file_bytes.to_string())
        .env("STREAM", size.stream_bytes.to_string())
        .env("SEED", seed.to_string())
        .env("RUNTIME", size.time.as_secs().to_string());
    let told = run_command(&mut fio)?;
    // Warnings come before it.
    let json = told.find('{').map_or("", |start| &told[start..]);
    let told: Value = serde_json::from_str(json).context("fio's JSON")?;
    outcome(&told, job, unit).with_context(|| format!("fio's JSON of {job}"))
}

/// How the names of files begin that a job appends to: it starts with none.
fn appended(job: &str) -> Option<&'static str> {
    match job {
        "wal" | "wal-four" => Some("wal"),
        "commit-beside-stream" => Some("beside."),
        _ => None,
    }
}

fn remove(folder: &Path, start: &str) -> Result<()> {
    for entry in folder.read_dir()? {
        let entry = entry?;
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(start.as_bytes())
        {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Of the job of that name; what others in the same file write is told beside it.
fn outcome(told: &Value, name: &str, unit: Unit) -> Option<Outcome> {
    let (named, others): (Vec<&Value>, Vec<&Value>) = told["jobs"]
        .as_array()?
        .iter()
        .partition(|job| job["jobname"] == name);
    let job = named.first()?;
    let sum = |key: &str| Some(job["read"][key].as_f64()? + job["write"][key].as_f64()?);
    let rate = |job: &&Value| Some(job["write"]["bw_bytes"].as_f64()? / MIB);
    let calls = [
        ("read", &job["read"], "clat_ns"),
        ("write", &job["write"], "clat_ns"),
        ("sync", &job["sync"], "lat_ns"),
    ];
    let latencies = calls
        .into_iter()
        .filter_map(|(calls, side, key)| latency(calls, &side[key]));
    Some(Outcome {
        value: match unit {
            Unit::Mebibytes => sum("bw_bytes")? / MIB,
            Unit::Calls => sum("iops")?,
        },
        others: others
            .iter()
            .filter_map(|job| Some(("MiB/s beside", rate(job)?)))
            .collect(),
        latencies: latencies.collect(),
        ..Outcome::default()
    })
}

/// Nothing of calls that were not made.
fn latency(calls: &'static str, told: &Value) -> Option<Latency> {
    let us = |value: &Value| value.as_f64().map(|nanoseconds| nanoseconds / 1000.0);
    let max_us = us(&told["max"]);
    // Percentiles are those of ranges: the range of the longest call ends behind it.
    let percentile = |key: &str| {
        let found = us(&told["percentile"][key])?;
        Some(found.min(max_us.unwrap_or(found)))
    };
    let has_any = told["N"].as_u64()? > 0;
    has_any.then_some(Latency {
        calls,
        p50_us: percentile("50.000000"),
        p99_us: percentile("99.000000"),
        p999_us: percentile("99.900000"),
        max_us,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads and writes count together, each kind of call that was made has its latencies, and a
    /// job beside it its rate.
    #[test]
    fn figures_are_found() {
        let told = r#"{"jobs": [
            {"jobname": "stream", "write": {"bw_bytes": 1048576}},
            {"jobname": "wal",
             "read": {"iops": 0, "bw_bytes": 0, "clat_ns": {"N": 0}},
             "write": {"iops": 12.5, "bw_bytes": 3145728,
                       "clat_ns": {"N": 9, "max": 3000, "percentile": {"50.000000": 1000}}},
             "sync": {"lat_ns": {"N": 9, "max": 9500,
                      "percentile": {"50.000000": 7000, "99.900000": 9600}}}}
        ]}"#;
        let told = serde_json::from_str(told).unwrap();
        let found = outcome(&told, "wal", Unit::Calls).unwrap();
        assert_eq!(found.value, 12.5);
        assert_eq!(found.others, [("MiB/s beside", 1.0)]);
        let [write, sync] = found.latencies[..] else {
            panic!("{found:?}");
        };
        assert_eq!(
            (write.calls, write.p50_us, write.p99_us),
            ("write", Some(1.0), None)
        );
        let times = (sync.p50_us, sync.p999_us, sync.max_us);
        assert_eq!(times, (Some(7.0), Some(9.5), Some(9.5)));
        let bytes = outcome(&told, "wal", Unit::Mebibytes).unwrap();
        assert_eq!(bytes.value, 3.0);
    }
}
