//! Block counts that the kernel has cached and that writing has made wrong.
//!
//! With the writeback cache the kernel keeps sizes and times of regular files itself, but not
//! `st_blocks`: it shows what it was told last, and programs such as tar take a file with a size
//! and no blocks for one hole. So it is told to ask again: at once after the first write and after
//! a close, then once a second while writing goes on. From a thread of its own, because the kernel
//! may make a notification wait for the request that a reader is answering.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::node::NodeId;

/// Between two rounds, unless a file is closed.
const PAUSE: Duration = Duration::from_secs(1);

/// Nodes whose block counts changed since the kernel was told.
pub(crate) struct Refresher {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    nodes: HashSet<NodeId>,
    /// One of the nodes was closed.
    is_urgent: bool,
    has_ended: bool,
}

impl Refresher {
    pub(crate) fn new() -> Refresher {
        Refresher {
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// A node's blocks may have changed.
    pub(crate) fn written(&self, node: NodeId) {
        let mut state = self.state.lock();
        if state.nodes.insert(node) && state.nodes.len() == 1 {
            self.changed.notify_one();
        }
    }

    /// A handle of the node was closed: what stat says now should be right.
    pub(crate) fn released(&self, node: NodeId) {
        let mut state = self.state.lock();
        if state.nodes.contains(&node) {
            state.is_urgent = true;
            self.changed.notify_one();
        }
    }

    /// The session has ended.
    pub(crate) fn end(&self) {
        self.state.lock().has_ended = true;
        self.changed.notify_one();
    }

    /// Calls `forget_attributes` for every node that was written, until the session ends.
    pub(crate) fn run(&self, forget_attributes: impl Fn(NodeId)) {
        let mut state = self.state.lock();
        loop {
            while state.nodes.is_empty() && !state.has_ended {
                self.changed.wait(&mut state);
            }
            if state.has_ended {
                return;
            }
            let nodes = std::mem::take(&mut state.nodes);
            state.is_urgent = false;
            drop(state);
            nodes.into_iter().for_each(&forget_attributes);
            let next = Instant::now() + PAUSE;
            state = self.state.lock();
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
            move || refresher.run(|node| told.send(node).unwrap())
        });
        let (a, b) = (NodeId::new(0, Ino(20)), NodeId::new(0, Ino(21)));
        let soon = PAUSE * 30;
        refresher.written(a);
        assert_eq!(tells.recv_timeout(soon), Ok(a));
        refresher.written(b);
        refresher.released(b);
        assert_eq!(tells.recv_timeout(soon), Ok(b));
        refresher.end();
        thread.join().unwrap();
        assert!(tells.recv().is_err());
    }
}
