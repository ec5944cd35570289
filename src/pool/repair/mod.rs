//! Repair of a pool that nobody has open.
//!
//! What derives from something else is written anew: segment headers, tables of contents, the
//! content index, a superblock slot. A frame of which there is a healthy copy is healed. Content
//! that is lost stays lost: its pointer stays, so that reading it is an I/O error, in every state
//! that shows it, for as long as it does; never zeros, and never other data. Journal records, both
//! superblock slots at once and tree nodes without a copy cannot be repaired. A damaged journal is
//! cut off at the damage only where that is asked for, since it gives up what was durable.
//!
//! The order, and what a crash between two steps leaves:
//! 1. Check everything and heal frames, one by one. (Some are healed. A healed frame has the bytes
//!    that it had before, so nothing else is to be changed with it.)
//! 2. Write headers and tables of contents anew. (Each is as it was, as it must be, or damaged;
//!    none of them is needed to read a frame by its pointer.)
//! 3. Remove a wrong content index. (None: the next opening builds one.)
//! 4. Open the pool as ever: recovery publishes into the slot that is not the newest valid one,
//!    and the index is built. (As after any death of a daemon.) Here the journal is cut off: what
//!    lies before the damage is published, then published once more into the other slot; then
//!    journal files that are damaged at their start are made blank. (Before the first publish
//!    nothing has changed, and the next run cuts; behind it the slot that is used needs nothing of
//!    what lies in and behind the damage: the next run finds a sound journal, or cuts once more,
//!    and loses nothing, where a file's start is still damaged. What was given up is then told by
//!    the log of the first run only.)
//! 5. Check again, and heal what has its copy in a segment whose header recovery wrote: what is
//!    still wrong is what the report lists.
//!
//! Each step looks at what is there, so the whole may be broken off anywhere and repeated, and
//! where nothing is wrong nothing is done.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::check::inspect_on;
use super::checkpoint::chain;
use super::recovery::{Ground, ground_in, open_parts, take_lock};
use super::settings::PoolFile;
use super::{
    CheckOptions, CheckReport, JournalCut, Pool, PoolError, PoolOptions, PoolResult, Repair,
    Violation,
};
use crate::base::progress::Progress;
use crate::base::{Nature, SegmentId};
use crate::block::discard_index;
use crate::disk::{Disk, FileDisk};

/// How long a step of the index's rebuilding is waited for before looking whether to go on.
const INDEX_LOOK: Duration = Duration::from_millis(200);

/// What a repair may do beyond what costs nobody anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct RepairOptions {
    /// Cut a damaged journal off at the damage, and give up what is recorded there and behind it,
    /// even if it was durable. A journal that is sound stays as it is.
    pub cut_journal: bool,
}

impl Pool {
    /// Repairs a pool that nobody has open; the report has what was repaired, what could not be,
    /// and what was given up.
    ///
    /// # Errors
    /// `Locked` when somebody has it open; `BrokenOff` as for a check; what keeps the repair from
    /// coming to its end. It may be called again after each of them.
    pub fn repair(
        path: &Path,
        options: RepairOptions,
        progress: &dyn Progress,
    ) -> PoolResult<CheckReport> {
        let disk: Arc<dyn Disk> = Arc::new(FileDisk::new(path));
        let file = PoolFile::read(&*disk, path)?;
        let lock = take_lock(path)?;
        repair_on(&ground_in(path, disk, Some(lock)), &file, options, progress)
    }
}

/// Repairs a pool at rest on any ground; the ground's lock is held to the end.
pub(super) fn repair_on(
    ground: &Ground,
    file: &PoolFile,
    options: RepairOptions,
    progress: &dyn Progress,
) -> PoolResult<CheckReport> {
    let looking = CheckOptions {
        read_data: true,
        heal: true,
        ..CheckOptions::default()
    };
    let found = inspect_on(ground, file, &looking, progress)?;
    if found.is_sound() && found.repaired.is_empty() {
        return Ok(found);
    }
    let mut repaired = found.repaired.clone();
    rebuild_segments(ground, file, &found, &mut repaired)?;
    let rebuilds_index = discard_wrong_index(ground, &found)?;
    let journal_cut = open_once(ground, file, options, progress)?;

    // It heals what has a copy in a segment whose header was written only now.
    let mut left = inspect_on(ground, file, &looking, progress)?;
    left.journal_cut = journal_cut;
    repaired.append(&mut left.repaired);
    if rebuilds_index {
        repaired.push(Repair::Index {});
    }
    repaired.extend(healed_slots(&found, &left));
    left.repaired = repaired;
    Ok(left)
}

