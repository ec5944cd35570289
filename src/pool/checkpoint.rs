//! Checkpoint: changes in memory become blocks and tree nodes, and a new state is published.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::records::{root_key, snapshot_root_key};
use super::seal::{FrozenVolume, Sealed};
use super::superblock::Superblock;
use super::volumes::of;
use super::{Pool, PoolResult, lock_states};
pub(super) use crate::base::chain;
use crate::base::sync::{atomic::Ordering, thread};
use crate::base::{Key, Value};
use crate::block::{BlockResult, Reach};
use crate::disk::{Step, performs};
use crate::journal::JournalPosition;
use crate::tree::{self, Edits};
use crate::volume::Volume;
use crate::volume::core::admission::{Admission, Checkpointed, Room, Wake};
use crate::volume::core::seal::edit_tree;

/// How long the thread waits before it tries again after a failure, or looks if the disk has room.
const RETRY: Duration = Duration::from_secs(2);

/// What was frozen in one instant.
struct Frozen {
    /// Everything up to here is in the layers and in `changed`.
    at: JournalPosition,
    catalog_root: Option<tree::TreeRoot>,
    changed: BTreeMap<Key, Option<Value>>,
    volumes: Vec<FrozenVolume>,
    /// Where replay starts as yet: all before is in the published trees.
    replay_from: JournalPosition,
}

impl Pool {
    /// Seals everything that changed into segments and publishes it.
    ///
    /// The order, and what a crash between two steps leaves:
    /// 1. Freeze all overlays and the catalog's changes in one instant. (Old state, full journal.)
    /// 2. Seal dirty blocks, write tree nodes; sync their segments and the folder; write the
    ///    catalog's tree with the roots that are durable now, and sync its segment. (Frames nobody
    ///    names.) Volumes that cannot be sealed are left out, and are replayed from where they are
    ///    published.
    /// 3. Append a watermark for each volume that names frames no fsync has made durable, and sync
    ///    the journal. (The same; only now may a superblock name frames. Replay from the older slot
    ///    runs on across the published position, so what lies before that must not end in a gap,
    ///    and rot of such a frame must not look like a torn end.)
    /// 4. Write and sync the superblock slot that is not in use. (Torn: the other slot counts,
    ///    and the journal it needs is still there.)
    /// 5. Release the journal up to where the *older* slot's replay starts, so that either slot
    ///    can be opened.
    pub fn checkpoint(&self) -> PoolResult<()> {
        let _one = self.checkpointing.lock();
        let mut result = self.checkpoint_locked();
        if result.as_ref().is_err_and(|error| error.is_no_space())
            && self.reserve.release(&*self.shared.disk)
        {
            log::warn!("the host's disk is full: the pool's reserve is released for a checkpoint");
            // Before anybody else can take it.
            self.shared.admission.set_room(Room::None);
            result = self.checkpoint_locked();
        }
        if result.is_ok() {
            self.look_for_room();
        }
        self.shared.admission.checkpointed(match &result {
            Ok(()) if self.is_journal_held() => Checkpointed::Held,
            Ok(()) => Checkpointed::Done,
            Err(error) if error.is_no_space() => Checkpointed::NoSpace,
            Err(_) => Checkpointed::Failed,
        });
        result
    }

    /// Whether the journal is so full of records of volumes that cannot be published that another
    /// checkpoint makes no room.
    fn is_journal_held(&self) -> bool {
        let newest = self.published.lock().newest;
        let Some(journal) = self.shared.journal.get() else {
            return false;
        };
        let (_, capacity) = journal.fill();
        let held = newest.catalog_at.lsn.0 - newest.replay_from.lsn.0.min(newest.catalog_at.lsn.0);
        !Admission::has_journal_room((held, capacity))
    }

    /// Makes the reserve where it is missing, and tells the writers how much room there is.
    pub(super) fn look_for_room(&self) {
        let shared = &self.shared;
        let room = self.reserve.look(&*shared.disk, shared.slack_bytes);
        if room != shared.admission.room() {
            match room {
                Room::None => {
                    log::warn!("the host's disk is full: writes are refused until it has room");
                }
                Room::Scarce => log::warn!(
                    "the host's disk is full but for {} MiB for what was accepted: writes are \
                     refused until it has room",
                    shared.slack_bytes >> 20
                ),
                Room::Enough => log::warn!("the host's disk has room again"),
            }
        }
        shared.admission.set_room(room);
        self.reserve.warn_if_low(&*shared.disk);
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
        let replay_from = self.published.lock().newest.replay_from;
        let mut catalog = self.catalog.lock();
        let volumes: Vec<Arc<Volume>> = catalog
            .volumes
            .values()
            .map(|entry| entry.volume.clone())
            .collect();
        let mut locked = lock_states(&volumes);
        let mut frozen = Frozen {
            at: self.journal()?.appended(),
            catalog_root: catalog.root,
            changed: std::mem::take(&mut catalog.changed),
            volumes: Vec::with_capacity(volumes.len()),
            replay_from,
        };
        for (id, entry) in &catalog.volumes {
            let Some(state) = super::state_of(&mut locked, *id) else {
                continue;
            };
            let unpublished = entry
                .snapshots
                .iter()
                .filter(|(_, snapshot)| !snapshot.published);
            let snapshots = unpublished.map(|(id, snapshot)| (*id, snapshot.layer.clone()));
            frozen.volumes.push(FrozenVolume {
                name: entry.record.name.clone(),
                volume: entry.volume.clone(),
                layer: state.freeze(&self.shared),
                published: entry.published,
                birth: entry.birth.clone(),
                snapshots: snapshots.collect(),
                unsynced: entry.volume.unsynced_frames(),
            });
        }
        Ok(frozen)
    }

