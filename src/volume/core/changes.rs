//! What changed in a map since the layer below: points, removed ranges, dirty blocks.

use std::collections::BTreeMap;

use super::dirty_block::{DirtyBlock, Under};
use crate::base::{Key, Value};
use crate::journal::{Change, Transaction};
use crate::volume::keys;

/// Bytes that an entry takes beside what it points to: its slot in the B-tree, whose nodes are half
/// full after keys that come in order, and the headers of its allocation.
const POINT_COST: u64 = 2 * (size_of::<Key>() + size_of::<Point>()) as u64 + 32;

/// One changed key.
#[derive(Clone, Debug)]
pub(crate) enum Point {
    /// Set.
    Put(Value),
    /// Removed.
    Delete,
    /// Partly or wholly written file block.
    Block(DirtyBlock),
}

impl Point {
    fn cost(&self) -> u64 {
        POINT_COST
            + match self {
                Point::Put(value) => value.bytes.len() as u64,
                Point::Delete => 0,
                Point::Block(block) => block.cost(),
            }
    }
}

/// What a layer says of a key.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// It changed to this.
    Point(&'a Point),
    /// It lies in a removed range.
    Removed,
    /// Look below.
    Below,
}

/// Changes relative to what lies below. Memory is counted as it grows.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    points: BTreeMap<Key, Point>,
    /// Removed ranges of what lies below: start -> end, half open, disjoint. Points win over them.
    removed: BTreeMap<Key, Key>,
    cost: u64,
}

