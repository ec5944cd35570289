//! The content index: where a frame lies, by the id of its content.
//!
//! It is derived from the segments and only ever a hint: what it says is verified at the place it
//! names, and what it does not know is stored again (a missed saving) or found in the segments'
//! tables of contents. So it may lag, lose its tail in a crash, or be thrown away at any time.
//!
//! One background thread, the feeder, opens it, feeds it with frames that are on the medium, and
//! builds a new one in a new folder when it is missing, damaged, another pool's, or has failed.
//! This folder of the source is the only one that names `sled`.

mod content;
mod feeder;
mod filter;
mod manners;
#[cfg(test)]
mod plain;
mod recent;
mod round;
mod tree;
#[cfg(test)]
pub(crate) mod upset;
mod walk;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::base::sync::thread::{self, JoinHandle};
use crate::base::sync::{Condvar, Mutex, RwLock};
use crate::base::{BlockId, Place, PoolId, SegmentId, chain};

use super::segment::SegmentSet;
use content::ContentIndex;
use feeder::Feeder;
use manners::Use;
pub(super) use recent::RecentFrames;
pub use walk::discard;
pub(super) use walk::walk_closed;

/// How long the closing of a store waits for the feeder to put the index away.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// The index behind an open store.
pub(super) struct Index {
    dir: PathBuf,
    shared: Arc<Shared>,
    feeder: Mutex<Option<JoinHandle<()>>>,
}

/// What the feeder shares with those who ask.
#[derive(Default)]
struct Shared {
    /// None while it is being opened or replaced, and for good once it has failed too often.
    /// Whoever asks holds the lock while it does: so the feeder can take the index away from all
    /// others, and be the one that closes it.
    content: RwLock<Option<ContentIndex>>,
    /// It covers every segment that is at rest.
    ready: AtomicBool,
    /// See [`Use`].
    stored: AtomicU64,
    read: AtomicU64,
    work: Mutex<Work>,
    changed: Condvar,
}

/// What the feeder is to do.
#[derive(Default)]
struct Work {
    /// Segments with frames that have become durable; their frames are read from the segments
    /// when it is their turn, so that this is all that is ever queued.
    segments: BTreeSet<SegmentId>,
    /// Segments that are about to go; behind all of the above, so that what was moved out of them
    /// is known first.
    leaving: BTreeSet<SegmentId>,
    /// How many wait for the feeder, which works on whoever uses the store meanwhile.
    waiting: usize,
    /// The index has failed and is to be replaced.
    failed: bool,
    stop: bool,
    /// The feeder waits for work.
    idle: bool,
    /// The feeder is gone, or about to go.
    ended: bool,
}

impl Work {
    fn has_some(&self) -> bool {
        !(self.segments.is_empty() && self.leaving.is_empty())
    }

    /// Whether somebody waits for some of it: a collection of garbage for what leaves, behind what
    /// it has moved, or whoever waits until the index is ready.
    fn is_awaited(&self) -> bool {
        !self.leaving.is_empty() || self.waiting > 0 && !self.segments.is_empty()
    }
}

/// When dropped, also by a panic of the feeder, nobody waits for it any more.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.work.lock().ended = true;
        self.0.changed.notify_all();
    }
}

impl Index {
    /// Starts the feeder, which opens the index in `dir` or builds a new one there.
    pub(super) fn start(dir: PathBuf, pool: PoolId, set: Arc<SegmentSet>) -> io::Result<Index> {
        let shared = Arc::new(Shared::default());
        let feeder = Feeder::new(dir.clone(), pool, set, shared.clone());
        let ending = Ending(shared.clone());
        let thread = thread::Builder::new()
            .name("volfs-index".to_owned())
            .spawn(move || {
                let _ending = ending;
                feeder.run();
            })?;
        Ok(Index {
            dir,
            shared,
            feeder: Mutex::new(Some(thread)),
        })
    }

    /// A frame is read from its segment.
    pub(super) fn note_read(&self) {
        self.shared.read.fetch_add(1, Ordering::Relaxed);
    }

    /// A block is stored that is not among the recent frames.
    pub(super) fn note_stored(&self) {
        self.shared.stored.fetch_add(1, Ordering::Relaxed);
    }

