//! What single layers do beside what the machine could do at best: the table of the benchmarks in
//! `benches/layers`, from what criterion has written.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// One line: a figure and what it is compared with, each as criterion's `group/function`.
struct Line {
    layer: &'static str,
    what: &'static str,
    ours: &'static str,
    limit: &'static str,
    limit_is: &'static str,
}

const LINES: [Line; 16] = [
    Line {
        layer: "seal",
        what: "new blocks of 8 KiB, half compressible, one thread",
        ours: "seal/volfs",
        limit: "seal/blake3-lz4",
        limit_is: "BLAKE3 and LZ4 of the same bytes",
    },
    Line {
        layer: "seal",
        what: "the same",
        ours: "seal/volfs",
        limit: "seal/blake3-lz4-write",
        limit_is: "and one write for each 128 KiB",
    },
    Line {
        layer: "read",
        what: "128 blocks of 8 KiB, in the host's page cache, one thread",
        ours: "read/volfs",
        limit: "read/lz4-blake3",
        limit_is: "LZ4 and BLAKE3 of them in memory",
    },
    Line {
        layer: "read",
        what: "the same",
        ours: "read/volfs",
        limit: "read/memcpy",
        limit_is: "memcpy",
    },
    Line {
        layer: "journal",
        what: "a record of 8 KiB, synced",
        ours: "journal/volfs-1",
        limit: "journal/pwrite-fdatasync-1",
        limit_is: "pwrite and fdatasync of written bytes",
    },
    Line {
        layer: "journal",
        what: "the same, four threads",
        ours: "journal/volfs-4",
        limit: "journal/pwrite-fdatasync-4",
        limit_is: "pwrite and fdatasync, four threads",
    },
    Line {
        layer: "index",
        what: "a block of 100 bytes that sled knows, of 200,000",
        ours: "index/hit-sled",
        limit: "index/hit-map",
        limit_is: "BLAKE3 and a HashMap",
    },
    Line {
        layer: "index",
        what: "a block of 100 bytes that was stored a moment ago",
        ours: "index/hit-recent",
        limit: "index/hit-map",
        limit_is: "BLAKE3 and a HashMap",
    },
    Line {
        layer: "index",
        what: "a new block of 100 bytes, looked for and stored",
        ours: "index/miss-indexed",
        limit: "index/miss-none",
        limit_is: "a store without an index",
    },
    Line {
        layer: "tree",
        what: "a key of a million, nodes cached",
        ours: "tree/get",
        limit: "tree/get-map",
        limit_is: "BTreeMap",
    },
    Line {
        layer: "tree",
        what: "a key of a million, cache of 64 MiB",
        ours: "tree/get-default-cache",
        limit: "tree/get-map",
        limit_is: "BTreeMap",
    },
    Line {
        layer: "tree",
        what: "each of 128 keys in order, with the search for the first",
        ours: "tree/scan",
        limit: "tree/scan-map",
        limit_is: "BTreeMap",
    },
    Line {
        layer: "tree",
        what: "each of 1,000 keys set, anywhere among a million",
        ours: "tree/edit-scattered",
        limit: "tree/edit-scattered-map",
        limit_is: "BTreeMap",
    },
    Line {
        layer: "tree",
        what: "each of 1,000 keys set, beside each other",
        ours: "tree/edit-neighbours",
        limit: "tree/edit-neighbours-map",
        limit_is: "BTreeMap",
    },
    Line {
        layer: "fuse",
        what: "statx that asks the daemon",
        ours: "fuse/getattr-volfs",
        limit: "fuse/getattr-nothing",
        limit_is: "a filesystem that does nothing",
    },
    Line {
        layer: "fuse",
        what: "O_DIRECT read of 8 KiB, in the daemon's cache",
        ours: "fuse/read-volfs",
        limit: "fuse/read-nothing",
        limit_is: "a filesystem that does nothing",
    },
];

