//! Operations on a pool and on its model. What an operation wants is in the model before it is
//! tried, and acknowledged there when it was answered.

use super::super::{name, new_volume, snap};
use super::change::{Change, variant};
use super::model::{SnapshotModel, Stage, VolumeModel};
use super::reading::read_tree;
use super::rot::scrubbing;
use super::tree::Tree;
use super::world::{World, text};
use crate::base::Clock;
use crate::base::progress::Silent;
use crate::pool::{PoolError, SetVolume};
use crate::volume::FsError;
use crate::volume::ops::{RestoreOptions, Unwatched};

/// A volume and the name of one of its snapshots.
pub(super) type SnapshotKey = (String, String);

/// Why an operation ended otherwise than by success.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) text: String,
    /// For want of room.
    pub(super) is_full: bool,
    /// It concerns nothing that the model knows: work may go on.
    pub(super) is_harmless: bool,
}

impl From<PoolError> for Failed {
    fn from(error: PoolError) -> Failed {
        Failed {
            text: text(&error),
            is_full: error.is_no_space(),
            is_harmless: false,
        }
    }
}

impl From<FsError> for Failed {
    fn from(error: FsError) -> Failed {
        Failed {
            text: text(&error),
            is_full: error.is_no_space(),
            is_harmless: false,
        }
    }
}

/// Outcome of an operation that the model allows.
pub(super) type Done = Result<(), Failed>;

