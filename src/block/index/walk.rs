//! Going through all entries of the content index.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::content::{ContentIndex, IndexError};
use super::feeder::newest_folder;
use super::{Index, chain};
use crate::base::{BlockId, Place, PoolId};

/// Entries that are read at a time; between two pages the index takes other work.
const PAGE_ENTRIES: usize = 4096;

/// How often, and at what intervals, an index is tried to open that is still held.
const LOOKS_MAX: u32 = 250;
const LOOK_AGAIN: Duration = Duration::from_millis(20);

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
    let content = open_released(&folder, pool).map_err(|error| chain(&error))?;
    let walked = pages(|after| content.page(after, PAGE_ENTRIES), visit);
    walked.and(content.close().map_err(|error| chain(&error)))
}

/// Opens an index that this process may have closed just now; sled tells nobody when its threads
/// have let go of it.
fn open_released(folder: &Path, pool: PoolId) -> Result<ContentIndex, IndexError> {
    let mut looks = 0;
    loop {
        match ContentIndex::open(folder, pool) {
            Err(error) if error.is_held() && looks < LOOKS_MAX => {
                looks += 1;
                thread::sleep(LOOK_AGAIN);
            }
            opened => return opened,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An index that is let go of while it is tried to open is walked all the same.
    #[test]
    fn an_index_that_is_just_closing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pool = PoolId([5; 16]);
        let held = ContentIndex::open(&folder.path().join("index-1"), pool).unwrap();
        let refused = ContentIndex::open(&folder.path().join("index-1"), pool);
        assert!(refused.is_err_and(|error| error.is_held()));
        thread::scope(|scope| {
            let walk = || walk_closed(folder.path(), pool, &mut |_, _| ControlFlow::Continue(()));
            let walk = scope.spawn(walk);
            held.close().unwrap();
            walk.join().unwrap().unwrap();
        });
    }
}
