//! Operations on a pool and on its model.

use std::sync::atomic::{AtomicU64, Ordering};

use super::super::{name, new_volume, snap};
use super::change::Change;
use super::model::{SnapshotModel, Stage, Tree, VolumeModel};
use super::world::{StepClock, World, text};
use crate::base::Clock;

const VOLUMES_MAX: usize = 3;
const SNAPSHOTS_MAX: usize = 4;

impl World {
    /// A random operation, valid by construction. What it wants is in the model before it is
    /// tried, and acknowledged there when it was answered.
    pub(super) fn step(&mut self) -> Result<(), String> {
        self.operations += 1;
        let status = self.pool().status();
        if status.journal_bytes > status.journal_capacity / 3 {
            // There is no thread that does it: twice, because the older slot holds journal space.
            self.checkpoint()?;
            return self.checkpoint();
        }
        let names: Vec<String> = self.live_volumes().cloned().collect();
        let Some(volume) = self.random.pick(&names).cloned() else {
            return self.create_volume();
        };
        match self.random.below(100) {
            0..60 => self.change(&volume),
            60..76 => self.sync(&volume),
            76..84 => self.checkpoint(),
            84..90 => self.snapshot(&names),
            90..93 if names.len() < VOLUMES_MAX => self.clone_volume(&volume),
            93..95 if names.len() < VOLUMES_MAX => self.create_volume(),
            95..97 => self.rollback(&volume),
            97..99 => self.remove_snapshot(),
            99 => self.remove_volume(&volume),
            _ => self.sync(&volume),
        }
    }

    fn live_volumes(&self) -> impl Iterator<Item = &String> {
        let volumes = self.model.volumes.iter();
        volumes
            .filter(|(_, volume)| volume.newest().is_some())
            .map(|(name, _)| name)
    }

