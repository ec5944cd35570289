//! An open volume: the active changes on top of frozen layers on top of a tree.
//!
//! One lock per volume. An operation that changes something holds it while it looks, appends its
//! record to the journal and applies it, so that the order of records is the order of changes.
//! The locks are taken in this order, and never the other way round: the pool's catalog, volumes
//! by ascending id, the journal.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::admission::{Charge, Need};
use super::changes::Changes;
use super::edit::{Edit, decode_lease};
use super::layer::{Counts, Layer};
use super::read_plan::ReadPlan;
use super::shared::Shared;
use super::unsynced::Unsynced;
use super::view::View;
use crate::base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::base::sync::{Mutex, RwLock, RwLockWriteGuard};
use crate::base::{Key, Lsn, Pointer, Timestamp, Value, VolumeId, chain};
use crate::block::{FRAME_CONTENT_MAX, Pin, Reach};
use crate::disk::Step;
use crate::journal::{JournalError, RecordKind, Transaction};
use crate::volume::{FsError, FsResult, keys};

/// The highest rollback epoch, all ones; the one after it is 0. The other two bits of the 16 above
/// an inode number belong to FUSE.
pub const EPOCH_MAX: u16 = 0x3fff;

/// Who asks, and for which state of the volume.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// Rollback epoch that the request's node ids bear; none when it names only the root.
    pub epoch: Option<u16>,
    /// FUSE's number of the request, 0 outside of FUSE.
    pub unique: u64,
    /// The caller's user.
    pub uid: u32,
    /// The caller's group.
    pub gid: u32,
}

/// What a block of a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockState {
    /// Nothing is stored: zeros.
    Hole,
    /// Allocated, all zeros.
    Zero,
    /// A stored frame, whose content may be shorter than a block: the rest is zeros.
    Stored(Pointer),
    /// Written to in memory since the last checkpoint.
    Dirty,
}

/// What never changes about an open volume.
#[derive(Clone, Debug)]
pub struct VolumeSettings {
    /// Its number.
    pub id: VolumeId,
    /// What messages call it at first: `volume`, or `volume@snapshot`.
    pub label: String,
    /// Bytes of a block.
    pub block_size: u32,
    /// Key for hashing names (SipHash-1-3).
    pub hash_key: [u8; 16],
    /// A snapshot.
    pub read_only: bool,
}

/// Allocated blocks and inodes, and the room left.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Allocated blocks of the present state.
    pub blocks: u64,
    /// Inodes of the present state.
    pub inodes: u64,
    /// Bytes that can still be allocated: what the pool can take, or less by the volume's limit.
    pub free_bytes: u64,
    /// Bytes that its blocks may take, if that is limited.
    pub limit_bytes: Option<u64>,
}

/// Inode numbers that may be given out without writing down the counter.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InoLease {
    pub(super) next: u64,
    pub(super) end: u64,
}

/// An open volume, clone or snapshot. All methods may be called from many threads.
pub struct Volume {
    pub(super) settings: VolumeSettings,
    /// What messages call it now: a volume may come out of the trash under another name.
    label: Mutex<Arc<str>>,
    pub(super) shared: Arc<Shared>,
    pub(super) state: RwLock<State>,
    /// Frames named by records that may not be durable yet.
    pub(super) unsynced: Mutex<Unsynced>,
    /// The store's count of poisoned segments at which none of these frames was lost.
    pub(super) poisonings_seen: AtomicU64,
    /// 0: none.
    pub(super) limit_bytes: AtomicU64,
    poisoned: AtomicBool,
    poison: Mutex<Option<String>>,
}

/// What changes; under the volume's lock.
pub(crate) struct State {
    active: Changes,
    charge: Charge,
    base: Arc<Layer>,
    counts: Counts,
    /// Behind the last record that was applied.
    pub(super) at: Lsn,
    epoch: u16,
    /// Read when the first number is asked for, and after replay or rollback anew.
    lease: Option<InoLease>,
}

impl Volume {
    /// A volume that shows `base`.
    pub(crate) fn new(
        settings: VolumeSettings,
        shared: Arc<Shared>,
        base: Arc<Layer>,
    ) -> Arc<Volume> {
        let charge = Charge::new(&shared.admission);
        let state = State {
            active: Changes::default(),
            charge,
            counts: base.counts(),
            at: Lsn(0),
            base,
            epoch: 0,
            lease: None,
        };
        Arc::new(Volume {
            label: Mutex::new(settings.label.as_str().into()),
            settings,
            shared,
            state: RwLock::new(state),
            unsynced: Mutex::default(),
            poisonings_seen: AtomicU64::new(0),
            limit_bytes: AtomicU64::new(0),
            poisoned: AtomicBool::new(false),
            poison: Mutex::default(),
        })
    }

