//! Files and folders of an earlier state, put back into the volume.
//!
//! Nothing is read or copied: the files of both states point to the same blocks.
//!
//! * What does not exist in the volume appears whole or not at all: it is made without a name, as
//!   an orphan, and gets its name in the last transaction. After a crash orphans are reaped. So an
//!   interrupted restore leaves some of the files, and of these everything.
//! * A file that exists is changed in place, block by block where the ids differ, in as many
//!   transactions as it takes; an interruption leaves some of them done. Once more does the rest.
//! * A folder that exists is filled; one that does not is made, and gets its attributes when all
//!   that belongs into it is there.
//!
//! Before anything is changed all is looked at once: what cannot be put back is refused first.

mod content;
mod error;
mod make;
mod names;
mod survey;
mod walk;

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::base::Ino;
use crate::base::progress::Progress;
use crate::volume::records::{FileKind, Inode};
use crate::volume::{Frozen, FsError, Request, Volume};

use super::inodes::{link_target, load};
use names::Target;
use survey::survey;
use walk::{Place, Step, Walk};

pub use error::RestoreError;
use error::RestoreResult;
pub use names::RestorePath;

/// What to put back, and where.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RestoreOptions {
    /// Files and folders; none: all.
    pub paths: Vec<RestorePath>,
    /// The folder below which they go, under their whole paths; none: where they were.
    pub to: Option<RestorePath>,
    /// Change files that exist.
    pub force: bool,
}

/// What was put back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Restored {
    /// Files, folders and all others that were made, and names that were given.
    pub created: u64,
    /// Bytes of blocks of files that were made.
    pub created_bytes: u64,
    /// What existed and was changed.
    pub changed: u64,
    /// What existed and was the same.
    pub same: u64,
    /// Bytes of files that existed and were compared.
    pub compared_bytes: u64,
    /// Bytes of blocks of these that were changed, and of what was cut off.
    pub changed_bytes: u64,
}

/// Whoever has to know of changes that nobody asked the mount for.
pub trait Watch {
    /// Nobody who knows this file by its name need know it any longer; whether that is so: else
    /// somebody uses it, and may not see a new size.
    fn lets_go(&self, folder: Ino, name: &[u8], ino: Ino) -> bool;
    /// A name of a folder means something else now.
    fn name_changed(&self, folder: Ino, name: &[u8]);
    /// An inode has other attributes, another content or other entries.
    fn inode_changed(&self, ino: Ino);
}

/// Nobody has to know.
pub struct Unwatched;

impl Watch for Unwatched {
    fn lets_go(&self, _folder: Ino, _name: &[u8], _ino: Ino) -> bool {
        true
    }

    fn name_changed(&self, _folder: Ino, _name: &[u8]) {}

    fn inode_changed(&self, _ino: Ino) {}
}

impl Volume {
    /// Puts back what `source`, an earlier state of this volume, has. Not durable when it returns.
    /// The caller keeps a pin of the store.
    ///
    /// Fails with `Exists` for what exists, unless forced, `Missing`, `NoFolder`, `NotFolder`,
    /// `IsFolder`, all before anything is changed; later with `InUse`, `BrokenOff`, `At`.
    pub fn restore(
        &self,
        source: &Frozen<'_>,
        options: &RestoreOptions,
        watch: &dyn Watch,
        progress: &dyn Progress,
    ) -> RestoreResult<Restored> {
        // A rollback in between ends it.
        let request = Request {
            epoch: Some(self.epoch()),
            ..Request::default()
        };
        let target = Target {
            volume: self,
            request,
        };
        let base = target.base(options.to.as_ref())?;
        let walk = Walk::new(self, source, base, options);
        let total = survey(&walk, &target, options.force, watch, progress)?;
        let mut restore = Restore {
            source,
            target,
            force: options.force,
            watch,
            progress,
            links: HashMap::new(),
            claimed: HashMap::new(),
            made: HashSet::new(),
            done: (0, total),
            told: Restored::default(),
        };
        walk.run(&mut restore)?;
        Ok(restore.told)
    }
}

/// A restore under way.
struct Restore<'a, 's> {
    source: &'a Frozen<'s>,
    target: Target<'a>,
    force: bool,
    watch: &'a dyn Watch,
    progress: &'a dyn Progress,
    /// Inodes of the source with several names, and what became of them.
    links: HashMap<Ino, Ino>,
    /// Inodes of the volume with several names that were changed, and for which of the source.
    claimed: HashMap<Ino, Ino>,
    /// Folders that were made and are not left yet.
    made: HashSet<Ino>,
    /// Blocks and inodes, of how many.
    done: (u64, u64),
    told: Restored,
}

