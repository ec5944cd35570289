//! The values of a leaf, one behind the other in one buffer.
//!
//! A value of its own costs an allocation and a pointer: with them a leaf takes up twice what it
//! takes up here, and reading one allocates some 300 times.

use std::mem::size_of;

use crate::base::{Place, PutBytes, Value, ValueRef};

/// Set in the end of a value behind whose bytes its place lies.
const PLACED: u32 = 1 << 31;

/// Values by their number in the leaf.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Values {
    /// Each value's bytes and then its place, if it has one.
    buffer: Vec<u8>,
    /// Where each ends in the buffer, and whether it has a place.
    ends: Vec<u32>,
}

impl Values {
    /// No values; room for `count` of `bytes` bytes in total, places included.
    pub(super) fn with_capacity(count: usize, bytes: usize) -> Values {
        Values {
            buffer: Vec::with_capacity(bytes),
            ends: Vec::with_capacity(count),
        }
    }

    /// Adds one at the end.
    ///
    /// Panics when all are 2 GiB together, which no leaf can hold.
    pub(super) fn push(&mut self, value: ValueRef<'_>) {
        self.buffer.extend_from_slice(value.bytes);
        value
            .place
            .iter()
            .for_each(|place| self.buffer.put_place(place));
        let placed = if value.place.is_some() { PLACED } else { 0 };
        let end = u32::try_from(self.buffer.len())
            .ok()
            .filter(|end| end & PLACED == 0)
            .expect("a leaf is below 2 GiB");
        self.ends.push(end | placed);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    fn start(&self, at: usize) -> usize {
        match at {
            0 => 0,
            _ => (self.ends[at - 1] & !PLACED) as usize,
        }
    }

    /// The value of this number.
    ///
    /// Panics when there are not so many.
    pub(super) fn get(&self, at: usize) -> ValueRef<'_> {
        let end = self.ends[at];
        let whole = &self.buffer[self.start(at)..(end & !PLACED) as usize];
        if end & PLACED == 0 {
            return ValueRef {
                bytes: whole,
                place: None,
            };
        }
        let (bytes, place) = whole
            .split_last_chunk()
            .expect("a place lies behind the bytes");
        ValueRef {
            bytes,
            place: Some(Place::from_bytes(place)),
        }
    }

    /// All in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = ValueRef<'_>> {
        (0..self.len()).map(|at| self.get(at))
    }

    /// Those of `from..to`.
    pub(super) fn range(&self, from: usize, to: usize) -> Values {
        let mut part = Values::with_capacity(to - from, self.start(to) - self.start(from));
        (from..to).for_each(|at| part.push(self.get(at)));
        part
    }

    /// These and then those of `right`.
    pub(super) fn joined(&self, right: &Values) -> Values {
        let bytes = self.buffer.len() + right.buffer.len();
        let mut all = Values::with_capacity(self.len() + right.len(), bytes);
        self.iter()
            .chain(right.iter())
            .for_each(|one| all.push(one));
        all
    }

    /// Gives back what was reserved and not used.
    pub(super) fn shrink(&mut self) {
        self.buffer.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// Memory that they hold, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.buffer.capacity() + self.ends.capacity() * size_of::<u32>()
    }
}

impl From<Vec<Value>> for Values {
    fn from(values: Vec<Value>) -> Values {
        let mut all = Values::default();
        values.iter().for_each(|value| all.push(value.into()));
        all
    }
}

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SegmentId;

    fn several() -> Vec<Value> {
        let place = Place {
            segment: SegmentId(7),
            offset: 8,
            len: 9,
        };
        let placed = |len| Value {
            bytes: vec![len; usize::from(len)].into(),
            place: Some(place),
        };
        vec![
            Value::record([]),
            placed(32),
            Value::record([1; 200]),
            placed(0),
            placed(5),
            Value::record([2]),
        ]
    }

    fn owned(values: &Values) -> Vec<Value> {
        values.iter().map(ValueRef::to_value).collect()
    }

    /// What was pushed comes back, with and without a place, empty and not.
    #[test]
    fn values_come_back() {
        let all = Values::from(several());
        assert_eq!(owned(&all), several());
        let pointers: Vec<_> = all.iter().map(ValueRef::pointer).collect();
        let expected: Vec<_> = several().iter().map(Value::pointer).collect();
        assert_eq!(pointers, expected);
        assert_eq!(pointers.iter().flatten().count(), 1);
    }

    /// Parts are what a vector's parts would be, and two joined are both in order.
    #[test]
    fn parts_and_sums_are_as_of_a_vector() {
        let all = Values::from(several());
        for from in 0..=all.len() {
            for to in from..=all.len() {
                assert_eq!(owned(&all.range(from, to)), several()[from..to]);
            }
            let (left, right) = (all.range(0, from), all.range(from, all.len()));
            assert_eq!(left.joined(&right), all);
        }
    }

    /// A block's pointer takes up its id, its place and four bytes.
    #[test]
    fn pointers_are_compact() {
        let pointer = several().swap_remove(1);
        let mut all = Values::from(vec![pointer; 300]);
        all.shrink();
        assert_eq!(all.memory_bytes(), 300 * (32 + 16 + 4));
    }
}
