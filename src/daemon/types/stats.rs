//! What a mount has to do, and its pool. Sizes in bytes, times in nanoseconds.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::text;
use crate::base::{Histogram, SnapshotName, VolumeName};
use crate::pool::Collected;

/// What is asked of a mounted volume or snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VolumeStats {
    /// The volume.
    #[serde(with = "text")]
    pub volume: VolumeName,
    /// The snapshot; none: the live volume.
    #[serde(with = "text::option", default)]
    pub snapshot: Option<SnapshotName>,
}

/// What was asked of a mounted volume or snapshot since it was mounted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatsReport {
    /// `pgdata` or `pgdata@before`.
    pub source: String,
    /// Every place where it is mounted; none: detached, but somebody still uses it.
    pub paths: Vec<PathBuf>,
    /// RFC 3339: since when requests are counted.
    pub mounted_at: String,
    /// The same in milliseconds until now.
    pub mounted_ms: u64,
    /// All requests that were answered.
    pub count: u64,
    /// Those of them that were answered with an error.
    pub errors: u64,
    /// Content that was read.
    pub read_bytes: u64,
    /// Content that was written.
    pub written_bytes: u64,
    /// Changed bytes of it in memory, those in common with snapshots and clones among them.
    #[serde(default)]
    pub dirty_bytes: u64,
    /// Kinds of requests that have come at all.
    pub requests: Vec<RequestStats>,
    /// The pool, which may have other volumes, too.
    pub pool: PoolStats,
}

/// Requests of one kind. How long they took is from their arrival in the daemon until their answer
/// was sent; quantiles are up to a quarter too high.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RequestStats {
    /// FUSE's name: `fsync`. Of an operation the command: `snapshot create`.
    pub request: String,
    /// Those that were answered.
    pub count: u64,
    /// Those answered with an error that tells of more than that there is nothing of that kind.
    pub errors: u64,
    /// Content that was read, written or copied.
    pub bytes: u64,
    /// Half of them took no longer.
    pub p50_ns: u64,
    /// 99 % of them took no longer.
    pub p99_ns: u64,
    /// 99.9 % of them took no longer.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// How long they took; empty where the quantiles are enough.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub latencies: Histogram,
}

/// How the pool is, and what it has done since the daemon has opened it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PoolStats {
    /// RFC 3339: since when it counts.
    pub opened_at: String,
    /// Changed bytes in memory, of all volumes.
    pub dirty_bytes: u64,
    /// Journal bytes in use.
    pub journal_bytes: u64,
    /// Journal bytes there are.
    pub journal_capacity: u64,
    /// Bytes appended to the journal since the pool was made.
    pub journal_appended: u64,
    /// Flushes of the journal to the disk.
    pub journal_syncs: u64,
    /// Blocks that were sealed, those found stored already among them.
    pub blocks_sealed: u64,
    /// Their content, before compression.
    pub sealed_bytes: u64,
    /// Those of them that were found stored already.
    pub dedup_hits: u64,
    /// Their content.
    pub dedup_bytes: u64,
    /// Content that was stored because it was not there, before compression.
    #[serde(default)]
    pub new_bytes: u64,
    /// What this took: frames, compressed, with their headers.
    #[serde(default)]
    pub new_frame_bytes: u64,
    /// Bytes of all segments.
    pub segment_bytes: u64,
    /// Number of segments.
    pub segments: u64,
    /// Bytes in the cache of decompressed blocks.
    pub block_cache_bytes: u64,
    /// Blocks that were wanted and found in it.
    #[serde(default)]
    pub block_cache_hits: u64,
    /// Blocks that were wanted and not in it.
    #[serde(default)]
    pub block_cache_misses: u64,
    /// Bytes in the cache of tree nodes.
    #[serde(default)]
    pub node_cache_bytes: u64,
    /// Nodes that were wanted and found in it.
    #[serde(default)]
    pub node_cache_hits: u64,
    /// Nodes that were wanted and not in it.
    #[serde(default)]
    pub node_cache_misses: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Garbage that was collected.
    pub collected: Collected,
    /// Free bytes of the filesystem that holds the pool.
    pub free_bytes: u64,
    /// What the daemon was asked to do, by the commands that ask for it: how long it took there.
    #[serde(default)]
    pub operations: Vec<RequestStats>,
}

impl RequestStats {
    /// So many errors and bytes, and how long each request took.
    pub(crate) fn new(
        request: String,
        (errors, bytes): (u64, u64),
        latencies: Histogram,
    ) -> RequestStats {
        RequestStats {
            request,
            count: latencies.count(),
            errors,
            bytes,
            p50_ns: latencies.quantile(500),
            p99_ns: latencies.quantile(990),
            p999_ns: latencies.quantile(999),
            max_ns: latencies.max(),
            latencies,
        }
    }

    /// Those that came after `earlier` was told.
    pub(crate) fn since(&self, earlier: &RequestStats) -> RequestStats {
        let errors = self.errors.saturating_sub(earlier.errors);
        let bytes = self.bytes.saturating_sub(earlier.bytes);
        let latencies = self.latencies.since(&earlier.latencies);
        RequestStats::new(self.request.clone(), (errors, bytes), latencies)
    }
}

fn is_empty(latencies: &Histogram) -> bool {
    latencies.count() == 0
}
