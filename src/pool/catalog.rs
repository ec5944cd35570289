//! The catalog: volumes and snapshots, what they stand on, and what of it is published.
//!
//! It is a map like a volume's, changed by records of the same journal; here is what it says, in
//! memory, and the changes since its tree was last written.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::copies::Birth;
use super::cut::{Action, Cut};
use super::records::{
    COUNTERS, Counters, ROOT, RootRecord, SNAPSHOT, SNAPSHOT_ROOT, SnapshotRecord, VOLUME,
    VolumeRecord, counters_key, root_key, snapshot_key, snapshot_root_key, volume_key,
};
use super::{PoolError, PoolResult};
use crate::base::sync::RwLockWriteGuard;
use crate::base::{DecodeError, Key, Lsn, SnapshotId, SnapshotName, Value, VolumeId, VolumeName};
use crate::journal::{Change, JournalPosition, Transaction};
use crate::tree::{Cursor, TreeRoot};
use crate::volume::core::layer::Layer;
use crate::volume::core::shared::Shared;
use crate::volume::core::volume::{State, VolumeSettings};
use crate::volume::{Counts, Volume};

/// A volume of the pool.
pub(crate) struct VolumeEntry {
    pub(crate) record: VolumeRecord,
    pub(crate) volume: Arc<Volume>,
    /// Its root in the catalog's tree; none until the first checkpoint after its creation.
    pub(crate) published: Option<RootRecord>,
    /// Where a copy comes from, until its first root is in the catalog's tree.
    pub(crate) birth: Option<Birth>,
    pub(crate) snapshots: BTreeMap<SnapshotId, SnapshotEntry>,
}

/// A snapshot of a volume.
pub(crate) struct SnapshotEntry {
    pub(crate) record: SnapshotRecord,
    pub(crate) layer: Arc<Layer>,
    /// Whether its root is in the catalog's tree.
    pub(crate) published: bool,
}

/// Locked states of the volumes that a cut concerns.
pub(crate) type Locked<'a> = BTreeMap<VolumeId, RwLockWriteGuard<'a, State>>;

/// The catalog in memory.
pub(crate) struct Catalog {
    pub(crate) root: Option<TreeRoot>,
    /// The last record that was applied.
    pub(crate) at: JournalPosition,
    /// Keys changed since the tree was written.
    pub(crate) changed: BTreeMap<Key, Option<Value>>,
    pub(crate) volumes: BTreeMap<VolumeId, VolumeEntry>,
    names: BTreeMap<VolumeName, VolumeId>,
    /// Snapshots in the tree whose state is still in the journal only.
    unrooted: BTreeMap<(VolumeId, SnapshotId), SnapshotRecord>,
    pub(crate) counters: Counters,
}

impl Catalog {
    /// Reads the catalog's tree. `applied` is the last record that it holds.
    pub(crate) fn load(
        shared: &Arc<Shared>,
        root: Option<TreeRoot>,
        applied: JournalPosition,
    ) -> PoolResult<Catalog> {
        let mut catalog = Catalog {
            root,
            at: applied,
            changed: BTreeMap::new(),
            volumes: BTreeMap::new(),
            names: BTreeMap::new(),
            unrooted: BTreeMap::new(),
            counters: Counters {
                next_volume: 1,
                next_snapshot: 1,
            },
        };
        let mut entries = BTreeMap::new();
        let mut cursor = Cursor::seek(&*shared.nodes, root.as_ref(), &Key::MIN)?;
        while let Some((key, value)) = cursor.next()? {
            entries.insert(key, value);
        }
        for (key, value) in &entries {
            catalog
                .load_entry(shared, &entries, *key, value)
                .map_err(at_key(key))?;
        }
        Ok(catalog)
    }

