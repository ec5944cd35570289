//! Looking up and walking keys.

use std::sync::Arc;

use super::error::TreeResult;
use super::node::Node;
use super::root::TreeRoot;
use super::store::NodeStore;
use crate::base::{Key, Value, ValueRef};

/// The value of a key.
pub fn get(nodes: &dyn NodeStore, root: Option<&TreeRoot>, key: &Key) -> TreeResult<Option<Value>> {
    let Some(root) = root else { return Ok(None) };
    let node = leaf_of(nodes, root, key)?;
    Ok(node
        .keys()
        .binary_search(key)
        .ok()
        .map(|at| node.value(at).to_value()))
}

/// Looks up many keys. Those in the leaf in which the last one was looked for cost no descent, so
/// that keys in order cost little more than a walk.
pub struct Lookup<'a> {
    nodes: &'a dyn NodeStore,
    root: Option<TreeRoot>,
    leaf: Option<Arc<Node>>,
    /// Where the next key is expected in the leaf.
    next: usize,
}

impl<'a> Lookup<'a> {
    /// Nothing is read before the first key.
    pub fn new(nodes: &'a dyn NodeStore, root: Option<TreeRoot>) -> Lookup<'a> {
        Lookup {
            nodes,
            root,
            leaf: None,
            next: 0,
        }
    }

    /// The value of a key.
    pub fn get(&mut self, key: &Key) -> TreeResult<Option<ValueRef<'_>>> {
        let Some(root) = &self.root else {
            return Ok(None);
        };
        let leaf = match self.leaf.take().filter(|leaf| may_hold(leaf, key)) {
            Some(leaf) => leaf,
            None => leaf_of(self.nodes, root, key)?,
        };
        let leaf = self.leaf.insert(leaf);
        let at = match leaf.keys().get(self.next) {
            Some(next) if next == key => self.next,
            _ => match leaf.keys().binary_search(key) {
                Ok(at) => at,
                Err(_) => return Ok(None),
            },
        };
        self.next = at + 1;
        Ok(Some(leaf.value(at)))
    }
}

/// Whether no other leaf of the tree can hold the key.
fn may_hold(leaf: &Node, key: &Key) -> bool {
    let (first, last) = (leaf.keys().first(), leaf.keys().last());
    first.is_some_and(|first| first <= key) && last.is_some_and(|last| key <= last)
}

/// The leaf that holds the key, if any does.
fn leaf_of(nodes: &dyn NodeStore, root: &TreeRoot, key: &Key) -> TreeResult<Arc<Node>> {
    let mut node = nodes.read_node(&root.node, root.height)?;
    while node.height() > 0 {
        let child = &node.children()[node.child_index(key)];
        let below = node.height() - 1;
        node = nodes.read_node(child, below)?;
    }
    Ok(node)
}

/// Walks keys in order from a start key. It holds one path of nodes and stays valid whatever is
/// edited meanwhile, since an edit makes another tree.
pub struct Cursor<'a> {
    nodes: &'a dyn NodeStore,
    /// From the root down: a node, and the index of the entry to visit next in it. Above a
    /// leaf, that is the entry behind the child whose path is on the stack.
    path: Vec<(Arc<Node>, usize)>,
}

impl<'a> Cursor<'a> {
    /// Positioned before the first key >= `from`.
    pub fn seek(
        nodes: &'a dyn NodeStore,
        root: Option<&TreeRoot>,
        from: &Key,
    ) -> TreeResult<Cursor<'a>> {
        let mut path = Vec::new();
        if let Some(root) = root {
            let mut node = nodes.read_node(&root.node, root.height)?;
            while node.height() > 0 {
                let at = node.child_index(from);
                let child = nodes.read_node(&node.children()[at], node.height() - 1)?;
                path.push((node, at + 1));
                node = child;
            }
            let at = node.keys().partition_point(|key| key < from);
            path.push((node, at));
        }
        Ok(Cursor { nodes, path })
    }

    /// The next entry; none at the end. After an error the same call may be tried again.
    #[expect(
        clippy::should_implement_trait,
        reason = "an error must not look like an item of an iterator that goes on"
    )]
    pub fn next(&mut self) -> TreeResult<Option<(Key, Value)>> {
        while let Some((node, at)) = self.path.last_mut() {
            if *at == node.len() {
                self.path.pop();
            } else if node.height() == 0 {
                let entry = (node.keys()[*at], node.value(*at).to_value());
                *at += 1;
                return Ok(Some(entry));
            } else {
                let child = self
                    .nodes
                    .read_node(&node.children()[*at], node.height() - 1)?;
                *at += 1;
                self.path.push((child, 0));
            }
        }
        Ok(None)
    }
}
