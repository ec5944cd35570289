//! All segments of a pool.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::base::sync::{Mutex, RwLock};
use crate::base::{BlockId, Place, PoolId, SegmentId};
use crate::block::{BlockError, BlockResult};
use crate::disk::{Disk, DiskError, DiskFile, DiskResult, Step, performs};

use super::handles::Handles;
use super::layout::Owner;
use super::state::{Segment, SyncPlan, Tally};
use super::tables::Tables;
use super::{FrameEntry, NUMBER_LIMIT, SEGMENTS_DIR, SegmentKind, parse_name, path, scan};

/// Open files of segments at most; those that are being written have theirs beside.
const FILES_MAX: usize = 256;
/// The first number of a new pool; 0 is never a segment.
const FIRST_NUMBER: u64 = 1;

/// The segments, by number.
pub(in crate::block) struct SegmentSet {
    disk: Arc<dyn Disk>,
    pool: PoolId,
    segments: RwLock<BTreeMap<SegmentId, Arc<Segment>>>,
    /// Those that are not at rest; so that syncing all costs what there is to sync.
    restless: Mutex<BTreeSet<SegmentId>>,
    next: AtomicU64,
    handles: Handles,
    tables: Tables,
    tally: Arc<Tally>,
}

impl SegmentSet {
    /// Finds the segments there are. The next one gets a number above all of them, and at least
    /// `first`.
    pub(in crate::block) fn open(
        disk: Arc<dyn Disk>,
        pool: PoolId,
        first: SegmentId,
    ) -> BlockResult<SegmentSet> {
        let names = disk.list(SEGMENTS_DIR).map_err(BlockError::Folder)?;
        let set = SegmentSet {
            disk,
            pool,
            segments: RwLock::default(),
            restless: Mutex::default(),
            next: AtomicU64::new(first.0.max(FIRST_NUMBER)),
            handles: Handles::new(FILES_MAX),
            tables: Tables::new(),
            tally: Arc::default(),
        };
        for name in names {
            match parse_name(&name) {
                Some((segment, kind)) => set.adopt(segment, kind)?,
                None => log::warn!("'{SEGMENTS_DIR}/{name}' is not a segment: left alone"),
            }
        }
        Ok(set)
    }

    fn adopt(&self, id: SegmentId, kind: SegmentKind) -> BlockResult<()> {
        self.next.fetch_max(id.0 + 1, Ordering::Relaxed);
        let look = || {
            let file = self.disk.open(&path(id, kind))?;
            let bytes = file.len()?;
            // An unreadable end is found again by whoever needs the table: no reason not to open.
            let closed = scan::is_closed(&*file, &self.owner(id, kind), bytes).unwrap_or(false);
            Ok((bytes, closed))
        };
        let (bytes, closed) = look().map_err(|source| BlockError::Disk {
            segment: id,
            source,
        })?;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let segment = Segment::found(id, kind, bytes, closed, self.tally.clone());
        if self.segments.read().contains_key(&id) {
            log::warn!(
                "'{}' has the number of another segment: left alone",
                path(id, kind)
            );
            return Ok(());
        }
        self.insert(Arc::new(segment));
        Ok(())
    }

    fn insert(&self, segment: Arc<Segment>) {
        self.restless.lock().insert(segment.id());
        self.segments.write().insert(segment.id(), segment);
    }

    /// Whose file a segment's is.
    pub(super) fn owner(&self, segment: SegmentId, kind: SegmentKind) -> Owner {
        Owner {
            pool: self.pool,
            segment,
            kind,
        }
    }

    /// The number the next segment will have.
    pub(in crate::block) fn next(&self) -> SegmentId {
        SegmentId(self.next.load(Ordering::Relaxed))
    }

    /// No segment gets this number, or one below it, any more.
    pub(in crate::block) fn use_up(&self, segment: SegmentId) {
        // A place may name a number that no segment can have.
        if segment.0 < NUMBER_LIMIT {
            self.next.fetch_max(segment.0 + 1, Ordering::Relaxed);
        }
    }

    /// Creates a segment with a number of its own. A number whose file could not be made is lost.
    pub(super) fn create(&self, kind: SegmentKind) -> BlockResult<Arc<Segment>> {
        let id = {
            // Restless from the first moment on: nobody may take it for durable meanwhile.
            let mut restless = self.restless.lock();
            let id = SegmentId(self.next.fetch_add(1, Ordering::Relaxed));
            restless.insert(id);
            id
        };
        let file = self.start_file(id, kind).map_err(|source| {
            self.restless.lock().remove(&id);
            BlockError::Disk {
                segment: id,
                source,
            }
        })?;
        self.handles.insert(id, file.clone());
        let segment = Arc::new(Segment::created(id, kind, file, self.tally.clone()));
        self.insert(segment.clone());
        Ok(segment)
    }

