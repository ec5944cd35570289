//! What is checked: the states of a pool, live or only looked at.

use std::path::PathBuf;
use std::sync::Arc;

use super::violation::{StateName, Violation};
use crate::base::{PoolId, SegmentId, VolumeName};
use crate::journal::{Journal, JournalError, JournalOptions, JournalPosition, ScanEnd};
use crate::pool::catalog::Catalog;
use crate::pool::recovery::{Ground, journal_cut, open_parts, replay};
use crate::pool::superblock::{Superblock, SuperblockFile};
use crate::pool::{Pool, PoolError, PoolOptions, PoolResult, checkpoint::chain, create};
use crate::tree::TreeRoot;
use crate::volume::Volume;
use crate::volume::core::layer::Layer;
use crate::volume::core::shared::Shared;
use crate::volume::core::volume::VolumeSettings;

/// A state of a volume.
pub(super) struct State {
    pub(super) name: StateName,
    pub(super) layer: Arc<Layer>,
    /// The same as a volume that does not change, for the check of its files.
    pub(super) volume: Arc<Volume>,
}

/// The content index, if there is one.
pub(super) enum IndexToCheck {
    /// The store's own.
    Open,
    /// In this folder, and nobody has it open.
    Closed(PathBuf),
}

/// A pool as it is checked: nothing of it changes meanwhile.
pub(super) struct Subject {
    pub(super) pool: PoolId,
    pub(super) shared: Arc<Shared>,
    pub(super) catalog: Option<TreeRoot>,
    /// Per volume: its snapshots from the oldest on, then its live state.
    pub(super) families: Vec<Vec<State>>,
    pub(super) segments: Vec<SegmentId>,
    /// Recovery would settle the segments from here on; of an open pool it has.
    pub(super) unsettled_from: SegmentId,
    pub(super) index: Option<IndexToCheck>,
    /// What was found wrong on the way here.
    pub(super) violations: Vec<Violation>,
}

impl Subject {
    /// Everything that an open pool has published, after a checkpoint. The pool goes on.
    pub(super) fn live(pool: &Pool, volumes: &[VolumeName]) -> PoolResult<Subject> {
        pool.checkpoint()?;
        let mut violations = Vec::new();
        if volumes.is_empty() {
            {
                // Nothing is published while the slots are read.
                let _published = pool.published.lock();
                slots(&*pool.shared.disk, pool.id, &mut violations)?;
            }
            violations.extend(live_journal(pool)?);
        }
        let catalog = pool.catalog.lock();
        violations.extend(poisoned(&catalog, volumes));
        let mut subject = Subject {
            pool: pool.id,
            shared: pool.shared.clone(),
            catalog: catalog.root,
            families: families(&catalog, &pool.shared, volumes, Live::AsPublished)?,
            segments: Vec::new(),
            unsettled_from: SegmentId(u64::MAX),
            index: volumes.is_empty().then_some(IndexToCheck::Open),
            violations,
        };
        drop(catalog);
        if volumes.is_empty() {
            subject.segments = all_segments(&subject.shared);
        }
        Ok(subject)
    }

    /// What a pool that nobody has open would show after recovery. On a medium that cannot be
    /// changed nothing is; damage that recovery would refuse is told in `violations`.
    pub(super) fn at_rest(
        ground: &Ground,
        id: PoolId,
        options: &PoolOptions,
    ) -> PoolResult<Subject> {
        let mut violations = Vec::new();
        let newest = slots(&*ground.disk, id, &mut violations)?;
        let index = ground.index_dir.clone().map(IndexToCheck::Closed);
        let quiet = ground.within(None);
        let start = newest.unwrap_or_else(create::nothing);
        let shared = open_parts(&quiet, id, options, &start)?;
        shared.store.settle(start.settled_below)?;
        let mut subject = Subject {
            pool: id,
            catalog: start.catalog,
            families: Vec::new(),
            segments: all_segments(&shared),
            unsettled_from: start.settled_below,
            shared,
            index,
            violations,
        };
        if newest.is_none() {
            return Ok(subject);
        }
        match Catalog::load(&subject.shared, start.catalog, start.catalog_at) {
            Ok(mut catalog) => {
                let replayed = replay(&subject.shared, id, &quiet, &start, &mut catalog);
                subject.violations.extend(journal_violation(
                    replayed.map(|replayed| replayed.end),
                    &catalog,
                    &start,
                )?);
                subject.families = families(&catalog, &subject.shared, &[], Live::AsReplayed)?;
            }
            // The walk over the catalog's tree finds which node it is.
            Err(PoolError::Tree(_)) => {}
            Err(error @ PoolError::Catalog { .. }) => {
                let problem = chain(&error);
                subject.violations.push(Violation::Catalog { problem });
            }
            Err(error) => return Err(error),
        }
        Ok(subject)
    }
}

impl Subject {
    /// About how many records a check goes over.
    pub(super) fn records(&self) -> u64 {
        let store = &self.shared.store;
        if self.segments.is_empty() {
            let states = self.families.iter().flatten();
            return states.map(|state| state.volume.counts().blocks).sum();
        }
        self.segments
            .iter()
            .map(|segment| store.frame_count(*segment))
            .sum()
    }
}