    /// Its number.
    pub fn id(&self) -> VolumeId {
        self.settings.id
    }

    /// What messages call it.
    pub fn label(&self) -> Arc<str> {
        self.label.lock().clone()
    }

    /// From now on messages call it so.
    pub(crate) fn set_label(&self, label: &str) {
        *self.label.lock() = label.into();
    }

    /// Bytes of a block.
    pub fn block_size(&self) -> u32 {
        self.settings.block_size
    }

    /// Key for hashing names (SipHash-1-3).
    pub fn hash_key(&self) -> [u8; 16] {
        self.settings.hash_key
    }

    /// Whether it is a snapshot.
    pub fn is_read_only(&self) -> bool {
        self.settings.read_only
    }

    /// The time to stamp files with.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.stamp()
    }

    /// Present rollback epoch.
    pub fn epoch(&self) -> u16 {
        self.state.read().epoch
    }

    /// Counts of the present state and the room that is left.
    pub fn usage(&self) -> FsResult<Usage> {
        let counts = self.state.read().counts;
        let space = self.shared.disk.space().map_err(JournalError::Disk)?;
        let free = space.free.saturating_sub(self.shared.slack_bytes);
        Ok(Usage {
            blocks: counts.blocks,
            inodes: counts.inodes,
            free_bytes: free.min(self.bytes_below_limit(counts)),
            limit_bytes: self.limit_bytes(),
        })
    }

    /// Counts of the present state.
    pub fn counts(&self) -> Counts {
        self.state.read().counts
    }

    /// Changed bytes in memory that wait for a checkpoint. What it has in common with a snapshot
    /// or a clone counts for each of them.
    pub fn dirty_bytes(&self) -> u64 {
        let state = self.state.read();
        let (active, base) = (state.charge.bytes(), state.base.clone());
        drop(state);
        active + base.dirty_bytes()
    }

    /// Why no change is accepted any more, if so. Knows of failures of others that this volume
    /// depends on.
    pub fn poison_reason(&self) -> Option<String> {
        self.notice_lost_frames();
        self.poison.lock().clone()
    }

    /// From now on every change and sync fails: what was acknowledged may not be on the medium.
    /// What can be read stays readable.
    pub(crate) fn poison(&self, cause: &str) {
        let mut poison = self.poison.lock();
        if poison.is_none() {
            let reason = format!(
                "{cause}; see to the disk, then restart the daemon: the volume comes back as the \
                 disk holds it"
            );
            log::error!(
                "volume '{}' accepts no more changes: {reason}",
                self.label()
            );
            *poison = Some(reason);
        }
        self.poisoned.store(true, Ordering::Release);
    }

    /// Poisons the volume if a segment failed, no matter for whom, that holds frames of its own
    /// which were not durable.
    fn notice_lost_frames(&self) {
        let poisonings = self.shared.store.poisonings();
        if poisonings == self.poisonings_seen.load(Ordering::Acquire) {
            return;
        }
        let reach = self.unsynced.lock().reach();
        match self.shared.store.lost(&reach) {
            Some(error) => self.poison(&chain(&error)),
            None => self.poisonings_seen.store(poisonings, Ordering::Release),
        }
    }

    /// Poisons the volume if the journal failed before all of its records were durable.
    pub(crate) fn notice_lost_records(&self) {
        let Some(journal) = self.shared.journal.get() else {
            return;
        };
        if journal.poisoned() && self.state.read().at > journal.durable() {
            self.poison(&chain(&JournalError::Poisoned));
        }
    }

    pub(super) fn check_poison(&self) -> FsResult<()> {
        self.notice_lost_frames();
        if self.poisoned.load(Ordering::Acquire) {
            let reason = self.poison.lock().clone().unwrap_or_default();
            return Err(FsError::Poisoned(reason));
        }
        Ok(())
    }

    /// As every change: an error if the volume accepts none.
    pub(crate) fn check_sound(&self) -> FsResult<()> {
        self.check_poison()
    }

    /// Whether a change would not have to wait for a checkpoint at this moment.
    pub fn has_room(&self) -> bool {
        let fill = self.shared.journal.get().map(|journal| journal.fill());
        fill.is_none_or(|fill| self.shared.admission.has_room(fill))
    }

    /// Runs `read` on a consistent state. `Stale` if the request's epoch is over.
    pub fn read<R>(
        &self,
        request: &Request,
        read: impl FnOnce(&View<'_>) -> FsResult<R>,
    ) -> FsResult<R> {
        let state = self.state.read();
        state.check_epoch(request)?;
        read(&self.view(&state))
    }

    /// Runs `change` alone; if it returns Ok, what it collected is committed as one transaction:
    /// appended to the journal and applied. If it returns an error nothing happened. Waits first
    /// for room under the dirty cap.
    pub fn update<R>(
        &self,
        request: &Request,
        change: impl FnOnce(&mut Edit<'_>) -> FsResult<R>,
    ) -> FsResult<R> {
        self.update_with(Need::Room, request, change)
    }

    /// As [`Volume::update`] for changes that may have to go on when the medium is full.
    pub(crate) fn update_with<R>(
        &self,
        need: Need,
        request: &Request,
        change: impl FnOnce(&mut Edit<'_>) -> FsResult<R>,
    ) -> FsResult<R> {
        if self.settings.read_only {
            return Err(FsError::ReadOnly);
        }
        self.check_poison()?;
        self.shared.enter(need)?;
        let mut state = self.state.write();
        state.check_epoch(request)?;
        let mut lease = match state.lease {
            Some(lease) => lease,
            None => lease_from(self.view(&state).get(&keys::ino_lease())?.as_ref())?,
        };
        let mut edit = Edit {
            view: self.view(&state),
            transaction: Transaction {
                unique: request.unique,
                ..Transaction::default()
            },
            lease: &mut lease,
        };
        let result = change(&mut edit)?;
        let transaction = edit.transaction;
        if !transaction.changes.is_empty() {
            self.check_limit(need, state.counts, &transaction)?;
            self.commit(&mut state, &transaction)?;
            state.lease = Some(lease);
        }
        Ok(result)
    }

    /// Journal first, then memory: what is applied can be replayed.
    fn commit(&self, state: &mut State, transaction: &Transaction) -> FsResult<()> {
        let journal = self.shared.journal()?;
        let encoded = transaction.encode();
        let appended = journal
            .append(RecordKind::Transaction, self.settings.id, &encoded.slices())
            .map_err(|error| self.journal_failed(error))?;
        self.applied(state, transaction, appended.lsn);
        Ok(())
    }

    /// Applies a transaction whose record ends at `at`.
    pub(crate) fn applied(&self, state: &mut State, transaction: &Transaction, at: Lsn) {
        let mut places = transaction.places().peekable();
        if places.peek().is_some() {
            let mut unsynced = self.unsynced.lock();
            places.for_each(|place| unsynced.name(place, at));
            // One of these may have been lost since it was stored.
            self.poisonings_seen.store(0, Ordering::Release);
        }
        state.active.apply(transaction, self.settings.block_size);
        state.charge.set(state.active.cost());
        state.counts = state
            .counts
            .plus(transaction.blocks_delta, transaction.inodes_delta);
        state.at = at;
    }

    /// A full journal or disk is a passing state; any other failure ends the volume's changes.
    pub(super) fn journal_failed(&self, error: JournalError) -> FsError {
        if !error.is_passing() {
            self.poison(&format!("the journal failed: {}", chain(&error)));
        }
        FsError::Journal(error)
    }

    /// Brings the tree nodes that hold these keys into the cache, outside of every lock, so that a
    /// following `update` does not read the medium while it keeps others out. Errors come back
    /// where they matter.
    pub fn warm(&self, keys: &[Key]) {
        let base = self.state.read().base.clone();
        for key in keys {
            if base.get(&*self.shared.nodes, key).is_err() {
                return;
            }
        }
    }

    /// Keeps the segments that are there, so that pointers stay good outside of every lock: from
    /// before they are found or made until they are read, or committed.
    pub fn pin(&self) -> Pin<'_> {
        self.shared.store.pin()
    }

    /// Stores whole blocks at once on the sealing workers, outside of every lock, for large
    /// writes: each piece is one block. All-zero pieces become holes; trailing zeros are trimmed.
    /// The caller holds a [`Volume::pin`] until it has committed them.
    pub fn seal(&self, pieces: &[&[u8]]) -> FsResult<Vec<BlockState>> {
        self.seal_with(Need::Room, pieces)
    }

    /// As [`Volume::seal`] for changes that may have to go on when room is scarce.
    pub(crate) fn seal_with(&self, need: Need, pieces: &[&[u8]]) -> FsResult<Vec<BlockState>> {
        if self.settings.read_only {
            return Err(FsError::ReadOnly);
        }
        self.check_poison()?;
        self.shared.enter(need)?;
        let states = seal_pieces(&self.shared, pieces, BlockState::Hole)?;
        let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        self.shared.note_sealed(bytes);
        if self.shared.store.unsynced_bytes() > self.shared.unsynced_max {
            self.shared.store.sync_healthy(Step::SegmentWithinCap);
            // What was lost right now is refused while that can be told to whoever wrote it; for
            // the failure of others they answer themselves.
            let mut own = Reach::default();
            for state in &states {
                if let BlockState::Stored(pointer) = state {
                    own.add(&pointer.place);
                }
            }
            if let Some(error) = self.shared.store.lost(&own) {
                return Err(FsError::Block(error));
            }
        }
        Ok(states)
    }

    /// Fetches, verifies and joins a plan's pieces.
    pub fn execute(&self, plan: ReadPlan) -> FsResult<Vec<u8>> {
        let mut out = vec![0; plan.len()];
        self.execute_into(plan, &mut out)?;
        Ok(out)
    }

    /// As [`Volume::execute`], into memory that is as long as the read. After an error it holds
    /// anything.
    pub fn execute_into(&self, plan: ReadPlan, out: &mut [u8]) -> FsResult<()> {
        plan.execute(&*self.shared.nodes, &self.shared.store, out)
    }

    fn view<'a>(&'a self, state: &'a State) -> View<'a> {
        View {
            nodes: &*self.shared.nodes,
            active: &state.active,
            base: &state.base,
            block_size: self.settings.block_size,
            epoch: state.epoch,
        }
    }

    /// The volume's lock, for the pool: cut, checkpoint, rollback, replay.
    pub(crate) fn lock(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write()
    }

    /// Replaces the state by another one: rollback. Under the volume's lock.
    pub(crate) fn reset(&self, state: &mut State, base: Arc<Layer>) {
        state.active = Changes::default();
        state.charge.set(0);
        state.counts = base.counts();
        state.base = base;
        state.epoch = state.epoch.wrapping_add(1) & EPOCH_MAX;
        state.lease = None;
    }

    /// Puts a state under a volume that has none of its own yet: replay. Under the volume's lock.
    pub(crate) fn start_from(&self, state: &mut State, base: Arc<Layer>) {
        state.counts = base.counts();
        state.base = base;
    }

    /// Visits everything in the volume in chunks, without holding the lock throughout.
    pub fn scan_all(
        &self,
        visit: &mut dyn FnMut(&Key, &Value) -> FsResult<ControlFlow<()>>,
    ) -> FsResult<()> {
        self.read(&Request::default(), |view| {
            view.scan(&Key::MIN, &Key::MAX, visit)
        })
    }
}

impl State {
    fn check_epoch(&self, request: &Request) -> FsResult<()> {
        match request.epoch {
            Some(epoch) if epoch != self.epoch => Err(FsError::Stale),
            _ => Ok(()),
        }
    }

    /// The frozen state below the active changes.
    pub(crate) fn base(&self) -> &Arc<Layer> {
        &self.base
    }

    /// Freezes the present state, in constant time. An unchanged state makes no new layer.
    pub(crate) fn freeze(&mut self, shared: &Shared) -> Arc<Layer> {
        if !self.active.is_empty() {
            let changes = std::mem::take(&mut self.active);
            let charge = std::mem::replace(&mut self.charge, Charge::new(&shared.admission));
            self.base = Layer::frozen(changes, self.base.clone(), charge, self.counts);
        }
        self.base.clone()
    }
}

fn lease_from(stored: Option<&Value>) -> FsResult<InoLease> {
    // Inode 1 is the root; the numbers below 16 are kept free.
    let next = match stored {
        None => 16,
        Some(value) => decode_lease(value).map_err(|source| FsError::Malformed {
            ino: crate::base::Ino(0),
            source,
        })?,
    };
    Ok(InoLease { next, end: next })
}

/// Stores pieces of at most a block; `zero` is what an all-zero piece becomes.
pub(super) fn seal_pieces(
    shared: &Shared,
    pieces: &[&[u8]],
    zero: BlockState,
) -> FsResult<Vec<BlockState>> {
    let trimmed: Vec<&[u8]> = pieces.iter().map(|piece| trim_zeros(piece)).collect();
    debug_assert!(trimmed.iter().all(|piece| piece.len() <= FRAME_CONTENT_MAX));
    let filled: Vec<&[u8]> = trimmed
        .iter()
        .copied()
        .filter(|piece| !piece.is_empty())
        .collect();
    let mut pointers = match filled.as_slice() {
        [] => Vec::new(),
        [one] => vec![shared.store.put_block(one)?],
        many => shared.store.put_blocks(many)?,
    }
    .into_iter();
    let states = trimmed.iter().map(|piece| match piece {
        [] => zero,
        _ => pointers.next().map_or(zero, BlockState::Stored),
    });
    Ok(states.collect())
}

fn trim_zeros(bytes: &[u8]) -> &[u8] {
    // Eight bytes at a time: most blocks end in data, a fresh database's in long runs of zeros.
    let mut end = bytes.len();
    while end >= 8 && bytes[end - 8..end] == [0; 8] {
        end -= 8;
    }
    while end > 0 && bytes[end - 1] == 0 {
        end -= 1;
    }
    &bytes[..end]
}