impl World {
    pub(super) fn fresh(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    pub(super) fn tree(&self, volume: &str) -> Tree {
        self.model.volumes[volume]
            .newest()
            .cloned()
            .unwrap_or_default()
    }

    fn of(&mut self, volume: &str) -> &mut VolumeModel {
        self.model.volumes.get_mut(volume).expect("a known volume")
    }

    pub(super) fn create_volume(&mut self, volume: &str) -> Done {
        self.tell(format!("create volume {volume}"));
        let mut model = VolumeModel::absent();
        model.attempt(Some(Tree::default()));
        self.model.volumes.insert(volume.to_owned(), model);
        if let Err(error) = self.pool().create_volume(&new_volume(volume)) {
            if error.is_no_space() && !self.disk.has_failed() {
                // Refused before the medium was asked.
                let absent = VolumeModel::absent();
                self.model.volumes.insert(volume.to_owned(), absent);
            }
            return Err(error.into());
        }
        self.settled(volume);
        Ok(())
    }

    /// Everything up to here of this volume is acknowledged and durable.
    fn settled(&mut self, volume: &str) {
        let model = self.of(volume);
        model.acknowledge();
        model.make_durable();
    }

    pub(super) fn sync(&mut self, volume: &str) -> Done {
        self.tell(format!("{volume}: sync"));
        let opened = self.pool().open_volume(&name(volume))?;
        opened.sync()?;
        self.of(volume).make_durable();
        Ok(())
    }

    pub(super) fn checkpoint(&mut self) -> Done {
        self.tell("checkpoint".to_owned());
        self.pool().checkpoint().map_err(|error| Failed {
            is_harmless: true,
            ..Failed::from(error)
        })?;
        self.checkpointed();
        Ok(())
    }

    /// What is durable by a checkpoint.
    fn checkpointed(&mut self) {
        // A poisoned volume is left out of it, until it has been reopened.
        let volumes = self.pool().volumes().into_iter();
        let sound: Vec<String> = volumes
            .filter(|info| info.poisoned.is_none())
            .map(|info| info.name.to_string())
            .collect();
        self.model.make_durable(|name| sound.contains(name));
    }

    /// A scrub beside the work, with the checkpoint that it begins with. On a medium that has not
    /// failed it finds nothing.
    pub(super) fn scrub(&mut self) -> Done {
        self.tell("scrub".to_owned());
        let report = self.pool().check_with(&scrubbing(), &Silent);
        let report = report.map_err(|error| Failed {
            is_harmless: true,
            ..Failed::from(error)
        })?;
        self.checkpointed();
        if !self.disk.has_failed() {
            assert_eq!(report.violations, [], "a scrub finds damage");
            assert_eq!(report.repaired, [], "a scrub heals what is sound");
        }
        Ok(())
    }

    /// One cut of all these volumes.
    pub(super) fn snapshot(&mut self, of: &[String]) -> Done {
        let cut = self.names;
        let snapshot = self.fresh("s");
        self.tell(format!("snapshot {of:?}@{snapshot}"));
        for volume in of {
            self.expect_snapshot(volume, &snapshot, Stage::Coming(cut));
        }
        let wanted: Vec<_> = of
            .iter()
            .map(|volume| (name(volume), snap(&snapshot)))
            .collect();
        self.pool().create_snapshots(&wanted)?;
        for volume in of {
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

    pub(super) fn remove_snapshot(&mut self, key: &SnapshotKey) -> Done {
        self.tell(format!("remove snapshot {key:?}"));
        self.going(key);
        self.pool().remove_snapshot(&name(&key.0), &snap(&key.1))?;
        self.model.snapshots.remove(key);
        Ok(())
    }

    fn going(&mut self, key: &SnapshotKey) {
        if let Some(snapshot) = self.model.snapshots.get_mut(key) {
            snapshot.stage = Stage::Going;
        }
    }

    /// A clone of a snapshot, or of the present state.
    pub(super) fn clone_volume(&mut self, volume: &str, from: Option<&SnapshotKey>) -> Done {
        let new = self.fresh("v");
        self.tell(format!("clone {volume} ({from:?}) to {new}"));
        let tree = match from {
            Some(key) => self.model.snapshots[key].tree.clone(),
            None => self.tree(volume),
        };
        let mut model = VolumeModel::absent();
        model.attempt(Some(tree));
        self.model.volumes.insert(new.clone(), model);
        let snapshot = from.map(|key| snap(&key.1));
        let (volume_name, new_name) = (name(volume), name(&new));
        self.pool()
            .clone_volume(&volume_name, snapshot.as_ref(), &new_name)?;
        self.settled(&new);
        // A snapshot is durable whatever its volume is, which may be poisoned.
        if from.is_none() {
            self.of(volume).make_durable();
        }
        Ok(())
    }

    pub(super) fn rollback(&mut self, key: &SnapshotKey) -> Done {
        let volume = &key.0;
        self.tell(format!("rollback {key:?}"));
        // The name of what is kept comes from the clock, which is looked at once before.
        let peek = self.setting.clock.copy().now();
        let kept = format!("before-rollback-{}", peek.sortable());
        self.expect_snapshot(volume, &kept, Stage::Coming(self.names));
        let target = self.model.snapshots[key].tree.clone();
        self.of(volume).attempt(Some(target));
        let done = self.pool().rollback(&name(volume), &snap(&key.1))?;
        let kept = (volume.to_owned(), done.kept.to_string());
        let snapshot = self.model.snapshots.get_mut(&kept);
        snapshot
            .expect("the kept state has the name of its time")
            .stage = Stage::Kept;
        self.settled(volume);
        Ok(())
    }

    /// A file of a snapshot comes back: whole if there is none of that name, else in place.
    pub(super) fn restore(&mut self, key: &SnapshotKey, path: &str) -> Done {
        let volume = &key.0;
        self.tell(format!("restore {path} of {key:?}"));
        let states = self
            .tree(volume)
            .restored(path, &self.model.snapshots[key].tree);
        for state in states {
            self.of(volume).attempt(Some(state));
        }
        let options = RestoreOptions {
            paths: vec![path.parse().expect("a path")],
            to: None,
            force: true,
        };
        let of = (&name(volume), &snap(&key.1));
        if let Err(error) = self.pool().restore(of, &options, &Unwatched, &Silent) {
            if error.is_no_space() {
                self.settle(volume)?;
            }
            return Err(error.into());
        }
        self.settled(volume);
        Ok(())
    }

    /// What was refused for want of room may have happened in part; of a medium that has died since
    /// nothing can be read.
    fn settle(&mut self, volume: &str) -> Done {
        if self.disk.is_dead() {
            return Ok(());
        }
        let opened = self.pool().open_volume(&name(volume))?;
        let found = read_tree(&opened, volume, &mut Vec::new());
        assert!(self.of(volume).settle_on(&found), "{volume}: a new state");
        Ok(())
    }

    pub(super) fn remove_volume(&mut self, volume: &str) -> Done {
        self.tell(format!("remove volume {volume}"));
        let keys = self.model.snapshots.keys();
        let own: Vec<_> = keys.filter(|key| key.0 == volume).cloned().collect();
        own.iter().for_each(|key| self.going(key));
        self.of(volume).attempt(None);
        self.pool().remove_volume(&name(volume))?;
        self.settled(volume);
        for key in own {
            self.model.snapshots.remove(&key);
        }
        Ok(())
    }

    /// Into the trash, synced before as by unmounting; what it held, and its snapshots.
    fn trash(&mut self, volume: &str) -> Result<(Tree, Vec<SnapshotKey>), Failed> {
        self.sync(volume)?;
        self.tell(format!("trash {volume}"));
        let tree = self.tree(volume);
        let keys = self.model.snapshots.keys();
        let own: Vec<_> = keys.filter(|key| key.0 == volume).cloned().collect();
        own.iter().for_each(|key| self.going(key));
        self.of(volume).attempt(None);
        self.pool().trash_volume(&name(volume))?;
        self.settled(volume);
        Ok((tree, own))
    }

    /// Into the trash, and out of it again under another name, which has its snapshots then.
    pub(super) fn trash_and_rename(&mut self, volume: &str) -> Done {
        let (tree, own) = self.trash(volume)?;
        let cut = self.names;
        let new = self.fresh("v");
        self.tell(format!("undelete {volume} as {new}"));
        let mut model = VolumeModel::absent();
        model.attempt(Some(tree));
        self.model.volumes.insert(new.clone(), model);
        for key in &own {
            let tree = self.model.snapshots[key].tree.clone();
            let stage = Stage::Coming(cut);
            let renamed = (new.clone(), key.1.clone());
            self.model
                .snapshots
                .insert(renamed, SnapshotModel { tree, stage });
        }
        self.pool()
            .undelete_volume(&name(volume), Some(&name(&new)))?;
        self.settled(&new);
        for key in own {
            self.model.snapshots.remove(&key);
            if let Some(snapshot) = self.model.snapshots.get_mut(&(new.clone(), key.1)) {
                snapshot.stage = Stage::Kept;
            }
        }
        Ok(())
    }

    /// Into the trash, and out of it again: the volume and its snapshots come back as they were.
    pub(super) fn trash_and_undelete(&mut self, volume: &str) -> Done {
        let (tree, own) = self.trash(volume)?;
        self.tell(format!("undelete {volume}"));
        self.of(volume).attempt(Some(tree));
        self.pool().undelete_volume(&name(volume), None)?;
        self.settled(volume);
        for key in own {
            if let Some(snapshot) = self.model.snapshots.get_mut(&key) {
                snapshot.stage = Stage::Kept;
            }
        }
        Ok(())
    }

    /// Settings and holds, which change nothing that is compared.
    pub(super) fn keep(&mut self, key: &SnapshotKey) -> Done {
        self.tell(format!("keep {key:?}"));
        self.kept = Some(key.clone());
        self.set_kept(key, true)?;
        self.let_go()
    }

    /// What an outage has left kept, perhaps, is kept no more: it could not be removed.
    pub(super) fn let_go(&mut self) -> Done {
        let Some(key) = self.kept.clone() else {
            return Ok(());
        };
        if self.model.volumes.contains_key(&key.0) && self.model.snapshots.contains_key(&key) {
            self.set_kept(&key, false)?;
        }
        self.kept = None;
        Ok(())
    }

    fn set_kept(&mut self, key: &SnapshotKey, kept: bool) -> Done {
        let (volume, snapshot) = (name(&key.0), snap(&key.1));
        let set = SetVolume {
            protected: Some(kept),
            limit_bytes: Some(1 << 30),
            ..SetVolume::default()
        };
        self.pool().set_volume(&volume, &set)?;
        self.pool().hold_snapshot(&volume, &snapshot, kept)?;
        Ok(())
    }

    /// A change of a volume's files. One that the model refuses must be refused with the same
    /// error, and nothing changes.
    pub(super) fn change(&mut self, volume: &str, change: &Change) -> Done {
        let states = change.states(&self.tree(volume));
        let told = states.as_ref().err().map_or("", |error| error);
        self.tell(format!("{volume}: {change:?} {told}"));
        let opened = self.pool().open_volume(&name(volume))?;
        match states {
            Ok(states) => {
                for state in states {
                    self.of(volume).attempt(Some(state));
                }
                if let Err(error) = change.perform(&opened) {
                    if error.is_no_space() {
                        self.settle(volume)?;
                    }
                    return Err(error.into());
                }
                self.of(volume).acknowledge();
                Ok(())
            }
            Err(expected) => match change.perform(&opened) {
                Err(error) if variant(&error) == expected => Ok(()),
                Err(error) if self.disk.has_failed() => Err(error.into()),
                // Which of two reasons is told is not promised.
                Err(error) if error.is_no_space() && self.disk.is_bounded() => Err(error.into()),
                other => panic!("{volume}: {change:?}: {other:?} instead of {expected}"),
            },
        }
    }

    /// A command that names what is not there, or is there already.
    pub(super) fn refused_command(&mut self, volume: &str) -> Done {
        let (own, missing) = (name(volume), name("missing"));
        let mut snapshots = self.model.snapshots.keys();
        let taken = snapshots.rfind(|key| key.0 == volume).cloned();
        let taken = taken.map(|key| snap(&key.1));
        let kind = self.random.below(10);
        self.tell(format!("{volume}: refused command {kind}"));
        let pool = self.pool();
        let (outcome, expected) = match (kind, taken) {
            (0, _) => (pool.create_volume(&new_volume(volume)).map(drop), "Exists"),
            (1, _) => (pool.clone_volume(&own, None, &own).map(drop), "Exists"),
            (2, _) => (pool.remove_volume(&missing), "NoVolume"),
            (3, _) => (
                pool.rollback(&own, &snap("missing")).map(drop),
                "NoSnapshot",
            ),
            (4, _) => (pool.remove_snapshot(&own, &snap("missing")), "NoSnapshot"),
            (5, _) => {
                let cloned = pool.clone_volume(&own, Some(&snap("missing")), &missing);
                (cloned.map(drop), "NoSnapshot")
            }
            (6, _) => {
                let twice = [(own.clone(), snap("new")), (own, snap("new2"))];
                (pool.create_snapshots(&twice).map(drop), "Invalid")
            }
            (7, _) => (pool.open_volume(&missing).map(drop), "NoVolume"),
            (_, Some(taken)) => {
                let again = [(own, taken)];
                (pool.create_snapshots(&again).map(drop), "Exists")
            }
            (_, None) => (pool.create_snapshots(&[]).map(drop), "Invalid"),
        };
        let error = outcome.expect_err("a command that must be refused");
        let text = format!("{error:?}");
        if text.starts_with(expected) {
            return Ok(());
        }
        assert!(self.disk.has_failed(), "{text} instead of {expected}");
        Err(error.into())
    }

    /// After an operation that was refused for want of room, and with room again: nothing is
    /// poisoned, and what was acknowledged can be made durable.
    pub(super) fn make_room(&mut self) {
        self.tell("there is room again".to_owned());
        self.calm();
        for info in self.pool().volumes() {
            assert_eq!(info.poisoned, None, "volume {} after ENOSPC", info.name);
        }
        let done = self.checkpoint();
        done.unwrap_or_else(|failed| panic!("no checkpoint with room again: {}", failed.text));
    }
}
