//! Opening a pool: what the medium holds becomes the pool's state.
//!
//! Recovery may crash anywhere and be repeated: until its last step it only reads, but for
//! segments' headers, which it writes again where a power loss took them.
//!
//! 1. Lock, `pool.toml`, the newest valid superblock slot.
//! 2. Sync every segment past the last checkpoint, and every journal file, and drop their cached
//!    pages: after the death of a daemon they may live only in the host's cache, and nothing that
//!    is replayed may count as durable before it is. Write such headers.
//! 3. Read the catalog's tree; first pass over the journal: watermarks; second pass: replay, per
//!    volume from its published record until its chain of records ends.
//! 4. Open the journal behind its last valid record, and make a higher incarnation durable before
//!    anything else is appended under it:
//!    * Where all of the journal was replayed, with a first record of this life, which also says
//!      that the frames named by the records before are durable. What was replayed stays in memory
//!      and is published when the next checkpoint is due, as if the daemon had not died: how long
//!      an opening takes does not depend on the size of the trees. The newest state is published
//!      once more before, so that no slot is left from which more is replayed. (A crash before that
//!      record is durable: the next recovery finds what this one found, and writes the same one.)
//!    * Where replay dropped what names lost frames, or found a frame elsewhere than at its place,
//!      where the journal is cut off, where it or the memory for changes has little room, and where
//!      nothing was replayed: with a checkpoint. And with a second one where there was anything to
//!      replay or drop: replay from the older slot would drop it anew, and with it what is
//!      appended from now on.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::catalog::{Catalog, Replay};
use super::checkpoint::chain;
use super::cut::Cut;
use super::reserve::{Reserve, slack_bytes};
use super::settings::PoolFile;
use super::superblock::{Slots, Superblock, SuperblockFile};
use super::{
    DroppedRecords, JournalCut, LostRecords, Pool, PoolError, PoolOptions, PoolResult, Published,
    create, lock_states,
};
use crate::base::sync::Mutex;
use crate::base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::base::{
    ByteReader, Clock, DecodeError, Ino, Lsn, Nature, Place, Pointer, PoolId, SegmentId,
    SystemClock, VolumeId,
};
use crate::block::{BlockStore, StoreOptions};
use crate::disk::{Disk, FileDisk, LockFailure, PoolLock, Step, performs};
use crate::journal::{
    Change, Journal, JournalError, JournalOptions, JournalPosition, JournalResult, Record,
    RecordKind, ScanEnd, Since, Transaction,
};
use crate::tree::BlockNodes;
use crate::volume::core::admission::Admission;
use crate::volume::core::shared::Shared;
use crate::volume::{Request, Volume, keys};

/// What a pool stands on, and how it uses it.
pub(super) struct Ground {
    pub(super) disk: Arc<dyn Disk>,
    /// For messages.
    pub(super) path: PathBuf,
    pub(super) lock: Option<PoolLock>,
    /// None: no content index, and no thread for it.
    pub(super) index_dir: Option<PathBuf>,
    pub(super) journal: JournalOptions,
    pub(super) segment_bytes: u32,
    /// Bytes of segments that may be unsynced before a large write syncs them.
    pub(super) unsynced_max: u64,
    /// Sealing threads beside the caller's.
    pub(super) workers: usize,
    pub(super) clock: Arc<dyn Clock>,
    /// Where keys for hashing names come from.
    pub(super) fresh_key: FreshKey,
}

impl Ground {
    /// The same ground for somebody who works under the lock that this one holds.
    pub(super) fn within(&self, index_dir: Option<PathBuf>) -> Ground {
        Ground {
            disk: self.disk.clone(),
            path: self.path.clone(),
            lock: None,
            index_dir,
            journal: self.journal.clone(),
            clock: self.clock.clone(),
            ..*self
        }
    }
}

/// A source of random keys.
pub(super) type FreshKey = fn() -> io::Result<[u8; 16]>;

/// Block size of new volumes in bytes, where `pool.toml` names none: a page of Postgres.
const BLOCK_SIZE: u32 = 8192;
/// Bytes after which a segment is closed.
const SEGMENT_BYTES: u32 = 64 << 20;
/// Bytes of segments that may be unsynced: bounds what an fsync may find to do.
const UNSYNCED_MAX: u64 = 64 << 20;

