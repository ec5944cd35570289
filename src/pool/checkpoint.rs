//! Checkpoint: changes in memory become blocks and tree nodes, and a new state is published.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::records::{RootRecord, root_key, snapshot_root_key};
use super::superblock::Superblock;
use super::volumes::of;
use super::{Pool, PoolResult, lock_states};
use crate::base::sync::{atomic::Ordering, thread};
use crate::base::{Key, SegmentId, SnapshotId, Value, VolumeId, VolumeName};
use crate::disk::Step;
use crate::journal::JournalPosition;
use crate::tree::{self, Edits};
use crate::volume::core::admission::{Checkpointed, Wake};
use crate::volume::core::layer::Layer;
use crate::volume::core::seal::seal_layer;
use crate::volume::{FsError, Volume};

/// How long the thread waits before it tries again after a failure.
const RETRY: Duration = Duration::from_secs(5);

/// What was frozen in one instant.
struct Frozen {
    /// Everything up to here is in the layers and in `changed`.
    at: JournalPosition,
    catalog_root: Option<tree::TreeRoot>,
    changed: BTreeMap<Key, Option<Value>>,
    volumes: Vec<FrozenVolume>,
    /// Where replay must still start for volumes that cannot be sealed.
    held: Vec<JournalPosition>,
    /// The same for a volume that was never published.
    fallback: JournalPosition,
}

struct FrozenVolume {
    name: VolumeName,
    volume: Arc<Volume>,
    layer: Arc<Layer>,
    published: Option<RootRecord>,
    /// Snapshots whose root is not in the catalog's tree yet.
    snapshots: Vec<(SnapshotId, Arc<Layer>)>,
}

/// Roots to publish.
#[derive(Default)]
struct Sealed {
    roots: BTreeMap<VolumeId, RootRecord>,
    snapshots: BTreeMap<(VolumeId, SnapshotId), RootRecord>,
}

impl Pool {
    /// Seals everything that changed into segments and publishes it.
    ///
    /// The order, and what a crash between two steps leaves:
    /// 1. Freeze all overlays and the catalog's changes in one instant. (Old state, full journal.)
    /// 2. Seal dirty blocks, write tree nodes, write the catalog's tree. (Frames nobody names.)
    /// 3. Sync segments and their folder, and the journal. (The same; only now may a superblock
    ///    name frames. Replay from the older slot runs on across the published position, so what
    ///    lies before that must not end in a gap.)
    /// 4. Write and sync the superblock slot that is not in use. (Torn: the other slot counts,
    ///    and the journal it needs is still there.)
    /// 5. Release the journal up to where the *older* slot's replay starts, so that either slot
    ///    can be opened.
    pub fn checkpoint(&self) -> PoolResult<()> {
        let _one = self.checkpointing.lock();
        let result = self.checkpoint_locked();
        self.shared.admission.checkpointed(match &result {
            Ok(()) => Checkpointed::Done,
            Err(error) if error.is_no_space() => Checkpointed::NoSpace,
            Err(_) => Checkpointed::Failed,
        });
        result
    }

    fn checkpoint_locked(&self) -> PoolResult<()> {
        let frozen = self.freeze()?;
        let result = self.publish(&frozen);
        if result.is_err() {
            // Newer changes of the same keys win over those that were not published.
            let mut catalog = self.catalog.lock();
            for (key, value) in frozen.changed {
                catalog.changed.entry(key).or_insert(value);
            }
        }
        result
    }

    fn freeze(&self) -> PoolResult<Frozen> {
        let fallback = self.published.lock().newest.replay_from;
        let mut catalog = self.catalog.lock();
        let volumes: Vec<Arc<Volume>> = catalog
            .volumes
            .values()
            .map(|entry| entry.volume.clone())
            .collect();
        let mut locked = lock_states(&volumes);
        let at = self.journal()?.appended();
        let mut frozen = Frozen {
            at,
            catalog_root: catalog.root,
            changed: std::mem::take(&mut catalog.changed),
            volumes: Vec::with_capacity(volumes.len()),
            held: Vec::new(),
            fallback,
        };
        for (id, entry) in &catalog.volumes {
            let Some(state) = super::state_of(&mut locked, *id) else {
                continue;
            };
            let unpublished = entry
                .snapshots
                .iter()
                .filter(|(_, snapshot)| !snapshot.published);
            let snapshots = unpublished
                .map(|(id, snapshot)| (*id, snapshot.layer.clone()))
                .collect();
            if entry.volume.poison_reason().is_some() {
                // What it acknowledged may not be on the medium: its published state stays.
                frozen
                    .held
                    .push(entry.published.map_or(fallback, |root| root.applied));
                continue;
            }
            frozen.volumes.push(FrozenVolume {
                name: entry.record.name.clone(),
                volume: entry.volume.clone(),
                layer: state.freeze(&self.shared),
                published: entry.published,
                snapshots,
            });
        }
        Ok(frozen)
    }