/// What criterion tells of a function.
struct Figure {
    /// Of a round, the median of the samples.
    nanoseconds: f64,
    amount: Amount,
}

/// What a round works on.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
enum Amount {
    Bytes(f64),
    Elements(f64),
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

#[derive(Deserialize)]
struct Benchmark {
    throughput: Amount,
}

impl Figure {
    /// None: it was not measured.
    fn read(results: &Path, function: &str) -> Result<Option<Figure>> {
        let folder = results.join(function).join("new");
        if !folder.exists() {
            return Ok(None);
        }
        let text = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        let estimates: Estimates = serde_json::from_str(&text("estimates.json")?)?;
        let benchmark: Benchmark = serde_json::from_str(&text("benchmark.json")?)?;
        Ok(Some(Figure {
            nanoseconds: estimates.median.point_estimate,
            amount: benchmark.throughput,
        }))
    }

    /// Bytes a second, or the time of one of many.
    fn text(&self) -> String {
        match self.amount {
            Amount::Bytes(bytes) => {
                let mib = bytes / f64::from(1 << 20) / self.nanoseconds * 1e9;
                format!("{mib:.0} MiB/s")
            }
            Amount::Elements(count) => match self.nanoseconds / count {
                each if each < 1e3 => format!("{each:.0} ns"),
                each => format!("{:.1} us", each / 1e3),
            },
        }
    }
}

impl Line {
    /// None: one of the two was not measured.
    fn row(&self, results: &Path) -> Result<Option<String>> {
        let ours = Figure::read(results, self.ours)?;
        let limit = Figure::read(results, self.limit)?;
        let Some((ours, limit)) = ours.zip(limit) else {
            return Ok(None);
        };
        Ok(Some(format!(
            "| {} | {} | {} | {} | {} | {:.0} % |\n",
            self.layer,
            self.what,
            ours.text(),
            self.limit_is,
            limit.text(),
            limit.nanoseconds / ours.nanoseconds * 100.0
        )))
    }
}

/// The table in Markdown. What was not measured has no line.
///
/// # Errors
/// Nothing was measured, or what criterion has written cannot be read.
pub fn table(results: &Path) -> Result<String> {
    let rows = LINES.iter().map(|line| line.row(results));
    let rows = rows.collect::<Result<Vec<_>>>()?;
    let rows: String = rows.into_iter().flatten().collect();
    ensure!(!rows.is_empty(), "{} has no figures", results.display());
    let head =
        "| layer | what | measured | limit | at best | share |\n|---|---|---:|---|---:|---:|";
    Ok(format!("{head}\n{rows}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(results: &Path, function: &str, nanoseconds: f64, throughput: &str) {
        let folder = results.join(function).join("new");
        fs::create_dir_all(&folder).unwrap();
        let estimates = format!("{{\"median\":{{\"point_estimate\":{nanoseconds}}}}}");
        fs::write(folder.join("estimates.json"), estimates).unwrap();
        let benchmark = format!("{{\"throughput\":{throughput}}}");
        fs::write(folder.join("benchmark.json"), benchmark).unwrap();
    }

    /// A line has both figures and the share; what was not measured has none.
    #[test]
    fn lines_compare_a_figure_with_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        assert!(table(folder.path()).is_err());
        write(folder.path(), "read/volfs", 2e6, "{\"Bytes\":1048576}");
        write(folder.path(), "read/memcpy", 1e5, "{\"Bytes\":1048576}");
        write(folder.path(), "tree/get", 1500.0, "{\"Elements\":1}");
        write(folder.path(), "tree/get-map", 300.0, "{\"Elements\":1}");
        let table = table(folder.path()).unwrap();
        assert_eq!(
            table.lines().skip(2).collect::<Vec<_>>(),
            [
                "| read | the same | 500 MiB/s | memcpy | 10000 MiB/s | 5 % |",
                "| tree | a key of a million, nodes cached | 1.5 us | BTreeMap | 300 ns | 20 % |"
            ]
        );
    }
}