    fn fresh(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn tree(&self, volume: &str) -> Tree {
        self.model.volumes[volume]
            .newest()
            .cloned()
            .unwrap_or_default()
    }

    fn of(&mut self, volume: &str) -> &mut VolumeModel {
        self.model.volumes.get_mut(volume).expect("a known volume")
    }

    fn create_volume(&mut self) -> Result<(), String> {
        let volume = self.fresh("v");
        self.tell(format!("create volume {volume}"));
        let mut model = VolumeModel::absent();
        model.attempt(Some(Tree::new()));
        self.model.volumes.insert(volume.clone(), model);
        self.pool()
            .create_volume(&new_volume(&volume))
            .map_err(text)?;
        self.settled(&volume);
        Ok(())
    }

    /// Everything up to here of this volume is acknowledged and durable.
    fn settled(&mut self, volume: &str) {
        let model = self.of(volume);
        model.acknowledge();
        model.make_durable();
    }

    fn sync(&mut self, volume: &str) -> Result<(), String> {
        self.tell(format!("{volume}: sync"));
        let opened = self.pool().open_volume(&name(volume)).map_err(text)?;
        opened.sync().map_err(text)?;
        self.of(volume).make_durable();
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), String> {
        self.tell("checkpoint".to_owned());
        self.pool().checkpoint().map_err(text)?;
        // A poisoned volume is left out of it, until it has been reopened.
        let volumes = self.pool().volumes().into_iter();
        let sound: Vec<String> = volumes
            .filter(|info| info.poisoned.is_none())
            .map(|info| info.name.to_string())
            .collect();
        self.model.make_durable(|name| sound.contains(name));
        Ok(())
    }

    fn snapshot(&mut self, names: &[String]) -> Result<(), String> {
        if self.model.snapshots.len() >= SNAPSHOTS_MAX {
            return self.remove_snapshot();
        }
        let cut = self.names;
        let snapshot = self.fresh("s");
        let all = self.random.chance(50);
        let one = self.random.pick(names).cloned();
        let of: Vec<String> = match all {
            true => names.to_vec(),
            false => one.into_iter().collect(),
        };
        self.tell(format!("snapshot {of:?}@{snapshot}"));
        for volume in &of {
            self.expect_snapshot(volume, &snapshot, Stage::Coming(cut));
        }
        let wanted: Vec<_> = of
            .iter()
            .map(|volume| (name(volume), snap(&snapshot)))
            .collect();
        self.pool().create_snapshots(&wanted).map_err(text)?;
        for volume in &of {
            self.expect_snapshot(volume, &snapshot, Stage::Kept);
            self.of(volume).make_durable();
        }
        Ok(())
    }

    fn expect_snapshot(&mut self, volume: &str, snapshot: &str, stage: Stage) {
        let tree = self.tree(volume);
        let key = (volume.to_owned(), snapshot.to_owned());
        self.model
            .snapshots
            .insert(key, SnapshotModel { tree, stage });
    }

    fn any_snapshot(&mut self, volume: Option<&str>) -> Option<(String, String)> {
        let keys = self.model.snapshots.keys();
        let fitting: Vec<_> = keys
            .filter(|key| volume.is_none_or(|volume| key.0 == volume))
            .cloned()
            .collect();
        self.random.pick(&fitting).cloned()
    }

    fn remove_snapshot(&mut self) -> Result<(), String> {
        let Some(key) = self.any_snapshot(None) else {
            return Ok(());
        };
        self.tell(format!("remove snapshot {key:?}"));
        self.going(&key);
        let removed = self.pool().remove_snapshot(&name(&key.0), &snap(&key.1));
        removed.map_err(text)?;
        self.model.snapshots.remove(&key);
        Ok(())
    }

    fn going(&mut self, key: &(String, String)) {
        if let Some(snapshot) = self.model.snapshots.get_mut(key) {
            snapshot.stage = Stage::Going;
        }
    }

    fn clone_volume(&mut self, volume: &str) -> Result<(), String> {
        let new = self.fresh("v");
        let from = self.any_snapshot(Some(volume));
        let from = from.filter(|_| self.random.chance(60));
        self.tell(format!("clone {volume} ({from:?}) to {new}"));
        let tree = match &from {
            Some(key) => self.model.snapshots[key].tree.clone(),
            None => self.tree(volume),
        };
        let mut model = VolumeModel::absent();
        model.attempt(Some(tree));
        self.model.volumes.insert(new.clone(), model);
        let snapshot = from.map(|key| snap(&key.1));
        let cloned = self
            .pool()
            .clone_volume(&name(volume), snapshot.as_ref(), &name(&new));
        cloned.map_err(text)?;
        self.settled(&new);
        self.of(volume).make_durable();
        Ok(())
    }

    fn rollback(&mut self, volume: &str) -> Result<(), String> {
        let Some(key) = self.any_snapshot(Some(volume)) else {
            return self.snapshot(&[volume.to_owned()]);
        };
        self.tell(format!("rollback {key:?}"));
        // The name of what is kept comes from the clock, which is looked at once before.
        let peek = StepClock(AtomicU64::new(self.setting.clock.0.load(Ordering::Relaxed)));
        let kept = format!("before-rollback-{}", peek.now().sortable());
        self.expect_snapshot(volume, &kept, Stage::Coming(self.names));
        let target = self.model.snapshots[&key].tree.clone();
        self.of(volume).attempt(Some(target));
        let result = self.pool().rollback(&name(volume), &snap(&key.1));
        let done = result.map_err(text)?;
        let key = (volume.to_owned(), done.kept.to_string());
        let snapshot = self.model.snapshots.get_mut(&key);
        snapshot
            .expect("the kept state has the name of its time")
            .stage = Stage::Kept;
        self.settled(volume);
        Ok(())
    }

    fn remove_volume(&mut self, volume: &str) -> Result<(), String> {
        self.tell(format!("remove volume {volume}"));
        let keys = self.model.snapshots.keys();
        let own: Vec<_> = keys.filter(|key| key.0 == volume).cloned().collect();
        own.iter().for_each(|key| self.going(key));
        self.of(volume).attempt(None);
        self.pool().remove_volume(&name(volume)).map_err(text)?;
        self.model.volumes.remove(volume);
        for key in own {
            self.model.snapshots.remove(&key);
        }
        Ok(())
    }

    /// A change of a volume's files.
    fn change(&mut self, volume: &str) -> Result<(), String> {
        let mut tree = self.tree(volume);
        let Some(change) = Change::any(&mut self.random, &tree) else {
            return Ok(());
        };
        self.tell(format!("{volume}: {change:?}"));
        change.predict(&mut tree);
        self.of(volume).attempt(Some(tree));
        let opened = self.pool().open_volume(&name(volume)).map_err(text)?;
        change.perform(&opened).map_err(text)?;
        self.of(volume).acknowledge();
        Ok(())
    }
}
