//! What is asked of a mount.

use super::Service;
use crate::daemon::{
    Kind, PoolStats, RequestStats, ServiceError, ServiceResult, Source, StatsReport, VolumeStats,
};
use crate::fuse::RequestCounts;

impl Service {
    /// What was asked of a volume or snapshot since it was mounted, and how its pool is.
    pub fn volume_stats(&self, request: &VolumeStats) -> ServiceResult<StatsReport> {
        let source = Source {
            volume: request.volume.clone(),
            snapshot: request.snapshot.clone(),
        };
        let Some(session) = self.sessions().find(&source) else {
            match &source.snapshot {
                None => self.pool.volume_info(&source.volume).map(drop)?,
                Some(name) => self.pool.snapshot_info(&source.volume, name).map(drop)?,
            }
            return Err(not_mounted(&source));
        };
        let asked = session.mount.requests();
        let stats = |one: RequestCounts| {
            let (errors, bytes) = (one.errors, one.bytes);
            RequestStats::new(one.opcode.to_owned(), (errors, bytes), one.latencies)
        };
        let requests: Vec<RequestStats> = asked.kinds.into_iter().map(stats).collect();
        let bytes_of = |name: &str| {
            let found = requests.iter().find(|one| one.request == name);
            found.map_or(0, |one| one.bytes)
        };
        Ok(StatsReport {
            source: source.to_string(),
            paths: session.paths(),
            mounted_at: asked.since.to_string(),
            mounted_ms: u64::try_from(asked.age.as_millis()).unwrap_or(u64::MAX),
            count: requests.iter().map(|one| one.count).sum(),
            errors: requests.iter().map(|one| one.errors).sum(),
            read_bytes: bytes_of("read"),
            written_bytes: bytes_of("write"),
            dirty_bytes: session.volume.dirty_bytes(),
            requests,
            pool: self.pool_stats(),
        })
    }

    fn pool_stats(&self) -> PoolStats {
        let pool = self.pool.status();
        PoolStats {
            opened_at: self.started.to_string(),
            dirty_bytes: pool.dirty_bytes,
            journal_bytes: pool.journal_bytes,
            journal_capacity: pool.journal_capacity,
            journal_appended: pool.journal_appended,
            journal_syncs: pool.journal_syncs,
            blocks_sealed: pool.blocks_put,
            sealed_bytes: pool.bytes_put,
            dedup_hits: pool.dedup_hits,
            dedup_bytes: pool.dedup_bytes,
            new_bytes: pool.new_bytes,
            new_frame_bytes: pool.new_frame_bytes,
            segment_bytes: pool.segment_bytes,
            segments: pool.segments,
            block_cache_bytes: pool.block_cache.bytes,
            block_cache_hits: pool.block_cache.hits,
            block_cache_misses: pool.block_cache.misses,
            node_cache_bytes: pool.node_cache.bytes,
            node_cache_hits: pool.node_cache.hits,
            node_cache_misses: pool.node_cache.misses,
            checkpoints: pool.checkpoints,
            collected: pool.collected,
            free_bytes: pool.free_bytes,
            operations: self.operations.counted(),
        }
    }
}

fn not_mounted(source: &Source) -> ServiceError {
    let what = match source.snapshot {
        None => "volume",
        Some(_) => "snapshot",
    };
    let message = format!("{what} '{source}' is not mounted: nothing is asked of it");
    ServiceError::new(Kind::NotFound, message)
        .hint(format!("`volfs mount {source}` mounts it"))
        .hint("`volfs daemon status` shows the pool")
}
