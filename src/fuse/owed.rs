//! Changed times that the kernel has yet to tell.
//!
//! With the writeback cache the kernel sets the ctime of a regular file itself when the file is
//! renamed, linked or unlinked, or given an attribute, and tells it in a SETATTR right behind the
//! answer. If the process is killed in between, nobody ever reads that SETATTR, and the kernel
//! keeps the interruption as a failed write-out of the file (`fuse_flush_time_update` in Linux
//! 6.18): the next close(2) of the file fails with EIO and the next fsync(2) with EINTR, which a
//! database that starts again after its death takes for a broken disk. docs/decisions/0008 has how
//! often.
//!
//! The kernel forgets the failure together with the inode. So each such change is noted as owed
//! until its SETATTR comes. What is owed for too long belongs to the dead: the kernel is asked to
//! let go of the inode, which is in nobody's use then. Whoever opens the file before that waits,
//! and is sent to look its name up again, for a new inode.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::node::NodeId;

/// The kernel sends the SETATTR as soon as it has the answer. Late ones do no harm: an inode in use
/// stays, and any other can be looked up again.
const GRACE: Duration = Duration::from_millis(20);

/// How often the kernel is asked, `GRACE` apart, to let go of an inode: somebody may be about to
/// open it.
const ASKED_MAX: u32 = 50;

/// The only name that a path can have led to the file by, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) folder: NodeId,
    pub(crate) name: Box<[u8]>,
}

/// How an opening that found its file's times owed goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// They were told.
    Told,
    /// They never will be, and the kernel holds a failure against the inode.
    Lost(Place),
}

struct Debt {
    changes: u32,
    since: Instant,
    asked: u32,
    place: Option<Place>,
}

#[derive(Default)]
struct State {
    debts: HashMap<NodeId, Debt>,
    /// The kernel was told that writing to these failed, and has to tell whoever asks next.
    failed: HashSet<NodeId>,
    /// The collector waits for the first debt.
    is_idle: bool,
    has_ended: bool,
}

impl State {
    /// Nodes whose times will not come, but for those that the kernel was asked for too often.
    fn lost(&mut self, now: Instant) -> Vec<NodeId> {
        let mut lost = Vec::new();
        self.debts.retain(|node, debt| {
            if debt.since + GRACE <= now {
                lost.push(*node);
                debt.asked += 1;
            }
            debt.asked < ASKED_MAX
        });
        lost
    }
}

/// Nodes whose times are owed.
pub(crate) struct OwedTimes {
    /// The kernel keeps times itself.
    is_kept: bool,
    state: Mutex<State>,
    /// Something for the collector, which sleeps.
    woken: Condvar,
    /// Something for who waits until a node's times are told.
    settled: Condvar,
}

impl OwedTimes {
    /// `is_kept`: the kernel keeps the times of regular files itself, and can let go of one inode.
    pub(crate) fn new(is_kept: bool) -> OwedTimes {
        OwedTimes {
            is_kept,
            state: Mutex::default(),
            woken: Condvar::new(),
            settled: Condvar::new(),
        }
    }

    /// Whether any times are ever owed.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// A regular file was changed, and the answer goes out next. `place`: where it was moved to.
    pub(crate) fn changed(&self, node: NodeId, place: Option<Place>) {
        let mut state = self.state.lock();
        if state.has_ended || state.failed.contains(&node) {
            return;
        }
        let debt = state.debts.entry(node).or_insert(Debt {
            changes: 0,
            since: Instant::now(),
            asked: 0,
            place: None,
        });
        debt.changes += 1;
        (debt.since, debt.asked) = (Instant::now(), 0);
        if place.is_some() {
            debt.place = place;
        }
        if state.is_idle {
            self.woken.notify_one();
        }
    }

    /// The kernel has told the times of a file.
    pub(crate) fn told(&self, node: NodeId) {
        let mut state = self.state.lock();
        let Some(debt) = state.debts.get_mut(&node) else {
            return;
        };
        debt.changes -= 1;
        if debt.changes == 0 {
            state.debts.remove(&node);
            self.settled.notify_all();
        }
    }

    /// A write to the file has failed: that must not be forgotten.
    pub(crate) fn failed(&self, node: NodeId) {
        let mut state = self.state.lock();
        state.failed.insert(node);
        state.debts.remove(&node);
        self.settled.notify_all();
    }

    /// The kernel has let go of the node, and of whatever it held against it.
    pub(crate) fn forgotten(&self, node: NodeId) {
        let mut state = self.state.lock();
        state.failed.remove(&node);
    }

    /// Whether an opening should [`settle`](Self::settle) before.
    pub(crate) fn is_owed(&self, node: NodeId) -> bool {
        let state = self.state.lock();
        let debt = state.debts.get(&node);
        debt.is_some_and(|debt| debt.place.is_some())
    }

    /// Waits until a node's times are told, or lost. Never on a reader: it may be the one that the
    /// SETATTR needs.
    pub(crate) fn settle(&self, node: NodeId) -> Outcome {
        let mut state = self.state.lock();
        loop {
            let debt = state.debts.get_mut(&node);
            let Some((debt, place)) = debt.and_then(|debt| Some((debt.since, debt.place.clone()?)))
            else {
                return Outcome::Told;
            };
            let deadline = debt + GRACE;
            if deadline <= Instant::now() {
                state.debts.remove(&node);
                return Outcome::Lost(place);
            }
            self.settled.wait_until(&mut state, deadline);
        }
    }

