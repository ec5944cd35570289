//! Back-pressure: how much may change in memory before writers wait for a checkpoint.

use std::sync::Arc;

use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::base::sync::{Condvar, Mutex};
#[cfg(test)]
use crate::base::sync::{Sabotage, is_sabotaged};

/// Share of a limit, in percent, at which a checkpoint is asked for; at 100 writers wait.
const CHECKPOINT_PERCENT: u64 = 50;

/// Counts changed bytes of all volumes of a pool, and holds writers back at the cap.
pub(crate) struct Admission {
    dirty: AtomicU64,
    dirty_max: u64,
    /// What the medium lacks: 0 for [`Room::Enough`], and more for less room.
    shortage: AtomicU64,
    gate: Mutex<Gate>,
    /// Writers wait here for room.
    room: Condvar,
    /// The checkpoint thread waits here for work.
    work: Condvar,
}

#[derive(Default)]
struct Gate {
    /// How the last checkpoint ended: after a failure writers get an error instead of waiting.
    last: Checkpointed,
    wanted: bool,
    closed: bool,
    /// There is a checkpoint thread.
    served: bool,
}

/// How much room the medium has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Room {
    /// None but for what makes room.
    None,
    /// Enough for what has been accepted, and not for more.
    Scarce,
    /// Enough.
    Enough,
}

fn shortage(room: Room) -> u64 {
    Room::Enough as u64 - room as u64
}

/// What a change asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// Room on the medium.
    Room,
    /// The same for what takes the place of something else, also where room is scarce: a database
    /// that does not grow goes on. Who asks has seen to it that nothing is allocated there.
    Overwrite,
    /// The same, for bytes that the kernel has accepted from a program before: beyond the volume's
    /// limit and where room is scarce, if need be, before they are lost.
    Accepted,
    /// A record, and at most room that is kept for such: removals, truncation, attributes,
    /// renames. They go on when the medium is full, because they are what ends that, or what an
    /// fsync has the kernel do.
    Little,
}

/// How a checkpoint ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Checkpointed {
    /// Well; or there was none yet.
    #[default]
    Done,
    /// The medium was full.
    NoSpace,
    /// Well, but the journal stays full: volumes that cannot be sealed hold it.
    Held,
    /// It failed otherwise.
    Failed,
}

/// Why a writer was not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// The medium is full, and so is the memory for what it cannot take.
    NoSpace,
    /// The journal is full of records of volumes that cannot be sealed.
    JournalHeld,
    /// Checkpoints fail, or the thread that makes them is gone, and the memory for what they
    /// cannot write is used up.
    CheckpointFails,
    /// The pool is closing.
    Closed,
}

/// Why the checkpoint thread woke up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wake {
    /// Somebody asked.
    Wanted,
    /// Time passed.
    Timeout,
    /// The pool closes.
    Closed,
}

impl Admission {
    /// A gate with this cap in bytes.
    pub(crate) fn new(dirty_max: u64) -> Arc<Admission> {
        Arc::new(Admission {
            dirty: AtomicU64::new(0),
            dirty_max,
            shortage: AtomicU64::new(shortage(Room::Enough)),
            gate: Mutex::new(Gate::default()),
            room: Condvar::new(),
            work: Condvar::new(),
        })
    }

    /// Changed bytes in memory.
    pub(crate) fn dirty(&self) -> u64 {
        self.dirty.load(Ordering::Relaxed)
    }

    /// Whether [`Admission::enter`] would not wait at this moment.
    pub(crate) fn has_room(&self, (fill, capacity): (u64, u64)) -> bool {
        self.dirty() < self.dirty_max && Self::has_journal_room((fill, capacity))
    }

    /// Whether that would be so with a quarter of each limit more.
    pub(crate) fn has_ample_room(&self, (fill, capacity): (u64, u64)) -> bool {
        let dirty = self.dirty() + self.dirty_max / 4;
        dirty < self.dirty_max && Self::has_journal_room((fill + capacity / 4, capacity))
    }

    /// Whether the journal takes records of those who are not in yet. It is released by whole
    /// files, and its last part is for those who are in already and for the pool's own records.
    pub(crate) fn has_journal_room((fill, capacity): (u64, u64)) -> bool {
        fill < capacity / 4 * 3
    }

