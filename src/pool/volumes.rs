//! Volumes by name: create, list, open, clone, remove.

use std::sync::Arc;

use super::catalog::{Catalog, VolumeEntry, catalog_transaction};
use super::checkpoint::chain;
use super::cut::{Action, Cut};
use super::records::{VolumeRecord, volume_key};
use super::settings::is_block_size;
use super::{NewVolume, Pool, PoolError, PoolResult, SetVolume, VolumeInfo, lock_states};
#[cfg(test)]
use crate::base::sync::{Sabotage, is_sabotaged};
use crate::base::{SnapshotName, Value, VolumeId, VolumeName};
use crate::disk::{Step, performs};
use crate::journal::{Change, JournalPosition, RecordKind};
use crate::volume::core::admission::Need;
use crate::volume::{FsError, FsResult, Volume};

impl Pool {
    /// Creates an empty volume with its root folder, or none where the medium has no room. Durable
    /// when it returns.
    pub fn create_volume(&self, new: &NewVolume) -> PoolResult<VolumeInfo> {
        let block_size = new.block_size.unwrap_or(self.default_block_size);
        if !is_block_size(block_size) {
            return Err(PoolError::Invalid(format!(
                "block size {block_size} is not one of 4K, 8K, 16K, 32K, 64K, 128K"
            )));
        }
        // Who asks for a name that is taken is told so on a full disk, too.
        self.catalog.lock().check_new_volume(&new.name)?;
        self.shared.enter(Need::Room).map_err(of(&new.name))?;
        let volume = {
            let mut catalog = self.catalog.lock();
            catalog.check_new_volume(&new.name)?;
            let record = VolumeRecord {
                name: new.name.clone(),
                created: self.shared.clock.now(),
                block_size,
                hash_key: self.fresh_hash_key()?,
                uid: new.uid,
                gid: new.gid,
                mode: new.mode,
                labels: new.labels.clone(),
                origin: None,
                limit_bytes: new.limit_bytes.unwrap_or(0),
                protected: false,
                removed: None,
                policy: None,
            };
            if let Some(problem) = record.labels_problem() {
                return Err(PoolError::Invalid(problem));
            }
            let (id, counters) = catalog.next_volume();
            let changes = vec![counters, put_volume(id, &record)];
            let cut = Cut {
                catalog: catalog_transaction(changes),
                actions: Vec::new(),
            };
            self.cut(&mut catalog, &cut)?;
            catalog.volume(&new.name)?.volume.clone()
        };
        if let Err(error) = volume.format(new.uid, new.gid, new.mode) {
            drop(volume);
            if error.is_no_space() {
                self.withdraw_volume(&new.name);
            }
            return Err(of(&new.name)(error));
        }
        volume.sync().map_err(of(&new.name))?;
        self.volume_info(&new.name)
    }

    /// Removes a volume whose creation was refused between its two records. Where that is refused,
    /// too, it stays without a root folder, which the next opening makes, and can be removed.
    fn withdraw_volume(&self, name: &VolumeName) {
        if let Err(error) = self.remove_volume(name) {
            log::warn!(
                "volume '{name}' is unfinished, and stays: {}",
                chain(&error)
            );
        }
    }

    /// All volumes but those in the trash, sorted by name.
    pub fn volumes(&self) -> Vec<VolumeInfo> {
        let catalog = self.catalog.lock();
        let mut volumes: Vec<VolumeInfo> = catalog
            .volumes
            .iter()
            .filter(|(_, entry)| entry.record.removed.is_none())
            .map(|(id, entry)| info(*id, entry))
            .collect();
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        volumes
    }

    /// One volume.
    pub fn volume_info(&self, name: &VolumeName) -> PoolResult<VolumeInfo> {
        let catalog = self.catalog.lock();
        Ok(info(catalog.id_of(name)?, catalog.volume(name)?))
    }

    /// The live volume: the same object for every caller.
    pub fn open_volume(&self, name: &VolumeName) -> PoolResult<Arc<Volume>> {
        Ok(self.catalog.lock().volume(name)?.volume.clone())
    }

    /// Changes settings of a volume. Durable when it returns.
    ///
    /// # Errors
    /// `LimitBelowUse`; `Invalid` for labels that cannot be stored, and for a policy that makes no
    /// sense.
    pub fn set_volume(&self, name: &VolumeName, set: &SetVolume) -> PoolResult<VolumeInfo> {
        let at = self.change_volume(name, |entry| {
            let mut record = entry.record.clone();
            if let Some(limit) = set.limit_bytes {
                check_limit(entry, limit)?;
                record.limit_bytes = limit;
            }
            record.protected = set.protected.unwrap_or(record.protected);
            record.policy = set.policy.unwrap_or(record.policy);
            if let Some(problem) = record.policy.and_then(|policy| policy.problem()) {
                return Err(PoolError::Invalid(problem));
            }
            for (key, value) in &set.labels {
                match value {
                    Some(value) => record.labels.insert(key.clone(), value.clone()),
                    None => record.labels.remove(key),
                };
            }
            Ok(record)
        })?;
        self.sync_journal(at)?;
        self.volume_info(name)
    }