    fn publish(&self, frozen: &Frozen) -> PoolResult<()> {
        let sealed = self.seal_volumes(&frozen.volumes, frozen.at)?;
        let root = self.write_catalog(frozen, &sealed)?;
        let settled_below = self.shared.store.settled_below();
        self.sync_frozen(frozen)?;

        let mut published = self.published.lock();
        let older = published.newest;
        // A root that is older than the last publication is that of a volume which has not changed
        // in between.
        let held = sealed.held.iter().map(|from| match from {
            Some(from) if from.lsn > frozen.replay_from.lsn => *from,
            _ => frozen.replay_from,
        });
        let newest = Superblock {
            generation: older.generation + 1,
            incarnation: published.incarnation,
            catalog: root,
            catalog_at: frozen.at,
            replay_from: held.min_by_key(|from| from.lsn).unwrap_or(frozen.at),
            settled_below,
            next_segment: self.shared.store.next_segment(),
        };
        published
            .file
            .publish(&*self.shared.disk, &older, &newest)?;
        published.newest = newest;
        drop(published);

        let either = performs(&*self.shared.disk, Step::ReleaseByOlderSlot);
        let needed = if either { &older } else { &newest };
        self.journal()?.release(needed.replay_from.lsn);
        self.note_published(root, &sealed);
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
        self.is_unfinished
            .store(sealed.unfinished.is_some(), Ordering::Relaxed);
        sealed.unfinished.map_or(Ok(()), Err)
    }

    /// Syncs the journal up to what was frozen, with watermarks that tell a recovery from the older
    /// slot which frames are durable.
    ///
    /// A recovery's own checkpoints append none: what it has dropped names frames of the same
    /// segments, and may be met again until both slots are behind it.
    fn sync_frozen(&self, frozen: &Frozen) -> PoolResult<()> {
        let is_recovered = self.is_recovered.load(Ordering::Acquire);
        let naming = |volume: &&FrozenVolume| is_recovered && !volume.unsynced.is_empty();
        let mut until = frozen.at.lsn;
        for volume in frozen.volumes.iter().filter(naming) {
            let end = volume.volume.append_watermark(&volume.unsynced);
            until = until.max(end.map_err(of(&volume.name))?);
        }
        self.journal()?.sync(until, Step::JournalBeforeSuperblock)?;
        for volume in frozen.volumes.iter().filter(naming) {
            let at = frozen.at.lsn;
            volume.volume.forget_durable(&volume.unsynced, at);
        }
        Ok(())
    }

    /// Writes the catalog's tree and makes it durable. A second time if the medium lost it.
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
        let write = || -> PoolResult<Option<tree::TreeRoot>> {
            let mut reach = Reach::default();
            let base = frozen.catalog_root.as_ref();
            let root = edit_tree(&*self.shared.nodes, base, &edits, &mut reach)?;
            self.make_durable(&reach)?;
            Ok(root)
        };
        match write() {
            Err(error) if !error.is_no_space() => {
                log::error!("the catalog is written once more: {}", chain(&error));
                write()
            }
            result => result,
        }
    }

    /// Makes a tree durable that the next superblock is to name, and that nothing has synced yet.
    pub(super) fn make_durable(&self, reach: &Reach) -> BlockResult<()> {
        let store = &self.shared.store;
        store.sync_reach(reach, Step::TreeBeforeSuperblock)
    }

    /// Marks in memory what is published. What was removed meanwhile is gone from the catalog,
    /// and its removal is among the changes for the next checkpoint.
    fn note_published(&self, root: Option<tree::TreeRoot>, sealed: &Sealed) {
        let mut catalog = self.catalog.lock();
        catalog.root = root;
        for (id, root) in &sealed.roots {
            if let Some(entry) = catalog.volumes.get_mut(id) {
                entry.published = Some(*root);
                entry.birth = None;
            }
        }
        for (volume, snapshot) in sealed.snapshots.keys() {
            let entry = catalog.volumes.get_mut(volume);
            if let Some(entry) = entry.and_then(|entry| entry.snapshots.get_mut(snapshot)) {
                entry.published = true;
            }
        }
    }

    /// Starts the thread that checkpoints by dirty bytes, journal fill and age.
    pub(super) fn start_worker(self: &Arc<Self>, age: Duration) -> std::io::Result<()> {
        let pool = Arc::downgrade(self);
        let admission = self.shared.admission.clone();
        let serving = admission.serve();
        let worker = thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || {
                let _serving = serving;
                let mut failures: u64 = 0;
                loop {
                    let is_trying = failures > 0 || admission.room() < Room::Enough;
                    let wake = admission.wait_for_work(if is_trying { RETRY } else { age });
                    let Some(pool) = Weak::upgrade(&pool) else {
                        return;
                    };
                    match wake {
                        Wake::Closed => return,
                        Wake::Timeout if !pool.has_changes() => {
                            failures = 0;
                            pool.look_for_room();
                        }
                        Wake::Timeout | Wake::Wanted => match pool.checkpoint() {
                            Ok(()) => failures = 0,
                            Err(error) => {
                                failures += 1;
                                // One that fails for hours does not fill the log.
                                if failures.is_power_of_two() {
                                    log::error!("a checkpoint failed: {}", chain(&error));
                                }
                            }
                        },
                    }
                }
            })?;
        *self.worker.lock() = Some(worker);
        Ok(())
    }

    /// Whether a checkpoint would publish anything new.
    pub(super) fn has_changes(&self) -> bool {
        if self.is_unfinished.load(Ordering::Relaxed) {
            return true;
        }
        let newest = self.published.lock().newest;
        let appended = self.shared.journal.get().map(|journal| journal.appended());
        appended.is_some_and(|at| at.lsn != newest.catalog_at.lsn)
    }
}
