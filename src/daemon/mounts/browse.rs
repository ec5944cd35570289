//! The pool's snapshots of a volume, for the mount that shows them.

use std::sync::Arc;

use crate::base::{SnapshotId, SnapshotName, VolumeName};
use crate::fuse::{Snapshot, Snapshots};
use crate::pool::{Pool, SnapshotInfo};
use crate::volume::Volume;

/// Snapshots of one volume. It outlives its mounts, so that it is always there to be asked.
pub(crate) struct PoolSnapshots {
    pool: Arc<Pool>,
    volume: VolumeName,
}

impl PoolSnapshots {
    /// Those of this volume.
    pub(crate) fn new(pool: Arc<Pool>, volume: VolumeName) -> PoolSnapshots {
        PoolSnapshots { pool, volume }
    }
}

impl Snapshots for PoolSnapshots {
    fn count(&self) -> (usize, Option<SnapshotId>) {
        self.pool.snapshot_count(&self.volume).unwrap_or_default()
    }

    fn list(&self) -> Vec<Snapshot> {
        let list = self.pool.snapshots(Some(&self.volume)).unwrap_or_default();
        list.into_iter().map(snapshot).collect()
    }

    fn find(&self, name: &SnapshotName) -> Option<Snapshot> {
        let found = self.pool.snapshot_info(&self.volume, name).ok();
        found.map(snapshot)
    }

    fn open(&self, snapshot: &Snapshot) -> Option<Arc<Volume>> {
        let opened = self.pool.open_snapshot(&self.volume, &snapshot.name).ok()?;
        // The name may be another one's by now, but has not gone back and forth: numbers rise.
        let found = self.find(&snapshot.name)?;
        (found.id == snapshot.id).then_some(opened)
    }
}

fn snapshot(info: SnapshotInfo) -> Snapshot {
    Snapshot {
        id: info.id,
        name: info.name,
        created: info.created,
    }
}
