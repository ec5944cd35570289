//! Attributes that the kernel has cached and that writing has made wrong.
//!
//! With the writeback cache the kernel keeps sizes and times of regular files itself, but not
//! `st_blocks`: it shows what it was told last, and programs such as tar take a file with a size
//! and no blocks for one hole. So it is told to ask again: at once after the first write and after
//! a close, then once a second while writing goes on. From a thread of its own, because the kernel
//! may make a notification wait for the request that a reader is answering.
//!
//! Its times of a file are right but for direct writes: these go past it, and it believes nobody
//! else. When such a file is closed, the kernel is told to let go of the inode; whoever looks next
//! makes it ask for everything. An inode in use stays, and for a moment the closing itself uses it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::node::NodeId;

/// Between two rounds, unless a file is closed.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a request waits until the kernel has been told what it changed.
const TELL_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the kernel is told to let go of a node.
const DROPS_MAX: u32 = 4;

/// Nodes of which the kernel knows something wrong.
pub(crate) struct Refresher {
    state: Mutex<State>,
    changed: Condvar,
    /// A round has ended.
    told: Condvar,
}

#[derive(Default)]
struct State {
    /// Their block counts changed.
    nodes: HashSet<NodeId>,
    /// Written directly and closed: how often the kernel is still to be told.
    leaving: HashMap<NodeId, u32>,
    /// One of the nodes was closed, or somebody waits.
    is_urgent: bool,
    /// Rounds that have begun, and that have ended.
    begun: u64,
    ended: u64,
    has_ended: bool,
}

impl Refresher {
    pub(crate) fn new() -> Refresher {
        Refresher {
            state: Mutex::default(),
            changed: Condvar::new(),
            told: Condvar::new(),
        }
    }

    /// A node's blocks may have changed.
    pub(crate) fn written(&self, node: NodeId) {
        let mut state = self.state.lock();
        if state.nodes.insert(node) && state.nodes.len() == 1 {
            self.changed.notify_one();
        }
    }

    /// What the kernel knows of a node's blocks is wrong now, or will be with the next write.
    pub(crate) fn outdated(&self, node: NodeId) {
        let mut state = self.state.lock();
        state.nodes.insert(node);
        state.is_urgent = true;
        self.changed.notify_one();
    }

    /// A handle of the node was closed: what stat says now should be right.
    pub(crate) fn released(&self, node: NodeId, is_direct: bool) {
        let mut state = self.state.lock();
        if is_direct {
            state.leaving.insert(node, DROPS_MAX);
        }
        if is_direct || state.nodes.contains(&node) {
            state.is_urgent = true;
            self.changed.notify_one();
        }
    }

    /// A request has changed the node's mode, and its answer does not say so. Returns when the
    /// kernel knows that it has to ask, or after a while.
    pub(crate) fn tell(&self, node: NodeId) {
        let deadline = Instant::now() + TELL_TIMEOUT;
        let mut state = self.state.lock();
        state.nodes.insert(node);
        state.is_urgent = true;
        self.changed.notify_one();
        let round = state.begun + 1;
        while state.ended < round && !state.has_ended {
            if self.told.wait_until(&mut state, deadline).timed_out() {
                log::warn!("the kernel was not told in time that {node:?} has changed");
                return;
            }
        }
    }

    /// The session has ended.
    pub(crate) fn end(&self) {
        self.state.lock().has_ended = true;
        self.changed.notify_one();
        self.told.notify_all();
    }

    /// Calls `forget_attributes` for every node that was written, and `drop_unused` for those that
    /// were written directly, until it is done with them, until the session ends.
    pub(crate) fn run(
        &self,
        forget_attributes: impl Fn(NodeId),
        drop_unused: impl Fn(NodeId) -> bool,
    ) {
        let mut state = self.state.lock();
        loop {
            while state.nodes.is_empty() && state.leaving.is_empty() && !state.has_ended {
                self.changed.wait(&mut state);
            }
            if state.has_ended {
                return;
            }
            let nodes = std::mem::take(&mut state.nodes);
            let mut leaving = std::mem::take(&mut state.leaving);
            state.is_urgent = false;
            state.begun += 1;
            drop(state);
            nodes.into_iter().for_each(&forget_attributes);
            leaving.retain(|node, left| {
                *left -= 1;
                !drop_unused(*node) && *left > 0
            });
            let next = Instant::now() + PAUSE;
            state = self.state.lock();
            state.ended = state.begun;
            self.told.notify_all();
            for (node, left) in leaving {
                state.leaving.entry(node).or_insert(left);
            }
            while !state.is_urgent && !state.has_ended {
                if self.changed.wait_until(&mut state, next).timed_out() {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::base::Ino;

    /// The first write is told at once, a close is told at once, and the end ends the thread.
    #[test]
    fn first_writes_and_closes_are_told_at_once() {
        let refresher = Arc::new(Refresher::new());
        let (told, tells) = channel();
        let thread = std::thread::spawn({
            let refresher = refresher.clone();
            move || refresher.run(|node| told.send(node).unwrap(), |_| true)
        });
        let (a, b) = (NodeId::new(0, Ino(20)), NodeId::new(0, Ino(21)));
        let soon = PAUSE * 30;
        refresher.written(a);
        assert_eq!(tells.recv_timeout(soon), Ok(a));
        refresher.written(b);
        refresher.released(b, false);
        assert_eq!(tells.recv_timeout(soon), Ok(b));
        refresher.outdated(a);
        assert_eq!(tells.recv_timeout(soon), Ok(a));
        refresher.end();
        thread.join().unwrap();
        assert!(tells.recv().is_err());
    }

    /// Whoever tells of a node goes on when the kernel has been told, also in the midst of a pause.
    #[test]
    fn telling_waits_until_the_kernel_knows() {
        let refresher = Arc::new(Refresher::new());
        let (told, tells) = channel();
        let thread = std::thread::spawn({
            let refresher = refresher.clone();
            move || refresher.run(|node| told.send(node).unwrap(), |_| true)
        });
        for number in 20..40 {
            let node = NodeId::new(0, Ino(number));
            refresher.tell(node);
            assert_eq!(tells.try_recv(), Ok(node));
        }
        refresher.end();
        refresher.tell(NodeId::new(0, Ino(20)));
        thread.join().unwrap();
    }

    /// A node that was written directly is dropped when it is closed, and again while the kernel
    /// keeps it, but not for ever.
    #[test]
    fn direct_writers_are_dropped_when_closed() {
        let refresher = Arc::new(Refresher::new());
        let (told, tells) = channel();
        let stubborn = NodeId::new(0, Ino(20));
        let thread = std::thread::spawn({
            let refresher = refresher.clone();
            let drop_unused = move |node| {
                told.send(node).unwrap();
                node != stubborn
            };
            move || refresher.run(|_| (), drop_unused)
        });
        let other = NodeId::new(0, Ino(21));
        refresher.released(other, true);
        assert_eq!(tells.recv_timeout(PAUSE * 30), Ok(other));
        refresher.released(stubborn, true);
        for _ in 0..DROPS_MAX {
            assert_eq!(tells.recv_timeout(PAUSE * 30), Ok(stubborn));
        }
        assert!(tells.recv_timeout(PAUSE + PAUSE / 2).is_err());
        refresher.end();
        thread.join().unwrap();
    }
}