impl Pool {
    /// Opens a pool for use: takes its lock, recovers, starts the checkpoint thread.
    pub fn open(path: &Path, options: PoolOptions) -> PoolResult<Arc<Pool>> {
        let disk: Arc<dyn Disk> = Arc::new(FileDisk::new(path));
        // Before the lock, so that a folder that is no pool stays as it is.
        let file = PoolFile::read(&*disk, path)?;
        let lock = take_lock(path)?;
        let options = file.options(options);
        let age = Duration::from_secs(options.checkpoint_age_secs.max(1));
        let ground = ground_in(path, disk, Some(lock));
        let pool = Self::open_on(ground, &file, &options)?;
        let fail = |source| PoolError::Folder {
            path: path.to_owned(),
            action: "start the checkpoint thread of",
            source,
        };
        pool.start_worker(age).map_err(fail)?;
        let fail = |source| PoolError::Folder {
            path: path.to_owned(),
            action: "start the thread for garbage of",
            source,
        };
        pool.gc
            .start(&pool, options.gc_percent, options.gc_bytes_per_second)
            .map_err(fail)?;
        Ok(pool)
    }

    /// Opens a pool on any ground, without a thread for checkpoints.
    pub(super) fn open_on(
        ground: Ground,
        file: &PoolFile,
        options: &PoolOptions,
    ) -> PoolResult<Arc<Pool>> {
        let path = ground.path.clone();
        let id = file.id(&path)?;
        let (superblock_file, slots) = SuperblockFile::open(&*ground.disk, id, &path)?;
        if let Some(damage) = &slots.damage {
            let name = path.display();
            log::warn!("pool '{name}': superblock {damage}; using the other one");
        }
        let newest = slots.newest;
        let shared = open_parts(&ground, id, options, &newest)?;
        shared.store.settle_and_mend(newest.settled_below)?;
        let mut catalog = Catalog::load(&shared, newest.catalog, newest.catalog_at)?;
        let mut replayed = replay(&shared, id, &ground, &newest, &mut catalog)?;
        let end = &mut replayed.end;
        for records in &replayed.dropped {
            log::warn!("pool '{}': {records}", path.display());
        }
        let journal_cut = journal_cut(&catalog, end, newest.catalog_at.lsn);
        if let Some(cut) = &journal_cut {
            if !options.cut_damaged_journal {
                let problem = format!("pool '{}': {}", path.display(), cut);
                return Err(PoolError::JournalDamaged { problem });
            }
            log::error!("the journal is cut off {cut}");
            // Behind all remains, so that none of them is ever taken for a part of the log that
            // goes on here, nor for proof of damage; and behind all that is in trees, so that no
            // new record is taken for one of these.
            let behind = end.behind_end.0.max(newest.catalog_at.lsn.0);
            let file_bytes = u64::from(ground.journal.file_bytes);
            end.position.lsn = Lsn(behind.next_multiple_of(file_bytes));
        }
        let raised = u64::from(performs(&*ground.disk, Step::IncarnationRaised));
        let incarnation = newest.incarnation.max(end.incarnation) + raised;
        let journal = open_journal(&shared, id, &ground, &slots, end, incarnation)?;
        if shared.journal.set(journal).is_err() {
            unreachable!("the journal of a pool is opened once");
        }
        let reserve = Reserve::find(&*shared.disk, u64::from(ground.segment_bytes) / 2);
        let pool = Arc::new(Pool {
            path,
            id,
            default_block_size: file.settings.block_size.unwrap_or(BLOCK_SIZE),
            shared,
            catalog: Mutex::new(catalog),
            published: Mutex::new(Published {
                file: superblock_file,
                newest,
                incarnation,
            }),
            maintenance: Mutex::new(()),
            maintenance_waiters: AtomicU64::new(0),
            gc: super::gc::GcWorker::default(),
            checkpointing: Mutex::new(()),
            checkpoints: AtomicU64::new(0),
            is_recovered: AtomicBool::new(false),
            is_unfinished: AtomicBool::new(false),
            reserve,
            journal_cut,
            dropped: std::mem::take(&mut replayed.dropped),
            worker: Mutex::new(None),
            is_closed: AtomicBool::new(false),
            trash_stay: Duration::from_secs(options.trash_secs),
            poll_idle_cores: options.poll_idle_cores,
            fresh_key: ground.fresh_key,
            journal_options: ground.journal,
            lock: Mutex::new(ground.lock),
        });
        pool.begin_life(&replayed)?;
        if pool.journal_cut.is_some() {
            // Nobody needs that any more: files that are damaged at their start must not be taken
            // for a part of the log that is new.
            pool.journal()?.blank_damaged_starts()?;
        }
        pool.is_recovered.store(true, Ordering::Release);
        pool.finish_volumes()?;
        Ok(pool)
    }

