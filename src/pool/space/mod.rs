//! What volumes and snapshots take in the pool, to the byte of the frames.
//!
//! Frames are counted as they are stored, with their headers. Blocks are never read: nodes name
//! each frame with its length.
//!
//! ```text
//! owners    whose a frame is
//! account   the walk
//! ```

mod account;
mod frames;
mod owners;

use std::collections::{BTreeMap, BTreeSet};

use self::account::{Account, Named, Sums};
use self::owners::Families;
use super::catalog::at_key;
use super::records::{
    ROOT, RootRecord, SNAPSHOT, SNAPSHOT_ROOT, SnapshotRecord, VOLUME, VolumeRecord,
};
use super::types::{PoolSpace, SpaceUse};
use super::{Pool, PoolError, PoolResult};
use crate::base::progress::Progress;
use crate::base::{Key, SnapshotId, SnapshotName, VolumeId, VolumeName, chain};
use crate::tree::{Cursor, TreeRoot};

/// A published state.
struct State {
    volume: VolumeId,
    snapshot: Option<SnapshotId>,
    root: RootRecord,
}

/// What the catalog's published tree says.
#[derive(Default)]
pub(super) struct Published {
    catalog: Option<TreeRoot>,
    states: Vec<State>,
    volumes: BTreeMap<VolumeId, VolumeRecord>,
    snapshots: BTreeMap<(VolumeId, SnapshotId), SnapshotRecord>,
}

#[cfg(test)]
impl Published {
    /// Volume, snapshot and root of each state.
    pub(super) fn states_by_name(&self) -> Vec<(String, Option<String>, Option<TreeRoot>)> {
        let named = |state: &State| {
            let snapshot = state
                .snapshot
                .map(|id| &self.snapshots[&(state.volume, id)].name);
            let volume = self.volumes[&state.volume].name.to_string();
            (volume, snapshot.map(ToString::to_string), state.root.root)
        };
        self.states.iter().map(named).collect()
    }
}

impl Pool {
    /// What all volumes and snapshots take, those in the trash included, by one walk over their
    /// trees. Takes 16 to 32 bytes of memory a frame and 60 a node.
    ///
    /// # Errors
    /// `BrokenOff` when `progress` says that nobody waits any more; `Tree` where a node cannot be
    /// read.
    pub fn space(&self, progress: &dyn Progress) -> PoolResult<PoolSpace> {
        // From before the states are looked up: no segment that they need is removed.
        let _pin = self.shared.store.pin();
        let published = self.published_states()?;
        let families = Families::new(published.states.iter().map(family_of).collect());
        let (named, sums) = self.account(&published, &families, progress)?;
        let store = self.shared.store.stats();
        let status = self.status();
        let mut space = PoolSpace {
            disk_bytes: self.shared.disk.space().map_or(0, |space| space.total),
            free_bytes: status.free_bytes,
            segment_bytes: store.stored_bytes,
            live_bytes: sums.total,
            garbage_bytes: store.stored_bytes.saturating_sub(sums.total),
            journal_bytes: status.journal_capacity,
            index_bytes: self.shared.store.index_bytes(),
            reserve_bytes: self.reserve.bytes(),
            is_low: self.reserve.is_low(&*self.shared.disk),
            is_full: status.is_full,
            volumes: Vec::new(),
        };
        for (number, state) in (0..).zip(&published.states) {
            let Some(record) = published.volumes.get(&state.volume) else {
                continue;
            };
            let named = named.get(number as usize).copied().unwrap_or_default();
            let snapshot = state
                .snapshot
                .and_then(|id| published.snapshots.get(&(state.volume, id)));
            space.volumes.push(SpaceUse {
                volume: record.name.clone(),
                snapshot: snapshot.map(|record| record.name.clone()),
                is_removed: record.removed.is_some(),
                limit_bytes: (record.limit_bytes > 0).then_some(record.limit_bytes),
                logical_bytes: state.root.counts.blocks * u64::from(record.block_size),
                referenced_bytes: named.bytes,
                referenced_block_bytes: named.block_bytes,
                unique_bytes: sums.states.get(&number).copied().unwrap_or_default(),
                freed_bytes: match state.snapshot {
                    Some(_) => sums.states.get(&number),
                    None => sums.families.get(&family_of(state)),
                }
                .copied()
                .unwrap_or_default(),
            });
        }
        space.volumes.sort_by(|a, b| {
            (a.is_removed, &a.volume, &a.snapshot).cmp(&(b.is_removed, &b.volume, &b.snapshot))
        });
        Ok(space)
    }

