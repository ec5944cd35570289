//! The facade of the block store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::base::{BlockId, Pointer, PoolId, SegmentId, chain};
use crate::disk::{Disk, Step};

use super::around::Around;
use super::batch::Batch;
use super::cache::BlockCache;
use super::index::{Index, RecentFrames};
use super::pins::{Pin, Pins};
use super::segment::{Appender, Segment, SegmentSet};
use super::workers::Workers;
use super::{
    BlockError, BlockResult, Reach, SegmentInfo, SegmentMark, StoreOptions, StoreStats, Target,
    put, read_into, read_many,
};

/// An open store. Calls may come from any thread.
///
/// Dropped without [`BlockStore::close`] it leaves what a crash of the process leaves: every frame
/// in its file, open segments without a table of contents.
pub struct BlockStore {
    pub(super) core: Arc<Core>,
    workers: Workers,
    pub(super) pins: Pins,
    closed: AtomicBool,
}

/// What the store's threads share.
pub(super) struct Core {
    pub(super) around: Around,
    pub(super) set: Arc<SegmentSet>,
    pub(super) appender: Appender,
    pub(super) cache: BlockCache,
    pub(super) recent: RecentFrames,
    pub(super) index: Option<Index>,
    pub(super) counters: Counters,
}

/// Counts since the opening.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) blocks_put: AtomicU64,
    pub(super) bytes_put: AtomicU64,
    pub(super) dedup_hits: AtomicU64,
    pub(super) dedup_bytes: AtomicU64,
    new_bytes: AtomicU64,
    new_frame_bytes: AtomicU64,
}

impl Counters {
    /// Blocks were stored that were not there before.
    pub(super) fn count_new(&self, batch: &Batch) {
        let frame_bytes = batch.bytes().len() as u64;
        self.new_bytes
            .fetch_add(batch.content_bytes(), Ordering::Relaxed);
        self.new_frame_bytes
            .fetch_add(frame_bytes, Ordering::Relaxed);
    }
}

impl BlockStore {
    /// Opens the store in `segments/` of the disk, which must be there, and starts its threads.
    /// Segments found there are only read; nothing in them counts as durable before
    /// [`BlockStore::settle`]. The content index is opened, or rebuilt, behind the open store.
    pub fn open(
        disk: Arc<dyn Disk>,
        pool: PoolId,
        options: StoreOptions,
    ) -> BlockResult<Arc<BlockStore>> {
        let set = Arc::new(SegmentSet::open(disk, pool, options.first_segment)?);
        let index = options
            .index_dir
            .map(|dir| Index::start(dir, pool, set.clone()));
        let core = Core {
            around: Around::default(),
            appender: Appender::new(set.clone(), options.segment_bytes),
            set,
            cache: BlockCache::new(options.cache_bytes),
            recent: RecentFrames::new(),
            index: index.transpose().map_err(BlockError::Threads)?,
            counters: Counters::default(),
        };
        let workers = Workers::start(options.workers).map_err(BlockError::Threads)?;
        Ok(Arc::new(BlockStore {
            core: Arc::new(core),
            workers,
            pins: Pins::default(),
            closed: AtomicBool::new(false),
        }))
    }

    /// Recovery, before anything is read: fdatasyncs every segment file from `first` on and drops
    /// its cached pages; afterwards their whole present length counts as durable, and so do all
    /// segments below `first`, by the caller's word.
    ///
    /// What a process that was killed has written may be in the page cache only, and what a failed
    /// sync has lost may be there still, clean and readable: so nothing is believed before this. A
    /// segment that cannot be synced stays poisoned; the others are settled all the same, and the
    /// first error is returned.
    pub fn settle(&self, first: SegmentId) -> BlockResult<()> {
        self.settle_by(first, false)
    }

    /// As [`BlockStore::settle`], and writes the headers of segments from `first` on that a power
    /// loss took.
    pub fn settle_and_mend(&self, first: SegmentId) -> BlockResult<()> {
        self.settle_by(first, true)
    }

    fn settle_by(&self, first: SegmentId, mends: bool) -> BlockResult<()> {
        self.check_open()?;
        let result = self.core.set.settle(first, mends);
        if let Some(index) = &self.core.index {
            // Each of them, also an empty one: the feeder may have found it before it was settled,
            // and the index is not ready before it has seen it settled.
            for segment in self.core.set.all() {
                index.notify(segment.id());
            }
        }
        result
    }

    /// The number the next created segment will have (recorded by the superblock).
    pub fn next_segment(&self) -> SegmentId {
        self.core.set.next()
    }

    /// Recovery, before anything is stored: no new segment gets this number, or one below it. A
    /// journal record may name a segment whose file a power loss took.
    pub fn use_up_number(&self, segment: SegmentId) {
        self.core.set.use_up(segment);
    }

