//! Nodes in memory, for tests.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::error::{TreeError, TreeResult};
use super::node::Node;
use super::store::{NodeStore, verified};
use crate::base::{Place, Pointer, SegmentId};

/// Keeps the encoded nodes in a map by place, and counts what is asked for.
#[derive(Default)]
pub(crate) struct MemoryNodes {
    payloads: Mutex<HashMap<Place, Vec<u8>>>,
    reads: AtomicU64,
    writes: AtomicU64,
}

impl MemoryNodes {
    /// Reads and writes since the last call.
    pub(crate) fn take_counts(&self) -> (u64, u64) {
        (
            self.reads.swap(0, Ordering::Relaxed),
            self.writes.swap(0, Ordering::Relaxed),
        )
    }

    /// Changes the stored bytes of a node.
    pub(crate) fn damage(&self, place: &Place, damage: impl FnOnce(&mut Vec<u8>)) {
        damage(
            self.payloads
                .lock()
                .get_mut(place)
                .expect("a node lies there"),
        );
    }
}

impl NodeStore for MemoryNodes {
    fn read_node(&self, node: &Pointer, expected_height: u8) -> TreeResult<Arc<Node>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        match self.payloads.lock().get(&node.place) {
            Some(payload) => verified(node, expected_height, payload).map(Arc::new),
            None => Err(TreeError::invalid(node, "nothing is stored there".into())),
        }
    }

    fn read_node_uncached(&self, node: &Pointer, expected_height: u8) -> TreeResult<Arc<Node>> {
        self.read_node(node, expected_height)
    }

    fn write_node(&self, node: Node) -> TreeResult<Pointer> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let (id, payload) = node.encode();
        let mut payloads = self.payloads.lock();
        let segment = SegmentId(payloads.len() as u64 + 1);
        let place = Place {
            segment,
            offset: 64,
            len: payload.len() as u32,
        };
        payloads.insert(place, payload);
        Ok(Pointer { id, place })
    }
}