    fn load_entry(
        &mut self,
        shared: &Arc<Shared>,
        entries: &BTreeMap<Key, Value>,
        key: Key,
        value: &Value,
    ) -> Result<(), DecodeError> {
        let id = VolumeId(key.owner());
        let root_of = |key: Key| -> Result<Option<RootRecord>, DecodeError> {
            entries
                .get(&key)
                .map(|value| RootRecord::decode(&value.bytes))
                .transpose()
        };
        match key.kind() {
            COUNTERS => self.counters = Counters::decode(&value.bytes)?,
            VOLUME => {
                let record = VolumeRecord::decode(&value.bytes)?;
                let published = root_of(root_key(id))?;
                let base = match &published {
                    Some(root) => Layer::sealed(root.root, root.counts),
                    None => Layer::sealed(None, Counts::default()),
                };
                self.insert_volume(shared, id, record, base, published);
            }
            SNAPSHOT => {
                let snapshot = SnapshotId(key.sub());
                let record = SnapshotRecord::decode(&value.bytes)?;
                // A snapshot without a root was cut but not sealed; its cut is still in the
                // journal, and replay gives it its state.
                let Some(root) = root_of(snapshot_root_key(id, snapshot))? else {
                    self.unrooted.insert((id, snapshot), record);
                    return Ok(());
                };
                if let Some(entry) = self.volumes.get_mut(&id) {
                    let layer = Layer::sealed(root.root, root.counts);
                    let entry_of = SnapshotEntry {
                        record,
                        layer,
                        published: true,
                    };
                    entry.snapshots.insert(snapshot, entry_of);
                }
            }
            ROOT | SNAPSHOT_ROOT => {}
            _ => log::warn!("the catalog has a key of an unknown kind: {key:?}"),
        }
        Ok(())
    }

    fn insert_volume(
        &mut self,
        shared: &Arc<Shared>,
        id: VolumeId,
        record: VolumeRecord,
        base: Arc<Layer>,
        published: Option<RootRecord>,
    ) {
        let settings = VolumeSettings {
            id,
            label: record.name.to_string(),
            block_size: record.block_size,
            hash_key: record.hash_key,
            read_only: false,
        };
        let volume = Volume::new(settings, shared.clone(), base);
        volume.set_limit(record.limit_bytes);
        let entry = VolumeEntry {
            record,
            volume,
            published,
            birth: None,
            snapshots: BTreeMap::new(),
        };
        self.volumes.insert(id, entry);
        self.show(id);
    }

    /// A volume's number.
    pub(crate) fn id_of(&self, name: &VolumeName) -> PoolResult<VolumeId> {
        let missing = || PoolError::NoVolume {
            name: name.to_string(),
        };
        self.names.get(name).copied().ok_or_else(missing)
    }

    /// A volume by name.
    pub(crate) fn volume(&self, name: &VolumeName) -> PoolResult<&VolumeEntry> {
        let id = self.id_of(name)?;
        self.volumes.get(&id).ok_or_else(|| PoolError::NoVolume {
            name: name.to_string(),
        })
    }

    /// A snapshot by name.
    pub(crate) fn snapshot(
        &self,
        volume: &VolumeName,
        name: &SnapshotName,
    ) -> PoolResult<(SnapshotId, &SnapshotEntry)> {
        self.volume(volume)?
            .snapshots
            .iter()
            .find(|(_, snapshot)| snapshot.record.name == *name)
            .map(|(id, snapshot)| (*id, snapshot))
            .ok_or_else(|| PoolError::NoSnapshot {
                volume: volume.to_string(),
                name: name.to_string(),
            })
    }

    /// Fails if a volume of that name exists.
    pub(crate) fn check_new_volume(&self, name: &VolumeName) -> PoolResult<()> {
        if self.names.contains_key(name) {
            return Err(PoolError::Exists {
                what: "volume",
                name: name.to_string(),
            });
        }
        Ok(())
    }

