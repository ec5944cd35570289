//! Going through all entries of the content index.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::content::{ContentIndex, IndexError};
use super::feeder::newest_folder;
use super::{Index, chain};
use crate::base::{BlockId, Place, PoolId};

/// Entries that are read at a time; between two pages the index takes other work.
const PAGE_ENTRIES: usize = 4096;

/// Told of each entry; may break the walk off.
pub(in crate::block) type Visitor<'a> = dyn FnMut(BlockId, Place) -> ControlFlow<()> + 'a;

impl Index {
    /// Visits every entry that there is, in the order of ids, or says why it cannot. Nothing while
    /// the index is being opened or replaced.
    pub(in crate::block) fn walk(&self, visit: &mut Visitor<'_>) -> Result<(), String> {
        pages(
            |after| match &*self.shared.content.read() {
                Some(content) => content.page(after, PAGE_ENTRIES),
                None => Ok(Vec::new()),
            },
            visit,
        )
    }
}

/// The same for the index in `dir` of a pool that nobody has open; nothing where there is none.
/// Only sled's own files may change.
pub(in crate::block) fn walk_closed(
    dir: &Path,
    pool: PoolId,
    visit: &mut Visitor<'_>,
) -> Result<(), String> {
    let Some(folder) = existing(dir).map_err(|error| error.to_string())? else {
        return Ok(());
    };
    let content = ContentIndex::open(&folder, pool).map_err(|error| chain(&error))?;
    let walked = pages(|after| content.page(after, PAGE_ENTRIES), visit);
    walked.and(content.close().map_err(|error| chain(&error)))
}

/// Throws the index in `dir` away; the next opening of the store builds a new one.
pub fn discard(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn existing(dir: &Path) -> io::Result<Option<PathBuf>> {
    match newest_folder(dir) {
        Ok(folder) => Ok(folder),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn pages(
    page: impl Fn(Option<BlockId>) -> Result<Vec<(BlockId, Place)>, IndexError>,
    visit: &mut Visitor<'_>,
) -> Result<(), String> {
    let mut after = None;
    loop {
        let entries = page(after).map_err(|error| chain(&error))?;
        let Some((last, _)) = entries.last() else {
            return Ok(());
        };
        after = Some(*last);
        for (id, place) in entries {
            if visit(id, place).is_break() {
                return Ok(());
            }
        }
    }
}
