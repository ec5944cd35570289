//! What goes along with long work: progress, its end before time, and a limit on the bytes read.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::sync::Mutex;

use crate::base::pace::Pace;
use crate::base::progress::Progress;
use crate::base::{Clock, Place, Pointer, SegmentId};
use crate::block::{BlockError, BlockStore, SegmentFindings};
use crate::tree::{Node, NodeStore, TreeResult};

/// Records between two reports.
const REPORT_RECORDS: u64 = 256;
/// A wait for the rate is cut into pieces of this length, so that it can be broken off.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Watches over some long work, which may go on in several places.
pub(super) struct Watch<'a> {
    progress: &'a dyn Progress,
    clock: Arc<dyn Clock>,
    pace: Mutex<Pace>,
    done: AtomicU64,
    total: u64,
    is_over: AtomicBool,
}

impl<'a> Watch<'a> {
    /// Over the work on about `total` records.
    pub(super) fn new(
        progress: &'a dyn Progress,
        clock: Arc<dyn Clock>,
        bytes_per_second: u64,
        total: u64,
    ) -> Watch<'a> {
        Watch {
            progress,
            clock,
            pace: Mutex::new(Pace::new(bytes_per_second)),
            done: AtomicU64::new(0),
            total,
            is_over: AtomicBool::new(false),
        }
    }

    /// `records` are done.
    pub(super) fn done(&self, records: u64) {
        let before = self.done.fetch_add(records, Ordering::Relaxed);
        let done = before + records;
        if before / REPORT_RECORDS != done / REPORT_RECORDS {
            self.progress.update(done, self.total.max(done));
        }
    }

    /// `bytes` were read; waits as the rate demands. Break: the work ends.
    pub(super) fn read(&self, bytes: u64) -> ControlFlow<()> {
        let wait = self.pace.lock().spend(bytes, self.clock.monotonic());
        let until = self.clock.monotonic() + wait;
        while !self.is_over() {
            let rest = until.saturating_sub(self.clock.monotonic());
            if rest.is_zero() {
                return ControlFlow::Continue(());
            }
            std::thread::sleep(rest.min(WAIT_MAX));
        }
        ControlFlow::Break(())
    }

    /// Whether the work was broken off.
    pub(super) fn is_over(&self) -> bool {
        if self.progress.is_cancelled() {
            self.is_over.store(true, Ordering::Relaxed);
        }
        self.is_over.load(Ordering::Relaxed)
    }
}

/// Nodes that are read under a watch; once the work is broken off, none can be read any more.
pub(super) struct WatchedNodes<'a> {
    pub(super) nodes: &'a dyn NodeStore,
    pub(super) watch: &'a Watch<'a>,
}

impl WatchedNodes<'_> {
    fn watched(
        &self,
        node: &Pointer,
        read: impl FnOnce() -> TreeResult<Arc<Node>>,
    ) -> TreeResult<Arc<Node>> {
        if self.watch.read(u64::from(node.place.len)).is_break() {
            return Err(BlockError::Closed.into());
        }
        read()
    }
}

impl NodeStore for WatchedNodes<'_> {
    fn read_node(&self, node: &Pointer, expected_height: u8) -> TreeResult<Arc<Node>> {
        self.watched(node, || self.nodes.read_node(node, expected_height))
    }

    fn read_node_uncached(&self, node: &Pointer, expected_height: u8) -> TreeResult<Arc<Node>> {
        self.watched(node, || {
            self.nodes.read_node_uncached(node, expected_height)
        })
    }

    fn write_node(&self, node: Node) -> TreeResult<Pointer> {
        self.nodes.write_node(node)
    }
}

/// Nodes as they lie at the places that trees name: readers are served from a healthy copy where
/// there is one, and would never see what there is to heal.
pub(super) struct PlacedNodes<'a> {
    pub(super) nodes: &'a WatchedNodes<'a>,
    pub(super) store: &'a BlockStore,
    /// What was found in segments that were read to the last byte.
    pub(super) findings: Option<&'a HashMap<SegmentId, SegmentFindings>>,
    /// Where frames lie that were healed.
    pub(super) healed: &'a HashSet<(SegmentId, u32)>,
}

impl PlacedNodes<'_> {
    /// Whether a node need not be read at its place.
    fn is_known(&self, node: &Pointer) -> bool {
        let Place {
            segment, offset, ..
        } = node.place;
        let findings = self.findings.and_then(|findings| findings.get(&segment));
        findings.is_some_and(|findings| findings.holds(node))
            || self.healed.contains(&(segment, offset))
    }
}

impl NodeStore for PlacedNodes<'_> {
    fn read_node(&self, node: &Pointer, expected_height: u8) -> TreeResult<Arc<Node>> {
        self.nodes.read_node(node, expected_height)
    }

    fn read_node_uncached(&self, node: &Pointer, expected_height: u8) -> TreeResult<Arc<Node>> {
        if !self.is_known(node) {
            self.store.verify(node)?;
        }
        self.nodes.read_node_uncached(node, expected_height)
    }

    fn write_node(&self, node: Node) -> TreeResult<Pointer> {
        self.nodes.write_node(node)
    }
}