    /// After replay: a volume whose creation was cut short gets its root folder; unlinked files
    /// that were open at a crash go.
    fn finish_volumes(&self) -> PoolResult<()> {
        let catalog = self.catalog.lock();
        for entry in catalog.volumes.values() {
            let record = &entry.record;
            let finish = || {
                let root = keys::inode(Ino::ROOT);
                if entry
                    .volume
                    .read(&Request::default(), |view| view.get(&root))?
                    .is_none()
                {
                    entry.volume.format(record.uid, record.gid, record.mode)?;
                }
                entry.volume.reap_orphans()
            };
            // A volume that cannot be read is named when it is used; the others must open.
            if let Err(error) = finish() {
                log::error!("volume '{}' is damaged: {}", record.name, chain(&error));
            }
        }
        Ok(())
    }
}

/// A folder as what a pool stands on.
pub(super) fn ground_in(path: &Path, disk: Arc<dyn Disk>, lock: Option<PoolLock>) -> Ground {
    Ground {
        disk,
        path: path.to_owned(),
        lock,
        index_dir: Some(path.join("index")),
        journal: JournalOptions::default(),
        segment_bytes: SEGMENT_BYTES,
        unsynced_max: UNSYNCED_MAX,
        workers: std::thread::available_parallelism()
            .map_or(2, |count| count.get())
            .min(8),
        clock: Arc::new(SystemClock::new()),
        fresh_key: create::random,
    }
}

pub(super) fn take_lock(path: &Path) -> PoolResult<PoolLock> {
    PoolLock::take(&path.join("lock")).map_err(|failure| match failure {
        LockFailure::Held { pid } => PoolError::Locked {
            path: path.to_owned(),
            pid,
        },
        LockFailure::Io(source) => PoolError::Folder {
            path: path.to_owned(),
            action: "take the lock of",
            source,
        },
    })
}

/// Block store and nodes of a pool.
pub(super) fn open_parts(
    ground: &Ground,
    id: PoolId,
    options: &PoolOptions,
    newest: &Superblock,
) -> PoolResult<Arc<Shared>> {
    let store_options = StoreOptions {
        cache_bytes: options.block_cache_bytes,
        workers: ground.workers,
        segment_bytes: ground.segment_bytes,
        index_dir: ground.index_dir.clone(),
        first_segment: newest.next_segment,
    };
    let store = BlockStore::open(ground.disk.clone(), id, store_options)?;
    Ok(Arc::new(Shared {
        disk: ground.disk.clone(),
        nodes: Arc::new(BlockNodes::new(store.clone(), options.node_cache_bytes)),
        store,
        journal: OnceLock::new(),
        admission: Admission::new(options.dirty_bytes_max),
        clock: ground.clock.clone(),
        slack_bytes: slack_bytes(&*ground.disk, options.dirty_bytes_max),
        unseen_bytes: AtomicU64::new(0),
        unsynced_max: ground.unsynced_max,
    }))
}

/// Everything below the position where the *older* slot's replay starts is free.
fn open_journal(
    shared: &Shared,
    id: PoolId,
    ground: &Ground,
    slots: &Slots,
    end: &ScanEnd,
    incarnation: u64,
) -> PoolResult<Journal> {
    let newest = slots.newest.replay_from.lsn;
    let released = slots
        .older
        .map_or(newest, |older| older.replay_from.lsn.min(newest));
    let options = ground.journal.clone();
    Ok(Journal::open(
        shared.disk.clone(),
        id,
        options,
        end.position,
        released,
        incarnation,
    )?)
}

