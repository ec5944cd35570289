//! What a checkpoint makes of what it froze: roots that are durable, and volumes left out.
//!
//! A failure concerns whoever stands on what failed, and nobody else:
//! * A volume whose records name frames that are lost is poisoned. What it acknowledged is still
//!   known: in memory, and the frames by their ids, as long as the host's cache has them. So it is
//!   sealed all the same, lost frames are stored once more, and no journal is held for it.
//! * A volume whose changes cannot be merged with what lies below them, because that cannot be
//!   read, is poisoned, and left out: its records stay in the journal, for the next recovery.
//! * Frames that this checkpoint itself wrote and the medium lost cost nobody anything: the
//!   changes are still in memory, and are sealed once more, into other segments.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Pool;
use super::copies::Birth;
use super::records::RootRecord;
use super::volumes::of;
use super::{PoolError, PoolResult};
use crate::base::{Nature, SnapshotId, VolumeId, VolumeName, chain};
use crate::block::Reach;
use crate::disk::Step;
use crate::journal::JournalPosition;
use crate::volume::core::layer::Layer;
use crate::volume::core::seal::Sealing;
use crate::volume::{FsError, FsResult, Volume};

/// A volume as it was at the freeze.
pub(super) struct FrozenVolume {
    pub(super) name: VolumeName,
    pub(super) volume: Arc<Volume>,
    pub(super) layer: Arc<Layer>,
    pub(super) published: Option<RootRecord>,
    /// What it started from, until its first root is published.
    pub(super) birth: Option<Birth>,
    /// Snapshots whose root is not in the catalog's tree yet.
    pub(super) snapshots: Vec<(SnapshotId, Arc<Layer>)>,
    /// Frames that its records name.
    pub(super) unsynced: Reach,
}

/// Roots to publish; all that they stand on is durable.
#[derive(Default)]
pub(super) struct Sealed {
    pub(super) roots: BTreeMap<VolumeId, RootRecord>,
    pub(super) snapshots: BTreeMap<(VolumeId, SnapshotId), RootRecord>,
    /// Volumes whose state stays as it was published, and where their replay must start; none:
    /// where it starts now.
    pub(super) held: Vec<Option<JournalPosition>>,
    /// Why a volume was left out that is not poisoned: the next checkpoint tries again.
    pub(super) unfinished: Option<PoolError>,
}

/// Roots of one volume, not known to be durable.
struct Roots {
    volume: Option<RootRecord>,
    snapshots: Vec<(SnapshotId, RootRecord)>,
    reach: Reach,
}

/// How a volume came out of a round.
enum Outcome {
    Done(Roots),
    /// Not this time.
    Again(FsError),
    /// Not at all.
    LeftOut,
}

impl Pool {
    /// Seals the volumes and makes their trees durable. What fails for a passing reason is tried
    /// a second time. An error: the medium is full.
    pub(super) fn seal_volumes(
        &self,
        volumes: &[FrozenVolume],
        at: JournalPosition,
    ) -> PoolResult<Sealed> {
        let mut sealed = Sealed::default();
        let mut left: Vec<&FrozenVolume> = volumes.iter().collect();
        let mut held = Vec::new();
        let mut unfinished = Vec::new();
        for is_last in [false, true] {
            let mut sealing = Sealing::new(&self.shared);
            let outcomes = self.seal_round(&left, at, is_last, &mut sealing);
            // What is sealed is kept, so that a full medium has less to take the next time.
            sealing.show_durable();
            let mut again = Vec::new();
            for (volume, outcome) in left.into_iter().zip(outcomes?) {
                match outcome {
                    Outcome::Done(roots) => sealed.take(volume.volume.id(), roots),
                    Outcome::LeftOut => held.push(volume),
                    Outcome::Again(_) if !is_last => again.push(volume),
                    Outcome::Again(error) => unfinished.push((volume, error)),
                }
            }
            left = again;
        }
        for volume in held {
            if let Err(error) = self.hold(volume, &mut sealed) {
                if error.is_no_space() {
                    return Err(error);
                }
                // It is past saving; the others must not wait for it.
                log::error!(
                    "what volume '{}' was copied from cannot be published, and is left to the \
                     journal: {}",
                    volume.name,
                    chain(&error)
                );
                sealed.held.push(None);
            }
        }
        for (volume, error) in unfinished {
            self.hold(volume, &mut sealed)?;
            sealed.unfinished = Some(of(&volume.name)(error));
        }
        Ok(sealed)
    }

