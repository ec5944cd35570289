//! `volfs stats`.

mod change;

use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::exit::{Failure, Outcome};
use crate::cli::interrupt::Interrupt;
use crate::cli::output::{self, Format, human_age, human_bytes};
use crate::cli::{Context, args, exit, names};
use crate::daemon::{
    By, Kind, PoolStats, RequestStats, ServiceError, Source, StatsReport, VolumeStats,
};
use change::Change;

const AFTER_HELP: &str = "\
Requests are those that reach the daemon: what the kernel answers from its page cache is in none of
these numbers. They are counted since the volume was mounted; the time is from a request's arrival
in the daemon until its answer, quantiles up to a quarter too high. An answer that there is no such
name, attribute or data is no error. The pool's numbers are those of all its volumes, since its
daemon has started.

Dirty are changed bytes in memory that wait for a checkpoint: those of the volume, and further down
those of the pool. Newly stored is content that was not there before, and the bytes of the frames
that it was compressed to. Operations are what commands have asked of the daemon, without the
commands' own time. docs/operations.md says what to make of each number.

--watch goes on until Ctrl-C, which ends it with exit code 0. As JSON it prints one object a line.
Exits with 5 when the volume is not mounted, and when it is unmounted meanwhile; with 7 when its
daemon ends meanwhile.

Examples:
  volfs stats pgdata
  volfs stats --watch pgdata
  volfs stats --watch=10 --format json pgdata | jq .requests_per_second";

/// Show what is asked of a mounted volume, how long the answers take, and what its pool does
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// A mounted volume or snapshot
    #[arg(value_name = "VOLUME[@SNAPSHOT]", value_parser = names::source)]
    source: Source,

    /// Print the change per second, each second or as many seconds
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = args::interval,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1"
    )]
    watch: Option<Duration>,

    /// How to print it
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    format: Format,
}

impl Args {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context) -> Outcome {
        let call = VolumeStats {
            volume: self.source.volume.clone(),
            snapshot: self.source.snapshot.clone(),
        };
        let report = context.access.call(By::Anyone, &call)?;
        if let Some(interval) = self.watch {
            return self.watch(context, &call, report, interval);
        }
        match self.format {
            Format::Json => output::json(&without_latencies(report))?,
            Format::Table => output::text(&text(&report))?,
        }
        Ok(())
    }

    fn watch(
        &self,
        context: &mut Context,
        call: &VolumeStats,
        mut before: StatsReport,
        interval: Duration,
    ) -> Outcome {
        let interrupt = Interrupt::new()?;
        while !interrupt.comes_within(interval) {
            // Not in this process: a pool is not opened to be watched.
            let asked = context.access.call(By::RunningDaemon, call);
            let now = asked.map_err(|error| ended(&self.source, error))?;
            match Change::between(&before, &now) {
                Some(change) => match self.format {
                    Format::Json => output::json_line(&change)?,
                    Format::Table => output::text(&change.text())?,
                },
                None => exit::warn(&[format!(
                    "'{}' was mounted anew: its counts begin again",
                    self.source
                )]),
            }
            before = now;
        }
        Ok(())
    }
}

/// Why there is nothing to watch any more.
fn ended(source: &Source, mut error: ServiceError) -> Failure {
    let what = match error.kind {
        Kind::NotFound => format!("'{source}' was unmounted while it was watched"),
        Kind::Unreachable | Kind::Stopping => {
            format!("the mount of '{source}' and its daemon ended while it was watched")
        }
        _ => return error.into(),
    };
    error.message = format!("{what}: {}", error.message);
    error.into()
}

/// Quantiles say enough.
fn without_latencies(mut report: StatsReport) -> StatsReport {
    let operations = report.pool.operations.iter_mut();
    for request in report.requests.iter_mut().chain(operations) {
        request.latencies = Default::default();
    }
    report
}

