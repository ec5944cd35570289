//! The lines of the table.

use super::fio::Unit;
use super::{Kind, Workload};

const RATE: Kind = Kind::Fio(Unit::Mebibytes);
const CALLS: Kind = Kind::Fio(Unit::Calls);

const fn line(name: &'static str, unit: &'static str, job: &'static str, kind: Kind) -> Workload {
    Workload {
        name,
        unit,
        job,
        about: "",
        bar: None,
        is_cold: false,
        kind,
    }
}

impl Workload {
    const fn about(self, about: &'static str) -> Workload {
        Workload { about, ..self }
    }

    const fn cold(self) -> Workload {
        Workload {
            is_cold: true,
            ..self
        }
    }

    const fn bar(self, ratio: f64) -> Workload {
        Workload {
            bar: Some(ratio),
            ..self
        }
    }
}

/// All lines, in the order in which a round runs them: what reads needs what was written before.
pub const ALL: [Workload; 20] = [
    line("sequential write 1 MiB + fsync", "MiB/s", "seq-write", RATE)
        .about("a file is written from front to end and synced")
        .bar(0.60),
    line("sequential read, cold", "MiB/s", "seq-read", RATE)
        .about("the same file is read from front to end")
        .cold()
        .bar(0.75),
    line("random read 8 KiB, cold", "IOPS", "rand-read", CALLS)
        .about("pages of it are read at random")
        .cold()
        .bar(0.80),
    line(
        "random read 8 KiB, page cache",
        "IOPS",
        "rand-read-cached",
        CALLS,
    )
    .about("the same, from the page cache")
    .bar(0.80),
    line(
        "random read 8 KiB, O_DIRECT, queue 16",
        "IOPS",
        "rand-read-direct",
        CALLS,
    )
    .about("the same past the page cache, 16 at a time")
    .bar(0.40),
    line(
        "random write 8 KiB, fsync each",
        "IOPS",
        "rand-write-fsync",
        CALLS,
    )
    .about("pages of it are written at random, each is synced")
    .bar(0.60),
    line(
        "random write 8 KiB, buffered, fsync at end",
        "IOPS",
        "rand-write-buffered",
        CALLS,
    )
    .about("as many pages as it has are written at random and synced at the end")
    .bar(0.60),
    line(
        "mixed: read 70 %, write 30 %, fdatasync",
        "IOPS",
        "mixed",
        CALLS,
    )
    .about("four threads read and write pages of it; each syncs after 16 writes")
    .cold(),
    line("WAL: append 8 KiB + fdatasync", "IOPS", "wal", CALLS)
        .about("a log of pages, each is synced")
        .bar(1.10),
    line("WAL: four writers", "IOPS", "wal-four", CALLS)
        .about("four such logs at once")
        .bar(0.75),
    line(
        "commit beside a stream",
        "IOPS",
        "commit-beside-stream",
        CALLS,
    )
    .about("one such log, while a file of 1 GiB is written and synced beside it"),
    line(
        "create, stat, rename, unlink small files",
        "calls/s",
        "metadata",
        Kind::Metadata,
    )
    .about("empty files of two threads")
    .bar(0.20),
    line("rsync of a tree", "files/s", "rsync", Kind::Rsync)
        .about("rsync -a of new files of 0.5 to 256 KiB, from the page cache"),
    line("untar + compile", "runs/h", "compile", Kind::Compile)
        .about("Redis' source is unpacked and compiled by two processes, without optimizing"),
    line(
        "SQLite, WAL",
        "commits/s",
        "sqlite-wal",
        Kind::Sqlite("wal"),
    )
    .about("inserts of 1 KiB, a commit each, synchronous=FULL"),
    line(
        "SQLite, rollback journal",
        "commits/s",
        "sqlite-journal",
        Kind::Sqlite("delete"),
    )
    .about("the same with journal_mode=DELETE"),
    line(
        "Redis SET, appendfsync always",
        "requests/s",
        "redis",
        Kind::Redis,
    )
    .about("redis-benchmark: eight clients set keys to 1 KiB each"),
    line(
        "sysbench on MariaDB, 8 clients",
        "tps",
        "sysbench",
        Kind::Sysbench,
    )
    .about("oltp_read_write, innodb_flush_log_at_trx_commit=1"),
    line(
        "pgbench TPC-B, 8 clients",
        "tps",
        "pgbench-tpcb",
        Kind::Pgbench(None),
    )
    .about("Postgres; transactions that write")
    .bar(0.80),
    line(
        "pgbench select-only",
        "tps",
        "pgbench-select",
        Kind::Pgbench(Some("--select-only")),
    )
    .about("Postgres; transactions that read one row")
    .bar(0.95),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A name on the command line means one line, and each tells what it does.
    #[test]
    fn lines_are_told_apart() {
        for (index, one) in ALL.iter().enumerate() {
            let mut others = ALL[..index].iter();
            assert!(others.all(|other| other.job != one.job && other.name != one.name));
            assert!(!one.about.is_empty(), "{}", one.job);
        }
    }
}
