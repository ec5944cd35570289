//! Redis that syncs its append-only file before every answer, and redis-benchmark.

use std::path::Path;

use anyhow::{Context, Result};

use crate::command::{as_database_user, command, give_to_database_user, run as run_command, text};
use crate::fresh::empty_folder;
use crate::outcome::{Latency, Outcome};
use crate::server::Server;

const PROGRAM: &str = "/usr/bin/redis-server";
const CLIENTS: &str = "8";
/// redis-benchmark writes a new number of twelve digits wherever this stands: bytes that were
/// never written before, and that can be compressed to half of it.
const NUMBER: &str = "__rand_int__";
/// About 1 KiB.
const NUMBERS_PER_VALUE: usize = 85;
/// The largest that it takes.
const NUMBERS: &str = "2000000000";

/// `SET` with new keys, on a log that begins empty. The socket lies in `scratch`.
pub(super) fn run(folder: &Path, scratch: &Path, requests: u32) -> Result<Outcome> {
    let data = folder.join("redis");
    empty_folder(&data)?;
    give_to_database_user(&data)?;
    let place = scratch.join("redis");
    give_to_database_user(&place)?;
    let socket = place.join("socket");
    let socket = text(&socket)?;
    let mut arguments = vec!["--port", "0", "--unixsocket", socket, "--dir", text(&data)?];
    arguments.extend(["--appendonly", "yes", "--appendfsync", "always"]);
    // Neither dumps nor a new log beside the one that is measured.
    arguments.extend(["--save", "", "--auto-aof-rewrite-percentage", "0"]);
    let ping = || run_command(&mut command("redis-cli", ["-s", socket, "ping"])).is_ok();
    let log = place.join("log");
    let mut redis = as_database_user(Path::new(PROGRAM));
    redis.args(arguments);
    let server = Server::start("Redis", redis, log, ping)?;
    let mut benchmark = command("redis-benchmark", ["-s", socket, "-c", CLIENTS, "--csv"]);
    benchmark.args(["-n", &requests.to_string(), "-r", NUMBERS]);
    benchmark.args(["SET", &format!("key:{NUMBER}{NUMBER}")]);
    let told = run_command(benchmark.arg(NUMBER.repeat(NUMBERS_PER_VALUE)))?;
    server.stop()?;
    outcome(&told).with_context(|| format!("redis-benchmark tells no figures: {told}"))
}

/// Of a line of names and a line of values, latencies in milliseconds.
fn outcome(told: &str) -> Option<Outcome> {
    let mut lines = told.lines().filter(|line| line.starts_with('"'));
    let cells = |line: &str| -> Vec<String> {
        let cells = line.split(',').map(|cell| cell.trim_matches('"'));
        cells.map(str::to_owned).collect()
    };
    let (names, values) = (cells(lines.next()?), cells(lines.next_back()?));
    let value = |name: &str| {
        let at = names.iter().position(|one| one == name)?;
        values.get(at)?.parse::<f64>().ok()
    };
    let us = |name: &str| value(name).map(|milliseconds| milliseconds * 1000.0);
    let latency = Latency {
        calls: "request",
        p50_us: us("p50_latency_ms"),
        p99_us: us("p99_latency_ms"),
        p999_us: None,
        max_us: us("max_latency_ms"),
    };
    Some(Outcome {
        value: value("rps")?,
        latencies: vec![latency],
        ..Outcome::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures are found by their names, and milliseconds become microseconds.
    #[test]
    fn figures_are_found() {
        let told = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\
                    \"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n\
                    \"SET key:__rand_int__ x\",\"250.5\",\"2.0\",\"1.0\",\"1.5\",\"3.0\",\"4.0\",\
                    \"9.0\"\n";
        let found = outcome(told).unwrap();
        assert_eq!(found.value, 250.5);
        let latency = found.latencies[0];
        assert_eq!(
            (latency.p50_us, latency.max_us),
            (Some(1500.0), Some(9000.0))
        );
    }
}
