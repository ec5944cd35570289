//! Earlier states beside the present one: what differs, and what is put back.

use std::sync::Arc;

use super::volumes::of;
use super::{DiffReport, Pool, PoolError, PoolResult};
use crate::base::progress::Progress;
use crate::base::{SnapshotName, VolumeName};
use crate::tree::{CountedNodes, TreeRoot};
use crate::volume::core::layer::Layer;
use crate::volume::ops::{Difference, How, RestoreOptions, Restored, Watch, compare};
use crate::volume::{Frozen, Volume};

/// So many files may differ before nobody reads the list any more: it is kept in memory, and takes
/// about 1 KiB for each.
const DIFFERENCES_MAX: usize = 200_000;

/// A state of a volume: a snapshot or, without one, the present state.
pub type StateOf<'a> = (&'a VolumeName, Option<&'a SnapshotName>);

/// What is needed of a volume beside its state.
struct Stated {
    live: Arc<Volume>,
    layer: Arc<Layer>,
    block_size: u32,
    hash_key: [u8; 16],
}

impl Pool {
    /// What differs between two states of a volume, or of volumes that descend from each other.
    ///
    /// Costs what differs: the trees are compared, and what they share is not read. Beside that
    /// the names of each folder in which a file has changed are read, and changes that are only in
    /// memory are checkpointed before.
    ///
    /// # Errors
    /// `Invalid` for volumes that have nothing in common, and for more than 200,000 differences;
    /// `Unsealed` for a state whose changes cannot be sealed.
    pub fn compare_states(
        &self,
        before: StateOf<'_>,
        after: StateOf<'_>,
    ) -> PoolResult<DiffReport> {
        // From before the states are looked up: what they need stays, though they be removed.
        let _pin = self.shared.store.pin();
        let old = self.stated(before)?;
        let new = self.stated(after)?;
        if old.hash_key != new.hash_key {
            return Err(PoolError::Invalid(format!(
                "'{}' and '{}' have nothing in common: neither was cloned from the other",
                before.0, after.0
            )));
        }
        let (old_root, new_root) = (self.root_of(&old, before.0)?, self.root_of(&new, after.0)?);
        let nodes = CountedNodes::new(&*self.shared.nodes);
        let old = Frozen::new(&nodes, old_root, old.block_size);
        let new = Frozen::new(&nodes, new_root, new.block_size);
        let found = compare(&old, &new, DIFFERENCES_MAX).map_err(of(after.0))?;
        let Some(differences) = found else {
            return Err(PoolError::Invalid(format!(
                "more than {DIFFERENCES_MAX} files or names differ: that is no list to read"
            )));
        };
        Ok(report(differences, (before, after), nodes.count()))
    }

    /// Puts files of a snapshot back into its volume, mounted or not; see [`Volume::restore`].
    /// Nothing is read or copied: both share the blocks. Durable when it returns.
    ///
    /// # Errors
    /// `Restore`; `Unsealed` if the snapshot is not in a tree and cannot be brought there.
    pub fn restore(
        &self,
        (volume, snapshot): (&VolumeName, &SnapshotName),
        options: &RestoreOptions,
        watch: &dyn Watch,
        progress: &dyn Progress,
    ) -> PoolResult<Restored> {
        let _pin = self.shared.store.pin();
        let stated = self.stated((volume, Some(snapshot)))?;
        stated.live.check_sound().map_err(of(volume))?;
        let root = self.root_of(&stated, volume)?;
        let source = Frozen::new(&*self.shared.nodes, root, stated.block_size);
        let restored = stated.live.restore(&source, options, watch, progress);
        let restored = restored.map_err(|source| PoolError::Restore {
            name: volume.to_string(),
            source: Box::new(source),
        })?;
        stated.live.sync().map_err(of(volume))?;
        Ok(restored)
    }

    /// A state that does not change any more.
    fn stated(&self, (volume, snapshot): StateOf<'_>) -> PoolResult<Stated> {
        if snapshot.is_none() {
            self.keep_chain_short(std::slice::from_ref(volume))?;
        }
        let catalog = self.catalog.lock();
        let entry = catalog.volume(volume)?;
        let layer = match snapshot {
            Some(name) => catalog.snapshot(volume, name)?.1.layer.clone(),
            None => entry.volume.lock().freeze(&self.shared),
        };
        Ok(Stated {
            live: entry.volume.clone(),
            layer,
            block_size: entry.record.block_size,
            hash_key: entry.record.hash_key,
        })
    }

    /// Its tree, which a checkpoint makes where there is none yet.
    fn root_of(&self, stated: &Stated, volume: &VolumeName) -> PoolResult<Option<TreeRoot>> {
        if let Some(root) = stated.layer.root() {
            return Ok(root);
        }
        self.checkpoint()?;
        let unsealed = || PoolError::Unsealed {
            name: volume.to_string(),
        };
        stated.layer.root().ok_or_else(unsealed)
    }
}

fn report(
    differences: Vec<Difference>,
    (before, after): (StateOf<'_>, StateOf<'_>),
    nodes_read: u64,
) -> DiffReport {
    let state = |(volume, snapshot): StateOf<'_>| match snapshot {
        Some(snapshot) => format!("{volume}@{snapshot}"),
        None => volume.to_string(),
    };
    let count = |how| differences.iter().filter(|it| it.change == how).count() as u64;
    DiffReport {
        before: state(before),
        after: state(after),
        added: count(How::Added),
        removed: count(How::Removed),
        changed: count(How::Changed),
        renamed: count(How::Renamed),
        bytes_changed: differences.iter().map(|it| it.bytes_changed).sum(),
        nodes_read,
        differences,
    }
}
