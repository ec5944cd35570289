//! What has changed between two looks, per second.

use serde::Serialize;

use super::{facts, latencies, share};
use crate::base::{Clock, SystemClock};
use crate::cli::output::{self, human_bytes};
use crate::daemon::{PoolStats, RequestStats, StatsReport};

/// What has changed. Sizes in bytes, times in nanoseconds, all rates per second. The names in JSON
/// stay as they are.
#[derive(Serialize)]
pub(super) struct Change {
    /// `pgdata` or `pgdata@before`.
    source: String,
    /// RFC 3339: when this was.
    at: String,
    /// How long it took.
    seconds: f64,
    requests_per_second: f64,
    errors_per_second: f64,
    read_bytes_per_second: f64,
    written_bytes_per_second: f64,
    /// What there is of them now.
    dirty_bytes: u64,
    /// Kinds that have come meanwhile.
    requests: Vec<RequestChange>,
    pool: PoolChange,
}

/// Requests of one kind, and how long those took that were answered meanwhile.
#[derive(Serialize)]
struct RequestChange {
    request: String,
    per_second: f64,
    errors_per_second: f64,
    bytes_per_second: f64,
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    max_ns: u64,
    #[serde(skip)]
    latencies: [String; 4],
}

/// The pool's work; what it has, is what it has now.
#[derive(Serialize)]
struct PoolChange {
    dirty_bytes: u64,
    journal_bytes: u64,
    journal_capacity: u64,
    journal_appended_per_second: f64,
    journal_syncs_per_second: f64,
    sealed_bytes_per_second: f64,
    dedup_bytes_per_second: f64,
    new_bytes_per_second: f64,
    new_frame_bytes_per_second: f64,
    block_cache_hits_per_second: f64,
    block_cache_misses_per_second: f64,
    node_cache_hits_per_second: f64,
    node_cache_misses_per_second: f64,
    segment_bytes: u64,
    free_bytes: u64,
    /// In this time.
    checkpoints: u64,
    moved_bytes_per_second: f64,
    freed_bytes_per_second: f64,
    /// Those that have come meanwhile.
    operations: Vec<RequestChange>,
}

/// Makes rates of what was counted in so many seconds.
#[derive(Clone, Copy)]
struct Rates {
    seconds: f64,
}

impl Rates {
    fn of(self, before: u64, now: u64) -> f64 {
        now.saturating_sub(before) as f64 / self.seconds
    }
}

impl Change {
    /// None where these are not of one mount and one daemon: what was counted has begun again.
    pub(super) fn between(before: &StatsReport, now: &StatsReport) -> Option<Change> {
        let is_same = before.mounted_at == now.mounted_at
            && before.pool.opened_at == now.pool.opened_at
            && before.mounted_ms < now.mounted_ms;
        if !is_same {
            return None;
        }
        let seconds = (now.mounted_ms - before.mounted_ms) as f64 / 1000.0;
        let rates = Rates { seconds };
        Some(Change {
            source: now.source.clone(),
            at: SystemClock::new().now().to_string(),
            seconds,
            requests_per_second: rates.of(before.count, now.count),
            errors_per_second: rates.of(before.errors, now.errors),
            read_bytes_per_second: rates.of(before.read_bytes, now.read_bytes),
            written_bytes_per_second: rates.of(before.written_bytes, now.written_bytes),
            dirty_bytes: now.dirty_bytes,
            requests: changed(&before.requests, &now.requests, rates),
            pool: PoolChange::between(&before.pool, &now.pool, rates),
        })
    }

    /// For people: a line, the requests, and the pool.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{} {}: {} requests/s, {} errors/s, {} read, {} written, {} dirty\n",
            self.at,
            self.source,
            human_rate(self.requests_per_second),
            human_rate(self.errors_per_second),
            human_bytes_rate(self.read_bytes_per_second),
            human_bytes_rate(self.written_bytes_per_second),
            human_bytes(self.dirty_bytes),
        );
        if !self.requests.is_empty() {
            let headers = [
                "REQUEST", "COUNT/S", "ERRORS/S", "BYTES/S", "P50", "P99", "P99.9", "MAX",
            ];
            let rows: Vec<Vec<String>> = self.requests.iter().map(RequestChange::row).collect();
            text.push_str(&output::table(&headers, &rows));
        }
        text.push_str(&self.pool.text());
        if !self.pool.operations.is_empty() {
            let headers = [
                "OPERATION",
                "COUNT/S",
                "ERRORS/S",
                "P50",
                "P99",
                "P99.9",
                "MAX",
            ];
            let operations = self.pool.operations.iter();
            let rows: Vec<Vec<String>> = operations.map(RequestChange::operation_row).collect();
            text.push_str(&output::table(&headers, &rows));
        }
        text.push('\n');
        text
    }
}

/// Of those that have come meanwhile.
fn changed(before: &[RequestStats], now: &[RequestStats], rates: Rates) -> Vec<RequestChange> {
    let since = |one: &RequestStats| {
        let earlier = before.iter().find(|earlier| earlier.request == one.request);
        earlier.map_or_else(|| one.clone(), |earlier| one.since(earlier))
    };
    let changed = now.iter().map(since).filter(|one| one.count > 0);
    changed.map(|one| RequestChange::of(&one, rates)).collect()
}

