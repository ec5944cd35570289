//! Reading blocks that the host has in its page cache, and we have not.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use lz4_flex::block::{compress, decompress_into};
use volfs::base::Pointer;

use crate::store::{BATCH_BLOCKS, BLOCK_BYTES, Blocks, open_store};

/// Batches that are read in turn: 64 MiB, more than a core's caches hold.
const BATCHES: usize = 64;

/// The same blocks in all the ways in which they are read.
#[derive(Default)]
struct Batches {
    pointers: Vec<Vec<Pointer>>,
    payloads: Vec<Vec<(blake3::Hash, Vec<u8>)>>,
    contents: Vec<Vec<u8>>,
}

impl Batches {
    fn store(store: &volfs::block::BlockStore) -> Batches {
        let mut batches = Batches::default();
        let mut blocks = Blocks::of(2);
        for _ in 0..BATCHES {
            blocks.renew();
            let contents = blocks.contents();
            let payload = |content: &&[u8]| (blake3::hash(content), compress(content));
            batches
                .pointers
                .push(store.put_blocks(&contents).expect("stored"));
            batches
                .payloads
                .push(contents.iter().map(payload).collect());
            batches.contents.push(blocks.bytes().to_vec());
        }
        batches
    }
}

/// Hands out the elements in turn, for ever.
fn in_turn<'a, T>(all: &'a [T]) -> impl FnMut() -> &'a T {
    let mut turns = all.iter().cycle();
    move || turns.next().expect("an element")
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let store = open_store(scratch.path(), false);
    let batches = Batches::store(&store);
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Bytes((BATCH_BLOCKS * BLOCK_BYTES) as u64));

    let mut pointers = in_turn(&batches.pointers);
    group.bench_function("volfs", |bencher| {
        bencher.iter(|| store.read_blocks(pointers()).expect("readable"));
    });

    let mut payloads = in_turn(&batches.payloads);
    let mut content = vec![0; BLOCK_BYTES];
    group.bench_function("lz4-blake3", |bencher| {
        bencher.iter(|| {
            for (name, payload) in payloads() {
                decompress_into(payload, &mut content).expect("sound");
                assert_eq!(blake3::hash(&content), *name);
            }
        });
    });

    let mut contents = in_turn(&batches.contents);
    let mut buffer = vec![0; BATCH_BLOCKS * BLOCK_BYTES];
    group.bench_function("memcpy", |bencher| {
        bencher.iter(|| {
            buffer.copy_from_slice(contents());
            black_box(&buffer);
        });
    });
    group.finish();
}