fn text(report: &StatsReport) -> String {
    let paths = report.paths.iter().map(|path| path.display().to_string());
    let paths: Vec<String> = paths.collect();
    let place = match paths.is_empty() {
        true => "detached, but in use".to_owned(),
        false => format!("on {}", paths.join(", ")),
    };
    let (at, age) = (&report.mounted_at, human_age(report.mounted_ms / 1000));
    let mut text = facts(&[
        ("volume", format!("{} {place}", report.source)),
        ("counted since", format!("it was mounted, {at} ({age})")),
        (
            "requests",
            format!("{}, {} of them errors", report.count, report.errors),
        ),
        ("read", human_bytes(report.read_bytes)),
        ("written", human_bytes(report.written_bytes)),
        ("dirty", human_bytes(report.dirty_bytes)),
    ]);
    if !report.requests.is_empty() {
        let headers = [
            "REQUEST", "COUNT", "ERRORS", "BYTES", "P50", "P99", "P99.9", "MAX",
        ];
        let rows: Vec<Vec<String>> = report.requests.iter().map(row).collect();
        text.push('\n');
        text.push_str(&output::table(&headers, &rows));
    }
    text.push('\n');
    text.push_str(&pool_text(&report.pool));
    if !report.pool.operations.is_empty() {
        let headers = ["OPERATION", "COUNT", "ERRORS", "P50", "P99", "P99.9", "MAX"];
        let rows: Vec<Vec<String>> = report.pool.operations.iter().map(operation_row).collect();
        text.push('\n');
        text.push_str(&output::table(&headers, &rows));
    }
    text
}

fn row(one: &RequestStats) -> Vec<String> {
    let mut row = vec![
        one.request.clone(),
        one.count.to_string(),
        one.errors.to_string(),
        bytes_or_none(one.bytes),
    ];
    row.extend(latencies(one));
    row
}

fn operation_row(one: &RequestStats) -> Vec<String> {
    let mut row = vec![
        one.request.clone(),
        one.count.to_string(),
        one.errors.to_string(),
    ];
    row.extend(latencies(one));
    row
}

/// Most kinds of requests move none.
fn bytes_or_none(bytes: u64) -> String {
    match bytes {
        0 => "-".to_owned(),
        bytes => human_bytes(bytes),
    }
}

fn latencies(one: &RequestStats) -> [String; 4] {
    [one.p50_ns, one.p99_ns, one.p999_ns, one.max_ns].map(human_time)
}

fn pool_text(pool: &PoolStats) -> String {
    let journal = (
        human_bytes(pool.journal_bytes),
        human_bytes(pool.journal_capacity),
    );
    let segments = human_bytes(pool.segment_bytes);
    let blocks = |bytes, count| format!("{} in {count} blocks", human_bytes(bytes));
    let collected = &pool.collected;
    facts(&[
        (
            "pool, counted since",
            format!("{}, when it was opened", pool.opened_at),
        ),
        ("dirty", human_bytes(pool.dirty_bytes)),
        ("journal", format!("{} of {}", journal.0, journal.1)),
        ("journal syncs", pool.journal_syncs.to_string()),
        ("sealed", blocks(pool.sealed_bytes, pool.blocks_sealed)),
        (
            "found stored already",
            blocks(pool.dedup_bytes, pool.dedup_hits),
        ),
        ("newly stored", newly_stored(pool)),
        ("segments", format!("{segments} in {}", pool.segments)),
        (
            "block cache",
            cache(
                pool.block_cache_bytes,
                pool.block_cache_hits,
                pool.block_cache_misses,
            ),
        ),
        (
            "node cache",
            cache(
                pool.node_cache_bytes,
                pool.node_cache_hits,
                pool.node_cache_misses,
            ),
        ),
        ("checkpoints", pool.checkpoints.to_string()),
        (
            "garbage collected",
            format!(
                "{} given back, {} segments deleted, {} moved",
                human_bytes(collected.freed_bytes),
                collected.removed_segments,
                human_bytes(collected.moved_bytes)
            ),
        ),
        ("free", human_bytes(pool.free_bytes)),
    ])
}

/// How far it was compressed: frames have headers, so more than all is possible.
fn newly_stored(pool: &PoolStats) -> String {
    format!(
        "{} as {}{}",
        human_bytes(pool.new_bytes),
        human_bytes(pool.new_frame_bytes),
        share(pool.new_frame_bytes as f64, pool.new_bytes as f64)
    )
}

