//! Snapshots: create, list, inspect, remove.

use std::collections::{BTreeMap, HashMap};

use super::space::details;
use super::volumes::users_of;
use super::{DRIVER, Service};
use crate::base::progress::Progress;
use crate::base::{SnapshotName, VolumeName};
use crate::daemon::mounts::{Session, holders_of_snapshot, in_use};
use crate::daemon::{
    CreateSnapshots, InspectSnapshot, Kind, ListSnapshots, RemoveSnapshot, ServiceError,
    ServiceResult, SnapshotDetails, SnapshotsCreated, Source, UnmountTarget,
};
use crate::pool::{MadeBy, NewSnapshot, PoolError, SnapshotInfo};

impl Service {
    /// One cut through all volumes of the request; all snapshots or none. Files open for writing
    /// are flushed before it.
    pub fn create_snapshots(&self, request: &CreateSnapshots) -> ServiceResult<SnapshotsCreated> {
        if request.of.is_empty() {
            return Err(ServiceError::new(
                Kind::Usage,
                "a snapshot of no volume makes no sense",
            ));
        }
        for source in &request.of {
            self.pool.volume_info(&source.volume)?;
        }
        let volumes: Vec<&VolumeName> = request.of.iter().map(|source| &source.volume).collect();
        let warnings = self.flush(&volumes, request.flush_ms);
        let snapshots = self.cut(&request.of, &request.labels)?;
        for volume in &volumes {
            if let Some(session) = self.live_session(volume) {
                session.mount.snapshots_changed();
            }
        }
        let sessions = self.sessions().all();
        let snapshots = snapshots
            .into_iter()
            .map(|info| self.snapshot_details(&sessions, info))
            .collect();
        Ok(SnapshotsCreated {
            snapshots,
            warnings,
        })
    }

    fn cut(
        &self,
        of: &[Source],
        labels: &BTreeMap<String, String>,
    ) -> ServiceResult<Vec<SnapshotInfo>> {
        let new = NewSnapshot {
            made_by: MadeBy::User,
            labels: labels.clone(),
        };
        let create = |time: Option<&SnapshotName>| {
            let name = |source: &Source| source.snapshot.clone().or_else(|| time.cloned());
            let named = of
                .iter()
                .filter_map(|source| Some((source.volume.clone(), name(source)?)));
            self.pool
                .create_snapshots_as(&named.collect::<Vec<_>>(), &new)
        };
        match of.iter().any(|source| source.snapshot.is_none()) {
            true => self.make_by_time("", |time| create(Some(time))),
            false => Ok(create(None)?),
        }
    }

    /// All snapshots, or those of one volume, by volume and time.
    pub fn snapshots(
        &self,
        request: &ListSnapshots,
        progress: &dyn Progress,
    ) -> ServiceResult<Vec<SnapshotDetails>> {
        let of = request.volume.as_ref();
        let infos = self.pool.snapshots(of)?.into_iter();
        // Once: asking what is mounted reads the kernel's list.
        let sessions = self.sessions().all();
        let mut listed: Vec<SnapshotDetails> = infos
            .map(|info| self.snapshot_details(&sessions, info))
            .collect();
        if request.space {
            let space = self.pool.space(progress)?.volumes;
            let alive = space.iter().filter(|one| !one.is_removed);
            let taken: HashMap<_, _> = alive
                .filter_map(|one| {
                    Some(((one.volume.as_str(), one.snapshot.as_ref()?.as_str()), one))
                })
                .collect();
            for one in &mut listed {
                let found = taken.get(&(one.volume.as_str(), one.snapshot.as_str()));
                one.space = found.map(|found| details(found));
            }
        }
        Ok(listed)
    }

    /// One snapshot.
    pub fn snapshot(
        &self,
        request: &InspectSnapshot,
        progress: &dyn Progress,
    ) -> ServiceResult<SnapshotDetails> {
        let (volume, name) = (&request.volume, &request.snapshot);
        let info = self.pool.snapshot_info(volume, name)?;
        let mut found = self.snapshot_details(&self.sessions().all(), info);
        if request.space {
            found.space = self.space_if_known(volume, Some(name), progress);
        }
        Ok(found)
    }

    pub(super) fn live_session(&self, volume: &VolumeName) -> Option<Session> {
        self.sessions().find(&Source::live(volume.clone()))
    }

    /// Removes a snapshot; clones of it stay. Refused while it is mounted, or somebody holds
    /// something of it through the mount of its volume; `force` unmounts, and closes what is open
    /// there.
    pub fn remove_snapshot(&self, request: &RemoveSnapshot) -> ServiceResult<()> {
        let info = self
            .pool
            .snapshot_info(&request.volume, &request.snapshot)?;
        let source = Source {
            volume: request.volume.clone(),
            snapshot: Some(request.snapshot.clone()),
        };
        if info.held {
            let names = source.to_string();
            return Err(PoolError::SnapshotsHeld { names }.into());
        }
        self.check_unread(&source)?;
        self.mounts.let_end(self.sessions().find(&source));
        if let Some(session) = self.sessions().find(&source) {
            if !request.force {
                let users = users_of(&session);
                return Err(in_use(&source, &users).hint("--force unmounts it first"));
            }
            drop(session);
            self.mounts
                .unmount(&UnmountTarget::Source(source.clone()), false)?;
        }
        let live = self.live_session(&request.volume);
        if let Some(live) = &live {
            let users = holders_of_snapshot(live, info.id);
            if !users.is_empty() && !request.force {
                return Err(in_use(&source, &users).hint(
                    "--force removes it all the same: what they have open of it then answers \
                     ESTALE",
                ));
            }
            live.mount.close_snapshot(info.id, &info.name);
        }
        self.remove_unread(request)?;
        if let Some(live) = &live {
            live.mount.close_snapshot(info.id, &info.name);
        }
        self.mounts.forget_source(&source);
        Ok(())
    }

    fn snapshot_details(&self, sessions: &[Session], info: SnapshotInfo) -> SnapshotDetails {
        let source = Source {
            volume: info.volume.clone(),
            snapshot: Some(info.name.clone()),
        };
        let (mountpoint, mountpoints) = self.mountpoints(sessions, &source);
        SnapshotDetails {
            name: source.to_string(),
            volume: info.volume.to_string(),
            snapshot: info.name.to_string(),
            driver: DRIVER.to_owned(),
            created_at: info.created.to_string(),
            age: u64::try_from(self.clock.now().secs - info.created.secs).unwrap_or(0),
            size: info.size_bytes,
            cut: info.lsn.0,
            automatic: info.made_by != MadeBy::User,
            made_by: match info.made_by {
                MadeBy::User => "user",
                MadeBy::Rollback => "rollback",
                MadeBy::Policy => "policy",
            }
            .to_owned(),
            held: info.held,
            labels: info.labels,
            mountpoint,
            mounted: !mountpoints.is_empty(),
            mountpoints,
            space: None,
        }
    }
}