    /// Calls `let_go` for every node whose times were lost, until it says that the kernel no longer
    /// knows the node, until the session ends.
    pub(crate) fn run(&self, let_go: impl Fn(NodeId) -> bool) {
        let mut state = self.state.lock();
        while !state.has_ended {
            if state.debts.is_empty() {
                state.is_idle = true;
                self.woken.wait(&mut state);
                state.is_idle = false;
                continue;
            }
            let round_ends = Instant::now() + GRACE;
            while !state.has_ended && Instant::now() < round_ends {
                self.woken.wait_until(&mut state, round_ends);
            }
            let lost = state.lost(Instant::now());
            drop(state);
            // Meanwhile they stay owed: whoever opens one now must not get what the kernel holds.
            let gone: Vec<NodeId> = lost.into_iter().filter(|node| let_go(*node)).collect();
            state = self.state.lock();
            for node in gone {
                state.debts.remove(&node);
            }
        }
    }

    /// The session has ended.
    pub(crate) fn end(&self) {
        self.state.lock().has_ended = true;
        self.woken.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::base::Ino;

    fn node(number: u64) -> NodeId {
        NodeId::new(0, Ino(number))
    }

    fn place(name: &[u8]) -> Place {
        Place {
            folder: node(2),
            name: name.into(),
        }
    }

    /// As many changes as there were are told before nothing is owed any more.
    #[test]
    fn every_change_is_told_once() {
        let owed = OwedTimes::new(true);
        owed.changed(node(20), Some(place(b"a")));
        owed.changed(node(20), None);
        owed.changed(node(21), None);
        owed.told(node(20));
        assert!(owed.is_owed(node(20)));
        assert!(!owed.is_owed(node(21)), "nobody could be sent anywhere");
        owed.told(node(20));
        assert!(!owed.is_owed(node(20)));
        owed.told(node(20));
        assert_eq!(owed.settle(node(20)), Outcome::Told);
    }

    /// An opening waits for times that come, and learns the last name of a file whose times do not.
    #[test]
    fn an_opening_waits_for_what_is_owed() {
        let owed = Arc::new(OwedTimes::new(true));
        owed.changed(node(20), Some(place(b"a")));
        // However long it takes until they are told here.
        if let Some(debt) = owed.state.lock().debts.get_mut(&node(20)) {
            debt.since += GRACE * 3000;
        }
        let opening = std::thread::spawn({
            let owed = owed.clone();
            move || owed.settle(node(20))
        });
        owed.told(node(20));
        assert_eq!(opening.join().unwrap(), Outcome::Told);

        owed.changed(node(20), Some(place(b"b")));
        owed.changed(node(20), None);
        owed.told(node(20));
        assert_eq!(owed.settle(node(20)), Outcome::Lost(place(b"b")));
        assert!(!owed.is_owed(node(20)));
    }

    /// A file to which writing has failed keeps what the kernel holds against it, until the kernel
    /// itself forgets.
    #[test]
    fn failed_writes_are_not_forgotten() {
        let owed = OwedTimes::new(true);
        let moved = || owed.changed(node(20), Some(place(b"a")));
        moved();
        owed.failed(node(20));
        assert!(!owed.is_owed(node(20)));
        moved();
        assert!(!owed.is_owed(node(20)));
        owed.forgotten(node(20));
        moved();
        assert!(owed.is_owed(node(20)));
    }

    /// The kernel is not asked for ever for an inode that it keeps, and not before its time.
    #[test]
    fn inodes_in_use_are_given_up() {
        let owed = OwedTimes::new(true);
        let before = Instant::now();
        owed.changed(node(22), Some(place(b"a")));
        assert_eq!(owed.state.lock().lost(before), []);
        let later = Instant::now() + GRACE;
        for asked in 1..=ASKED_MAX {
            assert_eq!(owed.state.lock().lost(later), [node(22)]);
            assert_eq!(owed.is_owed(node(22)), asked < ASKED_MAX);
        }
        assert_eq!(owed.state.lock().lost(later), []);
    }

    /// The collector asks for the inodes of the dead alone, and again until they are gone; it ends
    /// with the session.
    #[test]
    fn inodes_of_the_dead_are_let_go() {
        let owed = Arc::new(OwedTimes::new(true));
        let (let_go, seen) = channel();
        let kept = node(22);
        owed.changed(node(20), None);
        owed.changed(node(21), None);
        owed.told(node(21));
        let collector = std::thread::spawn({
            let owed = owed.clone();
            move || {
                owed.run(|node| {
                    let_go.send(node).unwrap();
                    node != kept
                })
            }
        });
        assert_eq!(seen.recv_timeout(GRACE * 500), Ok(node(20)));
        owed.changed(kept, None);
        for _ in 0..ASKED_MAX {
            assert_eq!(seen.recv_timeout(GRACE * 500), Ok(kept));
        }
        owed.changed(node(23), None);
        let next = seen.recv_timeout(GRACE * 500);
        assert_eq!(next, Ok(node(23)), "asked too often");
        owed.end();
        collector.join().unwrap();
        assert!(seen.recv().is_err());
    }
}
