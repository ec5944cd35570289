//! The children of one internal node while it is being edited.

use super::pack::Fresh;
use super::{Draft, Editor};
use crate::base::{Key, Pointer};
use crate::tree::error::TreeResult;
use crate::tree::node::Node;

/// Collects the children of an internal node from left to right, writes the new ones, and joins
/// those that an edit left underfull with a neighbour.
pub(super) struct Level<'e, 'a> {
    editor: &'e Editor<'a>,
    height: u8,
    keys: Vec<Key>,
    children: Vec<Pointer>,
    fresh: Fresh,
    /// The last child, if it is not written yet.
    pending: Option<Pending>,
}

struct Pending {
    draft: Draft,
    /// Whether it is a child more than there was before.
    is_fresh: bool,
}

impl<'e, 'a> Level<'e, 'a> {
    /// No children yet, of a node of this height.
    pub(super) fn new(editor: &'e Editor<'a>, height: u8) -> Self {
        Level {
            editor,
            height,
            keys: Vec::new(),
            children: Vec::new(),
            fresh: Fresh::default(),
            pending: None,
        }
    }

    /// Adds a child that is stored already and did not change.
    pub(super) fn push_old(&mut self, key: Key, child: Pointer) -> TreeResult<()> {
        if let Some(left) = self.pending.take() {
            if self.is_underfull(&left.draft) {
                let right = self.editor.nodes.read_node(&child, self.height - 1)?;
                if let Some(draft) = self.joined(&left.draft.node, &right) {
                    self.pending = Some(Pending {
                        draft,
                        is_fresh: left.is_fresh,
                    });
                    return Ok(());
                }
            }
            self.write(left)?;
        }
        self.keys.push(key);
        self.children.push(child);
        Ok(())
    }

    /// Adds the nodes that take the place of one child.
    pub(super) fn push_drafts(&mut self, drafts: Vec<Draft>) -> TreeResult<()> {
        for (nth, draft) in drafts.into_iter().enumerate() {
            self.push_draft(draft, nth > 0)?;
        }
        Ok(())
    }

    fn push_draft(&mut self, draft: Draft, is_fresh: bool) -> TreeResult<()> {
        if let Some(left) = self.pending.take() {
            if (self.is_underfull(&left.draft) || self.is_underfull(&draft))
                && let Some(draft) = self.joined(&left.draft.node, &draft.node)
            {
                self.pending = Some(Pending {
                    draft,
                    is_fresh: left.is_fresh,
                });
                return Ok(());
            }
            self.write(left)?;
        } else if self.is_underfull(&draft)
            && let Some(last) = self.children.last()
        {
            let left = self.editor.nodes.read_node(last, self.height - 1)?;
            if let Some(draft) = self.joined(&left, &draft.node) {
                self.keys.pop();
                self.children.pop();
                self.pending = Some(Pending {
                    draft,
                    is_fresh: false,
                });
                return Ok(());
            }
        }
        self.pending = Some(Pending { draft, is_fresh });
        Ok(())
    }

    /// The node with all children, not cut yet, and which of them are new.
    pub(super) fn finish(mut self) -> TreeResult<(Node, Fresh)> {
        if let Some(last) = self.pending.take() {
            self.write(last)?;
        }
        Ok((
            Node::internal(self.height, self.keys, self.children),
            self.fresh,
        ))
    }

    fn write(&mut self, pending: Pending) -> TreeResult<()> {
        let node = pending.draft.node;
        let key = node.keys()[0];
        let child = self.editor.nodes.write_node(node)?;
        if pending.is_fresh {
            self.fresh.note(self.keys.len());
        }
        self.keys.push(key);
        self.children.push(child);
        Ok(())
    }

    fn is_underfull(&self, draft: &Draft) -> bool {
        draft.is_shrunk && draft.node.payload_bytes() < self.editor.limits.underfull_bytes()
    }

    /// Both as one, if that leaves room to grow.
    fn joined(&self, left: &Node, right: &Node) -> Option<Draft> {
        if left.joined_bytes(right) > self.editor.limits.fill_bytes() {
            return None;
        }
        Some(Draft {
            node: left.joined(right),
            is_shrunk: true,
        })
    }
}
