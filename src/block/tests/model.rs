//! Random work on a store against what it should hold.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// Something to do to a store. Contents are few, so that they come again.
#[derive(Clone, Debug)]
enum Op {
    Put { content: u64 },
    PutMany { from: u64, count: u64 },
    PutNode { content: u64 },
    Sync,
    SyncAll,
    Close,
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..40u64).prop_map(|content| Op::Put { content }),
        2 => (0..40u64, 0..20u64).prop_map(|(from, count)| Op::PutMany { from, count }),
        3 => (0..40u64).prop_map(|content| Op::PutNode { content }),
        2 => Just(Op::Sync),
        1 => Just(Op::SyncAll),
        1 => Just(Op::Close),
        1 => Just(Op::Crash),
    ]
}

/// Lengths from 1 byte to some hundred KiB, half of them compressible.
fn content(number: u64) -> Vec<u8> {
    let len = (number * number * number + 1) as usize;
    if number.is_multiple_of(2) {
        noise(number, len)
    } else {
        vec![number as u8; len]
    }
}

/// Everything that was put, as often as the store was opened since.
#[derive(Default)]
struct Model {
    blocks: HashMap<u64, Pointer>,
    nodes: HashMap<u64, Pointer>,
}

impl Model {
    fn check(&self, store: &BlockStore) {
        for (&number, pointer) in &self.blocks {
            assert_eq!(*store.read_block(pointer).unwrap(), *content(number));
        }
        let (numbers, pointers): (Vec<u64>, Vec<Pointer>) = self.blocks.iter().unzip();
        for (number, found) in numbers.iter().zip(store.read_blocks(&pointers).unwrap()) {
            assert_eq!(*found, *content(*number));
        }
        for (&number, pointer) in &self.nodes {
            assert_eq!(store.read_node(pointer).unwrap(), content(number));
        }
        for info in store.segments() {
            assert!(
                info.durable_bytes <= info.bytes && !info.poisoned,
                "{info:?}"
            );
        }
    }
}

fn run(ops: &[Op]) {
    let mut fixture = Fixture::with_index();
    fixture.options.segment_bytes = 300_000;
    fixture.options.workers = 1;
    fixture.options.cache_bytes = 1 << 20;
    let mut model = Model::default();
    let mut store = fixture.open_settled();
    let mut numbers_end = store.next_segment();
    for op in ops {
        match *op {
            Op::Put { content: number } => {
                let pointer = store.put_block(&content(number)).unwrap();
                model.blocks.insert(number, pointer);
            }
            Op::PutMany { from, count } => {
                let contents: Vec<Vec<u8>> = (from..from + count).map(content).collect();
                let slices: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
                let pointers = store.put_blocks(&slices).unwrap();
                model.blocks.extend((from..).zip(pointers));
            }
            Op::PutNode { content: number } => {
                let id = BlockId([number as u8; 32]);
                let pointer = store.put_node(id, &content(number)).unwrap();
                model.nodes.insert(number, pointer);
            }
            Op::Sync => {
                let named: Vec<SegmentId> = model
                    .blocks
                    .values()
                    .map(|pointer| pointer.place.segment)
                    .collect();
                store.sync(&named, Step::SegmentBeforeReply).unwrap();
                for Pointer { place, .. } in model.blocks.values() {
                    assert!(store.durable_bytes(place.segment) >= place.offset + place.len);
                }
            }
            Op::SyncAll => {
                store.sync_all(Step::SegmentBeforeSuperblock).unwrap();
                assert_eq!(store.unsynced_bytes(), 0);
            }
            Op::Close | Op::Crash => {
                if matches!(op, Op::Close) {
                    store.close().unwrap();
                }
                drop(store);
                store = fixture.open_settled();
                model.check(&store);
            }
        }
        assert!(store.next_segment() >= numbers_end);
        numbers_end = store.next_segment();
    }
    model.check(&store);
    store.index().drain();
    model.check(&store);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever is put, synced, closed or cut off: all that was put is read back, what was synced
    /// is durable, and numbers of segments only grow.
    #[test]
    fn model_of_a_store(ops in proptest::collection::vec(op(), 1..40)) {
        run(&ops);
    }
}
