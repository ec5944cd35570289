//! The background thread that keeps the content index.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::sync::atomic::Ordering;
use crate::base::sync::thread;
use crate::base::{BlockId, PoolId, SegmentId, chain};
use crate::block::segment::{FrameEntry, SegmentSet};

use super::content::{ContentIndex, Coverage, IndexError};
use super::manners::Manners;
use super::round::Round;
use super::{Shared, Work};

/// Ids that are learned at once; between batches the feeder looks up.
const LEARNED_IDS: usize = 4096;
/// Failures in a row, without an index that was ready in between, after which it stays off.
const FAILURES_MAX: u32 = 3;
/// Nice value of the thread: behind the writers, yet not so far that it could starve while it
/// holds one of sled's locks.
const NICE: i32 = 10;
/// How often it is seen whether work that is put off may be done.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const FOLDER_PREFIX: &str = "index-";

/// The feeder's own state.
pub(super) struct Feeder {
    dir: PathBuf,
    pool: PoolId,
    set: Arc<SegmentSet>,
    shared: Arc<Shared>,
    /// Number of the folder in use; a new index gets a new one, because files of the old may
    /// still be open.
    folder: u64,
    /// What the index has of each segment, as it says itself.
    coverage: BTreeMap<SegmentId, Coverage>,
    /// Segments to be fed before the index counts as ready.
    backlog: BTreeSet<SegmentId>,
    /// Up to where the index has learned what it has, if there is more.
    learned: Option<BlockId>,
    has_to_learn: bool,
    manners: Manners,
    failures: u32,
}

#[derive(PartialEq, Eq, Debug)]
enum Task {
    Learn,
    /// These segments, as far as they are not in the index yet.
    Feed(BTreeSet<SegmentId>),
    Forget(SegmentId),
    Replace,
    Stop,
}

impl Feeder {
    /// A feeder of the index in `dir`; it starts with [`Feeder::run`].
    pub(super) fn new(
        dir: PathBuf,
        pool: PoolId,
        set: Arc<SegmentSet>,
        shared: Arc<Shared>,
    ) -> Feeder {
        Feeder {
            dir,
            pool,
            set,
            shared,
            folder: 1,
            coverage: BTreeMap::new(),
            backlog: BTreeSet::new(),
            learned: None,
            has_to_learn: false,
            manners: Manners::new(Instant::now()),
            failures: 0,
        }
    }

    /// Works until it is told to stop, or the index has failed too often.
    pub(super) fn run(mut self) {
        lower_priority();
        if let Err(error) = self.choose_folder() {
            log::warn!("the folders of the content index cannot be listed: {error}");
        }
        while self.failures < FAILURES_MAX {
            match self.open().and_then(|()| self.serve()) {
                Ok(()) => return self.put_away(),
                Err(error) => {
                    log::warn!("the content index is thrown away: {}", chain(&error));
                    self.throw_away();
                }
            }
        }
        log::error!(
            "no content index until the pool is opened again: it failed {FAILURES_MAX} times; \
             blocks are not deduplicated against older ones meanwhile"
        );
    }

    fn path(&self) -> PathBuf {
        self.dir.join(format!("{FOLDER_PREFIX}{}", self.folder))
    }

