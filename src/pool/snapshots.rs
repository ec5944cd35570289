//! Snapshots: cut, list, open, remove, roll back.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::catalog::{Catalog, SnapshotEntry, catalog_transaction};
use super::cut::{Action, Cut};
use super::records::{MadeBy, SnapshotRecord, snapshot_key};
use super::trash::update;
use super::volumes::{of, reap};
use super::{NewSnapshot, Pool, PoolError, PoolResult, Rollback, SnapshotInfo};
use crate::base::{Lsn, SnapshotId, SnapshotName, Value, VolumeId, VolumeName};
use crate::journal::Change;
use crate::volume::core::volume::VolumeSettings;
use crate::volume::{EPOCH_MAX, Volume};

/// Frozen layers on which a volume stands before the next cut asks for a checkpoint: whoever reads
/// or writes looks through each of them.
const LAYERS_WANTED_MAX: usize = 4;
/// So many before the next cut waits for one: snapshots may come faster than a checkpoint is made
/// (docs/decisions/0002).
const LAYERS_MAX: usize = 16;

impl Pool {
    /// Snapshots of all these volumes in one cut: all or none. They hold everything that was
    /// acknowledged before the call. Durable when it returns.
    pub fn create_snapshots(
        &self,
        of_volumes: &[(VolumeName, SnapshotName)],
    ) -> PoolResult<Vec<SnapshotInfo>> {
        self.create_snapshots_as(of_volumes, &NewSnapshot::default())
    }

    /// As [`Pool::create_snapshots`], and says more of them.
    pub fn create_snapshots_as(
        &self,
        of_volumes: &[(VolumeName, SnapshotName)],
        new: &NewSnapshot,
    ) -> PoolResult<Vec<SnapshotInfo>> {
        let names: Vec<VolumeName> = of_volumes.iter().map(|(name, _)| name.clone()).collect();
        self.keep_chain_short(&names)?;
        let (volumes, at) = {
            let mut catalog = self.catalog.lock();
            let targets = check_new_snapshots(&catalog, of_volumes)?;
            for ((volume, _), name) in targets.iter().zip(&names) {
                volume.check_sound().map_err(of(name))?;
            }
            let (ids, counters) = catalog.next_snapshots(targets.len());
            let at = (self.journal_end()?, new);
            let mut changes = vec![counters];
            let mut actions = Vec::new();
            for ((volume, name), snapshot) in targets.iter().zip(&ids) {
                changes.push(self.put_snapshot(volume.id(), *snapshot, name, at)?);
                actions.push(Action::Freeze {
                    volume: volume.id(),
                    snapshot: *snapshot,
                });
            }
            let cut = Cut {
                catalog: catalog_transaction(changes),
                actions,
            };
            let at = self.cut(&mut catalog, &cut)?;
            let volumes: Vec<Arc<Volume>> = targets.into_iter().map(|(volume, _)| volume).collect();
            (volumes, at)
        };
        for (volume, name) in volumes.iter().zip(&names) {
            self.sync_cut_volume(volume, name)?;
        }
        self.sync_journal(at)?;
        let catalog = self.catalog.lock();
        of_volumes
            .iter()
            .map(|(volume, name)| {
                let (id, entry) = catalog.snapshot(volume, name)?;
                Ok(info(
                    id,
                    volume,
                    entry,
                    catalog.volume(volume)?.record.block_size,
                ))
            })
            .collect()
    }

    /// Snapshots of one volume, or of all, sorted by volume, then by age.
    pub fn snapshots(&self, of_volume: Option<&VolumeName>) -> PoolResult<Vec<SnapshotInfo>> {
        let catalog = self.catalog.lock();
        if let Some(name) = of_volume {
            catalog.volume(name)?;
        }
        let mut snapshots: Vec<SnapshotInfo> = catalog
            .volumes
            .values()
            .filter(|entry| entry.record.removed.is_none())
            .filter(|entry| of_volume.is_none_or(|name| *name == entry.record.name))
            .flat_map(|entry| {
                let record = &entry.record;
                let of_one = |(id, snapshot): (&SnapshotId, &SnapshotEntry)| {
                    info(*id, &record.name, snapshot, record.block_size)
                };
                entry.snapshots.iter().map(of_one).collect::<Vec<_>>()
            })
            .collect();
        snapshots.sort_by(|a, b| (&a.volume, a.lsn, a.id).cmp(&(&b.volume, b.lsn, b.id)));
        Ok(snapshots)
    }

