//! Stores, blocks, and a clock.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use volfs::base::{PoolId, SegmentId};
use volfs::block::{BlockStore, StoreOptions};
use volfs::disk::FileDisk;
use volfs_bench::fresh::Bytes;

/// Bytes of a block.
pub(crate) const BLOCK_BYTES: usize = 8 << 10;
/// Blocks that are stored or read at once: a request of 1 MiB.
pub(crate) const BATCH_BLOCKS: usize = 128;

/// Opens a store without a cache and without helpers, so that one core does all of the work.
pub(crate) fn open_store(folder: &Path, has_index: bool) -> Arc<BlockStore> {
    fs::create_dir_all(folder.join("segments")).expect("a folder for segments");
    let options = StoreOptions {
        cache_bytes: 0,
        workers: 0,
        segment_bytes: 64 << 20,
        first_segment: SegmentId(1),
        index_dir: has_index.then(|| folder.join("index")),
    };
    BlockStore::open(Arc::new(FileDisk::new(folder)), PoolId([1; 16]), options).expect("a store")
}

/// A batch of blocks that compress to half.
pub(crate) struct Blocks {
    bytes: Vec<u8>,
    stamp: u64,
}

impl Blocks {
    pub(crate) fn of(seed: u64) -> Blocks {
        let mut blocks = Blocks {
            bytes: vec![0; BATCH_BLOCKS * BLOCK_BYTES],
            stamp: 0,
        };
        Bytes::of(seed).fill(&mut blocks.bytes);
        blocks
    }

    /// Changes each of them, so that none was stored before.
    pub(crate) fn renew(&mut self) {
        for block in self.bytes.chunks_exact_mut(BLOCK_BYTES) {
            self.stamp += 1;
            block[..8].copy_from_slice(&self.stamp.to_le_bytes());
        }
    }

    pub(crate) fn contents(&self) -> Vec<&[u8]> {
        self.bytes.chunks_exact(BLOCK_BYTES).collect()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The time that so many rounds of `work` take, without what `prepare` does before each.
pub(crate) fn timed<S, R>(
    rounds: u64,
    state: &mut S,
    mut prepare: impl FnMut(&mut S),
    mut work: impl FnMut(&mut S) -> R,
) -> Duration {
    let mut sum = Duration::ZERO;
    for _ in 0..rounds {
        prepare(state);
        let start = Instant::now();
        let result = work(state);
        sum += start.elapsed();
        drop(result);
    }
    sum
}