/// Headers and tables of contents of the segments in which something is wrong.
fn rebuild_segments(
    ground: &Ground,
    file: &PoolFile,
    found: &CheckReport,
    repaired: &mut Vec<Repair>,
) -> PoolResult<()> {
    let (mut headers, mut tables) = (BTreeSet::<SegmentId>::new(), BTreeSet::new());
    for violation in &found.violations {
        match violation {
            Violation::SegmentHeader { segment, .. } => drop(headers.insert(*segment)),
            Violation::TableOfContents { segment, .. }
            | Violation::Frame { segment, .. }
            | Violation::FrameContent { segment, .. }
            | Violation::Block { segment, .. }
            | Violation::Node { segment, .. } => drop(tables.insert(*segment)),
            _ => {}
        }
    }
    if headers.is_empty() && tables.is_empty() {
        return Ok(());
    }
    let quiet = ground.within(None);
    let id = file.id(&ground.path)?;
    let shared = open_parts(
        &quiet,
        id,
        &PoolOptions::default(),
        &super::create::nothing(),
    )?;
    let store = &shared.store;
    let fixed = (|| {
        for segment in headers {
            store.rewrite_header(segment)?;
            repaired.push(Repair::SegmentHeader { segment });
        }
        for segment in tables {
            if is_there(store, segment) && store.rewrite_contents(segment)? {
                repaired.push(Repair::TableOfContents { segment });
            }
        }
        Ok(())
    })();
    fixed.and(store.close().map_err(PoolError::from))
}

fn is_there(store: &crate::block::BlockStore, wanted: SegmentId) -> bool {
    let segments = store.segments();
    segments.iter().any(|info| info.segment == wanted)
}

/// Removes the content index if it is wrong; whether it was.
fn discard_wrong_index(ground: &Ground, found: &CheckReport) -> PoolResult<bool> {
    let is_wrong = |violation: &Violation| {
        matches!(
            violation,
            Violation::IndexEntry { .. } | Violation::Index { .. }
        )
    };
    let Some(dir) = &ground.index_dir else {
        return Ok(false);
    };
    if !found.violations.iter().any(is_wrong) {
        return Ok(false);
    }
    discard_index(dir).map_err(|source| PoolError::Folder {
        path: ground.path.clone(),
        action: "remove the content index of",
        source,
    })?;
    Ok(true)
}

/// Opens the pool as ever and closes it; how its journal was cut off. One that is too damaged for
/// that is left as it is: why is among the violations.
fn open_once(
    ground: &Ground,
    file: &PoolFile,
    options: RepairOptions,
    progress: &dyn Progress,
) -> PoolResult<Option<JournalCut>> {
    let options = file.options(PoolOptions {
        cut_damaged_journal: options.cut_journal,
        ..PoolOptions::default()
    });
    let within = ground.within(ground.index_dir.clone());
    let pool = match Pool::open_on(within, file, &options) {
        Err(error) if error.nature() == Nature::Corrupt => {
            log::warn!("the pool cannot be opened: {}", chain(&error));
            return Ok(None);
        }
        opened => opened?,
    };
    while !pool.shared.store.wait_for_index(INDEX_LOOK) && !progress.is_cancelled() {}
    let cut = pool.journal_cut().cloned();
    pool.close()?;
    Ok(cut)
}

/// Slots of the superblock that were wrong and are right.
fn healed_slots<'a>(
    found: &'a CheckReport,
    left: &'a CheckReport,
) -> impl Iterator<Item = Repair> + 'a {
    let wrong = |report: &CheckReport, wanted: u8| {
        let mut all = report.violations.iter();
        all.any(|one| matches!(one, Violation::SuperblockSlot { slot, .. } if *slot == wanted))
    };
    (0..2)
        .filter(move |slot| wrong(found, *slot) && !wrong(left, *slot))
        .map(|slot| Repair::SuperblockSlot { slot })
}