    /// From now on the medium has this much room.
    pub(crate) fn set_room(&self, room: Room) {
        if self.room() != room {
            self.shortage.store(shortage(room), Ordering::Relaxed);
            // The checkpoint thread looks for room more often while there is little.
            let _gate = self.gate.lock();
            self.work.notify_one();
        }
    }

    /// There is scarce room at most: none stays none, whatever is found out at the same time.
    pub(crate) fn limit_room(&self) {
        let scarce = shortage(Room::Scarce);
        if self.shortage.fetch_max(scarce, Ordering::Relaxed) < scarce {
            let _gate = self.gate.lock();
            self.work.notify_one();
        }
    }

    /// How much room the medium has, as was last seen.
    pub(crate) fn room(&self) -> Room {
        match self.shortage.load(Ordering::Relaxed) {
            0 => Room::Enough,
            1 => Room::Scarce,
            _ => Room::None,
        }
    }

    /// Waits until there is room under the cap and in the journal (`journal` tells fill and
    /// capacity): at most for one checkpoint, whose failure ends the waiting, as does the end of
    /// the thread that makes them. Never called with a lock held.
    pub(crate) fn enter(
        &self,
        need: Need,
        journal: impl Fn() -> (u64, u64),
    ) -> Result<(), Refusal> {
        let room_needed = match need {
            Need::Room => Room::Enough,
            Need::Overwrite | Need::Accepted => Room::Scarce,
            Need::Little => Room::None,
        };
        if self.room() < room_needed {
            return Err(Refusal::NoSpace);
        }
        let (fill, capacity) = journal();
        let dirty = self.dirty();
        let near = |used: u64, max: u64| used >= max / 100 * CHECKPOINT_PERCENT;
        if !near(dirty, self.dirty_max) && !near(fill, capacity) {
            return Ok(());
        }
        let mut gate = self.gate.lock();
        loop {
            self.want_checkpoint(&mut gate);
            if self.has_room(journal()) {
                return Ok(());
            }
            if gate.closed {
                return Err(Refusal::Closed);
            }
            let has_little = need == Need::Little && self.dirty() < self.dirty_max / 4 * 5;
            match gate.last {
                Checkpointed::Done if gate.served => {}
                // Whether the journal has room it says itself.
                _ if has_little => return Ok(()),
                Checkpointed::Held => return Err(Refusal::JournalHeld),
                Checkpointed::NoSpace => return Err(Refusal::NoSpace),
                Checkpointed::Failed | Checkpointed::Done => {
                    return Err(Refusal::CheckpointFails);
                }
            }
            self.room.wait(&mut gate);
        }
    }

    /// Asks for a checkpoint and does not wait for it. Returns whether there is a thread that
    /// makes them.
    pub(crate) fn ask_for_checkpoint(&self) -> bool {
        let mut gate = self.gate.lock();
        self.want_checkpoint(&mut gate);
        gate.served
    }

    fn want_checkpoint(&self, gate: &mut Gate) {
        // After a failure the thread tries again by itself, and not as often as it is asked to.
        if gate.last == Checkpointed::Done && !gate.wanted {
            gate.wanted = true;
            self.work.notify_one();
        }
    }

    /// Says that there is a checkpoint thread, until what is returned is dropped.
    pub(crate) fn serve(self: &Arc<Admission>) -> Serving {
        self.gate.lock().served = true;
        Serving(self.clone())
    }

    /// Where the checkpoint thread waits for work, at most `timeout`.
    pub(crate) fn wait_for_work(&self, timeout: std::time::Duration) -> Wake {
        let mut gate = self.gate.lock();
        if !gate.wanted && !gate.closed {
            self.work.wait_for(&mut gate, timeout);
        }
        if gate.closed {
            Wake::Closed
        } else if std::mem::take(&mut gate.wanted) {
            Wake::Wanted
        } else {
            Wake::Timeout
        }
    }

    /// A checkpoint ended.
    pub(crate) fn checkpointed(&self, how: Checkpointed) {
        self.gate.lock().last = how;
        self.room.notify_all();
    }

    /// No more work, no more waiting.
    pub(crate) fn close(&self) {
        self.gate.lock().closed = true;
        self.work.notify_all();
        self.room.notify_all();
    }
}

/// Held by the checkpoint thread: when it ends, also by a panic, nobody waits for it any more.
pub(crate) struct Serving(Arc<Admission>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.gate.lock().served = false;
        self.0.room.notify_all();
    }
}