    /// One snapshot.
    pub fn snapshot_info(
        &self,
        volume: &VolumeName,
        name: &SnapshotName,
    ) -> PoolResult<SnapshotInfo> {
        let catalog = self.catalog.lock();
        let (id, entry) = catalog.snapshot(volume, name)?;
        let block_size = catalog.volume(volume)?.record.block_size;
        Ok(info(id, volume, entry, block_size))
    }

    /// How many snapshots a volume has, and the number of the newest. Numbers rise and are never
    /// used twice, so that both are the same only while no snapshot has come or gone.
    pub fn snapshot_count(&self, volume: &VolumeName) -> PoolResult<(usize, Option<SnapshotId>)> {
        let catalog = self.catalog.lock();
        let snapshots = &catalog.volume(volume)?.snapshots;
        let newest = snapshots.last_key_value().map(|(id, _)| *id);
        Ok((snapshots.len(), newest))
    }

    /// A snapshot as a read-only volume.
    pub fn open_snapshot(
        &self,
        volume: &VolumeName,
        name: &SnapshotName,
    ) -> PoolResult<Arc<Volume>> {
        let catalog = self.catalog.lock();
        let entry = catalog.volume(volume)?;
        let (_, snapshot) = catalog.snapshot(volume, name)?;
        let settings = VolumeSettings {
            id: entry.volume.id(),
            label: format!("{volume}@{name}"),
            block_size: entry.record.block_size,
            hash_key: entry.record.hash_key,
            read_only: true,
        };
        Ok(Volume::new(
            settings,
            self.shared.clone(),
            snapshot.layer.clone(),
        ))
    }

    /// Removes a snapshot; what was cloned from it stays. Durable when it returns.
    pub fn remove_snapshot(&self, volume: &VolumeName, name: &SnapshotName) -> PoolResult<()> {
        let at = {
            let mut catalog = self.catalog.lock();
            let (snapshot, entry) = catalog.snapshot(volume, name)?;
            if entry.record.held {
                return Err(PoolError::SnapshotsHeld {
                    names: format!("{volume}@{name}"),
                });
            }
            let id = catalog.id_of(volume)?;
            let changes = Catalog::snapshot_removal(id, snapshot).to_vec();
            let cut = Cut {
                catalog: catalog_transaction(changes),
                actions: Vec::new(),
            };
            self.cut(&mut catalog, &cut)?
        };
        self.gc.want();
        self.sync_journal(at)
    }

    /// Says that a snapshot must not be removed, or may be again. Durable when it returns.
    pub fn hold_snapshot(
        &self,
        volume: &VolumeName,
        name: &SnapshotName,
        held: bool,
    ) -> PoolResult<()> {
        let at = {
            let mut catalog = self.catalog.lock();
            let (snapshot, entry) = catalog.snapshot(volume, name)?;
            let record = SnapshotRecord {
                held,
                ..entry.record.clone()
            };
            let change = put(catalog.id_of(volume)?, snapshot, &record);
            self.cut(&mut catalog, &update(change))?
        };
        self.sync_journal(at)
    }

    /// Puts a volume back to a snapshot, mounted or not; the state it leaves is kept as a snapshot
    /// of its own, and newer snapshots stay. Durable when it returns.
    ///
    /// Freezing, resetting and raising the epoch happen under the volume's lock in the instant of
    /// one record; a request that names nodes of the old state is refused from then on.
    pub fn rollback(&self, volume: &VolumeName, snapshot: &SnapshotName) -> PoolResult<Rollback> {
        self.keep_chain_short(std::slice::from_ref(volume))?;
        let (live, kept, old_epoch, at) = {
            let mut catalog = self.catalog.lock();
            let (target, _) = catalog.snapshot(volume, snapshot)?;
            let live = catalog.volume(volume)?.volume.clone();
            live.check_sound().map_err(of(volume))?;
            let kept = self.unused_name(&catalog, volume)?;
            let (ids, counters) = catalog.next_snapshots(1);
            let new = NewSnapshot {
                made_by: MadeBy::Rollback,
                ..NewSnapshot::default()
            };
            let keep = self.put_snapshot(live.id(), ids[0], &kept, (self.journal_end()?, &new))?;
            let actions = vec![
                Action::Freeze {
                    volume: live.id(),
                    snapshot: ids[0],
                },
                Action::Reset {
                    volume: live.id(),
                    snapshot: target,
                },
            ];
            let cut = Cut {
                catalog: catalog_transaction(vec![counters, keep]),
                actions,
            };
            let at = self.cut(&mut catalog, &cut)?;
            let old_epoch = live.epoch().wrapping_sub(1) & EPOCH_MAX;
            (live, kept, old_epoch, at)
        };
        self.sync_cut_volume(&live, volume)?;
        self.sync_journal(at)?;
        // What was unlinked but open at the snapshot has no holder now.
        reap(&live).map_err(of(volume))?;
        Ok(Rollback { kept, old_epoch })
    }

