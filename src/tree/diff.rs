//! What differs between two trees.

use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::error::TreeResult;
use super::node::Node;
use super::root::TreeRoot;
use super::store::NodeStore;
use crate::base::{Key, Pointer, Value};

/// Told of a key whose value differs: (key, value in a, value in b); breaks off a [`diff`].
pub type DiffVisitor<'v> = dyn FnMut(Key, Option<&Value>, Option<&Value>) -> ControlFlow<()> + 'v;

/// What counts as equal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Equal {
    /// The same content, wherever it lies.
    Content,
    /// The same content in the same frames.
    Frames,
}

impl Equal {
    fn subtrees(self, a: &Pointer, b: &Pointer) -> bool {
        a.id == b.id && (self == Equal::Content || a.place == b.place)
    }

    fn values(self, a: &Value, b: &Value) -> bool {
        a.bytes == b.bytes && (self == Equal::Content || a.place == b.place)
    }
}

/// Tells of every key whose value's bytes differ, in key order, until `visit`
/// breaks off. Equal subtrees are skipped unread; places are not compared.
pub fn diff(
    nodes: &dyn NodeStore,
    a: Option<&TreeRoot>,
    b: Option<&TreeRoot>,
    visit: &mut DiffVisitor<'_>,
) -> TreeResult<()> {
    walk(nodes, (a, b), Equal::Content, visit)
}

/// As [`diff`], and tells of what is equal but lies in another frame, too: for whoever wants to
/// see every frame that `b` needs and `a` does not.
pub fn diff_frames(
    nodes: &dyn NodeStore,
    a: Option<&TreeRoot>,
    b: Option<&TreeRoot>,
    visit: &mut DiffVisitor<'_>,
) -> TreeResult<()> {
    walk(nodes, (a, b), Equal::Frames, visit)
}

fn walk(
    nodes: &dyn NodeStore,
    (a, b): (Option<&TreeRoot>, Option<&TreeRoot>),
    equal: Equal,
    visit: &mut DiffVisitor<'_>,
) -> TreeResult<()> {
    let mut a = Walker::new(nodes, a, equal);
    let mut b = Walker::new(nodes, b, equal);
    loop {
        let flow = match (a.here(), b.here()) {
            (None, None) => return Ok(()),
            (Some(here), None) => {
                a.step_alone(here, &mut |key, value| visit(key, Some(value), None))?
            }
            (None, Some(here)) => {
                b.step_alone(here, &mut |key, value| visit(key, None, Some(value)))?
            }
            // Whatever comes next in the other tree lies behind the lesser of both keys, so
            // what stands there is in one tree only.
            (Some(in_a), Some(in_b)) => match in_a.key.cmp(&in_b.key) {
                Ordering::Less => {
                    a.step_alone(in_a, &mut |key, value| visit(key, Some(value), None))?
                }
                Ordering::Greater => {
                    b.step_alone(in_b, &mut |key, value| visit(key, None, Some(value)))?
                }
                Ordering::Equal => step_together((&mut a, in_a), (&mut b, in_b), equal, visit)?,
            },
        };
        if flow.is_break() {
            return Ok(());
        }
    }
}

/// Moves on from the same key in both trees.
fn step_together(
    (a, in_a): (&mut Walker<'_>, Here),
    (b, in_b): (&mut Walker<'_>, Here),
    equal: Equal,
    visit: &mut DiffVisitor<'_>,
) -> TreeResult<ControlFlow<()>> {
    match (in_a.what, in_b.what) {
        (What::Subtree(in_a, height_a), What::Subtree(in_b, height_b)) => {
            if equal.subtrees(&in_a, &in_b) {
                a.skip();
                b.skip();
                return Ok(ControlFlow::Continue(()));
            }
            // The higher one alone, so that both stand at subtrees which can be equal.
            if height_a >= height_b {
                a.enter(&in_a, height_a)?;
            }
            if height_b >= height_a {
                b.enter(&in_b, height_b)?;
            }
        }
        (What::Subtree(child, height), What::Entry(_)) => a.enter(&child, height)?,
        (What::Entry(_), What::Subtree(child, height)) => b.enter(&child, height)?,
        (What::Entry(old), What::Entry(new)) => {
            a.skip();
            b.skip();
            if !equal.values(&old, &new) {
                return Ok(visit(in_a.key, Some(&old), Some(&new)));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Walks a tree in key order, and decides at each subtree whether to enter it or to skip it.
struct Walker<'a> {
    nodes: &'a dyn NodeStore,
    equal: Equal,
    /// The whole tree, as long as it was neither entered nor skipped.
    root: Option<TreeRoot>,
    /// From the root down: a node, and the index of the entry at which the walk stands in it.
    /// Above the last node, that is the child which was entered.
    path: Vec<(Arc<Node>, usize)>,
}

/// Where a walk stands.
struct Here {
    /// Nothing from here on is below this key.
    key: Key,
    what: What,
}

enum What {
    /// A subtree of this height.
    Subtree(Pointer, u8),
    Entry(Value),
}

impl<'a> Walker<'a> {
    fn new(nodes: &'a dyn NodeStore, root: Option<&TreeRoot>, equal: Equal) -> Self {
        Walker {
            nodes,
            equal,
            root: root.copied(),
            path: Vec::new(),
        }
    }

    /// Where the walk stands; none: at the end.
    fn here(&self) -> Option<Here> {
        if let Some(root) = &self.root {
            return Some(Here {
                key: Key::MIN,
                what: What::Subtree(root.node, root.height),
            });
        }
        let (node, at) = self.path.last()?;
        let what = if node.height() == 0 {
            What::Entry(node.value(*at).to_value())
        } else {
            What::Subtree(node.children()[*at], node.height() - 1)
        };
        Some(Here {
            key: node.keys()[*at],
            what,
        })
    }

    /// Goes past the subtree or entry.
    fn skip(&mut self) {
        if self.root.take().is_some() {
            return;
        }
        while let Some((node, at)) = self.path.last_mut() {
            *at += 1;
            if *at < node.len() {
                return;
            }
            self.path.pop();
        }
    }

    /// Goes to the first entry of the subtree at which the walk stands.
    fn enter(&mut self, child: &Pointer, height: u8) -> TreeResult<()> {
        let node = match self.equal {
            Equal::Content => self.nodes.read_node(child, height)?,
            // A cached node may bear the places of another frame with the same id.
            Equal::Frames => self.nodes.read_node_uncached(child, height)?,
        };
        self.root = None;
        self.path.push((node, 0));
        Ok(())
    }

    /// Goes into the subtree, or tells of the entry, that the other tree does not have.
    fn step_alone(
        &mut self,
        here: Here,
        visit: &mut dyn FnMut(Key, &Value) -> ControlFlow<()>,
    ) -> TreeResult<ControlFlow<()>> {
        match here.what {
            What::Subtree(child, height) => {
                self.enter(&child, height)?;
                Ok(ControlFlow::Continue(()))
            }
            What::Entry(value) => {
                self.skip();
                Ok(visit(here.key, &value))
            }
        }
    }
}