    /// For whoever stores a block and commits a record that names it, or finds pointers and reads
    /// what they name: held from before the one until after the other, no segment goes in between.
    pub fn pin(&self) -> Pin<'_> {
        self.pins.pin()
    }

    /// Stores a block (1 byte to [`FRAME_CONTENT_MAX`](super::FRAME_CONTENT_MAX)), or finds it
    /// stored. It is in the segment's file when this returns, and durable after a
    /// [`BlockStore::sync`] of the pointer's segment, also if it was found.
    pub fn put_block(&self, content: &[u8]) -> BlockResult<Pointer> {
        self.check_open()?;
        self.core.put_block(content)
    }

    /// Stores many blocks with the help of the workers; pointers in the order of the contents.
    /// After an error any of them may have been stored.
    pub fn put_blocks(&self, contents: &[&[u8]]) -> BlockResult<Vec<Pointer>> {
        self.check_open()?;
        put::put_blocks(&self.core, &self.workers, contents)
    }

    /// Stores a tree node's payload under an id that the tree computed; never deduplicated. May be
    /// 128 KiB longer than a block.
    pub fn put_node(&self, id: BlockId, payload: &[u8]) -> BlockResult<Pointer> {
        self.check_open()?;
        self.core.put_node(id, payload)
    }

    /// A block's content, checked against its id. Goes to the place first; if that segment is gone
    /// or the frame there bears another id, asks the index and then the tables of contents; what
    /// fails to verify is resolved once more before it is called corrupt.
    pub fn read_block(&self, pointer: &Pointer) -> BlockResult<Arc<[u8]>> {
        self.check_open()?;
        self.core.read_block(pointer)
    }

    /// As [`BlockStore::read_block`] for many, in the same order: in parallel, neighbouring frames
    /// in one pread.
    pub fn read_blocks(&self, pointers: &[Pointer]) -> BlockResult<Vec<Arc<[u8]>>> {
        self.check_open()?;
        read_many::read_blocks(&self.core, &self.workers, pointers)
    }

    /// As [`BlockStore::read_blocks`], for a reader of long stretches: each content goes to its
    /// room, and the cache is not filled. After an error the rooms hold anything.
    pub fn read_into(&self, targets: Vec<Target<'_>>) -> BlockResult<()> {
        self.check_open()?;
        read_into::read_into(&self.core, targets)
    }

    /// A node's payload; the frame's checksum is verified here, the id by the tree.
    pub fn read_node(&self, pointer: &Pointer) -> BlockResult<Vec<u8>> {
        self.check_open()?;
        self.core.read_node(pointer)
    }

    /// Reads the frame past every cache of ours and verifies it (check, scrub, recovery): a block
    /// against its id, a node by its frame's checksum. Damage at the pointer's place is an error
    /// even where a reader would be served from another copy.
    pub fn verify(&self, pointer: &Pointer) -> BlockResult<()> {
        self.check_open()?;
        self.core.verify(pointer)
    }

    /// Makes everything appended so far to these segments durable: one fdatasync for each that has
    /// unsynced bytes, shared by concurrent callers, and the folder when the file is new. A failed
    /// sync poisons the segment: each later call that names it fails. All are tried; the first
    /// error is returned. A segment that has been deleted was durable before. `step` is what the
    /// caller needs it for.
    pub fn sync(&self, segments: &[SegmentId], step: Step) -> BlockResult<()> {
        let mut result = Ok(());
        for &id in segments {
            result = result.and(self.sync_one(id, None, step));
        }
        result
    }

    /// Makes these frames durable, and what lies before them in their segments; a segment that is
    /// durable so far costs nothing, and one that was poisoned behind them is no error. All are
    /// tried; the first error is returned. See [`BlockStore::sync`].
    pub fn sync_reach(&self, reach: &Reach, step: Step) -> BlockResult<()> {
        let mut result = Ok(());
        for (id, end) in reach.iter() {
            result = result.and(self.sync_one(id, Some(end), step));
        }
        result
    }

    /// Whether all of these frames are on the medium, for good.
    pub fn is_durable(&self, reach: &Reach) -> bool {
        reach.iter().all(|(id, end)| match self.core.set.get(id) {
            Some(segment) => segment.is_durable(end),
            None => id < self.next_segment(),
        })
    }

    /// Why some of these frames can never become durable, if so: a write or a sync of their
    /// segment failed.
    pub fn lost(&self, reach: &Reach) -> Option<BlockError> {
        reach.iter().find_map(|(id, end)| {
            let segment = self.core.set.get(id)?;
            segment.has_lost(end).then(|| segment.poisoned_error())
        })
    }

    /// How many segments were poisoned since the opening: what was found out about frames before
    /// this grew may not hold any more.
    pub fn poisonings(&self) -> u64 {
        self.core.set.poisonings()
    }

    fn sync_one(&self, id: SegmentId, end: Option<u32>, step: Step) -> BlockResult<()> {
        let Some(segment) = self.core.set.get(id) else {
            let existed = id < self.next_segment();
            return existed
                .then_some(())
                .ok_or(BlockError::UnknownSegment { segment: id });
        };
        self.core.set.sync(&segment, end, step)?;
        self.core.feed(&segment);
        Ok(())
    }

    /// As [`BlockStore::sync`] of all segments with unsynced bytes.
    pub fn sync_all(&self, step: Step) -> BlockResult<()> {
        self.sync(&self.core.set.restless(), step)
    }

    /// Makes durable all that can still become so. Nothing is returned: whoever needs a segment
    /// that fails asks [`BlockStore::is_durable`] for what he needs of it.
    pub fn sync_healthy(&self, step: Step) {
        for id in self.core.set.restless() {
            let is_healthy = |segment: &Arc<Segment>| !segment.info().poisoned;
            if self
                .core
                .set
                .get(id)
                .is_some_and(|segment| is_healthy(&segment))
                && let Err(error) = self.sync_one(id, None, step)
            {
                log::error!("segment {id} cannot be made durable: {}", chain(&error));
            }
        }
    }

    /// All segments below this number are wholly durable and take nothing more.
    pub fn settled_below(&self) -> SegmentId {
        self.core.set.settled_below()
    }

    /// How far a segment is durable, in bytes; 0 for one that does not exist.
    pub fn durable_bytes(&self, segment: SegmentId) -> u32 {
        self.core
            .set
            .get(segment)
            .map_or(0, |segment| segment.durable_bytes())
    }

    /// How far the segments are durable that are not wholly so or may still grow, in ascending
    /// order; every other segment is.
    pub fn marks(&self) -> Vec<SegmentMark> {
        let mark = |segment| SegmentMark {
            segment,
            durable_bytes: self.durable_bytes(segment),
        };
        self.core.set.restless().into_iter().map(mark).collect()
    }

    /// Bytes appended but not synced, over all segments; those of poisoned segments apart.
    pub fn unsynced_bytes(&self) -> u64 {
        self.core.set.unsynced_bytes()
    }

    /// All segments, in ascending order.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.core
            .set
            .all()
            .iter()
            .map(|segment| segment.info())
            .collect()
    }

    /// Numbers for status and metrics.
    pub fn stats(&self) -> StoreStats {
        let segments = self.segments();
        let counters = &self.core.counters;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStats {
            segments: segments.len() as u64,
            stored_bytes: segments
                .iter()
                .map(|segment| u64::from(segment.bytes))
                .sum(),
            blocks_put: count(&counters.blocks_put),
            bytes_put: count(&counters.bytes_put),
            dedup_hits: count(&counters.dedup_hits),
            dedup_bytes: count(&counters.dedup_bytes),
            new_bytes: count(&counters.new_bytes),
            new_frame_bytes: count(&counters.new_frame_bytes),
            cache: self.core.cache.usage(),
            index_ready: self.core.index.as_ref().is_some_and(Index::is_ready),
        }
    }

    /// Bytes of the content index on the disk.
    pub fn index_bytes(&self) -> u64 {
        self.core.index.as_ref().map_or(0, Index::bytes)
    }

    /// Closes open segments (table of contents, sync), flushes the index, stops the threads. Calls
    /// that come later fail; a second close does nothing. The store is closed even after an error,
    /// which says that not everything is durable.
    ///
    /// Tables of contents before the sync, the index last: a crash in between leaves unclosed
    /// segments, or an index that lags; both are made good at the next opening.
    pub fn close(&self) -> BlockResult<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.core.appender.shut();
        let result = self.sync_all(Step::SegmentClosed);
        if let Some(index) = &self.core.index {
            index.close();
        }
        self.workers.stop();
        self.core.set.close_files();
        result
    }

    pub(super) fn check_open(&self) -> BlockResult<()> {
        if self.closed.load(Ordering::Acquire) {
            Err(BlockError::Closed)
        } else {
            Ok(())
        }
    }

    /// The content index, for tests that wait for it or make it fail.
    #[cfg(test)]
    pub(super) fn index(&self) -> &Index {
        self.core
            .index
            .as_ref()
            .expect("the store was opened with an index")
    }
}

impl Core {
    /// Tells the index of what has become durable.
    fn feed(&self, segment: &Segment) {
        if let Some(index) = &self.index
            && segment.is_feed_due()
        {
            index.notify(segment.id());
        }
    }
}