    /// A writable volume that starts from a snapshot, or from the present state. Durable when it
    /// returns.
    pub fn clone_volume(
        &self,
        volume: &VolumeName,
        snapshot: Option<&SnapshotName>,
        new: &VolumeName,
    ) -> PoolResult<VolumeInfo> {
        self.keep_chain_short(std::slice::from_ref(volume))?;
        let (source, is_durable, at) = {
            let mut catalog = self.catalog.lock();
            catalog.check_new_volume(new)?;
            let entry = catalog.volume(volume)?;
            let source = entry.volume.clone();
            let origin = match snapshot {
                Some(snapshot) => format!("{volume}@{snapshot}"),
                None => volume.to_string(),
            };
            let record = VolumeRecord {
                name: new.clone(),
                created: self.shared.clock.now(),
                origin: Some(origin),
                protected: false,
                policy: None,
                ..entry.record.clone()
            };
            let (id, counters) = catalog.next_volume();
            let (action, is_durable) = match snapshot {
                Some(name) => {
                    let (snapshot, entry) = catalog.snapshot(volume, name)?;
                    let action = Action::Clone {
                        volume: source.id(),
                        snapshot,
                        new: id,
                    };
                    (action, entry.published)
                }
                None => {
                    let action = Action::Fork {
                        volume: source.id(),
                        new: id,
                    };
                    (action, false)
                }
            };
            if !is_durable {
                source.check_sound().map_err(of(volume))?;
            }
            let changes = vec![counters, put_volume(id, &record)];
            let cut = Cut {
                catalog: catalog_transaction(changes),
                actions: vec![action],
            };
            (source, is_durable, self.cut(&mut catalog, &cut)?)
        };
        // A copy holds what the source acknowledged: that must be durable first. A published
        // snapshot is, and can be copied also from a volume that accepts no more changes.
        if !is_durable || source.poison_reason().is_none() {
            self.sync_cut_volume(&source, volume)?;
        }
        self.sync_journal(at)?;
        // Files that were unlinked but open in the source have no holder in the clone.
        let clone = self.open_volume(new)?;
        reap(&clone).map_err(of(new))?;
        self.volume_info(new)
    }

    /// Appends a cut and applies it, in one instant for all volumes that it concerns. The names of
    /// its changes have been checked under the same lock of the catalog.
    pub(super) fn cut(&self, catalog: &mut Catalog, cut: &Cut) -> PoolResult<JournalPosition> {
        let mut ids: Vec<VolumeId> = cut.actions.iter().map(Action::volume).collect();
        ids.sort_unstable();
        ids.dedup();
        let volumes: Vec<Arc<Volume>> = ids
            .iter()
            .filter_map(|id| catalog.volumes.get(id).map(|entry| entry.volume.clone()))
            .collect();
        let journal = self.journal()?;
        let body = cut.encode();
        let append = || journal.append(RecordKind::Cut, VolumeId::CATALOG, &[&body]);
        #[cfg(test)]
        let early = is_sabotaged(Sabotage::CutBeforeLocks).then(append);
        let mut locked = lock_states(&volumes);
        #[cfg(test)]
        let append = || early.unwrap_or_else(append);
        let at = append()?;
        catalog.apply(&self.shared, cut, at, &mut locked, None)?;
        Ok(at)
    }

    /// Makes durable what a volume held at a cut.
    pub(super) fn sync_cut_volume(&self, volume: &Volume, name: &VolumeName) -> PoolResult<()> {
        match performs(&*self.shared.disk, Step::VolumeBeforeCut) {
            true => volume.sync().map_err(of(name)),
            false => Ok(()),
        }
    }

    pub(super) fn sync_journal(&self, at: JournalPosition) -> PoolResult<()> {
        Ok(self.journal()?.sync(at.lsn, Step::CutBeforeReply)?)
    }

    fn fresh_hash_key(&self) -> PoolResult<[u8; 16]> {
        (self.fresh_key)().map_err(|source| PoolError::Folder {
            path: self.path.clone(),
            action: "find a random key for a volume of",
            source,
        })
    }
}

/// Removes the files of a copy that nobody can have open. Where there is no room for the records
/// they wait for the next opening: what was asked for has happened.
pub(super) fn reap(copy: &Volume) -> FsResult<()> {
    match copy.reap_orphans() {
        Err(error) if error.is_no_space() => {
            log::warn!("files without names stay for now: {}", chain(&error));
            Ok(())
        }
        reaped => reaped.map(drop),
    }
}

/// A volume's error under its name.
pub(super) fn of(name: &VolumeName) -> impl FnOnce(FsError) -> PoolError {
    let name = name.to_string();
    move |source| PoolError::Volume { name, source }
}

/// Refuses a limit below what the volume holds.
fn check_limit(entry: &VolumeEntry, limit: u64) -> PoolResult<()> {
    let used = entry.volume.counts().blocks * u64::from(entry.record.block_size);
    match limit > 0 && limit < used {
        true => Err(PoolError::LimitBelowUse {
            name: entry.record.name.to_string(),
            limit,
            used,
        }),
        false => Ok(()),
    }
}

pub(super) fn put_volume(id: VolumeId, record: &VolumeRecord) -> Change {
    Change::Put(volume_key(id), Value::record(record.encode()))
}

pub(super) fn info(id: VolumeId, entry: &VolumeEntry) -> VolumeInfo {
    let counts = entry.volume.counts();
    entry.volume.notice_lost_records();
    VolumeInfo {
        id,
        name: entry.record.name.clone(),
        created: entry.record.created,
        block_size: entry.record.block_size,
        labels: entry.record.labels.clone(),
        origin: entry.record.origin.clone(),
        size_bytes: counts.blocks * u64::from(entry.record.block_size),
        inodes: counts.inodes,
        snapshots: entry.snapshots.len() as u64,
        limit_bytes: entry.volume.limit_bytes(),
        protected: entry.record.protected,
        policy: entry.record.policy,
        poisoned: entry.volume.poison_reason(),
    }
}