    /// A name for the state that a rollback leaves.
    fn unused_name(&self, catalog: &Catalog, volume: &VolumeName) -> PoolResult<SnapshotName> {
        let time = self.shared.clock.now().sortable();
        let mut name: SnapshotName = format!("before-rollback-{time}").parse()?;
        let mut count = 1;
        while catalog.snapshot(volume, &name).is_ok() {
            count += 1;
            name = format!("before-rollback-{time}-{count}").parse()?;
        }
        Ok(name)
    }

    /// Asks for a checkpoint where a volume stands on many frozen layers, and waits for one where
    /// they are too many, or where nobody makes it beside.
    pub(super) fn keep_chain_short(&self, names: &[VolumeName]) -> PoolResult<()> {
        let depth = {
            let catalog = self.catalog.lock();
            let mut deepest = 0;
            for name in names {
                let volume = catalog.volume(name)?.volume.clone();
                deepest = deepest.max(volume.lock().base().depth());
            }
            deepest
        };
        if depth < LAYERS_WANTED_MAX {
            return Ok(());
        }
        let comes = self.shared.admission.ask_for_checkpoint();
        if comes && depth < LAYERS_MAX {
            return Ok(());
        }
        self.checkpoint()
    }

    fn put_snapshot(
        &self,
        volume: VolumeId,
        snapshot: SnapshotId,
        name: &SnapshotName,
        (cut, new): (Lsn, &NewSnapshot),
    ) -> PoolResult<Change> {
        let record = SnapshotRecord {
            name: name.clone(),
            created: self.shared.clock.now(),
            made_by: new.made_by,
            cut: cut.0,
            held: false,
            labels: new.labels.clone(),
        };
        match record.labels_problem() {
            Some(problem) => Err(PoolError::Invalid(problem)),
            None => Ok(put(volume, snapshot, &record)),
        }
    }

    fn journal_end(&self) -> PoolResult<Lsn> {
        Ok(self.journal()?.appended().lsn)
    }
}

fn put(volume: VolumeId, snapshot: SnapshotId, record: &SnapshotRecord) -> Change {
    let key = snapshot_key(volume, snapshot);
    Change::Put(key, Value::record(record.encode()))
}

type Target = (Arc<Volume>, SnapshotName);

/// Every volume exists, every name is new, no volume is named twice.
fn check_new_snapshots(
    catalog: &Catalog,
    of_volumes: &[(VolumeName, SnapshotName)],
) -> PoolResult<Vec<Target>> {
    if of_volumes.is_empty() {
        return Err(PoolError::Invalid("name at least one volume".to_owned()));
    }
    let mut seen = BTreeSet::new();
    let mut targets = Vec::new();
    for (volume, name) in of_volumes {
        let entry = catalog.volume(volume)?;
        if !seen.insert(volume) {
            return Err(PoolError::Invalid(format!(
                "volume '{volume}' is named twice"
            )));
        }
        if catalog.snapshot(volume, name).is_ok() {
            let name = format!("{volume}@{name}");
            return Err(PoolError::Exists {
                what: "snapshot",
                name,
            });
        }
        targets.push((entry.volume.clone(), name.clone()));
    }
    Ok(targets)
}

fn info(
    id: SnapshotId,
    volume: &VolumeName,
    entry: &SnapshotEntry,
    block_size: u32,
) -> SnapshotInfo {
    SnapshotInfo {
        id,
        volume: volume.clone(),
        name: entry.record.name.clone(),
        created: entry.record.created,
        lsn: Lsn(entry.record.cut),
        size_bytes: entry.layer.counts().blocks * u64::from(block_size),
        made_by: entry.record.made_by,
        held: entry.record.held,
        labels: entry.record.labels.clone(),
    }
}