    /// Applies a cut whose record ends at `at`. The volumes that its actions name are locked.
    /// `replay` says which of its parts are in the trees already; none when it is new.
    pub(crate) fn apply(
        &mut self,
        shared: &Arc<Shared>,
        cut: &Cut,
        at: JournalPosition,
        locked: &mut Locked<'_>,
        mut replay: Option<&mut Replay>,
    ) -> PoolResult<()> {
        let catalog_is_new = at.lsn > self.at.lsn;
        let mut bases = BTreeMap::new();
        let mut lost = Vec::new();
        for action in &cut.actions {
            let Some(new) = action.new_volume() else {
                continue;
            };
            // Of a state that the source has left behind in its tree no copy can be made.
            let is_past = matches!(action, Action::Fork { .. })
                && replay
                    .as_deref()
                    .is_some_and(|replay| !replay.concerns(action.volume(), at.lsn));
            match self.layer_for(shared, action, locked) {
                Some(base) if !is_past => {
                    bases.insert(new, Birth { at, base });
                }
                _ => lost.push(new),
            }
        }
        if catalog_is_new {
            let creates = record_in(cut, &counters_key()).is_some();
            for change in &cut.catalog.changes {
                let bases = creates.then_some(&bases);
                self.apply_change(shared, change, bases)?;
            }
            self.at = at;
            self.inherit_unsynced(cut, at.lsn);
            if let Some(replay) = replay.as_deref_mut() {
                self.drop_lost_copies(&lost, replay);
            }
        } else if let Some(replay) = replay.as_deref_mut() {
            self.restore_copies(&bases, &lost, replay);
        }
        let mut is_torn = false;
        for action in &cut.actions {
            let volume = action.volume();
            match replay.as_deref() {
                Some(replay) if !replay.concerns(volume, at.lsn) => {
                    is_torn |= self.drop_lost_snapshot(action, catalog_is_new, replay);
                }
                _ => self.apply_action(shared, action, cut, catalog_is_new, locked)?,
            }
        }
        if let Some(replay) = replay.filter(|_| is_torn) {
            replay
                .torn
                .extend(cut.actions.iter().filter_map(|action| match *action {
                    Action::Freeze { volume, snapshot } => Some((volume, snapshot)),
                    _ => None,
                }));
        }
        Ok(())
    }

    /// Snapshots of cuts of which one volume's part is lost: all or none. After replay, because
    /// later records may start from those that are there.
    pub(crate) fn drop_torn_snapshots(&mut self, replay: &Replay) {
        for &(volume, snapshot) in &replay.torn {
            let [record, root] = [
                snapshot_key(volume, snapshot),
                snapshot_root_key(volume, snapshot),
            ];
            self.delete(record);
            self.changed.insert(record, None);
            self.changed.insert(root, None);
        }
    }

    /// The state that a new volume starts from.
    fn layer_for(
        &self,
        shared: &Shared,
        action: &Action,
        locked: &mut Locked<'_>,
    ) -> Option<Arc<Layer>> {
        match action {
            Action::Fork { volume, .. } => locked.get_mut(volume).map(|state| state.freeze(shared)),
            Action::Clone {
                volume, snapshot, ..
            } => {
                let entry = self.volumes.get(volume)?;
                Some(entry.snapshots.get(snapshot)?.layer.clone())
            }
            Action::Freeze { .. } | Action::Reset { .. } => None,
        }
    }

    fn apply_change(
        &mut self,
        shared: &Arc<Shared>,
        change: &Change,
        bases: Option<&BTreeMap<VolumeId, Birth>>,
    ) -> PoolResult<()> {
        match change {
            Change::Put(key, value) => {
                let is_known = match bases {
                    Some(bases) => self.put(shared, *key, value, bases).map(|()| true),
                    None => self.update(*key, value),
                };
                if is_known.map_err(at_key(key))? {
                    self.changed.insert(*key, Some(value.clone()));
                }
            }
            Change::Delete(key) => {
                self.delete(*key);
                self.changed.insert(*key, None);
            }
            Change::DeleteRange(..) | Change::Data { .. } => {
                log::error!("a catalog record holds a change that no catalog has: {change:?}");
            }
        }
        Ok(())
    }

