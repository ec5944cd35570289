//! Storing new blocks.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;

use criterion::{Criterion, Throughput};
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use crate::store::{BATCH_BLOCKS, BLOCK_BYTES, Blocks, open_store, timed};

/// Frames that the store writes together.
const CHUNK_BLOCKS: usize = (128 << 10) / BLOCK_BYTES;

/// What no store can do without: a name, and fewer bytes.
struct Bare {
    table: CompressTable,
    output: Vec<u8>,
}

impl Bare {
    fn new() -> Bare {
        Bare {
            table: CompressTable::small(),
            output: vec![0; CHUNK_BLOCKS * get_maximum_output_size(BLOCK_BYTES)],
        }
    }

    /// Hashes and compresses the blocks; the bytes that are left of them.
    fn seal(&mut self, contents: &[&[u8]]) -> &[u8] {
        let mut len = 0;
        for content in contents {
            black_box(blake3::hash(content));
            let room = &mut self.output[len..];
            len += compress_into_with_table(content, room, &mut self.table).expect("enough room");
        }
        &self.output[..len]
    }
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let store = open_store(scratch.path(), false);
    let mut blocks = Blocks::of(1);
    let mut group = criterion.benchmark_group("seal");
    group.throughput(Throughput::Bytes((BATCH_BLOCKS * BLOCK_BYTES) as u64));

    group.bench_function("volfs", |bencher| {
        bencher.iter_custom(|rounds| {
            timed(rounds, &mut blocks, Blocks::renew, |blocks| {
                store.put_blocks(&blocks.contents()).expect("stored")
            })
        });
    });

    let mut bare = Bare::new();
    group.bench_function("blake3-lz4", |bencher| {
        bencher.iter_custom(|rounds| {
            timed(rounds, &mut blocks, Blocks::renew, |blocks| {
                for chunk in blocks.contents().chunks(CHUNK_BLOCKS) {
                    black_box(bare.seal(chunk));
                }
            })
        });
    });

    let mut file = File::create(scratch.path().join("bare")).expect("a file");
    group.bench_function("blake3-lz4-write", |bencher| {
        bencher.iter_custom(|rounds| {
            timed(rounds, &mut blocks, Blocks::renew, |blocks| {
                for chunk in blocks.contents().chunks(CHUNK_BLOCKS) {
                    file.write_all(bare.seal(chunk)).expect("written");
                }
            })
        });
    });
    group.finish();
}