    fn start_file(&self, id: SegmentId, kind: SegmentKind) -> DiskResult<Arc<dyn DiskFile>> {
        let path = path(id, kind);
        let file = self.disk.create(&path)?;
        if let Err(error) = file.write_at(&[&self.owner(id, kind).encode_header()], 0) {
            if let Err(error) = self.disk.remove(&path) {
                log::warn!("segment {id}, which could not be started, stays behind: {error}");
            }
            return Err(error);
        }
        Ok(file)
    }

    /// The segment with this number.
    pub(in crate::block) fn get(&self, segment: SegmentId) -> Option<Arc<Segment>> {
        self.segments.read().get(&segment).cloned()
    }

    /// All segments, in ascending order.
    pub(in crate::block) fn all(&self) -> Vec<Arc<Segment>> {
        self.segments.read().values().cloned().collect()
    }

    /// Segments that are not wholly durable or may still grow, in ascending order.
    pub(in crate::block) fn restless(&self) -> Vec<SegmentId> {
        self.restless.lock().iter().copied().collect()
    }

    /// All segments below this number are wholly durable and take nothing more.
    pub(in crate::block) fn settled_below(&self) -> SegmentId {
        let restless = self.restless.lock();
        restless.first().copied().unwrap_or_else(|| self.next())
    }

    /// Bytes of all segments that are not known to be on the medium.
    pub(in crate::block) fn unsynced_bytes(&self) -> u64 {
        self.tally.unsynced.load(Ordering::Relaxed)
    }

    /// How many segments were poisoned since the opening.
    pub(in crate::block) fn poisonings(&self) -> u64 {
        self.tally.poisonings.load(Ordering::Acquire)
    }