/// Those of these volumes, of all if none is named, that accept no more changes.
fn poisoned(catalog: &Catalog, volumes: &[VolumeName]) -> Vec<Violation> {
    let entries = catalog.volumes.values();
    let wanted = entries.filter(|entry| volumes.is_empty() || volumes.contains(&entry.record.name));
    let poisoned = wanted.filter_map(|entry| {
        Some(Violation::VolumePoisoned {
            volume: entry.record.name.to_string(),
            problem: entry.volume.poison_reason()?,
        })
    });
    poisoned.collect()
}

/// Segments that there are now.
fn all_segments(shared: &Shared) -> Vec<SegmentId> {
    let segments = shared.store.segments();
    segments.iter().map(|info| info.segment).collect()
}

/// The newest valid slot; slots that are not valid are violations.
fn slots(
    disk: &dyn crate::disk::Disk,
    pool: PoolId,
    violations: &mut Vec<Violation>,
) -> PoolResult<Option<Superblock>> {
    let mut newest: Option<Superblock> = None;
    for (slot, content) in (0..).zip(SuperblockFile::read_slots(disk, pool)?) {
        match content {
            Ok(found) if newest.is_none_or(|newest| newest.generation < found.generation) => {
                newest = Some(found);
            }
            Ok(_) => {}
            Err(problem) => violations.push(Violation::SuperblockSlot { slot, problem }),
        }
    }
    Ok(newest)
}

/// Reads the log of an open pool from where replay would start to where it ended when this began.
fn live_journal(pool: &Pool) -> PoolResult<Option<Violation>> {
    // Nothing is released meanwhile, and so nothing overwritten.
    let _one = pool.checkpointing.lock();
    let from = pool.published.lock().newest.replay_from;
    let appended = pool.journal()?.appended();
    let options: &JournalOptions = &pool.journal_options;
    let scanned = Journal::scan(&*pool.shared.disk, pool.id, options, from, &mut |_| Ok(()));
    let end = match scanned {
        Ok(end) => end,
        Err(error) => return corrupt_journal(error, from),
    };
    if end.position.lsn >= appended.lsn {
        return Ok(None);
    }
    let problem = match end.damage {
        Some((_, problem)) => problem,
        None => format!(
            "no valid record follows here, the log goes on to {}",
            appended.lsn
        ),
    };
    Ok(Some(Violation::Journal {
        lsn: end.position.lsn,
        problem,
        lost: None,
    }))
}

fn journal_violation(
    replayed: PoolResult<ScanEnd>,
    catalog: &Catalog,
    start: &Superblock,
) -> PoolResult<Option<Violation>> {
    match replayed {
        Ok(end) => {
            let cut = journal_cut(catalog, &end, start.catalog_at.lsn);
            Ok(cut.map(|cut| Violation::Journal {
                lsn: cut.at,
                problem: cut.problem,
                lost: Some(cut.lost),
            }))
        }
        Err(PoolError::Journal(error)) => corrupt_journal(error, start.replay_from),
        Err(error @ PoolError::Catalog { .. }) => Ok(Some(Violation::Catalog {
            problem: chain(&error),
        })),
        Err(error) => Err(error),
    }
}

/// Damage that ends the reading of the log.
fn corrupt_journal(error: JournalError, from: JournalPosition) -> PoolResult<Option<Violation>> {
    if error.nature() != crate::base::Nature::Corrupt {
        return Err(error.into());
    }
    let lsn = match &error {
        JournalError::Malformed { lsn, .. } | JournalError::Corrupt { lsn, .. } => *lsn,
        _ => from.lsn,
    };
    Ok(Some(Violation::Journal {
        lsn,
        problem: chain(&error),
        lost: None,
    }))
}

/// Which live state of a volume is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Live {
    /// That of the last checkpoint.
    AsPublished,
    /// With everything since, in a pool that nobody uses.
    AsReplayed,
}

/// The states of these volumes; of all, if none is named.
fn families(
    catalog: &Catalog,
    shared: &Arc<Shared>,
    volumes: &[VolumeName],
    which: Live,
) -> PoolResult<Vec<Vec<State>>> {
    for name in volumes {
        catalog.id_of(name)?;
    }
    let mut families = Vec::new();
    for (id, entry) in &catalog.volumes {
        if !volumes.is_empty() && !volumes.contains(&entry.record.name) {
            continue;
        }
        let settings = VolumeSettings {
            id: *id,
            label: entry.record.name.to_string(),
            block_size: entry.record.block_size,
            hash_key: entry.record.hash_key,
            read_only: true,
        };
        let live = match which {
            Live::AsPublished => entry.volume.lock().base().clone(),
            Live::AsReplayed => entry.volume.lock().freeze(shared),
        };
        let mut layers: Vec<(Option<String>, Arc<Layer>)> = entry
            .snapshots
            .values()
            .map(|one| (Some(one.record.name.to_string()), one.layer.clone()))
            .collect();
        layers.push((None, live));
        let family = layers.into_iter().map(|(snapshot, layer)| State {
            name: StateName {
                volume: entry.record.name.to_string(),
                snapshot,
            },
            volume: Volume::new(settings.clone(), shared.clone(), layer.clone()),
            layer,
        });
        families.push(family.collect());
    }
    Ok(families)
}
