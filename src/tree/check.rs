//! Verifies a whole tree.

use super::error::TreeError;
use super::root::TreeRoot;
use super::store::NodeStore;
use crate::base::{Key, Pointer, Value};

/// A node that is not what its parent, or the root, says.
#[derive(Debug)]
pub struct BadNode {
    /// The node as its parent names it.
    pub node: Pointer,
    /// Levels below it; 0: a leaf.
    pub height: u8,
    /// Its first key, as its parent says; none: the tree's first.
    pub first: Option<Key>,
    /// Where the next node starts; none: nothing comes behind it.
    pub end: Option<Key>,
    /// Whether everything below it is out of reach; otherwise it was walked all the same.
    pub is_lost: bool,
    /// What is wrong.
    pub error: TreeError,
}

/// Walks the whole tree past the node cache, verifies every node (bytes, id, height, order, not
/// empty) and its bounds within its parent, and calls `leaf` for each entry, in order. A subtree
/// that cannot be read is reported and skipped; one with wrong bounds is reported and walked.
pub fn check(
    nodes: &dyn NodeStore,
    root: Option<&TreeRoot>,
    leaf: &mut dyn FnMut(&Key, &Value),
    violation: &mut dyn FnMut(BadNode),
) {
    if let Some(root) = root {
        Checker {
            nodes,
            leaf,
            violation,
        }
        .walk(&root.node, root.height, None, None);
    }
}

struct Checker<'a> {
    nodes: &'a dyn NodeStore,
    leaf: &'a mut dyn FnMut(&Key, &Value),
    violation: &'a mut dyn FnMut(BadNode),
}

impl Checker<'_> {
    /// Walks a subtree that must start at `first` and end before `end`, where these are known.
    fn walk(&mut self, pointer: &Pointer, height: u8, first: Option<&Key>, end: Option<&Key>) {
        let bad = |is_lost, error| BadNode {
            node: *pointer,
            height,
            first: first.copied(),
            end: end.copied(),
            is_lost,
            error,
        };
        let node = match self.nodes.read_node_uncached(pointer, height) {
            Ok(node) => node,
            Err(error) => return (self.violation)(bad(true, error)),
        };
        let keys = node.keys();
        if first.is_some() && keys.first() != first {
            let problem = format!("it starts at {:?}, its parent says {first:?}", keys.first());
            (self.violation)(bad(false, TreeError::invalid(pointer, problem)));
        }
        if let (Some(last), Some(end)) = (keys.last(), end)
            && last >= end
        {
            let problem = format!("it reaches {last:?}, the next node starts at {end:?}");
            (self.violation)(bad(false, TreeError::invalid(pointer, problem)));
        }
        keys.iter()
            .zip(node.values())
            .for_each(|(key, value)| (self.leaf)(key, &value.to_value()));
        for (at, child) in node.children().iter().enumerate() {
            self.walk(child, height - 1, keys.get(at), keys.get(at + 1).or(end));
        }
    }
}
