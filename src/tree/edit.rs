//! Batches of changes, applied in one recursive pass that rewrites only the touched paths.
//!
//! A child is written before its parent. Memory is bounded by the edits that fall into one leaf
//! and by one path: a parent takes up the new nodes of one child, and writes them, before it goes
//! on to the next child.

mod level;
mod pack;

use level::Level;
pub(super) use pack::NodeLimits;
use pack::{Fresh, split};

use super::error::TreeResult;
use super::node::Node;
use super::root::TreeRoot;
use super::store::NodeStore;
use super::values::Values;
use crate::base::{Key, Place, Pointer, Value, ValueRef};

/// Changes for [`edit`].
#[derive(Default, Debug)]
pub struct Edits {
    /// Removed first: half-open, sorted, disjoint.
    pub ranges: Vec<(Key, Key)>,
    /// Then set (Some) or removed (None): sorted, unique keys; values of at most
    /// [`Value::MAX_BYTES`].
    pub points: Vec<(Key, Option<Value>)>,
}

/// Applies the edits in one pass, rewriting only the touched paths; whole subtrees inside a
/// removed range are dropped unread. Returns the new root (None: empty tree); the same root when
/// nothing changes. A value with equal bytes but another place is a change.
///
/// The new nodes are durable once the segments they lie in are synced.
///
/// Panics when the edits are not as [`Edits`] demands.
pub fn edit(
    nodes: &dyn NodeStore,
    root: Option<&TreeRoot>,
    edits: &Edits,
) -> TreeResult<Option<TreeRoot>> {
    edit_within(nodes, root, edits, NodeLimits::DEFAULT)
}

/// [`edit`] with other limits of a node.
pub(super) fn edit_within(
    nodes: &dyn NodeStore,
    root: Option<&TreeRoot>,
    edits: &Edits,
    limits: NodeLimits,
) -> TreeResult<Option<TreeRoot>> {
    assert!(
        edits.points.is_sorted_by(|(a, _), (b, _)| a < b),
        "points are sorted and unique"
    );
    let fits = |value: &Value| value.bytes.len() <= Value::MAX_BYTES;
    assert!(
        edits
            .points
            .iter()
            .all(|(_, value)| value.as_ref().is_none_or(fits))
    );
    let ranges = coalesced(&edits.ranges);
    let work = Work {
        ranges: &ranges,
        points: &edits.points,
    };
    let editor = Editor { nodes, limits };
    let (height, outcome) = match root {
        None => (
            0,
            editor.edit_leaf(&Node::leaf(Vec::new(), Vec::new()), work),
        ),
        Some(root) => (
            root.height,
            editor.edit_subtree(&root.node, root.height, None, work)?,
        ),
    };
    match outcome {
        Outcome::Unchanged => Ok(root.copied()),
        Outcome::Replaced(drafts) => editor.raise(drafts, height),
    }
}

/// The ranges without empty ones, touching ones made one: so a subtree whose children all lie in
/// removed ranges lies in a single one.
fn coalesced(ranges: &[(Key, Key)]) -> Vec<(Key, Key)> {
    let mut out: Vec<(Key, Key)> = Vec::with_capacity(ranges.len());
    for &(from, to) in ranges.iter().filter(|(from, to)| from < to) {
        match out.last_mut() {
            Some(last) if from <= last.1 => {
                assert!(from == last.1, "ranges are sorted and disjoint");
                last.1 = to;
            }
            _ => out.push((from, to)),
        }
    }
    out
}

/// The edits that concern one subtree.
#[derive(Clone, Copy)]
struct Work<'e> {
    /// Ranges that overlap the subtree's keys, sorted, disjoint, not touching each other.
    ranges: &'e [(Key, Key)],
    /// Points that belong into the subtree.
    points: &'e [(Key, Option<Value>)],
}

/// The ranges that overlap `from..to`; no `to` is unbounded.
fn overlapping<'e>(ranges: &'e [(Key, Key)], from: &Key, to: Option<&Key>) -> &'e [(Key, Key)] {
    let first = ranges.partition_point(|range| range.1 <= *from);
    let last = to.map_or(ranges.len(), |to| {
        ranges.partition_point(|range| range.0 < *to)
    });
    &ranges[first..last.max(first)]
}

/// Whether one of the ranges holds all of `from..to`; nothing holds what is unbounded.
fn covers(ranges: &[(Key, Key)], from: &Key, to: Option<&Key>) -> bool {
    let first = ranges.partition_point(|range| range.1 <= *from);
    ranges
        .get(first)
        .is_some_and(|range| range.0 <= *from && to.is_some_and(|to| *to <= range.1))
}

/// What became of a subtree.
enum Outcome {
    /// Nothing differs.
    Unchanged,
    /// These nodes of the same height take its place; none: it is empty now.
    Replaced(Vec<Draft>),
}

/// A node that is not written yet, so that it can still be joined with a neighbour.
struct Draft {
    node: Node,
    /// Whether it holds less than the node it replaces. Only such a one looks for a neighbour to
    /// join: a small node that grows, at the end of what is being appended, will fill up.
    is_shrunk: bool,
}

struct Editor<'a> {
    nodes: &'a dyn NodeStore,
    limits: NodeLimits,
}