/// What came of reading the journal.
pub(super) struct Replayed {
    pub(super) end: ScanEnd,
    /// Something was done with it: not only watermarks.
    pub(super) has_changes: bool,
    /// Nothing in it was dropped.
    pub(super) is_whole: bool,
    pub(super) dropped: Vec<DroppedRecords>,
}

/// Both passes over the journal. Damage is told by the result; what lies before it is replayed.
pub(super) fn replay(
    shared: &Arc<Shared>,
    id: PoolId,
    ground: &Ground,
    newest: &Superblock,
    catalog: &mut Catalog,
) -> PoolResult<Replayed> {
    let (options, path) = (&ground.journal, &ground.path);
    let scan = |visit: &mut dyn FnMut(Record<'_>) -> JournalResult<()>| {
        let published = Since {
            at: newest.catalog_at.lsn,
            incarnation: newest.incarnation,
        };
        let since = (newest.replay_from, published);
        Journal::scan_since(&*shared.disk, id, options, since, visit)
    };
    let mut marks = HashMap::new();
    scan(&mut |record| {
        if record.kind == RecordKind::Watermark {
            read_marks(record.body, &mut marks).map_err(|source| JournalError::Malformed {
                lsn: record.lsn,
                source,
            })?;
        }
        Ok(())
    })?;

    let mut replayer = Replayer {
        shared,
        catalog,
        marks,
        found: Replay::default(),
        dropped: BTreeMap::new(),
        has_changes: false,
        failed: None,
    };
    for (volume, entry) in &replayer.catalog.volumes {
        if let Some(root) = entry.published {
            replayer.found.applied.insert(*volume, root.applied.lsn);
        }
    }
    let end = scan(&mut |record| {
        replayer.visit(&record);
        Ok(())
    })?;
    if let Some(error) = replayer.failed {
        return Err(error);
    }
    let Replayer {
        catalog,
        found,
        dropped,
        has_changes,
        ..
    } = replayer;
    let is_whole = found.ended.is_empty() && found.torn.is_empty();
    catalog.drop_torn_snapshots(&found);
    log::info!(
        "pool '{}': {} journal records read",
        path.display(),
        end.records
    );
    Ok(Replayed {
        end,
        has_changes,
        is_whole,
        dropped: dropped.into_values().collect(),
    })
}

/// What a damaged journal has behind its damage, by the names that volumes have before it.
/// `published` was on the medium before a superblock named it.
pub(super) fn journal_cut(catalog: &Catalog, end: &ScanEnd, published: Lsn) -> Option<JournalCut> {
    let short = || {
        let problem = format!("no valid record follows here, but {published} was published");
        (end.position.lsn < published).then_some((end.position.lsn, problem))
    };
    let (at, problem) = end.damage.clone().or_else(short)?;
    let name = |id: &VolumeId| match catalog.volumes.get(id) {
        _ if *id == VolumeId::CATALOG => None,
        Some(entry) => Some(entry.record.name.to_string()),
        None => Some(format!("volume {id}")),
    };
    let lost = end.behind.iter().map(|(id, count)| LostRecords {
        volume: name(id),
        records: *count,
    });
    Some(JournalCut {
        at,
        problem,
        lost: lost.collect(),
    })
}

/// Takes the marks of a watermark record.
pub(super) fn read_marks(
    body: &[u8],
    marks: &mut HashMap<SegmentId, u32>,
) -> Result<(), DecodeError> {
    let mut reader = ByteReader::new("watermark record", body);
    while reader.remaining() > 0 {
        let segment = SegmentId(reader.u64()?);
        let durable = reader.u32()?;
        let mark = marks.entry(segment).or_default();
        *mark = durable.max(*mark);
    }
    Ok(())
}

