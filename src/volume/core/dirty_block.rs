//! A block that changed in memory: the bytes written, and what lies under them.

use crate::base::Pointer;

/// What a partly written block shows where it was not written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Under {
    /// Whatever the layer below has: a partial write never reads.
    Below,
    /// Zeros.
    Zeros,
    /// A frame that this layer put there before.
    Stored(Pointer),
}

/// Written ranges of one block within one layer.
#[derive(Clone, Debug)]
pub(crate) struct DirtyBlock {
    under: Under,
    data: Box<[u8]>,
    /// Sorted, disjoint, not adjacent: `from..to` within the block.
    written: Vec<(u32, u32)>,
}

impl DirtyBlock {
    /// A block of `block_size` bytes of which nothing is written yet.
    pub(crate) fn new(under: Under, block_size: u32) -> Self {
        let data = vec![0; block_size as usize].into_boxed_slice();
        DirtyBlock {
            under,
            data,
            written: Vec::with_capacity(1),
        }
    }

    /// What shows through.
    pub(crate) fn under(&self) -> Under {
        self.under
    }

    /// Memory in bytes.
    pub(crate) fn cost(&self) -> u64 {
        (self.data.len() + size_of::<Self>() + self.written.capacity() * 8) as u64
    }

    /// Writes `bytes` at `offset`; they must fit into the block.
    pub(crate) fn write(&mut self, offset: u32, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let (mut from, mut to) = (offset, offset + bytes.len() as u32);
        self.data[from as usize..to as usize].copy_from_slice(bytes);
        let first = self.written.partition_point(|&(_, end)| end < from);
        let last = self.written.partition_point(|&(start, _)| start <= to);
        if first < last {
            from = from.min(self.written[first].0);
            to = to.max(self.written[last - 1].1);
        }
        self.written.splice(first..last, [(from, to)]);
    }

    /// Whether nothing shows through.
    pub(crate) fn is_whole(&self) -> bool {
        self.written == [(0, self.data.len() as u32)]
    }

    /// The written pieces within `from..to`: offset in the block and bytes.
    pub(crate) fn pieces(&self, from: u32, to: u32) -> impl Iterator<Item = (u32, &[u8])> {
        self.written.iter().filter_map(move |&(start, end)| {
            let (start, end) = (start.max(from), end.min(to));
            (start < end).then(|| (start, &self.data[start as usize..end as usize]))
        })
    }

    /// Lays the written pieces over `content`, which is as long as the block.
    pub(crate) fn lay_over(&self, content: &mut [u8]) {
        for (offset, bytes) in self.pieces(0, self.data.len() as u32) {
            content[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// The whole block's bytes, where nothing shows through.
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        self.is_whole().then_some(&self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranges merge when they touch or overlap, and only then.
    #[test]
    fn written_ranges_merge_when_they_touch() {
        let mut block = DirtyBlock::new(Under::Below, 64);
        block.write(10, &[1; 5]);
        block.write(20, &[2; 5]);
        assert_eq!(block.written, [(10, 15), (20, 25)]);
        block.write(15, &[3; 5]);
        assert_eq!(block.written, [(10, 25)]);
        block.write(12, &[4; 2]);
        assert_eq!(block.written, [(10, 25)]);
        block.write(0, &[5; 4]);
        block.write(30, &[6; 34]);
        assert_eq!(block.written, [(0, 4), (10, 25), (30, 64)]);
        block.write(2, &[7; 40]);
        assert!(block.is_whole());
    }

    /// Random writes equal the same writes on a plain array with a mask.
    #[test]
    fn pieces_equal_a_plain_array() {
        use proptest::prelude::*;
        let writes = prop::collection::vec((0u32..64, 1u32..64), 1..12);
        proptest!(|(writes in writes)| {
            let mut block = DirtyBlock::new(Under::Zeros, 64);
            let mut plain = [None; 64];
            for (number, (offset, len)) in writes.into_iter().enumerate() {
                let len = len.min(64 - offset);
                block.write(offset, &vec![number as u8; len as usize]);
                plain[offset as usize..(offset + len) as usize].fill(Some(number as u8));
            }
            let mut seen = [None; 64];
            for (offset, bytes) in block.pieces(0, 64) {
                for (at, byte) in bytes.iter().enumerate() {
                    seen[offset as usize + at] = Some(*byte);
                }
            }
            prop_assert_eq!(seen, plain);
            prop_assert!(block.written.windows(2).all(|pair| pair[0].1 < pair[1].0));
        });
    }
}