fn cache(bytes: u64, hits: u64, misses: u64) -> String {
    let asked = hits + misses;
    format!(
        "{}, {hits} of {asked} look-ups hit{}",
        human_bytes(bytes),
        share(hits as f64, asked as f64)
    )
}

/// ` (45.6 %)`; nothing of nothing.
fn share(part: f64, whole: f64) -> String {
    match whole > 0.0 {
        true => format!(" ({:.1} %)", part / whole * 100.0),
        false => String::new(),
    }
}

fn facts(facts: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (what, value) in facts {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<23}{value}", format!("{what}:"));
    }
    text
}

/// A short time for people: `870 ns`, `12.3 us`, `4.5 ms`, `1.2 s`.
fn human_time(nanos: u64) -> String {
    const UNITS: [&str; 3] = ["us", "ms", "s"];
    if nanos < 1000 {
        return format!("{nanos} ns");
    }
    let mut time = nanos as f64 / 1000.0;
    let mut unit = 0;
    // What would print as 1000.0 is 1.0 of the next unit.
    while time >= 999.95 && unit + 1 < UNITS.len() {
        time /= 1000.0;
        unit += 1;
    }
    format!("{time:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::base::histogram::AtomicHistogram;
    use crate::pool::Collected;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parsed(words: &[&str]) -> Option<Args> {
        let line = Line::try_parse_from([&["stats"], words].concat());
        line.ok().map(|line| line.args)
    }

    pub(super) fn requests(name: &str, bytes: u64, latencies: &[u64]) -> RequestStats {
        let counting = AtomicHistogram::new();
        latencies.iter().for_each(|nanos| counting.record(*nanos));
        RequestStats::new(name.to_owned(), (1, bytes), counting.counted())
    }

    pub(super) fn report(requests: Vec<RequestStats>) -> StatsReport {
        StatsReport {
            source: "db".into(),
            paths: vec!["/mnt/db".into(), "/srv/db".into()],
            mounted_at: "2026-11-22T10:15:00Z".into(),
            mounted_ms: 7_200_500,
            count: requests.iter().map(|one| one.count).sum(),
            errors: requests.iter().map(|one| one.errors).sum(),
            read_bytes: 0,
            written_bytes: requests.iter().map(|one| one.bytes).sum(),
            dirty_bytes: 1024,
            requests,
            pool: PoolStats {
                opened_at: "2026-11-22T10:14:59Z".into(),
                dirty_bytes: 4096,
                journal_bytes: 1 << 20,
                journal_capacity: 64 << 20,
                journal_appended: 2 << 20,
                journal_syncs: 12,
                blocks_sealed: 5,
                sealed_bytes: 40 << 10,
                dedup_hits: 2,
                dedup_bytes: 16 << 10,
                new_bytes: 24 << 10,
                new_frame_bytes: 15 << 10,
                segment_bytes: 3 << 30,
                segments: 50,
                block_cache_bytes: 1 << 20,
                block_cache_hits: 0,
                block_cache_misses: 0,
                node_cache_bytes: 2 << 20,
                node_cache_hits: 30,
                node_cache_misses: 10,
                checkpoints: 3,
                collected: Collected {
                    moved_bytes: 1 << 20,
                    removed_segments: 4,
                    freed_bytes: 2 << 20,
                },
                free_bytes: 1 << 40,
                operations: Vec::new(),
            },
        }
    }

    /// Watching takes seconds behind an equals sign, so that a name behind it stays a name.
    #[test]
    fn intervals_are_optional() {
        assert_eq!(parsed(&["db"]).unwrap().watch, None);
        let watched = parsed(&["--watch", "db"]).unwrap();
        assert_eq!(watched.watch, Some(Duration::from_secs(1)));
        assert_eq!(watched.source.to_string(), "db");
        let watched = parsed(&["--watch=2.5", "db@v1", "--format", "json"]).unwrap();
        assert_eq!(watched.watch, Some(Duration::from_millis(2500)));
        assert_eq!(watched.source.to_string(), "db@v1");
        for bad in [
            &["--watch=0", "db"][..],
            &["--watch=x", "db"],
            &[],
            &["a/b"],
        ] {
            assert!(parsed(bad).is_none(), "{bad:?} was accepted");
        }
    }

    /// A report tells since when it counts, and its columns are aligned.
    #[test]
    fn a_report_is_readable() {
        let fsync = requests("fsync", 0, &[900, 64_000_000]);
        let write = requests("write", 8192, &[8_200]);
        let mut report = report(vec![write, fsync]);
        report.pool.operations = vec![requests("snapshot create", 0, &[7_000_000])];
        assert_eq!(
            text(&report),
            "volume:                db on /mnt/db, /srv/db\n\
             counted since:         it was mounted, 2026-11-22T10:15:00Z (2 h)\n\
             requests:              3, 2 of them errors\n\
             read:                  0 B\n\
             written:               8.0 KiB\n\
             dirty:                 1.0 KiB\n\
             \n\
             REQUEST   COUNT   ERRORS   BYTES     P50      P99       P99.9     MAX\n\
             write     1       1        8.0 KiB   8.2 us   8.2 us    8.2 us    8.2 us\n\
             fsync     2       1        -         1.0 us   64.0 ms   64.0 ms   64.0 ms\n\
             \n\
             pool, counted since:   2026-11-22T10:14:59Z, when it was opened\n\
             dirty:                 4.0 KiB\n\
             journal:               1.0 MiB of 64.0 MiB\n\
             journal syncs:         12\n\
             sealed:                40.0 KiB in 5 blocks\n\
             found stored already:  16.0 KiB in 2 blocks\n\
             newly stored:          24.0 KiB as 15.0 KiB (62.5 %)\n\
             segments:              3.0 GiB in 50\n\
             block cache:           1.0 MiB, 0 of 0 look-ups hit\n\
             node cache:            2.0 MiB, 30 of 40 look-ups hit (75.0 %)\n\
             checkpoints:           3\n\
             garbage collected:     2.0 MiB given back, 4 segments deleted, 1.0 MiB moved\n\
             free:                  1.0 TiB\n\
             \n\
             OPERATION         COUNT   ERRORS   P50      P99      P99.9    MAX\n\
             snapshot create   1       1        7.0 ms   7.0 ms   7.0 ms   7.0 ms\n"
        );
    }

    /// JSON has the quantiles, and not what they were made of.
    #[test]
    fn json_has_quantiles() {
        let told = without_latencies(report(vec![requests("fsync", 0, &[900])]));
        let json = serde_json::to_value(told).unwrap();
        let fsync = &json["requests"][0];
        assert_eq!(
            (&fsync["request"], &fsync["count"]),
            (&"fsync".into(), &1.into())
        );
        assert_eq!(fsync["p999_ns"], 900);
        assert_eq!(fsync.get("latencies"), None);
    }

    /// Times have one digit after the point, and never four before it below seconds.
    #[test]
    fn times_are_for_people() {
        for (nanos, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1000, "1.0 us"),
            (999_949, "999.9 us"),
            (999_950, "1.0 ms"),
            (1_500_000_000, "1.5 s"),
            (3_600_000_000_000, "3600.0 s"),
        ] {
            assert_eq!(human_time(nanos), text);
        }
    }

    /// The end of what is watched keeps its kind, and says what it is the end of.
    #[test]
    fn the_end_of_a_watch_is_told() {
        let source = Source::live("db".parse().unwrap());
        for (kind, part) in [
            (
                Kind::NotFound,
                "'db' was unmounted while it was watched: why",
            ),
            (
                Kind::Unreachable,
                "the mount of 'db' and its daemon ended while it was watched: why",
            ),
            (Kind::Failed, "why"),
        ] {
            let failure = ended(&source, ServiceError::new(kind, "why"));
            let Failure::Untold(error) = failure else {
                panic!("{failure:?}");
            };
            assert_eq!((error.kind, error.message.as_str()), (kind, part));
        }
    }
}
