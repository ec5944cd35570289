//! Volumes: create, list, inspect, clone.

use std::collections::BTreeMap;

use super::{DRIVER, Service};
use crate::base::progress::Progress;
use crate::daemon::mounts::{Session, holders_of};
use crate::daemon::{
    CloneVolume, Cloned, CreateVolume, InspectVolume, ServiceResult, Source, VolumeDetails,
};
use crate::pool::{NewVolume, VolumeInfo};

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
            limit_bytes: request.limit,
        })?;
        Ok(self.volume_details(info))
    }

    /// All volumes, by name.
    pub fn volumes(&self) -> Vec<VolumeDetails> {
        // Once: asking what is mounted reads the kernel's list.
        let sessions = self.sessions().all();
        self.pool
            .volumes()
            .into_iter()
            .map(|info| self.volume_details_in(&sessions, info))
            .collect()
    }

    /// One volume.
    pub fn volume(
        &self,
        request: &InspectVolume,
        progress: &dyn Progress,
    ) -> ServiceResult<VolumeDetails> {
        let mut details = self.volume_details(self.pool.volume_info(&request.volume)?);
        if request.space {
            details.space = self.space_if_known(&request.volume, None, progress);
        }
        Ok(details)
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

    pub(super) fn volume_details(&self, info: VolumeInfo) -> VolumeDetails {
        self.volume_details_in(&self.sessions().all(), info)
    }

    fn volume_details_in(&self, sessions: &[Session], info: VolumeInfo) -> VolumeDetails {
        let source = Source::live(info.name.clone());
        let (mountpoint, mountpoints) = self.mountpoints(sessions, &source);
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
            limit: info.limit_bytes,
            protected: info.protected,
            origin: info.origin,
            poisoned: info.poisoned,
            space: None,
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
