//! A look at everything before anything is changed.

use crate::base::Ino;
use crate::base::progress::Progress;
use crate::volume::records::{FileKind, Inode};

use super::super::paths::shown;
use super::error::NAMED_MAX;
use super::names::Target;
use super::walk::{Place, Step, Walk};
use super::{RestoreError, RestoreResult, Watch};

/// Refuses what cannot be put back, and counts the work: blocks and inodes.
pub(super) fn survey(
    walk: &Walk<'_, '_>,
    target: &Target<'_>,
    force: bool,
    watch: &dyn Watch,
    progress: &dyn Progress,
) -> RestoreResult<u64> {
    let mut survey = Survey {
        target,
        force,
        watch,
        progress,
        work: 0,
        taken: Vec::new(),
        taken_count: 0,
    };
    walk.run(&mut survey)?;
    match survey.taken_count {
        0 => Ok(survey.work),
        count => Err(RestoreError::Exists {
            paths: survey.taken,
            count,
        }),
    }
}

struct Survey<'a> {
    target: &'a Target<'a>,
    force: bool,
    watch: &'a dyn Watch,
    progress: &'a dyn Progress,
    work: u64,
    /// What exists: the first of it, and how much.
    taken: Vec<String>,
    taken_count: u64,
}

impl Survey<'_> {
    fn find(&self, place: &Place<'_>) -> RestoreResult<Option<(Ino, Inode)>> {
        let Some(folder) = place.in_folder else {
            return Ok(None);
        };
        let found = self.target.find(folder, place.name);
        found.map_err(|error| RestoreError::at(place.path, error))
    }
}

impl Step for Survey<'_> {
    fn folder(&mut self, place: &Place<'_>, _source: (Ino, &Inode)) -> RestoreResult<Option<Ino>> {
        match self.find(place)? {
            None => Ok(None),
            Some((ino, present)) if present.is_folder() => Ok(Some(ino)),
            Some(_) => Err(RestoreError::not_folder(place.path)),
        }
    }

    fn other(&mut self, place: &Place<'_>, (_, inode): (Ino, &Inode)) -> RestoreResult<()> {
        self.work += 1 + inode.blocks;
        if self.progress.is_cancelled() {
            return Err(RestoreError::BrokenOff);
        }
        let Some((ino, present)) = self.find(place)? else {
            return Ok(());
        };
        if present.is_folder() {
            return Err(RestoreError::is_folder(place.path));
        }
        if !self.force {
            self.taken_count += 1;
            if self.taken.len() < NAMED_MAX {
                self.taken.push(shown(place.path));
            }
            return Ok(());
        }
        let is_resized = inode.kind == FileKind::Regular
            && present.kind == FileKind::Regular
            && inode.size != present.size;
        match is_resized && !self.watch.lets_go(place.folder(), place.name, ino) {
            true => Err(RestoreError::in_use(place.path)),
            false => Ok(()),
        }
    }

    fn leave(
        &mut self,
        _place: &Place<'_>,
        _source: (Ino, &Inode),
        _target: Option<Ino>,
        _is_asked_for: bool,
    ) -> RestoreResult<()> {
        self.work += 1;
        Ok(())
    }
}