impl RequestChange {
    fn of(one: &RequestStats, rates: Rates) -> RequestChange {
        RequestChange {
            request: one.request.clone(),
            per_second: rates.of(0, one.count),
            errors_per_second: rates.of(0, one.errors),
            bytes_per_second: rates.of(0, one.bytes),
            p50_ns: one.p50_ns,
            p99_ns: one.p99_ns,
            p999_ns: one.p999_ns,
            max_ns: one.max_ns,
            latencies: latencies(one),
        }
    }

    fn row(&self) -> Vec<String> {
        let bytes = match self.bytes_per_second {
            0.0 => "-".to_owned(),
            rate => human_bytes_rate(rate),
        };
        let mut row = vec![
            self.request.clone(),
            human_rate(self.per_second),
            human_rate(self.errors_per_second),
            bytes,
        ];
        row.extend(self.latencies.clone());
        row
    }

    /// As [`RequestChange::row`], of what moves no bytes.
    fn operation_row(&self) -> Vec<String> {
        let mut row = self.row();
        row.remove(3);
        row
    }
}

impl PoolChange {
    fn between(before: &PoolStats, now: &PoolStats, rates: Rates) -> PoolChange {
        let (collected, earlier) = (&now.collected, &before.collected);
        PoolChange {
            dirty_bytes: now.dirty_bytes,
            journal_bytes: now.journal_bytes,
            journal_capacity: now.journal_capacity,
            journal_appended_per_second: rates.of(before.journal_appended, now.journal_appended),
            journal_syncs_per_second: rates.of(before.journal_syncs, now.journal_syncs),
            sealed_bytes_per_second: rates.of(before.sealed_bytes, now.sealed_bytes),
            dedup_bytes_per_second: rates.of(before.dedup_bytes, now.dedup_bytes),
            new_bytes_per_second: rates.of(before.new_bytes, now.new_bytes),
            new_frame_bytes_per_second: rates.of(before.new_frame_bytes, now.new_frame_bytes),
            block_cache_hits_per_second: rates.of(before.block_cache_hits, now.block_cache_hits),
            block_cache_misses_per_second: rates
                .of(before.block_cache_misses, now.block_cache_misses),
            node_cache_hits_per_second: rates.of(before.node_cache_hits, now.node_cache_hits),
            node_cache_misses_per_second: rates.of(before.node_cache_misses, now.node_cache_misses),
            segment_bytes: now.segment_bytes,
            free_bytes: now.free_bytes,
            checkpoints: now.checkpoints.saturating_sub(before.checkpoints),
            moved_bytes_per_second: rates.of(earlier.moved_bytes, collected.moved_bytes),
            freed_bytes_per_second: rates.of(earlier.freed_bytes, collected.freed_bytes),
            operations: changed(&before.operations, &now.operations, rates),
        }
    }

    fn text(&self) -> String {
        facts(&[
            (
                "pool",
                format!(
                    "{} dirty, journal {} of {}, {} checkpoints, {} free",
                    human_bytes(self.dirty_bytes),
                    human_bytes(self.journal_bytes),
                    human_bytes(self.journal_capacity),
                    self.checkpoints,
                    human_bytes(self.free_bytes)
                ),
            ),
            (
                "journal",
                format!(
                    "{} appended, {} syncs/s",
                    human_bytes_rate(self.journal_appended_per_second),
                    human_rate(self.journal_syncs_per_second)
                ),
            ),
            (
                "blocks",
                format!(
                    "{} sealed, {} of it found stored already",
                    human_bytes_rate(self.sealed_bytes_per_second),
                    human_bytes_rate(self.dedup_bytes_per_second)
                ),
            ),
            (
                "newly stored",
                format!(
                    "{} as {}{}",
                    human_bytes_rate(self.new_bytes_per_second),
                    human_bytes_rate(self.new_frame_bytes_per_second),
                    share(self.new_frame_bytes_per_second, self.new_bytes_per_second)
                ),
            ),
            (
                "block cache",
                cache(
                    self.block_cache_hits_per_second,
                    self.block_cache_misses_per_second,
                ),
            ),
            (
                "node cache",
                cache(
                    self.node_cache_hits_per_second,
                    self.node_cache_misses_per_second,
                ),
            ),
            (
                "garbage",
                format!(
                    "{} moved, {} given back",
                    human_bytes_rate(self.moved_bytes_per_second),
                    human_bytes_rate(self.freed_bytes_per_second)
                ),
            ),
        ])
    }
}

fn cache(hits: f64, misses: f64) -> String {
    let asked = hits + misses;
    format!(
        "{} of {} look-ups/s hit{}",
        human_rate(hits),
        human_rate(asked),
        share(hits, asked)
    )
}

/// What is rare still shows.
fn human_rate(rate: f64) -> String {
    match rate {
        0.0 => "0".to_owned(),
        rate if rate < 10.0 => format!("{rate:.1}"),
        rate => format!("{rate:.0}"),
    }
}

