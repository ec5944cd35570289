//! What is taken, and by whom.

use super::Service;
use crate::base::progress::Progress;
use crate::base::{SnapshotName, VolumeName};
use crate::daemon::{
    Freed, Kind, MeasureRemoval, MeasureSpace, ServiceError, ServiceResult, SpaceDetails, SpaceOf,
    SpaceReport,
};
use crate::pool::SpaceUse;

impl Service {
    /// What the pool takes of its disk, and who takes it.
    pub fn space(
        &self,
        _request: &MeasureSpace,
        progress: &dyn Progress,
    ) -> ServiceResult<SpaceReport> {
        let space = self.pool.space(progress)?;
        let files = [
            space.segment_bytes,
            space.journal_bytes,
            space.index_bytes,
            space.reserve_bytes,
        ];
        Ok(SpaceReport {
            disk: space.disk_bytes,
            free: space.free_bytes,
            used: files.iter().sum(),
            live: space.live_bytes,
            garbage: space.garbage_bytes,
            journal: space.journal_bytes,
            index: space.index_bytes,
            reserve: space.reserve_bytes,
            low: space.is_low,
            full: space.is_full,
            volumes: space.volumes.iter().map(space_of).collect(),
        })
    }

    /// What one volume or snapshot takes. None where that cannot be found out, because a node of
    /// some tree is damaged: what else there is to tell is told all the same.
    pub(super) fn space_if_known(
        &self,
        volume: &VolumeName,
        snapshot: Option<&SnapshotName>,
        progress: &dyn Progress,
    ) -> Option<SpaceDetails> {
        let found = self.space_details(volume, snapshot, progress);
        found.unwrap_or_else(|error| {
            log::warn!("what volume '{volume}' takes is not known: {error}");
            None
        })
    }

    fn space_details(
        &self,
        volume: &VolumeName,
        snapshot: Option<&SnapshotName>,
        progress: &dyn Progress,
    ) -> ServiceResult<Option<SpaceDetails>> {
        let all = self.pool.space(progress)?.volumes;
        let is_it = |one: &&SpaceUse| {
            !one.is_removed && one.volume == *volume && one.snapshot.as_ref() == snapshot
        };
        let Some(found) = all.iter().find(is_it) else {
            return Ok(None);
        };
        let distinct = self.pool.distinct_bytes(volume, snapshot, progress)?;
        Ok(Some(SpaceDetails {
            dedup: Some(ratio(found.referenced_bytes, distinct)),
            ..details(found)
        }))
    }

    /// What removing all of these for good would give back.
    pub fn space_of_removal(
        &self,
        request: &MeasureRemoval,
        progress: &dyn Progress,
    ) -> ServiceResult<Freed> {
        let snapshots = request.snapshots.iter().map(|source| {
            let snapshot = source.snapshot.clone();
            let missing = || ServiceError::new(Kind::Usage, format!("'{source}' is no snapshot"));
            Ok((source.volume.clone(), snapshot.ok_or_else(missing)?))
        });
        let snapshots: Vec<_> = snapshots.collect::<ServiceResult<_>>()?;
        let bytes = self
            .pool
            .freed_by_removal(&request.volumes, &snapshots, progress)?;
        Ok(Freed { bytes })
    }
}

fn space_of(one: &SpaceUse) -> SpaceOf {
    SpaceOf {
        volume: one.volume.to_string(),
        snapshot: one.snapshot.as_ref().map(ToString::to_string),
        removed: one.is_removed,
        limit: one.limit_bytes,
        space: details(one),
    }
}

pub(super) fn details(one: &SpaceUse) -> SpaceDetails {
    SpaceDetails {
        logical: one.logical_bytes,
        referenced: one.referenced_bytes,
        unique: one.unique_bytes,
        shared: one.shared_bytes(),
        freed: one.freed_bytes,
        compression: ratio(one.logical_bytes, one.referenced_block_bytes),
        dedup: None,
    }
}

/// To two digits behind the point; 1 where there is nothing to compare.
fn ratio(a: u64, b: u64) -> f64 {
    match b {
        0 => 1.0,
        _ => (a as f64 / b as f64 * 100.0).round() / 100.0,
    }
}