    /// One try at all of them, in the same order.
    fn seal_round(
        &self,
        volumes: &[&FrozenVolume],
        at: JournalPosition,
        is_last: bool,
        sealing: &mut Sealing<'_>,
    ) -> PoolResult<Vec<Outcome>> {
        let store = &self.shared.store;
        let mut outcomes = Vec::with_capacity(volumes.len());
        let mut full = None;
        for volume in volumes {
            let poisonings = store.poisonings();
            outcomes.push(match self.seal_volume(volume, at, sealing) {
                Ok(roots) => Outcome::Done(roots),
                Err(error) if error.is_no_space() => {
                    full = Some(of(&volume.name)(error));
                    break;
                }
                Err(error) if error.nature() == Nature::Corrupt => left_out(volume, &error),
                // A write failed, or the error passes.
                Err(error) if !is_last || store.poisonings() != poisonings => Outcome::Again(error),
                Err(error) => left_out(volume, &error),
            });
        }
        store.sync_healthy(Step::SegmentBeforeSuperblock);
        if let Some(full) = full {
            return Err(full);
        }
        for (volume, outcome) in volumes.iter().zip(&mut outcomes) {
            if let Some(error) = store.lost(&volume.unsynced) {
                volume.volume.poison(&chain(&error));
            }
            if let Outcome::Done(roots) = outcome
                && let Some(error) = store.lost(&roots.reach)
            {
                *outcome = Outcome::Again(FsError::Block(error));
            }
        }
        Ok(outcomes)
    }

    fn seal_volume(
        &self,
        frozen: &FrozenVolume,
        at: JournalPosition,
        sealing: &mut Sealing<'_>,
    ) -> FsResult<Roots> {
        let block_size = frozen.volume.block_size();
        let mut reach = Reach::default();
        let mut seal = |layer: &Arc<Layer>| -> FsResult<RootRecord> {
            let tree = sealing.seal(layer, block_size)?;
            reach.merge(&tree.reach);
            Ok(RootRecord {
                root: tree.root,
                counts: layer.counts(),
                applied: at,
            })
        };
        let root = seal(&frozen.layer)?;
        let mut snapshots = Vec::with_capacity(frozen.snapshots.len());
        for (snapshot, layer) in &frozen.snapshots {
            snapshots.push((*snapshot, seal(layer)?));
        }
        // A volume that did not change needs no new record: replay starts behind all of its own.
        // So an idle checkpoint writes no frames, and a clean pool opens on a full disk.
        let is_published = |old: RootRecord| (old.root, old.counts) == (root.root, root.counts);
        let is_new = !frozen.published.is_some_and(is_published);
        Ok(Roots {
            volume: is_new.then_some(root),
            snapshots,
            reach,
        })
    }

    /// Leaves a volume out.
    ///
    /// A copy that was never published needs what it started from all the same: the catalog that
    /// is about to be published names it, and its source may be published in a later state, from
    /// which replay could not make it again. An error: that cannot be sealed.
    fn hold(&self, frozen: &FrozenVolume, sealed: &mut Sealed) -> PoolResult<()> {
        let mut from = frozen.published.map(|root| root.applied);
        if let (None, Some(birth)) = (from, &frozen.birth) {
            let root = self.seal_birth(frozen, birth).map_err(of(&frozen.name))?;
            sealed.roots.insert(frozen.volume.id(), root);
            from = Some(birth.at);
        }
        sealed.held.push(from);
        Ok(())
    }

    fn seal_birth(&self, frozen: &FrozenVolume, birth: &Birth) -> FsResult<RootRecord> {
        let mut sealing = Sealing::new(&self.shared);
        let tree = sealing.seal(&birth.base, frozen.volume.block_size())?;
        self.make_durable(&tree.reach)?;
        sealing.show_durable();
        Ok(RootRecord {
            root: tree.root,
            counts: birth.base.counts(),
            applied: birth.at,
        })
    }
}

impl Sealed {
    fn take(&mut self, id: VolumeId, roots: Roots) {
        if let Some(root) = roots.volume {
            self.roots.insert(id, root);
        }
        for (snapshot, root) in roots.snapshots {
            self.snapshots.insert((id, snapshot), root);
        }
    }
}

/// What lies below the changes cannot be read.
fn left_out(frozen: &FrozenVolume, error: &FsError) -> Outcome {
    let cause = format!("its changes cannot be sealed: {}", chain(error));
    frozen.volume.poison(&cause);
    Outcome::LeftOut
}
