//! Mounts: mount, mount again after a reboot, list, unmount.

use std::sync::Arc;

use super::Service;
use crate::daemon::mounts::{Opened, PoolSnapshots};
use crate::daemon::{
    AllMounted, MountReport, MountVolume, Mounted, ServiceResult, Unmount, Unmounted,
};

impl Service {
    /// Mounts a volume or a snapshot.
    pub fn mount(&self, request: &MountVolume) -> ServiceResult<Mounted> {
        let source = &request.source;
        self.mounts.mount(request, || {
            let (pool, name) = (&self.pool, &source.volume);
            let (volume, snapshots) = match &source.snapshot {
                None => {
                    let snapshots = PoolSnapshots::new(pool.clone(), name.clone());
                    (pool.open_volume(name)?, Some(Arc::new(snapshots) as _))
                }
                Some(snapshot) => (pool.open_snapshot(name, snapshot)?, None),
            };
            Ok(Opened {
                volume,
                snapshots,
                poll_idle_cores: pool.polls_idle_cores(),
            })
        })
    }

    /// Mounts again what was mounted when the pool was last in use. One that fails does not keep
    /// the others from being mounted.
    pub fn mount_all(&self) -> ServiceResult<AllMounted> {
        // Held until the end: the daemon must not end between two of them.
        let _work = self.sessions().begin()?;
        let mut all = AllMounted::default();
        for request in self.mounts.wanted()? {
            match self.mount(&request) {
                Ok(mounted) => {
                    all.mounted.push(mounted.path);
                    all.warnings.extend(mounted.warnings);
                }
                Err(mut error) => {
                    error.message = format!("'{}': {}", request.source, error.message);
                    all.failed.push(error);
                }
            }
        }
        all.warnings.sort_unstable();
        all.warnings.dedup();
        Ok(all)
    }

    /// What is mounted.
    pub fn mounted(&self) -> Vec<MountReport> {
        self.mounts.report()
    }

    /// Unmounts one place, or all places of a volume or snapshot. Everything is durable when it
    /// returns.
    pub fn unmount(&self, request: &Unmount) -> ServiceResult<Unmounted> {
        if let crate::daemon::UnmountTarget::Source(source) = &request.target {
            match &source.snapshot {
                None => self.pool.volume_info(&source.volume).map(drop)?,
                Some(name) => self.pool.snapshot_info(&source.volume, name).map(drop)?,
            }
        }
        self.mounts.unmount(&request.target, request.lazy)
    }
}
