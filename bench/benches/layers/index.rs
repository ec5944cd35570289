//! Finding out whether a block is stored already. Blocks are small here, so that the look-up is
//! most of what is measured; all of these figures have the BLAKE3 of so many bytes in them.

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use volfs::base::{BlockId, Place, SegmentId};
use volfs::block::{BlockStore, block_id};
use volfs::disk::Step;

use crate::store::{open_store, timed};

const CONTENT_BYTES: usize = 100;
const BLOCKS: u64 = 200_000;
const BATCH: u64 = 1024;
/// Fewer than are kept among the recent frames.
const RECENT: u64 = 50_000;
const READY_LIMIT: Duration = Duration::from_secs(120);

/// The content with this number, not compressible.
fn content(number: u64) -> [u8; CONTENT_BYTES] {
    let mut content = [0; CONTENT_BYTES];
    let name = blake3::hash(&number.to_le_bytes());
    for (to, from) in content.chunks_mut(BlockId::BYTES).zip([name; 4]) {
        to.copy_from_slice(&from.as_bytes()[..to.len()]);
    }
    content
}

/// Contents that are put in a single round, of numbers far from each other.
struct Batch {
    next: u64,
    contents: Vec<[u8; CONTENT_BYTES]>,
}

impl Batch {
    fn new() -> Batch {
        Batch {
            next: 0,
            contents: Vec::new(),
        }
    }

    /// Some of those below `count`.
    fn known(&mut self, count: u64) {
        let numbers = (0..BATCH).map(|at| (self.next + at * 7919) % count);
        self.contents = numbers.map(content).collect();
        self.next += 1_299_709;
    }

    /// Some that never were before.
    fn fresh(&mut self) {
        let first = BLOCKS + self.next;
        self.contents = (first..first + BATCH).map(content).collect();
        self.next += BATCH;
    }

    fn put(&self, store: &BlockStore) {
        for content in &self.contents {
            black_box(store.put_block(content).expect("stored"));
        }
    }
}

/// Makes sure that hits are what was measured.
fn check_found(store: &BlockStore) {
    let stats = store.stats();
    let stored = stats.blocks_put - stats.dedup_hits;
    assert!(
        stored <= RECENT + stats.blocks_put / 100,
        "{stored} were not found"
    );
}

fn fill(store: &BlockStore, count: u64) {
    for number in 0..count {
        store.put_block(&content(number)).expect("stored");
    }
}

/// A store whose blocks only sled knows: none of them is among the recent frames.
fn indexed_store(folder: &Path) -> Arc<BlockStore> {
    let store = open_store(folder, false);
    fill(&store, BLOCKS);
    store.sync_all(Step::SegmentBeforeReply).expect("synced");
    store.close().expect("closed");
    let store = open_store(folder, true);
    store.settle(SegmentId(0)).expect("settled");
    let start = Instant::now();
    while !store.stats().index_ready {
        assert!(start.elapsed() < READY_LIMIT, "the index is not ready");
        sleep(Duration::from_millis(10));
    }
    store
}

/// What is looked up in memory: all blocks with a place.
fn known_places() -> HashMap<BlockId, Place> {
    let place = |number: u64| Place {
        segment: SegmentId(1),
        offset: number as u32,
        len: CONTENT_BYTES as u32,
    };
    let entries = (0..BLOCKS).map(|number| (block_id(&content(number)), place(number)));
    entries.collect()
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a scratch folder"));
    let indexed = indexed_store(folders[0].path());
    let recent = open_store(folders[1].path(), false);
    fill(&recent, RECENT);
    let places = known_places();
    let mut batch = Batch::new();
    let mut group = criterion.benchmark_group("index");
    group.throughput(Throughput::Elements(BATCH));

    let mut measure = |name: &str, prepare: fn(&mut Batch), work: &dyn Fn(&Batch)| {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| timed(rounds, &mut batch, prepare, |batch| work(batch)));
        });
    };
    let in_map = |batch: &Batch| {
        for content in &batch.contents {
            black_box(places.get(&block_id(content)));
        }
    };
    measure("hit-map", |batch| batch.known(BLOCKS), &in_map);
    measure("hit-sled", |batch| batch.known(BLOCKS), &|batch| {
        batch.put(&indexed);
    });
    check_found(&indexed);
    measure("hit-recent", |batch| batch.known(RECENT), &|batch| {
        batch.put(&recent);
    });
    check_found(&recent);
    measure("miss-indexed", Batch::fresh, &|batch| batch.put(&indexed));
    measure("miss-none", Batch::fresh, &|batch| batch.put(&recent));
    group.finish();
}