    /// Where the index believes the content to be; none if it does not know, or is not there.
    pub(super) fn lookup(&self, id: &BlockId) -> Option<Place> {
        let content = self.shared.content.read();
        match content.as_ref()?.get(id) {
            Ok(place) => place,
            Err(error) => {
                log::warn!(
                    "the content index failed and will be rebuilt: {}",
                    chain(&error)
                );
                self.shared.report_failure();
                None
            }
        }
    }

    /// Frames of the segment have become durable.
    pub(super) fn notify(&self, segment: SegmentId) {
        self.shared.work.lock().segments.insert(segment);
        self.shared.changed.notify_all();
    }

    /// Drops every entry that leads to one of these segments, which are still there; waits for that
    /// up to `patience`, and no longer than there is an index.
    pub(super) fn forget(&self, segments: &[SegmentId], patience: Duration) {
        let mut work = self.shared.work.lock();
        work.leaving.extend(segments);
        self.shared.changed.notify_all();
        let is_left = |work: &Work| segments.iter().any(|id| work.leaving.contains(id));
        while is_left(&work) && !work.stop && !work.ended {
            if self
                .shared
                .changed
                .wait_for(&mut work, patience)
                .timed_out()
            {
                return;
            }
        }
    }

    /// Whether it covers every segment that is at rest.
    pub(super) fn is_ready(&self) -> bool {
        self.shared.ready.load(Ordering::Relaxed)
    }

    /// Waits until the index covers every segment that is at rest, or is given up, up to
    /// `patience`; whether it came to that.
    pub(super) fn wait_ready(&self, patience: Duration) -> bool {
        let mut work = self.shared.work.lock();
        work.waiting += 1;
        self.shared.changed.notify_all();
        let mut timed_out = false;
        while !self.is_ready() && !work.stop && !work.ended && !timed_out {
            let waited = self.shared.changed.wait_for(&mut work, patience);
            timed_out = waited.timed_out();
        }
        work.waiting -= 1;
        !timed_out || self.is_ready() || work.ended
    }

    /// What its files take, in bytes: nothing more than a number for people.
    pub(super) fn bytes(&self) -> u64 {
        fn of(path: &Path) -> u64 {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            let bytes = entries.map(|entry| match entry.metadata() {
                Ok(found) if found.is_dir() => of(&entry.path()),
                Ok(found) => found.len(),
                Err(_) => 0,
            });
            bytes.sum()
        }
        of(&self.dir)
    }

    /// Flushes and closes the index and ends the feeder. What was not fed yet is fed after the
    /// next opening. A feeder that does not end in time is left alone: the index is only a hint.
    pub(super) fn close(&self) {
        let Some(thread) = self.feeder.lock().take() else {
            return;
        };
        let since = Instant::now();
        let mut work = self.shared.work.lock();
        work.stop = true;
        self.shared.changed.notify_all();
        while !work.ended {
            let left = CLOSE_WAIT.saturating_sub(since.elapsed());
            if self.shared.changed.wait_for(&mut work, left).timed_out() && !work.ended {
                log::warn!("the content index does not close: left behind, and rebuilt if damaged");
                return;
            }
        }
        drop(work);
        if thread.join().is_err() {
            log::error!("the feeder of the content index panicked");
        }
    }

    /// Waits until the feeder has nothing to do.
    #[cfg(test)]
    pub(super) fn drain(&self) {
        let mut work = self.shared.work.lock();
        work.waiting += 1;
        self.shared.changed.notify_all();
        while !work.idle || work.has_some() || work.failed {
            self.shared.changed.wait(&mut work);
        }
        work.waiting -= 1;
    }

    /// Behaves as if sled had failed.
    #[cfg(test)]
    pub(super) fn fail(&self) {
        self.shared.report_failure();
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn used(&self) -> Use {
        Use {
            stored: self.stored.load(Ordering::Relaxed),
            read: self.read.load(Ordering::Relaxed),
        }
    }

    fn report_failure(&self) {
        let mut work = self.work.lock();
        self.ready.store(false, Ordering::Relaxed);
        work.failed = true;
        drop(work);
        self.changed.notify_all();
    }
}