impl Changes {
    /// Whether nothing changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.points.is_empty() && self.removed.is_empty()
    }

    /// Memory in bytes.
    pub(crate) fn cost(&self) -> u64 {
        self.cost
    }

    /// Changed keys in order.
    pub(crate) fn points(&self) -> impl Iterator<Item = (&Key, &Point)> {
        self.points.iter()
    }

    /// Changed keys of `from..to` in order.
    pub(crate) fn points_in(&self, from: Key, to: Key) -> impl Iterator<Item = (&Key, &Point)> {
        // An empty or inverted range would make `range` panic.
        let to = to.max(from);
        self.points.range(from..to)
    }

    /// Removed ranges, sorted and disjoint.
    pub(crate) fn removed(&self) -> impl Iterator<Item = (Key, Key)> {
        self.removed.iter().map(|(from, to)| (*from, *to))
    }

    /// What is known of a key here.
    pub(crate) fn find(&self, key: &Key) -> Found<'_> {
        match self.points.get(key) {
            Some(point) => Found::Point(point),
            None if self.is_removed(key) => Found::Removed,
            None => Found::Below,
        }
    }

    /// Whether the key lies in a removed range.
    pub(crate) fn is_removed(&self, key: &Key) -> bool {
        self.removed
            .range(..=*key)
            .next_back()
            .is_some_and(|(_, end)| key < end)
    }

    /// Applies a transaction. It cannot fail: it was checked when it was made or decoded.
    pub(crate) fn apply(&mut self, transaction: &Transaction, block_size: u32) {
        for change in &transaction.changes {
            match change {
                Change::Put(key, value) => self.set(*key, Point::Put(value.clone())),
                Change::Delete(key) => self.set(*key, Point::Delete),
                Change::DeleteRange(from, to) => self.remove_range(*from, *to),
                Change::Data {
                    first,
                    offset,
                    bytes,
                } => {
                    self.write(first, u64::from(*offset), bytes, block_size);
                }
            }
        }
    }

    fn set(&mut self, key: Key, point: Point) {
        self.cost += point.cost();
        if let Some(old) = self.points.insert(key, point) {
            self.cost -= old.cost();
        }
    }

    fn write(&mut self, first: &Key, offset: u64, bytes: &[u8], block_size: u32) {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let key = keys::block_after(first, at / u64::from(block_size));
            let within = (at % u64::from(block_size)) as u32;
            let (now, later) = rest.split_at(rest.len().min((block_size - within) as usize));
            self.write_block(key, within, now, block_size);
            at += now.len() as u64;
            rest = later;
        }
    }

    fn write_block(&mut self, key: Key, within: u32, bytes: &[u8], block_size: u32) {
        if let Some(Point::Block(block)) = self.points.get_mut(&key) {
            let before = block.cost();
            block.write(within, bytes);
            self.cost = self.cost + block.cost() - before;
            return;
        }
        let under = match self.find(&key) {
            Found::Point(Point::Put(value)) => match value.pointer() {
                Some(pointer) => Under::Stored(pointer),
                None => Under::Zeros,
            },
            Found::Point(_) | Found::Removed => Under::Zeros,
            Found::Below => Under::Below,
        };
        let mut block = DirtyBlock::new(under, block_size);
        block.write(within, bytes);
        self.set(key, Point::Block(block));
    }

    fn remove_range(&mut self, from: Key, to: Key) {
        if from >= to {
            return;
        }
        let inside: Vec<Key> = self.points.range(from..to).map(|(key, _)| *key).collect();
        for key in inside {
            if let Some(old) = self.points.remove(&key) {
                self.cost -= old.cost();
            }
        }
        let (mut from, mut to) = (from, to);
        if let Some((&start, &end)) = self.removed.range(..from).next_back()
            && end >= from
        {
            self.removed.remove(&start);
            self.cost -= POINT_COST;
            (from, to) = (start, to.max(end));
        }
        while let Some((&start, &end)) = self.removed.range(from..=to).next() {
            self.removed.remove(&start);
            self.cost -= POINT_COST;
            to = to.max(end);
        }
        self.removed.insert(from, to);
        self.cost += POINT_COST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Ino;

    fn transaction(changes: Vec<Change>) -> Transaction {
        Transaction {
            changes,
            ..Transaction::default()
        }
    }

    /// A removed range hides what lies below and what was set before, not what is set after.
    #[test]
    fn removed_ranges_hide_older_points_only() {
        let key = |sub| Key::new(5, 1, sub);
        let put = |sub| Change::Put(key(sub), Value::record(vec![sub as u8]));
        let mut changes = Changes::default();
        changes.apply(
            &transaction(vec![
                put(1),
                put(9),
                Change::DeleteRange(key(0), key(5)),
                put(2),
                Change::DeleteRange(key(4), key(7)),
                Change::DeleteRange(key(20), key(30)),
            ]),
            4096,
        );
        assert!(matches!(changes.find(&key(1)), Found::Removed));
        assert!(matches!(changes.find(&key(2)), Found::Point(Point::Put(_))));
        assert!(matches!(changes.find(&key(6)), Found::Removed));
        assert!(matches!(changes.find(&key(7)), Found::Below));
        assert!(matches!(changes.find(&key(9)), Found::Point(Point::Put(_))));
        assert_eq!(
            changes.removed().collect::<Vec<_>>(),
            [(key(0), key(7)), (key(20), key(30))]
        );
    }

    /// Bytes that cross a block border land in both blocks; a write after a removal starts from
    /// zeros, any other from what lies below.
    #[test]
    fn data_lands_in_its_blocks() {
        let ino = Ino(5);
        let data = |index, offset, bytes: &[u8]| Change::Data {
            first: keys::block(ino, index),
            offset,
            bytes: bytes.into(),
        };
        let mut changes = Changes::default();
        changes.apply(
            &transaction(vec![Change::Delete(keys::block(ino, 1))]),
            4096,
        );
        changes.apply(&transaction(vec![data(0, 4094, b"abcd")]), 4096);

        let block = |index| match changes.find(&keys::block(ino, index)) {
            Found::Point(Point::Block(block)) => block,
            other => panic!("{other:?}"),
        };
        assert_eq!(block(0).under(), Under::Below);
        assert_eq!(
            block(0).pieces(0, 4096).collect::<Vec<_>>(),
            [(4094, &b"ab"[..])]
        );
        assert_eq!(block(1).under(), Under::Zeros);
        assert_eq!(
            block(1).pieces(0, 4096).collect::<Vec<_>>(),
            [(0, &b"cd"[..])]
        );
    }

    /// The counted memory goes back to what it was when everything is removed again.
    #[test]
    fn cost_is_given_back() {
        let ino = Ino(5);
        let mut changes = Changes::default();
        let data = Change::Data {
            first: keys::block(ino, 0),
            offset: 0,
            bytes: [1; 10_000].into(),
        };
        changes.apply(&transaction(vec![data]), 4096);
        assert!(changes.cost() > 3 * 4096);
        let (from, to) = keys::whole_inode(ino);
        changes.apply(&transaction(vec![Change::DeleteRange(from, to)]), 4096);
        assert_eq!(changes.cost(), POINT_COST);
    }
}