    fn publish(&self, frozen: &Frozen) -> PoolResult<()> {
        let mut held = frozen.held.clone();
        let mut sealed = Sealed::default();
        for volume in &frozen.volumes {
            if let Err(error) = self.seal_volume(volume, frozen.at, &mut sealed) {
                if error.is_no_space() {
                    return Err(of(&volume.name)(error));
                }
                volume
                    .volume
                    .poison(&format!("a checkpoint failed: {}", chain(&error)));
                held.push(
                    volume
                        .published
                        .map_or(frozen.fallback, |root| root.applied),
                );
            }
        }
        let root = self.write_catalog(frozen, &sealed)?;
        let settled_below = self.first_open_segment();
        let store = &self.shared.store;
        store.sync_all(Step::SegmentBeforeSuperblock)?;
        let journal = self.journal()?;
        journal.sync(frozen.at.lsn, Step::JournalBeforeSuperblock)?;

        let mut published = self.published.lock();
        let older = published.newest;
        let replay_from = held
            .into_iter()
            .min_by_key(|position| position.lsn)
            .unwrap_or(frozen.at);
        let newest = Superblock {
            generation: older.generation + 1,
            catalog: root,
            catalog_at: frozen.at,
            replay_from,
            settled_below,
            next_segment: self.shared.store.next_segment(),
            ..older
        };
        published.file.publish(&newest)?;
        published.newest = newest;
        drop(published);

        self.journal()?.release(older.replay_from.lsn);
        self.note_published(root, &sealed);
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn seal_volume(
        &self,
        frozen: &FrozenVolume,
        at: JournalPosition,
        sealed: &mut Sealed,
    ) -> Result<(), FsError> {
        let block_size = frozen.volume.block_size();
        let id = frozen.volume.id();
        let seal = |layer: &Arc<Layer>| -> Result<RootRecord, FsError> {
            let root = seal_layer(&self.shared, layer, block_size)?;
            Ok(RootRecord {
                root,
                counts: layer.counts(),
                applied: at,
            })
        };
        let root = seal(&frozen.layer)?;
        for (snapshot, layer) in &frozen.snapshots {
            sealed.snapshots.insert((id, *snapshot), seal(layer)?);
        }
        // A volume that did not change needs no new record: replay starts behind all of its own.
        // So an idle checkpoint writes no frames, and a clean pool opens on a full disk.
        let is_published = |old: RootRecord| (old.root, old.counts) == (root.root, root.counts);
        if !frozen.published.is_some_and(is_published) {
            sealed.roots.insert(id, root);
        }
        Ok(())
    }

    fn write_catalog(
        &self,
        frozen: &Frozen,
        sealed: &Sealed,
    ) -> PoolResult<Option<tree::TreeRoot>> {
        let mut points = frozen.changed.clone();
        for (id, root) in &sealed.roots {
            points.insert(root_key(*id), Some(Value::record(root.encode())));
        }
        for ((volume, snapshot), root) in &sealed.snapshots {
            let key = snapshot_root_key(*volume, *snapshot);
            points.insert(key, Some(Value::record(root.encode())));
        }
        let edits = Edits {
            ranges: Vec::new(),
            points: points.into_iter().collect(),
        };
        Ok(tree::edit(
            &*self.shared.nodes,
            frozen.catalog_root.as_ref(),
            &edits,
        )?)
    }

    /// Marks in memory what is published. What was removed meanwhile is gone from the catalog,
    /// and its removal is among the changes for the next checkpoint.
    fn note_published(&self, root: Option<tree::TreeRoot>, sealed: &Sealed) {
        let mut catalog = self.catalog.lock();
        catalog.root = root;
        for (id, root) in &sealed.roots {
            if let Some(entry) = catalog.volumes.get_mut(id) {
                entry.published = Some(*root);
            }
        }
        for (volume, snapshot) in sealed.snapshots.keys() {
            let entry = catalog.volumes.get_mut(volume);
            if let Some(entry) = entry.and_then(|entry| entry.snapshots.get_mut(snapshot)) {
                entry.published = true;
            }
        }
    }

    /// Segments below this number take no more frames.
    fn first_open_segment(&self) -> SegmentId {
        let segments = self.shared.store.segments();
        let open = segments
            .iter()
            .filter(|info| !info.closed)
            .map(|info| info.segment)
            .min();
        open.unwrap_or_else(|| self.shared.store.next_segment())
    }

    /// Starts the thread that checkpoints by dirty bytes, journal fill and age.
    pub(super) fn start_worker(self: &Arc<Self>, age: Duration) -> std::io::Result<()> {
        let pool = Arc::downgrade(self);
        let admission = self.shared.admission.clone();
        let worker = thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || {
                let mut wait = age;
                loop {
                    let wake = admission.wait_for_work(wait);
                    let Some(pool) = Weak::upgrade(&pool) else {
                        return;
                    };
                    match wake {
                        Wake::Closed => return,
                        Wake::Timeout if !pool.has_changes() => wait = age,
                        Wake::Timeout | Wake::Wanted => {
                            wait = match pool.checkpoint() {
                                Ok(()) => age,
                                Err(error) => {
                                    log::error!("a checkpoint failed: {}", chain(&error));
                                    RETRY
                                }
                            };
                        }
                    }
                }
            })?;
        *self.worker.lock() = Some(worker);
        Ok(())
    }

    /// Whether a checkpoint would publish anything new.
    pub(super) fn has_changes(&self) -> bool {
        let newest = self.published.lock().newest;
        let appended = self.shared.journal.get().map(|journal| journal.appended());
        appended.is_some_and(|at| at.lsn != newest.catalog_at.lsn)
    }
}

/// An error with its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