struct Replayer<'a> {
    shared: &'a Arc<Shared>,
    catalog: &'a mut Catalog,
    /// Bytes of segments that were durable before the crash: damage below is corruption, which
    /// reading reports; above it is a torn end.
    marks: HashMap<SegmentId, u32>,
    found: Replay,
    /// Of volumes that ended before their last record.
    dropped: BTreeMap<VolumeId, DroppedRecords>,
    has_changes: bool,
    failed: Option<PoolError>,
}

impl Replayer<'_> {
    fn visit(&mut self, record: &Record<'_>) {
        if self.failed.is_some() {
            return;
        }
        self.has_changes |= record.kind != RecordKind::Watermark;
        let outcome = match record.kind {
            RecordKind::Transaction => self.transaction(record),
            RecordKind::Cut => self.cut(record),
            RecordKind::Watermark => Ok(()),
        };
        self.failed = outcome.err();
    }

    fn transaction(&mut self, record: &Record<'_>) -> PoolResult<()> {
        if let Some(dropped) = self.dropped.get_mut(&record.volume) {
            dropped.records += 1;
        }
        if !self.found.concerns(record.volume, record.lsn) {
            return Ok(());
        }
        // A volume that was removed later is not there.
        let Some(entry) = self.catalog.volumes.get(&record.volume) else {
            return Ok(());
        };
        let volume = entry.volume.clone();
        let transaction = match Transaction::decode(record.body) {
            Ok(transaction) => transaction,
            Err(source) => {
                return Err(JournalError::Malformed {
                    lsn: record.lsn,
                    source,
                }
                .into());
            }
        };
        // What a lost segment held may be stored elsewhere too, and then the record stands; so its
        // places must never point into a new segment of that number.
        if performs(&*self.shared.disk, Step::SegmentNumberUsedUp) {
            for place in transaction.places() {
                self.shared.store.use_up_number(place.segment);
            }
        }
        if let Some(place) = self.lost_frame(&transaction)? {
            let dropped = DroppedRecords {
                volume: entry.record.name.to_string(),
                from: record.lsn,
                records: 1,
                segment: place.segment,
                offset: place.offset,
            };
            self.dropped.insert(record.volume, dropped);
            self.found.ended.insert(record.volume);
            return Ok(());
        }
        volume.applied(&mut volume.lock(), &transaction, record.lsn);
        Ok(())
    }

    /// The first frame above the watermarks that the medium does not have. A medium that cannot be
    /// read proves nothing, and ends the recovery: after the death of the daemon alone nothing may
    /// be given up.
    fn lost_frame(&self, transaction: &Transaction) -> PoolResult<Option<Place>> {
        let named = transaction
            .changes
            .iter()
            .filter_map(|change| match change {
                Change::Put(_, value) => value.pointer(),
                Change::Delete(_) | Change::DeleteRange(..) | Change::Data { .. } => None,
            });
        let unproven = |pointer: &Pointer| {
            let place = &pointer.place;
            let durable = self.marks.get(&place.segment).copied().unwrap_or(0);
            u64::from(place.offset) + u64::from(place.len) > u64::from(durable)
        };
        for pointer in named.filter(unproven) {
            match self.shared.store.verify(&pointer) {
                Ok(()) => {}
                Err(error) if error.nature() == Nature::Corrupt => {
                    return Ok(Some(pointer.place));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    fn cut(&mut self, record: &Record<'_>) -> PoolResult<()> {
        let malformed = |source| JournalError::Malformed {
            lsn: record.lsn,
            source,
        };
        let cut = Cut::decode(record.body).map_err(malformed)?;
        let mut concerned: BTreeMap<VolumeId, Arc<Volume>> = BTreeMap::new();
        for action in &cut.actions {
            if let Some(entry) = self.catalog.volumes.get(&action.volume()) {
                concerned.insert(action.volume(), entry.volume.clone());
            }
        }
        let volumes: Vec<Arc<Volume>> = concerned.into_values().collect();
        let mut locked = lock_states(&volumes);
        self.catalog.apply(
            self.shared,
            &cut,
            JournalPosition {
                lsn: record.lsn,
                chain: record.chain,
            },
            &mut locked,
            Some(&mut self.found),
        )
    }
}
