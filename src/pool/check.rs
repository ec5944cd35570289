//! Check: everything that is published is walked and verified, without changing anything.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::checkpoint::chain;
use super::{CheckReport, Pool, PoolResult};
use crate::base::progress::Progress;
use crate::base::{Key, Pointer, Value};
use crate::tree::{self, TreeRoot};
use crate::volume::core::changes::pointer_of;
use crate::volume::core::layer::Layer;
use crate::volume::core::volume::VolumeSettings;
use crate::volume::ops::{Tails, check_inodes};
use crate::volume::{Volume, keys};

/// Violations that are listed; further ones are counted in one line.
const VIOLATIONS_MAX: usize = 1000;

/// A state to check, under the name that a violation is told with.
struct State {
    name: String,
    root: Option<TreeRoot>,
    /// The state as a volume that does not change, for the check of its files.
    volume: Arc<Volume>,
}

impl Pool {
    /// Walks the catalog, every volume and every snapshot; reads every tree node and every block
    /// from the medium, past the caches, and verifies it; then checks that names, inodes and
    /// blocks agree. What snapshots share is read once.
    pub fn check(&self, progress: &dyn Progress) -> PoolResult<CheckReport> {
        self.checkpoint()?;
        let mut checker = Checker {
            pool: self,
            report: CheckReport::default(),
            progress,
            total: 0,
        };
        let catalog_root = self.catalog.lock().root;
        checker.tree("catalog", catalog_root.as_ref());
        let families = self.families();
        checker.total = families
            .iter()
            .flatten()
            .map(|state| state.volume.counts().blocks)
            .sum();
        for family in families {
            checker.family(&family);
        }
        Ok(checker.report)
    }

    /// Per volume: its snapshots from the oldest on, then its live state.
    fn families(&self) -> Vec<Vec<State>> {
        let catalog = self.catalog.lock();
        let mut families = Vec::new();
        for (id, entry) in &catalog.volumes {
            let settings = VolumeSettings {
                id: *id,
                block_size: entry.record.block_size,
                hash_key: entry.record.hash_key,
                read_only: true,
            };
            let live = entry.volume.lock().base().clone();
            let mut layers: Vec<(String, Arc<Layer>)> = entry
                .snapshots
                .values()
                .map(|one| (format!("@{}", one.record.name), one.layer.clone()))
                .collect();
            layers.push((String::new(), live));
            let family = layers.into_iter().map(|(suffix, layer)| {
                let name = format!("{}{suffix}", entry.record.name);
                let (_, root) = layer.chain();
                let volume = Volume::new(settings.clone(), self.shared.clone(), layer);
                State { name, root, volume }
            });
            families.push(family.collect());
        }
        families
    }
}

struct Checker<'a> {
    pool: &'a Pool,
    report: CheckReport,
    progress: &'a dyn Progress,
    total: u64,
}

impl Checker<'_> {
    fn violation(&mut self, text: String) {
        if self.report.violations.len() < VIOLATIONS_MAX {
            self.report.violations.push(text);
        } else if self.report.violations.len() == VIOLATIONS_MAX {
            self.report
                .violations
                .push("further violations are not listed".to_owned());
        }
    }

    fn family(&mut self, family: &[State]) {
        let mut before: Option<TreeRoot> = None;
        self.report.volumes += 1;
        self.report.snapshots += family.len() as u64 - 1;
        for state in family {
            self.blocks(state, before.as_ref());
            self.files(state);
            before = state.root;
        }
    }

    /// Every node of the state; every block that the state before has not.
    fn blocks(&mut self, state: &State, before: Option<&TreeRoot>) {
        let name = state.name.clone();
        let violations = self.report.violations.len();
        self.tree(&name, state.root.as_ref());
        let broken = self.report.violations.len() > violations;
        let mut pointers: Vec<(Key, Pointer)> = Vec::new();
        let mut collect = |key: &Key, value: &Value| {
            if key.kind() == keys::BLOCK
                && let Some(pointer) = pointer_of(value)
            {
                pointers.push((*key, pointer));
            }
        };
        let nodes = &*self.pool.shared.nodes;
        if !broken {
            let differ = tree::diff(nodes, before, state.root.as_ref(), &mut |key, _, new| {
                if let Some(value) = new {
                    collect(&key, value);
                }
                ControlFlow::Continue(())
            });
            if let Err(error) = differ {
                self.violation(format!("{name}: {}", chain(&error)));
            }
        } else {
            tree::check(nodes, state.root.as_ref(), &mut collect, &mut |_| {});
        }
        // In the order of the medium, so that a disk reads forward.
        pointers.sort_by_key(|(_, pointer)| (pointer.place.segment, pointer.place.offset));
        for (key, pointer) in pointers {
            self.block(&name, &key, &pointer);
        }
    }

    fn block(&mut self, name: &str, key: &Key, pointer: &Pointer) {
        self.report.blocks += 1;
        self.report.bytes += u64::from(pointer.place.len);
        if self.report.blocks.is_multiple_of(256) {
            self.progress.update(self.report.blocks, self.total);
        }
        if let Err(error) = self.pool.shared.store.verify(pointer) {
            let (ino, index) = (key.owner(), key.sub());
            self.violation(format!(
                "{name}: inode {ino}, block {index}: {}",
                chain(&error)
            ));
        }
    }

    fn tree(&mut self, name: &str, root: Option<&TreeRoot>) {
        let mut found = Vec::new();
        let report = &mut self.report;
        tree::check(
            &*self.pool.shared.nodes,
            root,
            &mut |_, _| report.entries += 1,
            &mut |error| found.push(format!("{name}: {}", chain(&error))),
        );
        found.into_iter().for_each(|text| self.violation(text));
    }

    /// Names, inodes and blocks agree.
    fn files(&mut self, state: &State) {
        let mut found = Vec::new();
        let outcome = check_inodes(&state.volume, Tails::Skip, &mut |violation| {
            found.push(format!("{}: {violation}", state.name));
        });
        found.into_iter().for_each(|text| self.violation(text));
        if let Err(error) = outcome {
            self.violation(format!("{}: {}", state.name, chain(&error)));
        }
    }
}