    /// Settles on the newest folder there is and removes the others.
    fn choose_folder(&mut self) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let mut numbers = folder_numbers(&self.dir)?;
        self.folder = numbers.pop_last().unwrap_or(1);
        for number in numbers {
            fs::remove_dir_all(self.dir.join(format!("{FOLDER_PREFIX}{number}")))?;
        }
        Ok(())
    }

    /// Opens the index and finds out what it lacks.
    fn open(&mut self) -> Result<(), IndexError> {
        let content = ContentIndex::open(&self.path(), self.pool)?;
        self.coverage = content.coverage()?;
        let segments: BTreeSet<SegmentId> =
            self.set.all().iter().map(|segment| segment.id()).collect();
        let gone = |segment: &SegmentId| !segments.contains(segment);
        for segment in self
            .coverage
            .keys()
            .copied()
            .filter(gone)
            .collect::<Vec<_>>()
        {
            content.uncover(segment)?;
            self.coverage.remove(&segment);
        }
        let whole = |segment: &SegmentId| self.coverage.get(segment) == Some(&Coverage::Whole);
        self.backlog = segments
            .into_iter()
            .filter(|segment| !whole(segment))
            .collect();
        // All that a small or a new index has.
        self.learned = content.learn(None, LEARNED_IDS)?;
        self.has_to_learn = content.has_to_learn();
        self.shared.work.lock().segments.extend(&self.backlog);
        *self.shared.content.write() = Some(content);
        self.note_progress();
        Ok(())
    }

    /// Feeds the index until it fails or is to be put away.
    fn serve(&mut self) -> Result<(), IndexError> {
        loop {
            match self.next_task() {
                Task::Stop => return Ok(()),
                Task::Replace => return Err(IndexError::Reported),
                Task::Learn => self.learn()?,
                Task::Feed(segments) => {
                    self.feed(segments)?;
                    self.note_progress();
                }
                Task::Forget(segment) => {
                    let forgotten = self.forget(segment);
                    // Whoever waits for it goes on, however this ended.
                    self.shared.work.lock().leaving.remove(&segment);
                    self.shared.changed.notify_all();
                    forgotten?;
                    self.note_progress();
                }
            }
        }
    }

    fn next_task(&mut self) -> Task {
        let shared = self.shared.clone();
        let mut work = shared.work.lock();
        loop {
            if work.stop {
                return Task::Stop;
            }
            if std::mem::take(&mut work.failed) {
                return Task::Replace;
            }
            if self.is_learning_due() && !work.is_awaited() {
                return Task::Learn;
            }
            if work.has_some() && self.is_put_off(&work) {
                shared.changed.wait_for(&mut work, LOOK_EVERY);
                continue;
            }
            if !work.segments.is_empty() {
                return Task::Feed(std::mem::take(&mut work.segments));
            }
            if let Some(segment) = work.leaving.first() {
                return Task::Forget(*segment);
            }
            self.manners.note_done(shared.used());
            work.idle = true;
            shared.changed.notify_all();
            shared.changed.wait(&mut work);
            work.idle = false;
        }
    }

    /// Whether work has to wait for whoever uses the store.
    fn is_put_off(&mut self, work: &Work) -> bool {
        // Explored threads know no time.
        #[cfg(test)]
        if crate::base::sync::is_explored() {
            return false;
        }
        let may_work = self.manners.may_work(self.shared.used(), Instant::now());
        !may_work && !work.is_awaited()
    }

    /// Only once blocks are stored: whoever only reads does not pay for it.
    fn is_learning_due(&self) -> bool {
        self.has_to_learn && self.shared.used().stored > 0
    }

    /// Learns some of what the index has. Unlike feeding this is not put off, because it makes
    /// look-ups cheaper; only what somebody waits for goes before it.
    fn learn(&mut self) -> Result<(), IndexError> {
        let content = self.shared.content.read();
        if let Some(content) = content.as_ref() {
            self.learned = content.learn(self.learned, LEARNED_IDS)?;
            self.has_to_learn = content.has_to_learn();
        }
        Ok(())
    }

    fn is_interrupted(&self) -> bool {
        let work = self.shared.work.lock();
        work.stop || work.failed
    }

    /// Inserts the frames of segments that are on the medium and not in the index yet; what is more
    /// than a round is left for the next one.
    fn feed(&mut self, segments: BTreeSet<SegmentId>) -> Result<(), IndexError> {
        let shared = self.shared.clone();
        let content = shared.content.read();
        let Some(content) = content.as_ref() else {
            return Ok(());
        };
        let mut round = Round::default();
        let mut segments = segments.into_iter();
        while !round.is_full()
            && let Some(id) = segments.next()
        {
            self.gather(content, id, &mut round)?;
        }
        if segments.len() == 0 {
            // What comes meanwhile is put off again, so that it becomes a large round, too.
            self.manners.note_done(shared.used());
        }
        self.shared.work.lock().segments.extend(segments);
        self.feed_round(content, round)
    }

    fn feed_round(&mut self, content: &ContentIndex, mut round: Round) -> Result<(), IndexError> {
        if !round.feed(content, &self.dir, || self.is_interrupted())? {
            return Ok(());
        }
        for (id, coverage) in round.into_coverage() {
            self.coverage.insert(id, coverage);
            let segment = self.set.get(id);
            if segment.is_none_or(|segment| !segment.is_unsettled()) {
                self.backlog.remove(&id);
            }
        }
        Ok(())
    }

    /// Drops the entries that lead to a segment, which is about to go.
    fn forget(&mut self, id: SegmentId) -> Result<(), IndexError> {
        let shared = self.shared.clone();
        let content = shared.content.read();
        self.backlog.remove(&id);
        self.coverage.remove(&id);
        let (Some(content), Some(segment)) = (content.as_ref(), self.set.get(id)) else {
            return Ok(());
        };
        let frames = self.set.frames(&segment, 0).unwrap_or_else(|error| {
            log::warn!("segment {id} is not forgotten: {}", chain(&error));
            Vec::new()
        });
        for frame in frames {
            content.remove(&frame.id, &frame.place(id))?;
        }
        content.uncover(id)
    }

    /// Adds to a round what the index lacks of a segment.
    fn gather(
        &mut self,
        content: &ContentIndex,
        id: SegmentId,
        round: &mut Round,
    ) -> Result<(), IndexError> {
        let Some(segment) = self.set.get(id) else {
            self.backlog.remove(&id);
            self.coverage.remove(&id);
            return content.uncover(id);
        };
        let from = match self.coverage.get(&id) {
            Some(Coverage::Whole) => {
                round.add(id, Coverage::Whole, []);
                return Ok(());
            }
            Some(Coverage::Until(until)) => *until,
            None => 0,
        };
        // Asked before the frames are read: what comes to rest afterwards is fed again.
        let (at_rest, durable) = (segment.is_at_rest(), self.set.indexable_bytes(&segment));
        let mut until = from;
        let mut frames = Vec::new();
        if durable > from {
            match self.set.frames(&segment, from) {
                Ok(found) => frames = found,
                Err(error) => {
                    log::warn!("segment {id} is not indexed: {}", chain(&error));
                    round.add(id, Coverage::Until(from), []);
                    return Ok(());
                }
            }
            frames.retain(|frame| frame.end() <= durable);
            until = frames.last().map_or(from, FrameEntry::end);
        }
        let coverage = match at_rest {
            true => Coverage::Whole,
            false => Coverage::Until(until),
        };
        round.add(id, coverage, frames);
        Ok(())
    }

    fn note_progress(&mut self) {
        let work = self.shared.work.lock();
        if self.backlog.is_empty() && !work.failed {
            self.failures = 0;
            self.shared.ready.store(true, Ordering::Relaxed);
        }
    }

    /// Closes the index for the next opening of the store.
    fn put_away(&self) {
        self.shared.ready.store(false, Ordering::Relaxed);
        let content = self.shared.content.write().take();
        if let Some(Err(error)) = content.map(ContentIndex::close) {
            log::warn!("the content index did not close well: {}", chain(&error));
        }
    }

    /// Gives the index up: the next one is built in a new folder.
    fn throw_away(&mut self) {
        self.shared.ready.store(false, Ordering::Relaxed);
        let content = self.shared.content.write().take();
        // Nobody asks the old one any more, so this was about the old one.
        self.shared.work.lock().failed = false;
        // What has failed may hang or panic while it is dropped; nobody waits for that.
        let dropping = thread::Builder::new().name("volfs-index-drop".to_owned());
        if let Err(error) = dropping.spawn(move || content.map(ContentIndex::close)) {
            log::warn!("the failed content index stays in memory: {error}");
        }
        if let Err(error) = fs::remove_dir_all(self.path())
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("'{}' stays behind: {error}", self.path().display());
        }
        self.folder += 1;
        self.failures += 1;
    }
}