fn human_bytes_rate(rate: f64) -> String {
    format!("{}/s", human_bytes(rate.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{report, requests};
    use super::*;

    /// Two looks, two seconds apart, between which something was asked.
    fn looks() -> (StatsReport, StatsReport) {
        let before = report(vec![requests("fsync", 0, &[1000])]);
        let fsync = requests("fsync", 0, &[1000, 5_000_000, 5_000_000, 5_000_000]);
        let write = requests("write", 8192, &[2000]);
        let mut now = report(vec![fsync, write]);
        now.mounted_ms += 2000;
        now.dirty_bytes = 2048;
        now.pool.journal_syncs += 6;
        now.pool.new_bytes += 8192;
        now.pool.new_frame_bytes += 2048;
        now.pool.node_cache_hits += 30;
        now.pool.node_cache_misses += 10;
        now.pool.checkpoints += 1;
        now.pool.collected.freed_bytes += 4096;
        now.pool.operations.push(requests("clone", 0, &[7_000_000]));
        (before, now)
    }

    /// Rates are per second, and latencies those of the requests that came meanwhile.
    #[test]
    fn rates_are_per_second() {
        let (before, now) = looks();
        let change = Change::between(&before, &now).unwrap();
        let json = serde_json::to_value(&change).unwrap();
        assert_eq!(json["seconds"], 2.0);
        assert_eq!(json["requests_per_second"], 2.0);
        assert_eq!(json["written_bytes_per_second"], 4096.0);
        let fsync = &json["requests"][0];
        assert_eq!(
            (&fsync["request"], &fsync["per_second"]),
            (&"fsync".into(), &1.5.into())
        );
        assert_eq!(fsync["p50_ns"], 5_000_000);
        assert_eq!(json["requests"][1]["errors_per_second"], 0.5);
        assert_eq!(json["pool"]["journal_syncs_per_second"], 3.0);
        assert_eq!(json["pool"]["checkpoints"], 1);
        assert_eq!(json["pool"]["freed_bytes_per_second"], 2048.0);
        assert_eq!(json["pool"]["operations"][0]["per_second"], 0.5);
        assert_eq!(json["pool"]["operations"][0]["max_ns"], 7_000_000);
        assert_eq!(json["pool"]["dirty_bytes"], 4096);
        assert_eq!(json["dirty_bytes"], 2048);
        assert_eq!(json["pool"]["new_frame_bytes_per_second"], 1024.0);
        assert_eq!(json["pool"]["node_cache_hits_per_second"], 15.0);
        assert_eq!(json["pool"]["block_cache_misses_per_second"], 0.0);
    }

    /// A change is a line, a table and the pool; where nothing was asked there is no table.
    #[test]
    fn a_change_is_readable() {
        let (before, now) = looks();
        let mut change = Change::between(&before, &now).unwrap();
        change.at = "2026-11-22T12:15:02Z".to_owned();
        assert_eq!(
            change.text(),
            "2026-11-22T12:15:02Z db: 2.0 requests/s, 0.5 errors/s, 0 B/s read, 4.0 KiB/s written, \
             2.0 KiB dirty\n\
             REQUEST   COUNT/S   ERRORS/S   BYTES/S     P50      P99      P99.9    MAX\n\
             fsync     1.5       0          -           5.0 ms   5.0 ms   5.0 ms   5.0 ms\n\
             write     0.5       0.5        4.0 KiB/s   2.0 us   2.0 us   2.0 us   2.0 us\n\
             pool:                  4.0 KiB dirty, journal 1.0 MiB of 64.0 MiB, 1 checkpoints, \
             1.0 TiB free\n\
             journal:               0 B/s appended, 3.0 syncs/s\n\
             blocks:                0 B/s sealed, 0 B/s of it found stored already\n\
             newly stored:          4.0 KiB/s as 1.0 KiB/s (25.0 %)\n\
             block cache:           0 of 0 look-ups/s hit\n\
             node cache:            15 of 20 look-ups/s hit (75.0 %)\n\
             garbage:               0 B/s moved, 2.0 KiB/s given back\n\
             OPERATION   COUNT/S   ERRORS/S   P50      P99      P99.9    MAX\n\
             clone       0.5       0.5        7.0 ms   7.0 ms   7.0 ms   7.0 ms\n\n"
        );
        let mut later = now.clone();
        later.mounted_ms += 1000;
        let quiet = Change::between(&now, &later).unwrap().text();
        assert!(
            quiet.contains(" 0 requests/s") && !quiet.contains("REQUEST"),
            "{quiet}"
        );
    }

    /// Counts of another mount, or of another daemon, are not compared.
    #[test]
    fn another_mount_is_not_compared() {
        let (before, now) = looks();
        let changes: [fn(&mut StatsReport); 3] = [
            |now| now.mounted_at = "2026-11-22T12:00:00Z".to_owned(),
            |now| now.pool.opened_at = "2026-11-22T12:00:00Z".to_owned(),
            |now| now.mounted_ms = 5,
        ];
        for change in changes {
            let mut other = now.clone();
            change(&mut other);
            assert!(Change::between(&before, &other).is_none());
        }
    }
}