impl Editor<'_> {
    /// Edits the subtree whose keys all lie below `upper`.
    fn edit_subtree(
        &self,
        pointer: &Pointer,
        height: u8,
        upper: Option<&Key>,
        work: Work<'_>,
    ) -> TreeResult<Outcome> {
        let node = self.nodes.read_node(pointer, height)?;
        if height == 0 {
            Ok(self.edit_leaf(&node, work))
        } else {
            self.edit_internal(&node, upper, work)
        }
    }

    fn edit_leaf(&self, old: &Node, work: Work<'_>) -> Outcome {
        let added = work.points.iter().filter_map(|(_, value)| value.as_ref());
        let added: usize = added.map(|value| value.bytes.len() + Place::BYTES).sum();
        let bytes_max = old.payload_bytes() + added;
        let mut keys = Vec::with_capacity(old.len() + work.points.len());
        let mut values = Values::with_capacity(old.len() + work.points.len(), bytes_max);
        let mut fresh = Fresh::default();
        let mut changed = false;
        let mut ranges = work.ranges;
        let mut points = work.points.iter().peekable();
        for (key, value) in old.keys().iter().zip(old.values()) {
            while let Some((new_key, new)) = points.next_if(|(point, _)| point < key) {
                if let Some(new) = new {
                    fresh.note(keys.len());
                    keys.push(*new_key);
                    values.push(new.into());
                }
            }
            while ranges.first().is_some_and(|range| range.1 <= *key) {
                ranges = &ranges[1..];
            }
            let is_removed = ranges.first().is_some_and(|range| range.0 <= *key);
            let kept = match points.next_if(|(point, _)| point == key) {
                Some((_, new)) => new.as_ref().map(ValueRef::from),
                None => (!is_removed).then_some(value),
            };
            changed |= kept != Some(value);
            if let Some(kept) = kept {
                keys.push(*key);
                values.push(kept);
            }
        }
        for (key, new) in points {
            if let Some(new) = new {
                fresh.note(keys.len());
                keys.push(*key);
                values.push(new.into());
            }
        }
        if !changed && fresh.is_empty() {
            return Outcome::Unchanged;
        }
        self.replaced(old, Node::leaf(keys, values), &fresh)
    }

    fn edit_internal(
        &self,
        old: &Node,
        upper: Option<&Key>,
        work: Work<'_>,
    ) -> TreeResult<Outcome> {
        let (keys, children) = (old.keys(), old.children());
        let end_of = |at: usize| keys.get(at + 1).or(upper);
        // What lies wholly in a removed range is left out unread. Points in such a gap go to the
        // child before it, or at the front to the first one that stays.
        let mut kept: Vec<usize> = (0..old.len())
            .filter(|&at| !covers(work.ranges, &keys[at], end_of(at)))
            .collect();
        if kept.is_empty() {
            kept.push(old.len() - 1);
        }
        let mut changed = kept.len() < old.len();
        let mut level = Level::new(self, old.height());
        let mut points = work.points;
        for (nth, &at) in kept.iter().enumerate() {
            let count = match kept.get(nth + 1) {
                Some(&next) => points.partition_point(|(point, _)| *point < keys[next]),
                None => points.len(),
            };
            let (mine, rest) = points.split_at(count);
            points = rest;
            let ranges = overlapping(work.ranges, &keys[at], end_of(at));
            if mine.is_empty() && ranges.is_empty() {
                level.push_old(keys[at], children[at])?;
                continue;
            }
            let below = Work {
                ranges,
                points: mine,
            };
            match self.edit_subtree(&children[at], old.height() - 1, end_of(at), below)? {
                Outcome::Unchanged => level.push_old(keys[at], children[at])?,
                Outcome::Replaced(drafts) => {
                    changed = true;
                    level.push_drafts(drafts)?;
                }
            }
        }
        if !changed {
            return Ok(Outcome::Unchanged);
        }
        let (node, fresh) = level.finish()?;
        Ok(self.replaced(old, node, &fresh))
    }

    /// What stands for `old` now: `new`, cut into nodes that are not too large.
    fn replaced(&self, old: &Node, new: Node, fresh: &Fresh) -> Outcome {
        if new.is_empty() {
            return Outcome::Replaced(Vec::new());
        }
        let is_shrunk = new.payload_bytes() < old.payload_bytes();
        let nodes = split(new, fresh, self.limits).into_iter();
        Outcome::Replaced(nodes.map(|node| Draft { node, is_shrunk }).collect())
    }

    /// Writes the topmost nodes, with as many levels above them as make one root.
    fn raise(&self, drafts: Vec<Draft>, mut height: u8) -> TreeResult<Option<TreeRoot>> {
        let mut nodes: Vec<Node> = drafts.into_iter().map(|draft| draft.node).collect();
        loop {
            if nodes.len() <= 1 {
                return match nodes.pop() {
                    None => Ok(None),
                    Some(node) => self.write_root(node).map(Some),
                };
            }
            let mut keys = Vec::with_capacity(nodes.len());
            let mut children = Vec::with_capacity(nodes.len());
            for node in nodes {
                keys.push(node.keys()[0]);
                children.push(self.nodes.write_node(node)?);
            }
            height += 1;
            let fresh = Fresh::all(keys.len());
            nodes = split(Node::internal(height, keys, children), &fresh, self.limits);
        }
    }

    /// Writes the root, unless it has a single child: that one is the root then.
    fn write_root(&self, node: Node) -> TreeResult<TreeRoot> {
        let mut height = node.height();
        let &[child] = node.children() else {
            return Ok(TreeRoot {
                node: self.nodes.write_node(node)?,
                height,
            });
        };
        let mut root = child;
        height -= 1;
        while height > 0 {
            let node = self.nodes.read_node(&root, height)?;
            let &[child] = node.children() else { break };
            root = child;
            height -= 1;
        }
        Ok(TreeRoot { node: root, height })
    }
}

#[cfg(test)]
mod tests;
