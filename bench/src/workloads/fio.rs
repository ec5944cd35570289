//! Jobs of fio.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Figures, Size};
use crate::command::{command, run as run_command, text};

/// What the first figure is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    Mebibytes,
    Calls,
}

/// Runs a job in a folder. Besides what is asked for it tells percentiles in microseconds: of
/// fsync where the job syncs, else of its calls.
pub(super) fn run(folder: &Path, job: &str, size: &Size, seed: u64, unit: Unit) -> Result<Figures> {
    if job.starts_with("wal") {
        // An append starts with an empty file.
        for entry in folder.read_dir()? {
            let path = entry?.path();
            if path
                .file_name()
                .is_some_and(|name| text(Path::new(name)).is_ok_and(is_log))
            {
                std::fs::remove_file(path)?;
            }
        }
    }
    let file = size.jobs.join(format!("{job}.fio"));
    let mut fio = command("fio", ["--output-format=json", text(&file)?]);
    fio.env("FOLDER", folder)
        .env("SIZE", size.file_bytes.to_string())
        .env("SEED", seed.to_string())
        .env("RUNTIME", size.time.as_secs().to_string());
    let told = run_command(&mut fio)?;
    // Warnings come before it.
    let json = told.find('{').map_or("", |start| &told[start..]);
    let told: Value = serde_json::from_str(json).context("fio's JSON")?;
    figures(&told, unit).with_context(|| format!("fio's JSON of {job}"))
}

fn is_log(name: &str) -> bool {
    name.starts_with("wal")
}

fn figures(told: &Value, unit: Unit) -> Option<Figures> {
    let job = told["jobs"].get(0)?;
    let of = |kind: &str| job[kind]["total_ios"].as_u64();
    let side = if of("write")? > of("read")? {
        "write"
    } else {
        "read"
    };
    let side = &job[side];
    let first = match unit {
        Unit::Mebibytes => ("MiB/s", side["bw_bytes"].as_f64()? / f64::from(1 << 20)),
        Unit::Calls => ("IOPS", side["iops"].as_f64()?),
    };
    let mut figures = vec![first];
    let latency = match job["sync"]["lat_ns"].get("percentile") {
        Some(found) => found,
        None => &side["clat_ns"]["percentile"],
    };
    let names = [
        ("p50 us", "50.000000"),
        ("p99 us", "99.000000"),
        ("p99.9 us", "99.900000"),
    ];
    for (name, key) in names {
        if let Some(nanoseconds) = latency[key].as_f64() {
            figures.push((name, nanoseconds / 1000.0));
        }
    }
    Some(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The side that did something counts, and fsync's latencies come before those of calls.
    #[test]
    fn figures_are_found() {
        let told = r#"{"jobs": [{
            "read": {"total_ios": 0},
            "write": {"total_ios": 9, "iops": 12.5, "bw_bytes": 3145728,
                      "clat_ns": {"percentile": {"50.000000": 1000}}},
            "sync": {"lat_ns": {"percentile": {"50.000000": 7000, "99.000000": 9000}}}
        }]}"#;
        let told = serde_json::from_str(told).unwrap();
        let calls = vec![("IOPS", 12.5), ("p50 us", 7.0), ("p99 us", 9.0)];
        assert_eq!(figures(&told, Unit::Calls), Some(calls));
        let bytes = figures(&told, Unit::Mebibytes).unwrap();
        assert_eq!(bytes[0], ("MiB/s", 3.0));
    }
}