impl Restore<'_, '_> {
    fn advance(&mut self, work: u64) -> RestoreResult<()> {
        self.done.0 = (self.done.0 + work).min(self.done.1);
        self.progress.update(self.done.0, self.done.1);
        match self.progress.is_cancelled() {
            true => Err(RestoreError::BrokenOff),
            false => Ok(()),
        }
    }

    /// Changes a file, or what is no file, that exists.
    fn change(
        &mut self,
        place: &Place<'_>,
        (source, inode): (Ino, &Inode),
        (target, present): (Ino, &Inode),
    ) -> RestoreResult<()> {
        let at = |error| RestoreError::at(place.path, error);
        let changed = match inode.kind {
            FileKind::Regular => {
                let is_resized = inode.size != present.size;
                if is_resized && !self.watch.lets_go(place.folder(), place.name, target) {
                    return Err(RestoreError::in_use(place.path));
                }
                self.change_content(place, (source, inode), (target, present))?
            }
            _ => false,
        };
        let is_other = self.set_attributes((source, inode), target).map_err(at)?;
        if changed || is_other {
            self.told.changed += 1;
            self.watch.inode_changed(target);
            self.watch.lets_go(place.folder(), place.name, target);
        } else {
            self.told.same += 1;
        }
        Ok(())
    }

    /// What was put back for one of several names of an inode, if one was.
    fn linked(&self, source: Ino, inode: &Inode) -> Option<Ino> {
        (inode.nlink > 1).then(|| self.links.get(&source).copied())?
    }

    /// Whether what exists may be changed into this one: not if it was for another one already,
    /// which has a name of the same inode.
    fn claim(&mut self, source: Ino, target: Ino, present: &Inode) -> bool {
        present.nlink < 2 || *self.claimed.entry(target).or_insert(source) == source
    }

    fn is_alike(&self, source: Ino, inode: &Inode, target: Ino, present: &Inode) -> bool {
        let is_same_kind = inode.kind == present.kind && inode.rdev == present.rdev;
        is_same_kind
            && (inode.kind != FileKind::Symlink || {
                let ours = link_target(self.source, source).ok().flatten();
                let theirs = self.target.link_target(target).ok().flatten();
                ours.is_some() && ours == theirs
            })
    }
}

impl Step for Restore<'_, '_> {
    fn folder(
        &mut self,
        place: &Place<'_>,
        (source, inode): (Ino, &Inode),
    ) -> RestoreResult<Option<Ino>> {
        let found = self.target.find(place.folder(), place.name);
        let found = found.map_err(|error| RestoreError::at(place.path, error))?;
        match found {
            Some((ino, present)) if present.is_folder() => Ok(Some(ino)),
            Some(_) => Err(RestoreError::not_folder(place.path)),
            None => self.make_folder(place, (source, inode)).map(Some),
        }
    }

    fn other(&mut self, place: &Place<'_>, (source, inode): (Ino, &Inode)) -> RestoreResult<()> {
        let at = |error| RestoreError::at(place.path, error);
        let found = self.target.find(place.folder(), place.name).map_err(at)?;
        if found
            .as_ref()
            .is_some_and(|(_, present)| present.is_folder())
        {
            return Err(RestoreError::is_folder(place.path));
        }
        if found.is_some() && !self.force {
            return Err(RestoreError::exists(place.path));
        }
        let replaces = found.as_ref().map(|(ino, _)| *ino);
        if let Some(made) = self.linked(source, inode) {
            if replaces == Some(made) {
                self.told.same += 1;
            } else {
                self.link(place, made, replaces)?;
            }
            return self.advance(1);
        }
        let target = match found {
            Some((target, present))
                if self.is_alike(source, inode, target, &present)
                    && self.claim(source, target, &present) =>
            {
                self.change(place, (source, inode), (target, &present))?;
                target
            }
            _ => self.make(place, (source, inode), replaces)?,
        };
        if inode.nlink > 1 {
            self.links.insert(source, target);
        }
        self.advance(1)
    }

    fn leave(
        &mut self,
        place: &Place<'_>,
        (source, inode): (Ino, &Inode),
        target: Option<Ino>,
        is_asked_for: bool,
    ) -> RestoreResult<()> {
        let Some(target) = target else { return Ok(()) };
        let at = |error| RestoreError::at(place.path, error);
        let is_new = self.made.remove(&target);
        if is_new || (self.force && is_asked_for) {
            let is_other = self.set_attributes((source, inode), target).map_err(at)?;
            if !is_new {
                match is_other {
                    true => self.told.changed += 1,
                    false => self.told.same += 1,
                }
            }
        }
        self.watch.inode_changed(target);
        self.advance(1)
    }
}

/// The inode of a name in the source, as it must be.
fn load_source(source: &Frozen<'_>, ino: Ino, path: &[u8]) -> RestoreResult<Inode> {
    load(source, ino).map_err(|error| match error {
        FsError::NotFound => RestoreError::missing(path),
        error => RestoreError::at(path, error),
    })
}