/// Counted bytes; given back when dropped.
pub(crate) struct Charge {
    admission: Arc<Admission>,
    bytes: u64,
}

impl Charge {
    /// Nothing yet.
    pub(crate) fn new(admission: &Arc<Admission>) -> Charge {
        Charge {
            admission: admission.clone(),
            bytes: 0,
        }
    }

    /// The count.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Sets the count.
    pub(crate) fn set(&mut self, bytes: u64) {
        let dirty = &self.admission.dirty;
        if bytes >= self.bytes {
            dirty.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            dirty.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.set(0);
            #[cfg(test)]
            if is_sabotaged(Sabotage::RoomWithoutGate) {
                self.admission.room.notify_all();
                return;
            }
            // Under the gate's lock, so that a writer between its look and its wait is not missed.
            let _gate = self.admission.gate.lock();
            self.admission.room.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer above the cap waits until the charge is given back.
    #[test]
    fn a_writer_waits_for_room() {
        let admission = Admission::new(1000);
        let _serving = admission.serve();
        let mut charge = Charge::new(&admission);
        charge.set(1000);
        let waiter = std::thread::spawn({
            let admission = admission.clone();
            move || admission.enter(Need::Room, || (0, 1000))
        });
        assert_eq!(
            admission.wait_for_work(std::time::Duration::from_secs(60)),
            Wake::Wanted
        );
        assert!(!waiter.is_finished() && !admission.has_room((0, 1000)));
        drop(charge);
        assert_eq!(waiter.join().unwrap(), Ok(()));
        assert_eq!(admission.dirty(), 0);
    }

    /// A checkpoint thread that panics leaves no writer waiting.
    #[test]
    fn nobody_waits_for_a_thread_that_is_gone() {
        let admission = Admission::new(1000);
        let serving = admission.serve();
        let mut charge = Charge::new(&admission);
        charge.set(1000);
        let waiter = std::thread::spawn({
            let admission = admission.clone();
            move || admission.enter(Need::Room, || (0, 1000))
        });
        let checkpoints = std::thread::spawn({
            let admission = admission.clone();
            move || {
                let _serving = serving;
                admission.wait_for_work(std::time::Duration::from_secs(60));
                panic!("the checkpoint's own fault");
            }
        });
        assert!(checkpoints.join().is_err());
        assert_eq!(waiter.join().unwrap(), Err(Refusal::CheckpointFails));
        let little = admission.enter(Need::Little, || (0, 1000));
        assert_eq!(little, Ok(()), "what makes room goes on");
    }

    /// A full medium and a closing pool end the waiting with an error.
    #[test]
    fn waiting_ends_with_an_error_where_no_room_will_come() {
        let admission = Admission::new(1000);
        admission.checkpointed(Checkpointed::NoSpace);
        assert_eq!(
            admission.enter(Need::Room, || (990, 1000)),
            Err(Refusal::NoSpace)
        );
        admission.checkpointed(Checkpointed::Failed);
        assert_eq!(
            admission.enter(Need::Room, || (990, 1000)),
            Err(Refusal::CheckpointFails)
        );
        assert_eq!(admission.enter(Need::Room, || (600, 1000)), Ok(()));
        assert_eq!(admission.enter(Need::Little, || (990, 1000)), Ok(()));
        let mut charge = Charge::new(&admission);
        charge.set(1250);
        assert_eq!(
            admission.enter(Need::Little, || (0, 1000)),
            Err(Refusal::CheckpointFails)
        );
        drop(charge);
        let refused = [Need::Room, Need::Overwrite, Need::Little].map(|need| {
            [Room::None, Room::Scarce, Room::Enough].map(|room| {
                admission.set_room(room);
                admission.enter(need, || (0, 1000)) == Err(Refusal::NoSpace)
            })
        });
        let expected = [
            [true, true, false],
            [true, false, false],
            [false, false, false],
        ];
        assert_eq!(refused, expected);
        let limited = [Room::None, Room::Scarce, Room::Enough].map(|room| {
            admission.set_room(room);
            admission.limit_room();
            admission.room()
        });
        assert_eq!(limited, [Room::None, Room::Scarce, Room::Scarce]);
        admission.set_room(Room::Enough);
        admission.close();
        assert_eq!(
            admission.enter(Need::Room, || (990, 1000)),
            Err(Refusal::Closed)
        );
    }
}