    /// A record of something new.
    fn put(
        &mut self,
        shared: &Arc<Shared>,
        key: Key,
        value: &Value,
        bases: &BTreeMap<VolumeId, Birth>,
    ) -> Result<(), DecodeError> {
        let id = VolumeId(key.owner());
        match key.kind() {
            COUNTERS => self.counters = Counters::decode(&value.bytes)?,
            VOLUME => {
                let record = VolumeRecord::decode(&value.bytes)?;
                let birth = bases.get(&id).cloned();
                let base = match &birth {
                    Some(birth) => birth.base.clone(),
                    None => Layer::sealed(None, Counts::default()),
                };
                self.insert_volume(shared, id, record, base, None);
                if let Some(entry) = self.volumes.get_mut(&id) {
                    entry.birth = birth;
                }
            }
            // The snapshot's state comes with the action of the same record.
            _ => {}
        }
        Ok(())
    }

    /// A record of something that was there before; false: it is not, because a replay has dropped
    /// it.
    fn update(&mut self, key: Key, value: &Value) -> Result<bool, DecodeError> {
        let Some(entry) = self.volumes.get_mut(&VolumeId(key.owner())) else {
            return Ok(false);
        };
        match key.kind() {
            VOLUME => {
                let record = VolumeRecord::decode(&value.bytes)?;
                entry.volume.set_limit(record.limit_bytes);
                entry.volume.set_label(record.name.as_str());
                let old = std::mem::replace(&mut entry.record, record);
                if old.removed.is_none() {
                    self.names.remove(&old.name);
                }
                self.show(VolumeId(key.owner()));
                Ok(true)
            }
            SNAPSHOT => match entry.snapshots.get_mut(&SnapshotId(key.sub())) {
                Some(snapshot) => {
                    snapshot.record = SnapshotRecord::decode(&value.bytes)?;
                    Ok(true)
                }
                None => Ok(false),
            },
            _ => Ok(true),
        }
    }

    /// Gives a volume its name, unless it is in the trash.
    fn show(&mut self, id: VolumeId) {
        if let Some(entry) = self.volumes.get(&id)
            && entry.record.removed.is_none()
        {
            self.names.insert(entry.record.name.clone(), id);
        }
    }

    pub(super) fn delete(&mut self, key: Key) {
        let id = VolumeId(key.owner());
        match key.kind() {
            VOLUME => {
                let removed = self.volumes.remove(&id);
                if let Some(entry) = removed.filter(|entry| entry.record.removed.is_none()) {
                    self.names.remove(&entry.record.name);
                }
            }
            SNAPSHOT => {
                if let Some(entry) = self.volumes.get_mut(&id) {
                    entry.snapshots.remove(&SnapshotId(key.sub()));
                }
            }
            _ => {}
        }
    }

    fn apply_action(
        &mut self,
        shared: &Arc<Shared>,
        action: &Action,
        cut: &Cut,
        catalog_is_new: bool,
        locked: &mut Locked<'_>,
    ) -> PoolResult<()> {
        let (Some(entry), Some(state)) = (
            self.volumes.get_mut(&action.volume()),
            locked.get_mut(&action.volume()),
        ) else {
            return Ok(());
        };
        match *action {
            Action::Freeze { volume, snapshot } => {
                // The tree is newer than the record: what it does not miss was removed since, and
                // of what it misses it knows more.
                let newer = self.unrooted.remove(&(volume, snapshot));
                let key = snapshot_key(volume, snapshot);
                let record = match (catalog_is_new, newer, record_in(cut, &key)) {
                    (false, Some(record), _) => record,
                    (true, _, Some(value)) => {
                        SnapshotRecord::decode(&value.bytes).map_err(at_key(&key))?
                    }
                    (false, None, _) | (true, _, None) => return Ok(()),
                };
                let layer = state.freeze(shared);
                let entry_of = SnapshotEntry {
                    record,
                    layer,
                    published: false,
                };
                entry.snapshots.insert(snapshot, entry_of);
            }
            Action::Reset { snapshot, .. } => {
                if let Some(target) = entry.snapshots.get(&snapshot) {
                    let layer = target.layer.clone();
                    entry.volume.reset(state, layer);
                }
            }
            // Their volumes were made with the record.
            Action::Clone { .. } | Action::Fork { .. } => {}
        }
        Ok(())
    }

