//! Cutting the entries of a node that became too large.

use std::ops::Range;

use crate::base::Key;
use crate::tree::codec::HEADER_BYTES;
use crate::tree::node::Node;

/// How large nodes may become.
#[derive(Clone, Copy, Debug)]
pub(in crate::tree) struct NodeLimits {
    bytes_max: usize,
}

impl NodeLimits {
    /// What pools use: 16 KiB, some 300 block pointers.
    pub(in crate::tree) const DEFAULT: NodeLimits = NodeLimits::new(16 * 1024);

    /// Nodes of at most `bytes_max` encoded bytes; a leaf with a single value may be larger.
    pub(in crate::tree) const fn new(bytes_max: usize) -> NodeLimits {
        // Else an internal node could not hold enough children for the tree to end.
        assert!(bytes_max >= 256);
        NodeLimits { bytes_max }
    }

    /// How full nodes are left where more is being appended.
    pub(super) fn fill_bytes(self) -> usize {
        self.bytes_max / 10 * 9
    }

    /// Below this a node that shrank is joined with a neighbour.
    pub(super) fn underfull_bytes(self) -> usize {
        self.bytes_max / 4
    }
}

/// Which entries of a node were not there before: enough to tell an append from scattered
/// insertions.
#[derive(Default, Debug)]
pub(super) struct Fresh {
    first: usize,
    end: usize,
    count: usize,
}

impl Fresh {
    /// Entries `0..count` are new.
    pub(super) fn all(count: usize) -> Fresh {
        Fresh {
            first: 0,
            end: count,
            count,
        }
    }

    /// The entry at this index, behind all that were noted before, is new.
    pub(super) fn note(&mut self, at: usize) {
        if self.count == 0 {
            self.first = at;
        }
        self.end = at + 1;
        self.count += 1;
    }

    /// Whether no entry is new.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The end of the new entries, if they stand together at the end of the node or of their
    /// owner and kind (the block pointers of a growing file, say): more will follow there.
    fn append_end(&self, keys: &[Key]) -> Option<usize> {
        if self.is_empty() || self.end - self.first != self.count {
            return None;
        }
        let last = keys.get(self.end - 1)?;
        let is_end = keys
            .get(self.end)
            .is_none_or(|next| (next.owner(), next.kind()) != (last.owner(), last.kind()));
        is_end.then_some(self.end)
    }
}

/// The node itself if it is not too large, else several: filled well up to the end of an append,
/// else about equal, so that each has room for what comes next.
pub(super) fn split(node: Node, fresh: &Fresh, limits: NodeLimits) -> Vec<Node> {
    if node.payload_bytes() <= limits.bytes_max {
        return vec![node];
    }
    let starts = match fresh.append_end(node.keys()) {
        Some(end) => append_cuts(&node, end, limits),
        None => even_cuts(&node, 0, limits),
    };
    node.cut(&starts)
}

/// Cuts for a node whose entries before `end` will go on to grow there.
fn append_cuts(node: &Node, end: usize, limits: NodeLimits) -> Vec<usize> {
    let len = node.len();
    let tail = node.run_bytes(end, len);
    if tail < limits.underfull_bytes() {
        return cuts(node, 0..len, limits.fill_bytes(), usize::MAX, limits);
    }
    if node.payload_bytes() - tail < limits.underfull_bytes() {
        return even_cuts(node, 0, limits);
    }
    let mut starts = cuts(node, 0..end, limits.fill_bytes(), usize::MAX, limits);
    let last = starts.last().copied().unwrap_or(0);
    if HEADER_BYTES + node.run_bytes(last, len) > limits.fill_bytes() {
        starts.push(end);
        starts.extend(even_cuts(node, end, limits));
    }
    starts
}

/// Cuts that make nodes of about equal size of the entries from `from` on.
fn even_cuts(node: &Node, from: usize, limits: NodeLimits) -> Vec<usize> {
    let bytes = HEADER_BYTES + node.run_bytes(from, node.len());
    if bytes <= limits.bytes_max {
        return Vec::new();
    }
    let pieces = bytes.div_ceil(limits.fill_bytes());
    cuts(node, from..node.len(), bytes / pieces, pieces, limits)
}

/// Cuts within a range of entries: a node ends once it has `target` bytes, except for the last of
/// `pieces`, or when the next entry would make it too large.
fn cuts(
    node: &Node,
    entries: Range<usize>,
    target: usize,
    pieces: usize,
    limits: NodeLimits,
) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut bytes = HEADER_BYTES;
    for at in entries {
        let is_first = bytes == HEADER_BYTES;
        let entry = node.entry_bytes(at, is_first);
        let is_full = bytes >= target && starts.len() + 1 < pieces;
        if !is_first && (is_full || bytes + entry > limits.bytes_max) {
            starts.push(at);
            bytes = HEADER_BYTES + node.entry_bytes(at, true);
        } else {
            bytes += entry;
        }
    }
    starts
}
