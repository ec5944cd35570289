//! Volumes: create, list, inspect, remove, clone.

use std::collections::BTreeMap;

use super::{DRIVER, Service};
use crate::base::VolumeName;
use crate::daemon::mounts::{Session, holders_of, in_use};
use crate::daemon::{
    CloneVolume, Cloned, CreateVolume, RemoveVolume, ServiceResult, Source, UnmountTarget,
    VolumeDetails,
};
use crate::pool::{NewVolume, PoolError, VolumeInfo};

impl Service {
    /// Creates an empty volume.
    pub fn create_volume(&self, request: &CreateVolume) -> ServiceResult<VolumeDetails> {
        let info = self.pool.create_volume(&NewVolume {
            name: request.volume.clone(),
            block_size: request.block_size,
            labels: request.labels.clone(),
            uid: request.uid,
            gid: request.gid,
            mode: request.mode,
        })?;
        Ok(self.volume_details(info))
    }

    /// All volumes, by name.
    pub fn volumes(&self) -> Vec<VolumeDetails> {
        self.pool
            .volumes()
            .into_iter()
            .map(|info| self.volume_details(info))
            .collect()
    }

    /// One volume.
    pub fn volume(&self, name: &VolumeName) -> ServiceResult<VolumeDetails> {
        Ok(self.volume_details(self.pool.volume_info(name)?))
    }

    /// Removes a volume and its snapshots. Refused while it or a snapshot of it is mounted;
    /// `force` unmounts first, which is still refused while somebody holds files open.
    pub fn remove_volume(&self, request: &RemoveVolume) -> ServiceResult<()> {
        let name = &request.volume;
        self.pool.volume_info(name)?;
        let mounted = self.mounts.sessions_of_volume(name);
        if !mounted.is_empty() && !request.force {
            let users: Vec<String> = mounted.iter().flat_map(users_of).collect();
            return Err(
                in_use(&Source::live(name.clone()), &users).hint("--force unmounts it first")
            );
        }
        let sources: Vec<Source> = mounted
            .into_iter()
            .map(|session| session.source.clone())
            .collect();
        for source in sources {
            self.mounts.unmount(&UnmountTarget::Source(source), false)?;
        }
        self.pool.remove_volume(name).map_err(|error| match error {
            PoolError::Busy { .. } => in_use(
                &Source::live(name.clone()),
                &["a request that is under way".to_owned()],
            ),
            other => other.into(),
        })?;
        self.mounts.forget_volume(name);
        Ok(())
    }

    /// A writable volume that starts from a snapshot, or from the present state.
    pub fn clone_volume(&self, request: &CloneVolume) -> ServiceResult<Cloned> {
        self.pool.volume_info(&request.volume)?;
        let warnings = match request.snapshot {
            Some(_) => Vec::new(),
            None => self.flush(&[&request.volume], request.flush_ms),
        };
        let snapshot = request.snapshot.as_ref();
        let info = self
            .pool
            .clone_volume(&request.volume, snapshot, &request.new)?;
        Ok(Cloned {
            volume: self.volume_details(info),
            warnings,
        })
    }

    fn volume_details(&self, info: VolumeInfo) -> VolumeDetails {
        let (mountpoint, mountpoints) = self.mountpoints(&Source::live(info.name.clone()));
        let block_size = ("block-size".to_owned(), info.block_size.to_string());
        VolumeDetails {
            name: info.name.to_string(),
            driver: DRIVER.to_owned(),
            mountpoint,
            mounted: !mountpoints.is_empty(),
            mountpoints,
            created_at: info.created.to_string(),
            labels: info.labels,
            options: BTreeMap::from([block_size]),
            scope: "local".to_owned(),
            size: info.size_bytes,
            inodes: info.inodes,
            snapshots: info.snapshots,
            origin: info.origin,
            poisoned: info.poisoned,
        }
    }
}

/// Mount points and processes that keep a volume from being removed.
pub(super) fn users_of(session: &Session) -> Vec<String> {
    let places = session.paths();
    let mut users: Vec<String> = places
        .iter()
        .map(|path| format!("mount point {}", path.display()))
        .collect();
    users.extend(holders_of(session));
    if users.is_empty() {
        users.push(format!("a detached mount of '{}'", session.source));
    }
    users
}