/// The folder of the newest index in `dir`; none if there is none.
pub(super) fn newest_folder(dir: &Path) -> io::Result<Option<PathBuf>> {
    let newest = folder_numbers(dir)?.pop_last();
    Ok(newest.map(|number| dir.join(format!("{FOLDER_PREFIX}{number}"))))
}

fn folder_numbers(dir: &Path) -> io::Result<BTreeSet<u64>> {
    let mut numbers = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(FOLDER_PREFIX));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    Ok(numbers)
}

fn lower_priority() {
    // Explored threads are all the test's own.
    #[cfg(test)]
    if crate::base::sync::is_explored() {
        return;
    }
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICE) {
        log::debug!("the feeder of the content index keeps its priority: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, SimDisk};

    /// A large index is learned before it is fed with what can wait; what somebody waits for goes
    /// before both, and of that what was moved before what is forgotten.
    #[test]
    fn whoever_waits_goes_before_learning() {
        let (moved, leaving) = (SegmentId(8), SegmentId(7));
        let disk = SimDisk::new();
        disk.create_dir("segments").unwrap();
        let pool = PoolId([5; 16]);
        let set = SegmentSet::open(Arc::new(disk), pool, SegmentId(0)).unwrap();
        let shared = Arc::new(Shared::default());
        let mut feeder = Feeder::new(PathBuf::new(), pool, Arc::new(set), shared.clone());
        feeder.has_to_learn = true;
        shared.stored.store(1, Ordering::Relaxed);

        shared.work.lock().segments.insert(moved);
        assert_eq!(feeder.next_task(), Task::Learn);
        shared.work.lock().waiting = 1;
        assert_eq!(feeder.next_task(), Task::Feed(BTreeSet::from([moved])));
        assert_eq!(
            feeder.next_task(),
            Task::Learn,
            "there is no more to wait for"
        );

        *shared.work.lock() = Work {
            segments: BTreeSet::from([moved]),
            leaving: BTreeSet::from([leaving]),
            ..Work::default()
        };
        assert_eq!(feeder.next_task(), Task::Feed(BTreeSet::from([moved])));
        assert_eq!(feeder.next_task(), Task::Forget(leaving));
        shared.work.lock().leaving.clear();
        assert_eq!(feeder.next_task(), Task::Learn);
    }
}
