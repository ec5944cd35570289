//! Which contents the index certainly does not have.
//!
//! Most of what is stored is new, and a look-up of what is not there costs sled as much as one of
//! what is. Ids are hashes already, so their first eight bytes are what a Bloom filter wants.

use fastbloom::AtomicBloomFilter;
use parking_lot::RwLock;

use crate::base::BlockId;

/// With [`HASHES`] one absent id in a hundred is looked up all the same.
const BITS_PER_ID: usize = 10;
const HASHES: u32 = 7;
/// Ids that the first layer is made for; each further one is made for twice as many.
const FIRST_LAYER_IDS: usize = 1 << 17;
/// Bytes that all layers may take: some 26 million ids. An index of more is asked without it.
const BYTES_MAX: usize = 32 << 20;

/// A Bloom filter in layers, so that it can grow. What leaves the index stays in it.
pub(super) struct Filter {
    state: RwLock<State>,
    bytes_max: usize,
}

#[derive(Default)]
struct State {
    layers: Vec<Layer>,
    /// It has every id that the index has; before that it rules nothing out.
    is_whole: bool,
    /// An id found no room.
    is_full: bool,
}

struct Layer {
    bits: AtomicBloomFilter,
    /// How many more ids it is made for.
    room: usize,
}

impl Layer {
    fn of(ids: usize) -> Layer {
        let bits = AtomicBloomFilter::with_num_bits(ids * BITS_PER_ID);
        Layer {
            bits: bits.seed(&0).hashes(HASHES),
            room: ids,
        }
    }

    fn bytes(&self) -> usize {
        self.bits.num_bits() / 8
    }
}

/// An id as the layers take it.
fn hash(id: &BlockId) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&id.0[..8]);
    u64::from_le_bytes(first)
}

impl Filter {
    /// Of an index that may have any id.
    pub(super) fn new() -> Filter {
        Filter::with_limit(BYTES_MAX)
    }

    fn with_limit(bytes_max: usize) -> Filter {
        Filter {
            state: RwLock::default(),
            bytes_max,
        }
    }

    /// Adds an id; before the index gets it.
    pub(super) fn insert(&self, id: &BlockId) {
        let state = &mut *self.state.write();
        if state.is_full {
            return;
        }
        let layers = &mut state.layers;
        if layers.last().is_none_or(|layer| layer.room == 0) {
            let layer = Layer::of(FIRST_LAYER_IDS << layers.len());
            let bytes: usize = layers.iter().chain([&layer]).map(Layer::bytes).sum();
            if bytes > self.bytes_max {
                *state = State {
                    is_full: true,
                    ..State::default()
                };
                return;
            }
            layers.push(layer);
        }
        let layer = layers.last_mut().expect("one was added if none was there");
        layer.room -= 1;
        layer.bits.insert_hash(hash(id));
    }

    /// Every id that the index has was added.
    pub(super) fn call_whole(&self) {
        let mut state = self.state.write();
        state.is_whole = !state.is_full;
    }

    /// Whether there is room for what is still missing, and something missing.
    pub(super) fn is_partial(&self) -> bool {
        let state = self.state.read();
        !state.is_whole && !state.is_full
    }

    /// Whether the id was added, or there is no telling.
    pub(super) fn may_have(&self, id: &BlockId) -> bool {
        let state = self.state.read();
        let hash = hash(id);
        let has = |layer: &Layer| layer.bits.contains_hash(hash);
        !state.is_whole || state.layers.iter().any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> BlockId {
        crate::block::block_id(&number.to_le_bytes())
    }

    /// Nothing is ruled out before all is known; then nothing that was added, and nearly all else,
    /// also when it has grown.
    #[test]
    fn what_was_added_is_never_ruled_out() {
        let filter = Filter::new();
        let added = 3 * FIRST_LAYER_IDS;
        for number in 0..added {
            filter.insert(&id(number));
        }
        assert!(filter.is_partial() && filter.may_have(&id(added)));
        filter.call_whole();
        assert!(!filter.is_partial());
        assert!((0..added).all(|number| filter.may_have(&id(number))));
        let mistaken = (added..added + 10_000).filter(|&number| filter.may_have(&id(number)));
        assert!(mistaken.count() < 300);
    }

    /// Without room for an id it rules nothing out, and takes none.
    #[test]
    fn a_full_one_rules_nothing_out() {
        let filter = Filter::with_limit(FIRST_LAYER_IDS * BITS_PER_ID / 8 + 8);
        filter.call_whole();
        for number in 0..FIRST_LAYER_IDS {
            filter.insert(&id(number));
        }
        assert!(!filter.may_have(&id(FIRST_LAYER_IDS)));
        filter.insert(&id(FIRST_LAYER_IDS));
        filter.call_whole();
        assert!(filter.may_have(&id(FIRST_LAYER_IDS + 1)) && !filter.is_partial());
        assert!(filter.state.read().layers.is_empty());
    }
}