    /// Bytes that removing all of these for good would give back, volumes with their snapshots.
    ///
    /// # Errors
    /// As [`Pool::space`]; `NoVolume` and `NoSnapshot`.
    pub fn freed_by_removal(
        &self,
        volumes: &[VolumeName],
        snapshots: &[(VolumeName, SnapshotName)],
        progress: &dyn Progress,
    ) -> PoolResult<u64> {
        // From before the states are looked up: no segment that they need is removed.
        let _pin = self.shared.store.pin();
        let (volumes, snapshots) = {
            let catalog = self.catalog.lock();
            let volumes = volumes.iter().map(|name| catalog.id_of(name));
            let snapshots = snapshots.iter().map(|(volume, name)| {
                let (id, _) = catalog.snapshot(volume, name)?;
                Ok((catalog.id_of(volume)?, id))
            });
            (
                volumes.collect::<PoolResult<BTreeSet<_>>>()?,
                snapshots.collect::<PoolResult<BTreeSet<_>>>()?,
            )
        };
        let published = self.published_states()?;
        let goes = |state: &State| {
            let snapshot = state.snapshot.map(|snapshot| (state.volume, snapshot));
            volumes.contains(&state.volume) || snapshot.is_some_and(|one| snapshots.contains(&one))
        };
        let families = Families::new(
            published
                .states
                .iter()
                .map(|state| u32::from(goes(state)))
                .collect(),
        );
        let (_, sums) = self.account(&published, &families, progress)?;
        Ok(sums.families.get(&1).copied().unwrap_or_default())
    }

    /// Bytes of the different frames of one state, those that it names several times counted once.
    ///
    /// # Errors
    /// As [`Pool::freed_by_removal`].
    pub fn distinct_bytes(
        &self,
        volume: &VolumeName,
        snapshot: Option<&SnapshotName>,
        progress: &dyn Progress,
    ) -> PoolResult<u64> {
        // From before the states are looked up: no segment that they need is removed.
        let _pin = self.shared.store.pin();
        let (volume, snapshot) = {
            let catalog = self.catalog.lock();
            let snapshot = snapshot.map(|name| catalog.snapshot(volume, name).map(|(id, _)| id));
            (catalog.id_of(volume)?, snapshot.transpose()?)
        };
        let mut published = self.published_states()?;
        published
            .states
            .retain(|state| state.volume == volume && state.snapshot == snapshot);
        published.catalog = None;
        let families = Families::new(vec![0; published.states.len()]);
        Ok(self.account(&published, &families, progress)?.1.total)
    }

    fn account(
        &self,
        published: &Published,
        families: &Families,
        progress: &dyn Progress,
    ) -> PoolResult<(Vec<Named>, Sums)> {
        let (store, nodes) = (&self.shared.store, &*self.shared.nodes);
        let mut account = Account::new(store, nodes, families, progress);
        let total = published.states.len() as u64;
        let mut named = Vec::with_capacity(published.states.len());
        for (number, state) in (0..).zip(&published.states) {
            named.push(account.state(number, state.root.root.as_ref())?);
            progress.update(u64::from(number) + 1, total);
        }
        // The catalog's own nodes are in use, and nobody's.
        account.state(u32::MAX, published.catalog.as_ref())?;
        Ok((named, account.sums()))
    }

    /// All that is published, after a checkpoint. Where none can be made, on a full disk above all,
    /// what has changed since the last one is not counted.
    pub(super) fn published_states(&self) -> PoolResult<Published> {
        if let Err(error) = self.checkpoint() {
            log::warn!("the newest changes are not counted: {}", chain(&error));
        }
        let catalog = self.published.lock().newest.catalog;
        let mut published = Published {
            catalog,
            ..Published::default()
        };
        let mut cursor = Cursor::seek(&*self.shared.nodes, catalog.as_ref(), &Key::MIN)?;
        while let Some((key, value)) = cursor.next()? {
            let volume = VolumeId(key.owner());
            let snapshot = SnapshotId(key.sub());
            let malformed = at_key(&key);
            match key.kind() {
                VOLUME => {
                    let record = VolumeRecord::decode(&value.bytes).map_err(malformed)?;
                    published.volumes.insert(volume, record);
                }
                SNAPSHOT => {
                    let record = SnapshotRecord::decode(&value.bytes).map_err(malformed)?;
                    published.snapshots.insert((volume, snapshot), record);
                }
                kind @ (ROOT | SNAPSHOT_ROOT) => published.states.push(State {
                    volume,
                    snapshot: (kind == SNAPSHOT_ROOT).then_some(snapshot),
                    root: RootRecord::decode(&value.bytes).map_err(malformed)?,
                }),
                _ => {}
            }
        }
        match u32::try_from(published.states.len()) {
            Ok(count) if count < u32::MAX => Ok(published),
            _ => Err(PoolError::Invalid("too many snapshots to count".to_owned())),
        }
    }
}

/// A volume and its snapshots are one family. Numbers of volumes stay far below 2^32 in practice;
/// where they do not, two volumes may count as one family.
fn family_of(state: &State) -> u32 {
    state.volume.0 as u32
}
