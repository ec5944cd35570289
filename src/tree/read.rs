//! Looking up and walking keys.

use std::sync::Arc;

use super::error::TreeResult;
use super::node::Node;
use super::root::TreeRoot;
use super::store::NodeStore;
use crate::base::{Key, Value};

/// The value of a key.
pub fn get(nodes: &dyn NodeStore, root: Option<&TreeRoot>, key: &Key) -> TreeResult<Option<Value>> {
    let Some(root) = root else { return Ok(None) };
    let mut node = nodes.read_node(&root.node, root.height)?;
    while node.height() > 0 {
        let child = &node.children()[node.child_index(key)];
        let below = node.height() - 1;
        node = nodes.read_node(child, below)?;
    }
    Ok(node
        .keys()
        .binary_search(key)
        .ok()
        .map(|at| node.values()[at].clone()))
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
                let entry = (node.keys()[*at], node.values()[*at].clone());
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