    /// A snapshot whose volume ended before its cut has no state: it was never acknowledged.
    /// True if the action is about such a one.
    fn drop_lost_snapshot(
        &mut self,
        action: &Action,
        catalog_is_new: bool,
        replay: &Replay,
    ) -> bool {
        let Action::Freeze { volume, snapshot } = *action else {
            return false;
        };
        let ended = replay.ended.contains(&volume);
        let known = self
            .volumes
            .get(&volume)
            .is_some_and(|entry| entry.snapshots.contains_key(&snapshot));
        // A tree newer than the record misses it, unless it was removed since.
        let is_missed = catalog_is_new || self.unrooted.contains_key(&(volume, snapshot));
        let is_lost = ended && !known && is_missed;
        if is_lost {
            log::warn!("volume {volume} ends before the cut of snapshot {snapshot}: dropped");
            self.changed.insert(snapshot_key(volume, snapshot), None);
        }
        is_lost
    }

    /// Changes that remove a snapshot.
    pub(crate) fn snapshot_removal(volume: VolumeId, snapshot: SnapshotId) -> [Change; 2] {
        [
            Change::Delete(snapshot_key(volume, snapshot)),
            Change::Delete(snapshot_root_key(volume, snapshot)),
        ]
    }

    /// Changes that remove a volume with its snapshots.
    pub(crate) fn volume_removal(&self, id: VolumeId) -> Vec<Change> {
        let snapshots = self
            .volumes
            .get(&id)
            .into_iter()
            .flat_map(|entry| entry.snapshots.keys());
        let mut changes: Vec<Change> = snapshots
            .flat_map(|snapshot| Self::snapshot_removal(id, *snapshot))
            .collect();
        changes.push(Change::Delete(volume_key(id)));
        changes.push(Change::Delete(root_key(id)));
        changes
    }

    /// A fresh volume number, and the change that keeps it from being given out again.
    pub(crate) fn next_volume(&self) -> (VolumeId, Change) {
        let id = self.counters.next_volume;
        (
            VolumeId(id),
            counters_change(Counters {
                next_volume: id + 1,
                ..self.counters
            }),
        )
    }

    /// Fresh snapshot numbers, and the change that keeps them from being given out again.
    pub(crate) fn next_snapshots(&self, count: usize) -> (Vec<SnapshotId>, Change) {
        let first = self.counters.next_snapshot;
        let end = first + count as u64;
        let ids = (first..end).map(SnapshotId).collect();
        (
            ids,
            counters_change(Counters {
                next_snapshot: end,
                ..self.counters
            }),
        )
    }
}

/// What a replay has found of the volumes.
#[derive(Default)]
pub(crate) struct Replay {
    /// Per volume the last record that its published tree holds.
    pub(crate) applied: BTreeMap<VolumeId, Lsn>,
    /// Volumes whose chain of records ended: nothing later applies.
    pub(crate) ended: HashSet<VolumeId>,
    /// Snapshots of cuts of which a part is lost.
    pub(crate) torn: Vec<(VolumeId, SnapshotId)>,
}

impl Replay {
    /// Whether a record of this volume is still to be applied.
    pub(crate) fn concerns(&self, volume: VolumeId, lsn: Lsn) -> bool {
        !self.ended.contains(&volume)
            && self
                .applied
                .get(&volume)
                .is_none_or(|applied| lsn > *applied)
    }
}

fn counters_change(counters: Counters) -> Change {
    Change::Put(counters_key(), Value::record(counters.encode()))
}

fn record_in<'a>(cut: &'a Cut, wanted: &Key) -> Option<&'a Value> {
    cut.catalog.changes.iter().find_map(|change| match change {
        Change::Put(key, value) if key == wanted => Some(value),
        _ => None,
    })
}

/// A transaction of these changes.
pub(crate) fn catalog_transaction(changes: Vec<Change>) -> Transaction {
    Transaction {
        changes,
        ..Transaction::default()
    }
}

/// A decode error of the catalog's entry at `key`.
pub(super) fn at_key(key: &Key) -> impl FnOnce(DecodeError) -> PoolError {
    let what = format!("{key:?}");
    move |source| PoolError::Catalog { what, source }
}
