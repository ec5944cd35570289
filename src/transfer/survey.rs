//! A look at everything before anything is written.

use std::collections::HashSet;

use super::error::{ExportError, ExportResult, NAMED_MAX};
use super::export::work_of;
use super::host::{Found, HostFolder};
use super::walk::{Place, Step, Walk};
use crate::base::Ino;
use crate::base::progress::Progress;
use crate::volume::ops::{Attr, shown};

/// Refuses what cannot be written, and counts the work, in bytes.
pub(super) fn survey(walk: &Walk<'_>, force: bool, progress: &dyn Progress) -> ExportResult<u64> {
    let mut survey = Survey {
        force,
        progress,
        work: 0,
        seen: HashSet::new(),
        taken: Vec::new(),
        taken_count: 0,
    };
    walk.run(&mut survey)?;
    match survey.taken_count {
        0 => Ok(survey.work),
        count => Err(ExportError::Exists {
            paths: survey.taken,
            count,
        }),
    }
}

struct Survey<'a> {
    force: bool,
    progress: &'a dyn Progress,
    work: u64,
    /// Inodes with several names.
    seen: HashSet<Ino>,
    /// What exists: the first of it, and how much.
    taken: Vec<String>,
    taken_count: u64,
}

fn find(place: &Place<'_>) -> ExportResult<Found> {
    match place.folder {
        Some(folder) => folder.find(place.name, place.path),
        None => Ok(Found::Nothing),
    }
}

impl Step for Survey<'_> {
    fn folder(&mut self, place: &Place<'_>, _source: &Attr) -> ExportResult<Option<HostFolder>> {
        match find(place)? {
            Found::Nothing => Ok(None),
            Found::Folder => place.folder()?.enter(place.name, place.path).map(Some),
            Found::Other => Err(ExportError::not_folder(place.path)),
        }
    }

    fn other(&mut self, place: &Place<'_>, source: &Attr) -> ExportResult<()> {
        let is_first = source.nlink < 2 || self.seen.insert(source.ino);
        self.work += work_of(source, is_first);
        if self.progress.is_cancelled() {
            return Err(ExportError::BrokenOff);
        }
        match find(place)? {
            Found::Nothing => {}
            Found::Folder => return Err(ExportError::is_folder(place.path)),
            Found::Other if self.force => {}
            Found::Other => {
                self.taken_count += 1;
                if self.taken.len() < NAMED_MAX {
                    self.taken.push(shown(place.path));
                }
            }
        }
        Ok(())
    }

    fn leave(
        &mut self,
        _place: &Place<'_>,
        source: &Attr,
        _folder: Option<&HostFolder>,
        _is_asked_for: bool,
    ) -> ExportResult<()> {
        self.work += work_of(source, false);
        Ok(())
    }
}
