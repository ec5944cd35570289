//! Random steps: what happens next.

use super::change::Change;
use super::steps::{Done, SnapshotKey};
use super::world::World;

const VOLUMES_MAX: usize = 3;
const SNAPSHOTS_MAX: usize = 4;

impl World {
    /// A random operation: valid, but one in ten, which must be refused.
    pub(super) fn step(&mut self) -> Done {
        self.operations += 1;
        self.check_unsynced();
        if self.aside.is_due(3) {
            return self.save_list();
        }
        let status = self.pool().status();
        if status.journal_bytes > status.journal_capacity / 3 {
            // There is no thread that does it: twice, because the older slot holds journal space.
            self.checkpoint()?;
            return self.checkpoint();
        }
        let names: Vec<String> = self.live_volumes().cloned().collect();
        let Some(volume) = self.random.pick(&names).cloned() else {
            return self.new_volume();
        };
        match self.random.below(100) {
            0..52 => self.any_change(&volume),
            52..60 => self.refused_change(&volume),
            60..62 => self.refused_command(&volume),
            62..76 => self.sync(&volume),
            76..84 => self.checkpoint(),
            84..90 => self.any_snapshot(&names),
            90..93 if names.len() < VOLUMES_MAX => {
                let from = self.pick_snapshot(Some(&volume));
                let from = from.filter(|_| self.random.chance(60));
                self.clone_volume(&volume, from.as_ref())
            }
            93..95 if names.len() < VOLUMES_MAX => self.new_volume(),
            95..97 => match self.pick_snapshot(Some(&volume)) {
                Some(key) => self.rollback(&key),
                None => self.snapshot(&[volume]),
            },
            97..99 => self.drop_snapshot(),
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

    fn new_volume(&mut self) -> Done {
        let volume = self.fresh("v");
        self.create_volume(&volume)
    }

    fn any_change(&mut self, volume: &str) -> Done {
        let tree = self.tree(volume);
        match Change::any(&mut self.random, &tree) {
            Some(change) => self.change(volume, &change),
            None => Ok(()),
        }
    }

    fn refused_change(&mut self, volume: &str) -> Done {
        let tree = self.tree(volume);
        match Change::refused(&mut self.random, &tree) {
            Some(change) => self.change(volume, &change),
            None => Ok(()),
        }
    }

    /// Of one volume, or of all.
    fn any_snapshot(&mut self, names: &[String]) -> Done {
        if self.model.snapshots.len() >= SNAPSHOTS_MAX {
            return self.drop_snapshot();
        }
        let all = self.random.chance(50);
        let one = self.random.pick(names).cloned();
        match all {
            true => self.snapshot(names),
            false => self.snapshot(&one.into_iter().collect::<Vec<_>>()),
        }
    }

    fn pick_snapshot(&mut self, volume: Option<&str>) -> Option<SnapshotKey> {
        let keys = self.model.snapshots.keys();
        let fitting: Vec<_> = keys
            .filter(|key| volume.is_none_or(|volume| key.0 == volume))
            .cloned()
            .collect();
        self.random.pick(&fitting).cloned()
    }

    fn drop_snapshot(&mut self) -> Done {
        match self.pick_snapshot(None) {
            Some(key) => self.remove_snapshot(&key),
            None => Ok(()),
        }
    }
}
