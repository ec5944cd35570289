//! What is kept, and what goes: settings of volumes, holds, the trash.

use std::time::Duration;

use super::Service;
use super::volumes::users_of;
use crate::base::progress::Progress;
use crate::base::{Timestamp, VolumeId, VolumeName};
use crate::daemon::mounts::in_use;
use crate::daemon::{
    Filter, HoldSnapshot, PruneVolumes, Pruned, RemoveVolume, ServiceError, ServiceResult,
    SetVolume, Source, TrashDetails, UndeleteVolume, UnmountTarget, VolumeDetails,
};
use crate::pool::{self, PoolError, PoolResult, TrashInfo, VolumeInfo};

/// How long this process must have seen a volume in the trash before it ends its stay: a clock that
/// was wrong, and a machine that slept, leave time for second thoughts.
const SEEN_MIN: Duration = Duration::from_secs(3600);

impl Service {
    /// Changes settings of a volume.
    pub fn set_volume(&self, request: &SetVolume) -> ServiceResult<VolumeDetails> {
        let set = pool::SetVolume {
            limit_bytes: request.limit,
            protected: request.protected,
            labels: request.labels.clone(),
            policy: None,
        };
        let info = self.pool.set_volume(&request.volume, &set)?;
        Ok(self.volume_details(info))
    }

    /// Moves a volume and its snapshots into the trash, or removes it for good. Refused while it or
    /// a snapshot of it is mounted; `force` unmounts first, which is still refused while somebody
    /// holds files open.
    pub fn remove_volume(&self, request: &RemoveVolume) -> ServiceResult<()> {
        let name = &request.volume;
        if let Err(error) = self.pool.volume_info(name) {
            return match request.now && self.empty_trash_of(name)? {
                true => Ok(()),
                false => Err(error.into()),
            };
        }
        self.mounts.let_end(self.mounts.sessions_of_volume(name));
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
        self.remove(name, request.now)
    }

    fn remove(&self, name: &VolumeName, now: bool) -> ServiceResult<()> {
        let removed = match now {
            true => self.pool.remove_volume(name),
            false => self.pool.trash_volume(name),
        };
        removed.map_err(|error| match error {
            PoolError::Busy { .. } => in_use(
                &Source::live(name.clone()),
                &["a request that is under way".to_owned()],
            ),
            other => other.into(),
        })?;
        self.mounts.forget_volume(name);
        Ok(())
    }

    /// Whether the trash had a volume of this name.
    fn empty_trash_of(&self, name: &VolumeName) -> PoolResult<bool> {
        let trash = self.pool.trash().into_iter();
        let of_name: Vec<TrashInfo> = trash.filter(|one| one.volume.name == *name).collect();
        for one in &of_name {
            self.pool.empty_trash(one.volume.id)?;
        }
        Ok(!of_name.is_empty())
    }

    /// Takes a volume out of the trash.
    pub fn undelete_volume(&self, request: &UndeleteVolume) -> ServiceResult<VolumeDetails> {
        let volume = &request.volume;
        let back = self
            .pool
            .undelete_volume(volume, request.new_name.as_ref())
            .map_err(|error| match error {
                PoolError::Exists { .. } => ServiceError::from(error).hint(format!(
                    "`volfs volume undelete {volume} --as OTHER` brings it back under another name"
                )),
                error => error.into(),
            })?;
        Ok(self.volume_details(back))
    }

    /// What is in the trash, the oldest first.
    pub fn trash(&self) -> Vec<TrashDetails> {
        let details = |one: TrashInfo| TrashDetails {
            name: one.volume.name.to_string(),
            removed_at: one.removed.to_string(),
            expires_at: self.expiry_of(&one).to_string(),
            size: one.volume.size_bytes,
            snapshots: one.volume.snapshots,
        };
        self.pool.trash().into_iter().map(details).collect()
    }

    fn expiry_of(&self, one: &TrashInfo) -> Timestamp {
        let secs = i64::try_from(self.pool.trash_stay().as_secs()).unwrap_or(i64::MAX);
        Timestamp {
            secs: one.removed.secs.saturating_add(secs),
            ..one.removed
        }
    }

    /// Ends the stay of what was long enough in the trash by the clock. Where `is_seen`, what this
    /// process has not seen there for an hour stays all the same.
    pub fn expire_trash(&self, is_seen: bool) {
        let (now, since_start) = (self.clock.now(), self.clock.monotonic());
        let trash = self.pool.trash();
        let mut seen = self.trash_seen.lock();
        seen.retain(|id, _| trash.iter().any(|one| one.volume.id == *id));
        for one in trash {
            let first = *seen.entry(one.volume.id).or_insert(since_start);
            let patience = SEEN_MIN.min(self.pool.trash_stay());
            let is_known = !is_seen || since_start.saturating_sub(first) >= patience;
            if is_known && self.expiry_of(&one) <= now {
                self.end_stay(one.volume.id, &one.volume.name);
            }
        }
    }

    fn end_stay(&self, id: VolumeId, name: &VolumeName) {
        match self.pool.empty_trash(id) {
            Ok(()) => log::info!("volume '{name}' has left the trash for good"),
            Err(error) => log::warn!("volume '{name}' stays in the trash: {error}"),
        }
    }

    /// Removes what nobody has mounted. What cannot be removed stays, and is told.
    pub fn prune_volumes(
        &self,
        request: &PruneVolumes,
        progress: &dyn Progress,
    ) -> ServiceResult<Pruned> {
        let filters = Filter::parse(&request.filters)?;
        let is_unused = |info: &VolumeInfo| {
            let fits = |filter: &Filter| filter.fits(info.name.as_str(), &info.labels);
            !info.protected
                && filters.iter().all(fits)
                && self.mounts.sessions_of_volume(&info.name).is_empty()
        };
        let unused = self.pool.volumes().into_iter().filter(is_unused);
        let mut names: Vec<VolumeName> = unused.map(|info| info.name).collect();
        let held: Vec<_> = self.pool.snapshots(None)?.into_iter().collect();
        names.retain(|name| !held.iter().any(|one| one.held && one.volume == *name));
        let reclaimed = match names.is_empty() {
            true => 0,
            false => self.pool.freed_by_removal(&names, &[], progress)?,
        };
        let mut pruned = Pruned {
            volumes: Vec::new(),
            reclaimed,
            warnings: Vec::new(),
        };
        for name in names {
            match request.dry_run {
                true => pruned.volumes.push(name.to_string()),
                false => match self.remove(&name, request.now) {
                    Ok(()) => pruned.volumes.push(name.to_string()),
                    Err(error) => pruned.warnings.push(format!("'{name}' stays: {error}")),
                },
            }
        }
        Ok(pruned)
    }

    /// Says that a snapshot must not be removed, or may be again.
    pub fn hold_snapshot(&self, request: &HoldSnapshot) -> ServiceResult<()> {
        let (volume, snapshot) = (&request.volume, &request.snapshot);
        Ok(self.pool.hold_snapshot(volume, snapshot, request.held)?)
    }
}

/// What to do about what is kept.
pub(in crate::daemon) fn hint_to_let_go(error: ServiceError, cause: &PoolError) -> ServiceError {
    match cause {
        PoolError::Protected { name } => {
            error.hint(format!("`volfs volume set {name} protected=no` lets it go"))
        }
        PoolError::SnapshotsHeld { .. } => {
            error.hint("`volfs snapshot release VOLUME@SNAPSHOT` lets one go")
        }
        PoolError::NotInTrash { .. } => error.hint("`volfs volume ls --trash` lists what it has"),
        _ => error,
    }
}
