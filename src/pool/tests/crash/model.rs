//! What a pool must hold: plain trees in memory, with the marks of what may be lost.

use std::collections::BTreeMap;

use super::tree::{Tree, differences};

/// A volume: its states in the order of its operations, from the last durable one on. None: it
/// does not exist.
#[derive(Clone)]
pub(super) struct VolumeModel {
    /// Older states than the durable one: only damage may bring them back.
    past: Vec<Option<Tree>>,
    history: Vec<Option<Tree>>,
    /// Index of the last acknowledged state; later ones were attempted.
    acknowledged: usize,
}

/// Which states may be found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pool::tests) enum Floor {
    /// Power was lost: everything since the durable state may be gone.
    Durable,
    /// Only the process died.
    Acknowledged,
    /// Nothing happened.
    Newest,
}

/// How far a snapshot's creation or removal has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Attempted with these others, in one cut: all or none may be found.
    Coming(u64),
    /// Acknowledged, and so durable.
    Kept,
    /// Its removal was attempted.
    Going,
}

/// A snapshot.
#[derive(Clone)]
pub(super) struct SnapshotModel {
    pub(super) tree: Tree,
    pub(super) stage: Stage,
}

/// All of it. Snapshots by volume and name.
#[derive(Clone, Default)]
pub(super) struct PoolModel {
    pub(super) volumes: BTreeMap<String, VolumeModel>,
    pub(super) snapshots: BTreeMap<(String, String), SnapshotModel>,
}

/// What was found in a pool.
#[derive(Default)]
pub(in crate::pool::tests) struct Found {
    pub(super) volumes: BTreeMap<String, Tree>,
    pub(super) snapshots: BTreeMap<(String, String), Tree>,
}

impl Found {
    /// How many inodes of a volume have a name; the root counts, too.
    pub(super) fn inodes(&self, volume: &str) -> u64 {
        self.volumes.get(volume).map_or(0, Tree::inodes)
    }
}

impl VolumeModel {
    /// A volume that is to be created.
    pub(super) fn absent() -> VolumeModel {
        VolumeModel {
            past: Vec::new(),
            history: vec![None],
            acknowledged: 0,
        }
    }

    fn found(tree: Tree) -> VolumeModel {
        VolumeModel {
            past: Vec::new(),
            history: vec![Some(tree)],
            acknowledged: 0,
        }
    }

    /// The state after everything attempted.
    pub(super) fn newest(&self) -> Option<&Tree> {
        self.history.last().and_then(Option::as_ref)
    }

    /// An operation begins.
    pub(super) fn attempt(&mut self, state: Option<Tree>) {
        self.history.push(state);
    }

    /// Everything attempted was answered.
    pub(super) fn acknowledge(&mut self) {
        self.acknowledged = self.history.len() - 1;
    }

    /// Everything acknowledged is durable.
    pub(super) fn make_durable(&mut self) {
        self.past.extend(self.history.drain(..self.acknowledged));
        self.acknowledged = 0;
    }

    /// An operation that was attempted last was refused, for want of room: whether it, or a part of
    /// it, has happened all the same is what was found. False if that is none of its states.
    pub(super) fn settle_on(&mut self, found: &Tree) -> bool {
        let attempted = self.history[self.acknowledged..].iter();
        let Some(at) = attempted
            .clone()
            .rposition(|state| state.as_ref() == Some(found))
        else {
            return false;
        };
        self.history.truncate(self.acknowledged + at + 1);
        self.acknowledge();
        true
    }

    /// The states that may be found.
    pub(super) fn since(&self, floor: Floor) -> impl Iterator<Item = &Option<Tree>> {
        self.history[self.first(floor)..].iter()
    }

    fn first(&self, floor: Floor) -> usize {
        match floor {
            Floor::Durable => 0,
            Floor::Acknowledged => self.acknowledged,
            Floor::Newest => self.history.len() - 1,
        }
    }

    /// Every state there ever was.
    pub(super) fn ever(&self) -> impl Iterator<Item = &Option<Tree>> {
        self.past.iter().chain(&self.history)
    }

    /// The state that matches, as a distance from the floor; else what does not.
    fn check(&self, found: Option<&Tree>, floor: Floor) -> Result<(), String> {
        let first = self.first(floor);
        if self.history[first..]
            .iter()
            .any(|state| state.as_ref() == found)
        {
            return Ok(());
        }
        let older = self.history[..first]
            .iter()
            .any(|state| state.as_ref() == found);
        let mut text = format!(
            "no state from {first} to {} (acknowledged {}) is the one found{}",
            self.history.len() - 1,
            self.acknowledged,
            if older { ", but an older one is" } else { "" }
        );
        for (index, state) in self.history.iter().enumerate() {
            let what = differences(state.as_ref(), found);
            text.push_str(&format!("\n    against state {index}: {what}"));
        }
        Err(text)
    }
}

impl PoolModel {
    /// Everything acknowledged is durable, of these volumes.
    pub(super) fn make_durable(&mut self, of: impl Fn(&String) -> bool) {
        for (name, volume) in &mut self.volumes {
            if of(name) {
                volume.make_durable();
            }
        }
    }

    /// A state per volume between the floor and what was attempted; every acknowledged snapshot,
    /// whole; nothing else.
    pub(super) fn check(&self, found: &Found, floor: Floor) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, volume) in &self.volumes {
            if let Err(problem) = volume.check(found.volumes.get(name), floor) {
                wrong.push(format!("volume {name}: {problem}"));
            }
        }
        for name in found.volumes.keys() {
            if !self.volumes.contains_key(name) {
                wrong.push(format!("volume {name} is not in the model"));
            }
        }
        let mut cuts: BTreeMap<u64, Vec<bool>> = BTreeMap::new();
        for (key, snapshot) in &self.snapshots {
            let there = found.snapshots.get(key);
            if let Stage::Coming(cut) = snapshot.stage {
                cuts.entry(cut).or_default().push(there.is_some());
            }
            match there {
                Some(tree) if *tree != snapshot.tree => {
                    let what = differences(Some(&snapshot.tree), Some(tree));
                    wrong.push(format!("snapshot {key:?} differs: {what}"));
                }
                None if snapshot.stage == Stage::Kept => {
                    wrong.push(format!("snapshot {key:?} is missing"));
                }
                _ => {}
            }
        }
        for (cut, there) in cuts {
            if there.iter().any(|one| *one != there[0]) {
                wrong.push(format!("of the cut {cut} only some snapshots are there"));
            }
        }
        for key in found.snapshots.keys() {
            if !self.snapshots.contains_key(key) {
                wrong.push(format!("snapshot {key:?} is not in the model"));
            }
        }
        wrong
    }

    /// A recovered pool: what was found is durable.
    pub(super) fn restart(found: Found) -> PoolModel {
        let volumes = found.volumes.into_iter();
        let snapshots = found.snapshots.into_iter().map(|(key, tree)| {
            let stage = Stage::Kept;
            (key, SnapshotModel { tree, stage })
        });
        PoolModel {
            volumes: volumes
                .map(|(name, tree)| (name, VolumeModel::found(tree)))
                .collect(),
            snapshots: snapshots.collect(),
        }
    }
}