    /// The segment's file for reading; none if there is no such segment (any more).
    pub(in crate::block) fn file(
        &self,
        segment: SegmentId,
    ) -> Result<Option<Arc<dyn DiskFile>>, DiskError> {
        let opened = self.handles.get(segment, || {
            let kind = self.get(segment).map(|segment| segment.kind());
            let kind = kind.ok_or_else(|| {
                DiskError::new("find", SEGMENTS_DIR, std::io::ErrorKind::NotFound.into())
            })?;
            self.disk.open(&path(segment, kind))
        });
        match opened {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The frames of a segment from byte `from` on, in ascending order of offset; none if the
    /// segment is gone.
    pub(in crate::block) fn frames(
        &self,
        segment: &Segment,
        from: u32,
    ) -> BlockResult<Vec<FrameEntry>> {
        if let Some(frames) = segment.frames_in_memory(from) {
            return Ok(frames);
        }
        let owner = self.owner(segment.id(), segment.kind());
        let read = || match self.file(segment.id())? {
            Some(file) => scan::frames(&*file, &owner),
            None => Ok(Vec::new()),
        };
        let mut frames = read().map_err(|source| BlockError::Disk {
            segment: segment.id(),
            source,
        })?;
        frames.retain(|frame| frame.offset >= from);
        Ok(frames)
    }

    /// Whether a new pointer may name a frame of this segment.
    pub(in crate::block) fn takes_references(&self, segment: SegmentId) -> bool {
        let asks = performs(&*self.disk, Step::CondemnedIsMissed);
        self.get(segment)
            .is_some_and(|segment| segment.takes_references() && !(asks && segment.is_condemned()))
    }

    /// Says that segments are to go, or not after all.
    pub(in crate::block) fn condemn(&self, segments: &[SegmentId], is_condemned: bool) {
        let found = segments.iter().filter_map(|segment| self.get(*segment));
        found.for_each(|segment| segment.condemn(is_condemned));
    }

    /// Deletes a segment's file. Readers that have it open read on; later ones find it gone.
    pub(in crate::block) fn remove(&self, segment: &Segment) -> BlockResult<()> {
        let id = segment.id();
        self.disk
            .remove(&path(id, segment.kind()))
            .map_err(|source| BlockError::Disk {
                segment: id,
                source,
            })?;
        self.segments.write().remove(&id);
        self.handles.remove(id);
        self.tables.forget(id);
        Ok(())
    }

    /// How far the content index may know the segment: as far as it is durable.
    pub(in crate::block) fn indexable_bytes(&self, segment: &Segment) -> u32 {
        match performs(&*self.disk, Step::IndexAfterSegment) {
            true => segment.durable_bytes(),
            false => segment.info().bytes,
        }
    }

    /// Asks `attempt` for every place that a table of contents of this kind names for `id`, the
    /// newest segment first, until it has an answer.
    pub(in crate::block) fn find<T>(
        &self,
        id: &BlockId,
        kind: SegmentKind,
        mut attempt: impl FnMut(&Place) -> Option<T>,
    ) -> BlockResult<Option<T>> {
        let mut unread = None;
        for segment in self
            .all()
            .iter()
            .rev()
            .filter(|segment| segment.kind() == kind)
        {
            let named = match self.frames_of(segment, id) {
                Ok(named) => named,
                Err(error) => {
                    unread = Some(error);
                    continue;
                }
            };
            let mut places = named.iter().map(|frame| frame.place(segment.id()));
            let answer = places.find_map(|at| attempt(&at));
            if answer.is_some() {
                return Ok(answer);
            }
        }
        unread.map_or(Ok(None), Err)
    }

    fn frames_of(&self, segment: &Segment, id: &BlockId) -> BlockResult<Vec<FrameEntry>> {
        match segment.frames_in_memory_of(id) {
            Some(named) => Ok(named),
            None if segment.has_writes() => {
                let mut frames = self.frames(segment, 0)?;
                frames.retain(|frame| frame.id == *id);
                Ok(frames)
            }
            None => {
                let read = || self.frames(segment, 0);
                self.tables.frames_of(segment.id(), id, read)
            }
        }
    }

    /// What the table of contents says may have changed: the segment was mended.
    pub(in crate::block) fn forget_table(&self, segment: SegmentId) {
        self.tables.forget(segment);
    }

    /// Makes durable what lies below byte `end` of the segment, or all that has been written to
    /// it; see [`Segment::sync`].
    pub(in crate::block) fn sync(
        &self,
        segment: &Segment,
        end: Option<u32>,
        step: Step,
    ) -> BlockResult<()> {
        self.sync_by(segment, end, |plan| self.flush(segment, plan, step))
    }

    fn sync_by(
        &self,
        segment: &Segment,
        end: Option<u32>,
        flush: impl FnMut(&SyncPlan) -> BlockResult<()>,
    ) -> BlockResult<()> {
        segment.sync(end, flush)?;
        if segment.is_at_rest() {
            self.restless.lock().remove(&segment.id());
        }
        Ok(())
    }

    fn flush(&self, segment: &Segment, plan: &SyncPlan, step: Step) -> BlockResult<()> {
        let fail = |source| BlockError::Disk {
            segment: segment.id(),
            source,
        };
        let file = match &plan.file {
            Some(file) => file.clone(),
            None => self
                .disk
                .open(&path(segment.id(), segment.kind()))
                .map_err(fail)?,
        };
        file.sync(step).map_err(fail)?;
        if plan.settle {
            file.drop_cache(Step::SegmentReread);
        }
        if plan.list {
            let step = match plan.settle {
                true => Step::SegmentFolderSettled,
                false => Step::SegmentNamed,
            };
            self.disk
                .sync_dir(SEGMENTS_DIR, step)
                .map_err(BlockError::Folder)?;
        }
        Ok(())
    }

    /// Makes every segment found at the opening trustworthy: those below `first` are durable by
    /// the caller's word, the others are synced and their cached pages dropped. A failure leaves
    /// the segment poisoned and the others settled; the first is reported.
    ///
    /// With `mends`, segments from `first` on get the header that a power loss took, before
    /// anybody takes them for settled: the index would take such a file for one without frames.
    pub(in crate::block) fn settle(&self, first: SegmentId, mends: bool) -> BlockResult<()> {
        let mut result = Ok(());
        for segment in self.all() {
            let is_old = segment.id() < first;
            if is_old {
                segment.declare_durable();
            }
            let settled = self.sync_by(&segment, None, |plan| {
                self.flush(&segment, plan, Step::SegmentSettled)?;
                match mends && !is_old {
                    true => self.mend_torn_header(segment.id()),
                    false => Ok(()),
                }
            });
            result = result.and(settled);
        }
        result
    }

    /// Closes the files that only readers use.
    pub(in crate::block) fn close_files(&self) {
        self.handles.clear();
    }
}
