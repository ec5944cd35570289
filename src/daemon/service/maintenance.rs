//! The daemon's own state, its end, and the check of everything.

use super::{Service, VERSION};
use crate::base::progress::Progress;
use crate::daemon::mounts::{holders_of, in_use};
use crate::daemon::{
    CheckPool, CollectGarbage, ScrubPool, ServiceResult, StatusReport, StopDaemon,
};
use crate::pool::{CheckOptions, CheckReport, GcOptions, GcReport};

impl Service {
    /// How the daemon and its pool are.
    pub fn status(&self) -> StatusReport {
        let pool = self.pool.status();
        StatusReport {
            pid: std::process::id(),
            version: VERSION.to_owned(),
            pool: pool.path,
            pool_id: pool.id.to_string(),
            format_version: pool.format_version,
            started_at: self.started.to_string(),
            stays: self.sessions().stays(),
            mounts: self.mounted(),
            dirty_bytes: pool.dirty_bytes,
            journal_bytes: pool.journal_bytes,
            journal_capacity: pool.journal_capacity,
            segment_bytes: pool.segment_bytes,
            segments: pool.segments,
            free_bytes: pool.free_bytes,
            dedup_hits: pool.dedup_hits,
            checkpoints: pool.checkpoints,
            disk_full: pool.is_full,
            poisoned: pool
                .poisoned
                .into_iter()
                .map(|(volume, reason)| (volume.to_string(), reason))
                .collect(),
        }
    }

    /// From now on the daemon stays without mounts.
    pub fn keep(&self) -> ServiceResult<()> {
        self.sessions().stay()
    }

    /// Asks the daemon to end. Refused while somebody holds files open; `force` lets it flush
    /// them and detach.
    pub fn stop(&self, request: &StopDaemon) -> ServiceResult<()> {
        if !request.force {
            let _held = self.mounts.hold();
            for session in self.sessions().all() {
                let users = holders_of(&session);
                if !users.is_empty() {
                    return Err(in_use(&session.source, &users)
                        .hint("--force flushes open files and detaches them"));
                }
            }
        }
        self.sessions().stop();
        Ok(())
    }

    /// Walks everything and verifies it.
    pub fn check(
        &self,
        request: &CheckPool,
        progress: &dyn Progress,
    ) -> ServiceResult<CheckReport> {
        let options = CheckOptions {
            read_data: request.read_data,
            ..CheckOptions::default()
        };
        Ok(self.pool.check_with(&options, progress)?)
    }

    /// Reads everything and verifies it, behind everybody else, and heals what can be.
    pub fn scrub(
        &self,
        request: &ScrubPool,
        progress: &dyn Progress,
    ) -> ServiceResult<CheckReport> {
        let options = CheckOptions {
            volumes: request.volumes.clone(),
            bytes_per_second: request.bytes_per_second,
            ..CheckOptions::default()
        };
        Ok(self.pool.scrub(&options, progress)?)
    }

    /// Gives back the room of what nobody refers to, and of what was long enough in the trash.
    pub fn collect_garbage(
        &self,
        request: &CollectGarbage,
        progress: &dyn Progress,
    ) -> ServiceResult<GcReport> {
        if !request.dry_run {
            self.expire_trash(false);
        }
        let options = GcOptions {
            dry_run: request.dry_run,
            bytes_per_second: request.bytes_per_second,
            ..GcOptions::default()
        };
        self.pool.await_index(progress)?;
        Ok(self.pool.collect_garbage(&options, progress)?)
    }
}
