//! Random steps: what happens next.

use super::change::{BLOCK, Change};
use super::steps::{Done, SnapshotKey};
use super::tree::{Node, split};
use super::world::World;
use crate::disk::Fault;

const VOLUMES_MAX: usize = 3;
const SNAPSHOTS_MAX: usize = 4;
/// Of each write that fills a journal, and how many there are at most.
const FILLING_BYTES: u64 = 5000;
const FILLING_MAX: u64 = 20;
/// Writes from here on are sealed at once.
const LARGE_BLOCKS: u64 = 17;
/// A large write ends one or two segments, writes its blocks with one write to each, and a record.
const CUT_SHORT_EFFECTS: u64 = 9;

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
        if self.aside.is_due(2) {
            return self.scrub();
        }
        if self.habits.rots && self.aside.is_due(8) {
            return self.any_rot();
        }
        if self.habits.fills && self.aside.is_due(20) {
            return self.fill_the_journal(&volume);
        }
        if self.habits.repeats && self.aside.is_due(8) {
            return self.be_cut_short(&volume);
        }
        if self.habits.collects && self.aside.is_due(12) {
            return self.any_garbage(&volume);
        }
        if self.habits.brings_back && self.aside.is_due(12) {
            return self.bring_back(&volume);
        }
        self.plain_operation(&volume, &names)
    }

    /// One of those that need no habit.
    pub(super) fn plain_step(&mut self) -> Done {
        let names: Vec<String> = self.live_volumes().cloned().collect();
        match self.random.pick(&names).cloned() {
            Some(volume) => self.plain_operation(&volume, &names),
            None => self.new_volume(),
        }
    }

    fn plain_operation(&mut self, volume: &str, names: &[String]) -> Done {
        match self.random.below(100) {
            0..52 => self.any_change(volume),
            52..60 => self.refused_change(volume),
            60..62 => self.refused_command(volume),
            62..76 => self.sync(volume),
            76..84 => self.checkpoint(),
            84..90 => self.any_snapshot(names),
            90..93 if names.len() < VOLUMES_MAX => {
                let from = self.pick_snapshot(Some(volume));
                let from = from.filter(|_| self.random.chance(60));
                self.clone_volume(volume, from.as_ref())
            }
            93..95 if names.len() < VOLUMES_MAX => self.new_volume(),
            95..97 => match self.pick_snapshot(Some(volume)) {
                Some(key) => self.rollback(&key),
                None => self.snapshot(&[volume.to_owned()]),
            },
            97..99 => self.drop_snapshot(),
            99 => self.remove_volume(volume),
            _ => self.sync(volume),
        }
    }

    /// Small writes, each of them synced, up to where the journal would be emptied; perhaps a
    /// checkpoint behind them.
    fn fill_the_journal(&mut self, volume: &str) -> Done {
        let tree = self.tree(volume);
        let files = tree.entries().filter(|(_, node)| node.is_file());
        let files: Vec<String> = files.map(|(path, _)| path.clone()).collect();
        let Some(file) = self.random.pick(&files).cloned() else {
            return Ok(());
        };
        for _ in 0..FILLING_MAX {
            let status = self.pool().status();
            if status.journal_bytes + FILLING_BYTES > status.journal_capacity / 3 {
                break;
            }
            let (at, data) = (
                self.random.below(40_000),
                self.random.bytes(FILLING_BYTES as usize),
            );
            self.change(volume, &Change::Write(file.clone(), at, data))?;
            self.sync(volume)?;
        }
        match self.random.chance(70) {
            true => self.checkpoint(),
            false => Ok(()),
        }
    }

    /// A large write of something new, in the midst of which or right behind whose blocks the
    /// process is to die.
    fn be_cut_short(&mut self, volume: &str) -> Done {
        self.checkpoint()?;
        let tree = self.tree(volume);
        let files = tree.entries().filter(|(_, node)| node.is_file());
        let files: Vec<String> = files.map(|(path, _)| path.clone()).collect();
        let Some(file) = self.random.pick(&files).cloned() else {
            return Ok(());
        };
        let blocks = LARGE_BLOCKS + self.random.below(8);
        let after = self.random.below(CUT_SHORT_EFFECTS);
        self.tell(format!("to die after {after} effects"));
        self.disk.arm(Fault::Die(after));
        let data = self.random.bytes((blocks * BLOCK) as usize);
        let change = Change::Write(file, 0, data);
        self.cut_short = Some((volume.to_owned(), change.clone()));
        self.change(volume, &change)
    }

    /// A write that an outage broke off is done again, or a part of it.
    pub(super) fn repeat_what_was_cut_short(&mut self) -> Done {
        let Some((volume, change)) = self.cut_short.take() else {
            return Ok(());
        };
        let Change::Write(file, at, mut data) = change else {
            return Ok(());
        };
        let exists = self.model.volumes.contains_key(&volume);
        let is_there = exists && self.tree(&volume).get(&file).is_some_and(Node::is_file);
        if !is_there || self.random.chance(20) {
            return Ok(());
        }
        let blocks = data.len() as u64 / BLOCK;
        let part = LARGE_BLOCKS + self.random.below(blocks - LARGE_BLOCKS + 1);
        data.truncate((part * BLOCK) as usize);
        self.change(&volume, &Change::Write(file, at, data))?;
        match self.random.chance(70) {
            true => self.sync(&volume),
            false => Ok(()),
        }
    }

    /// Something that was removed, or may be, is there again.
    fn bring_back(&mut self, volume: &str) -> Done {
        let snapshot = self.pick_snapshot(Some(volume));
        match (self.random.below(10), snapshot) {
            (0..2, _) => self.trash_and_undelete(volume),
            (2..3, _) => self.trash_and_rename(volume),
            (3..4, Some(key)) => self.keep(&key),
            (_, Some(key)) => self.restore_any(&key),
            (_, None) => self.snapshot(&[volume.to_owned()]),
        }
    }

    /// A file that can come back; it may have been removed just before.
    fn restore_any(&mut self, key: &SnapshotKey) -> Done {
        let (now, before) = (self.tree(&key.0), self.model.snapshots[key].tree.clone());
        let has_place = |path: &str| match split(path).0 {
            Some(folder) => now.get(folder).is_some_and(Node::is_folder),
            None => true,
        };
        let files = before.entries().filter(|(path, node)| {
            node.is_file() && has_place(path) && now.get(path).is_none_or(Node::is_file)
        });
        let files: Vec<String> = files.map(|(path, _)| path.clone()).collect();
        let Some(file) = self.random.pick(&files).cloned() else {
            return Ok(());
        };
        if now.get(&file).is_some() && self.random.chance(50) {
            self.change(&key.0, &Change::Remove(file.clone()))?;
        }
        self.restore(key, &file)
    }

    pub(super) fn live_volumes(&self) -> impl Iterator<Item = &String> {
        let volumes = self.model.volumes.iter();
        volumes
            .filter(|(_, volume)| volume.newest().is_some())
            .map(|(name, _)| name)
    }

    pub(super) fn new_volume(&mut self) -> Done {
        let volume = self.fresh("v");
        self.create_volume(&volume)
    }

    fn any_change(&mut self, volume: &str) -> Done {
        let tree = self.tree(volume);
        let repeats = self.habits.repeats;
        match Change::any(&mut self.random, &tree, repeats) {
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
