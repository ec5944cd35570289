//! One node in memory: sorted keys beside values (a leaf) or children (an internal node).

use std::mem::size_of;

use super::codec::{self, HEADER_BYTES};
use super::values::Values;
use crate::base::{Key, Pointer, ValueRef};

/// A decoded node. Keys are sorted and unique; a node that is stored is never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    height: u8,
    keys: Vec<Key>,
    body: Body,
    /// Encoded length in bytes, places included.
    payload_bytes: usize,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Body {
    Leaf(Values),
    Internal(Vec<Pointer>),
}

impl Node {
    /// A leaf: one value for each key.
    pub(super) fn leaf(keys: Vec<Key>, values: impl Into<Values>) -> Node {
        let values = values.into();
        debug_assert_eq!(keys.len(), values.len());
        Node::measured(0, keys, Body::Leaf(values))
    }

    /// An internal node: each key is the first key of the child beside it.
    pub(super) fn internal(height: u8, keys: Vec<Key>, children: Vec<Pointer>) -> Node {
        debug_assert_eq!(keys.len(), children.len());
        debug_assert!(height > 0);
        Node::measured(height, keys, Body::Internal(children))
    }

    fn measured(height: u8, mut keys: Vec<Key>, mut body: Body) -> Node {
        // Caches keep nodes: what was reserved for more entries must not stay with them.
        keys.shrink_to_fit();
        match &mut body {
            Body::Leaf(values) => values.shrink(),
            Body::Internal(children) => children.shrink_to_fit(),
        }
        let mut node = Node {
            height,
            keys,
            body,
            payload_bytes: 0,
        };
        node.payload_bytes = HEADER_BYTES + node.run_bytes(0, node.len());
        node
    }

    /// Levels below this node; 0: a leaf.
    pub fn height(&self) -> u8 {
        self.height
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no entry, which no stored node is.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys of a leaf, or the first key of each child of an internal node.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The values of a leaf, one for each key; nothing for an internal node.
    pub fn values(&self) -> impl Iterator<Item = ValueRef<'_>> {
        let values = match &self.body {
            Body::Leaf(values) => Some(values),
            Body::Internal(_) => None,
        };
        values.into_iter().flat_map(Values::iter)
    }

    /// The value beside the key at this index of a leaf.
    ///
    /// Panics when there is none: behind the last one, and in an internal node.
    pub fn value(&self, at: usize) -> ValueRef<'_> {
        match &self.body {
            Body::Leaf(values) => values.get(at),
            Body::Internal(_) => panic!("only a leaf has values"),
        }
    }

    /// The children of an internal node, one for each key; nothing for a leaf.
    pub fn children(&self) -> &[Pointer] {
        match &self.body {
            Body::Leaf(_) => &[],
            Body::Internal(children) => children,
        }
    }

    /// Encoded length in bytes, places included.
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// Memory that the node holds, in bytes: what a cache counts.
    pub fn memory_bytes(&self) -> usize {
        let body = match &self.body {
            Body::Leaf(values) => values.memory_bytes(),
            Body::Internal(children) => children.capacity() * size_of::<Pointer>(),
        };
        size_of::<Node>() + self.keys.capacity() * size_of::<Key>() + body
    }

    /// Index of the child whose subtree holds the key, if any does: the last one that starts at
    /// or before it. Keys below all children belong to the first one.
    pub(super) fn child_index(&self, key: &Key) -> usize {
        self.keys
            .partition_point(|first| first <= key)
            .saturating_sub(1)
    }

    /// Encoded bytes of entries `from..to` in a node in which they are the first.
    pub(super) fn run_bytes(&self, from: usize, to: usize) -> usize {
        (from..to).map(|at| self.entry_bytes(at, at == from)).sum()
    }

    /// Encoded bytes of one entry, place included; the first entry of a node shares no prefix.
    pub(super) fn entry_bytes(&self, at: usize, is_first: bool) -> usize {
        let previous = if is_first {
            None
        } else {
            self.keys.get(at.wrapping_sub(1))
        };
        codec::key_bytes(previous, &self.keys[at])
            + match &self.body {
                Body::Leaf(values) => codec::value_bytes(values.get(at)),
                Body::Internal(_) => codec::CHILD_BYTES,
            }
    }

    /// The node with the entries of `self` and then those of `right`, which all lie behind.
    pub(super) fn joined(&self, right: &Node) -> Node {
        let keys = [self.keys.as_slice(), right.keys.as_slice()].concat();
        let body = match (&self.body, &right.body) {
            (Body::Leaf(left), Body::Leaf(right)) => Body::Leaf(left.joined(right)),
            _ => Body::Internal([self.children(), right.children()].concat()),
        };
        Node::measured(self.height, keys, body)
    }

    /// Encoded bytes of [`Node::joined`].
    pub(super) fn joined_bytes(&self, right: &Node) -> usize {
        let saved = match (self.keys.last(), right.keys.first()) {
            (Some(last), Some(first)) => codec::shared_prefix(last, first),
            _ => 0,
        };
        self.payload_bytes + right.payload_bytes - HEADER_BYTES - saved
    }

    /// Cuts the node into several: a new one starts at each index of `starts` (ascending).
    pub(super) fn cut(self, starts: &[usize]) -> Vec<Node> {
        let ends = starts.iter().copied().chain([self.len()]);
        let mut first = 0;
        ends.map(|end| {
            let part = first..end;
            first = end;
            let body = match &self.body {
                Body::Leaf(values) => Body::Leaf(values.range(part.start, part.end)),
                Body::Internal(children) => Body::Internal(children[part.clone()].to_vec()),
            };
            Node::measured(self.height, self.keys[part].to_vec(), body)
        })
        .collect()
    }
}
