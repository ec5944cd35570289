//! Removal: the trash, from where a volume comes back, and the end.
//!
//! A volume in the trash has no name; all else of it stays, so that it comes back as it was. How
//! long it stays there is the owner's affair.

use std::sync::Arc;
use std::time::Duration;

use super::catalog::{Catalog, VolumeEntry, catalog_transaction};
use super::cut::Cut;
use super::records::VolumeRecord;
use super::volumes::{info, put_volume};
use super::{Pool, PoolError, PoolResult, TrashInfo, VolumeInfo};
use crate::base::{VolumeId, VolumeName};
use crate::journal::{Change, JournalPosition};

impl Pool {
    /// Moves a volume with its snapshots into the trash. Durable when it returns.
    ///
    /// # Errors
    /// `Busy` while somebody holds what [`Pool::open_volume`] gave; `Protected`; `SnapshotsHeld`
    /// where a snapshot of it must not be removed.
    pub fn trash_volume(&self, name: &VolumeName) -> PoolResult<()> {
        // A checkpoint holds the volume for a moment; a user holds it for longer.
        let _no_checkpoint = self.checkpointing.lock();
        let at = self.change_volume(name, |entry| {
            check_removable(entry)?;
            Ok(VolumeRecord {
                removed: Some(self.shared.clock.now()),
                ..entry.record.clone()
            })
        })?;
        self.sync_journal(at)
    }

    /// How long the pool's settings want volumes to stay in the trash.
    pub fn trash_stay(&self) -> Duration {
        self.trash_stay
    }

    /// What is in the trash, the oldest first.
    pub fn trash(&self) -> Vec<TrashInfo> {
        let catalog = self.catalog.lock();
        let entries = catalog.volumes.iter();
        let mut trash: Vec<TrashInfo> = entries
            .filter_map(|(id, entry)| {
                Some(TrashInfo {
                    removed: entry.record.removed?,
                    volume: info(*id, entry),
                })
            })
            .collect();
        trash.sort_by_key(|one| (one.removed, one.volume.id));
        trash
    }

    /// Takes a volume out of the trash: the one that was removed last, if several had the name. It
    /// gets its name back, or another one. Durable when it returns; name and return are one record.
    ///
    /// # Errors
    /// `NotInTrash`; `Exists` where another volume has the name.
    pub fn undelete_volume(
        &self,
        name: &VolumeName,
        new_name: Option<&VolumeName>,
    ) -> PoolResult<VolumeInfo> {
        let new_name = new_name.unwrap_or(name);
        let at = {
            let mut catalog = self.catalog.lock();
            let id = newest_in_trash(&catalog, name)?;
            catalog.check_new_volume(new_name)?;
            let entry = entry(&catalog, id, name)?;
            let record = VolumeRecord {
                name: new_name.clone(),
                removed: None,
                ..entry.record.clone()
            };
            self.cut(&mut catalog, &update(put_volume(id, &record)))?
        };
        self.sync_journal(at)?;
        self.volume_info(new_name)
    }

    /// Removes a volume and its snapshots for good; clones stay. Durable when it returns.
    ///
    /// # Errors
    /// As [`Pool::trash_volume`].
    pub fn remove_volume(&self, name: &VolumeName) -> PoolResult<()> {
        let id = self.catalog.lock().id_of(name)?;
        self.remove(id, name)
    }

    /// Ends the stay of a volume in the trash; nothing if it is not there any more. Durable when it
    /// returns.
    pub fn empty_trash(&self, id: VolumeId) -> PoolResult<()> {
        let name = {
            let catalog = self.catalog.lock();
            let found = catalog.volumes.get(&id);
            let found = found.filter(|entry| entry.record.removed.is_some());
            found.map(|entry| entry.record.name.clone())
        };
        name.map_or(Ok(()), |name| self.remove(id, &name))
    }

    fn remove(&self, id: VolumeId, name: &VolumeName) -> PoolResult<()> {
        let at = {
            // A checkpoint holds the volume for a moment; a user holds it for longer.
            let _no_checkpoint = self.checkpointing.lock();
            let mut catalog = self.catalog.lock();
            check_removable(entry(&catalog, id, name)?)?;
            let cut = Cut {
                catalog: catalog_transaction(catalog.volume_removal(id)),
                actions: Vec::new(),
            };
            self.cut(&mut catalog, &cut)?
        };
        self.gc.want();
        self.sync_journal(at)
    }

    /// Puts another record in the place of a volume's.
    pub(super) fn change_volume(
        &self,
        name: &VolumeName,
        change: impl FnOnce(&VolumeEntry) -> PoolResult<VolumeRecord>,
    ) -> PoolResult<JournalPosition> {
        let mut catalog = self.catalog.lock();
        let id = catalog.id_of(name)?;
        let record = change(entry(&catalog, id, name)?)?;
        if let Some(problem) = record.labels_problem() {
            return Err(PoolError::Invalid(problem));
        }
        self.cut(&mut catalog, &update(put_volume(id, &record)))
    }
}

/// A cut that changes a record of what is there.
pub(super) fn update(change: Change) -> Cut {
    Cut {
        catalog: catalog_transaction(vec![change]),
        actions: Vec::new(),
    }
}

fn entry<'a>(catalog: &'a Catalog, id: VolumeId, name: &VolumeName) -> PoolResult<&'a VolumeEntry> {
    catalog.volumes.get(&id).ok_or_else(|| PoolError::NoVolume {
        name: name.to_string(),
    })
}

fn newest_in_trash(catalog: &Catalog, name: &VolumeName) -> PoolResult<VolumeId> {
    let all = catalog.volumes.iter();
    let of_name = all.filter(|(_, entry)| entry.record.name == *name);
    let removed = of_name.filter_map(|(id, entry)| Some((entry.record.removed?, *id)));
    removed
        .max()
        .map(|(_, id)| id)
        .ok_or_else(|| PoolError::NotInTrash {
            name: name.to_string(),
        })
}

/// Refuses what somebody uses, or has said to keep. No checkpoint is under way.
fn check_removable(entry: &VolumeEntry) -> PoolResult<()> {
    let name = entry.record.name.to_string();
    if entry.record.protected {
        return Err(PoolError::Protected { name });
    }
    let held = entry.snapshots.values().filter(|one| one.record.held);
    let held: Vec<String> = held
        .map(|one| format!("{name}@{}", one.record.name))
        .collect();
    if !held.is_empty() {
        return Err(PoolError::SnapshotsHeld {
            names: held.join(", "),
        });
    }
    match Arc::strong_count(&entry.volume) > 1 {
        true => Err(PoolError::Busy { name }),
        false => Ok(()),
    }
}
