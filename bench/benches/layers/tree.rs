//! A volume's map with a million blocks, beside a map in memory.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use volfs::base::{Ino, Key, Place, SegmentId, Value};
use volfs::block::BlockStore;
use volfs::tree::{BlockNodes, Cursor, Edits, NodeStore, TreeRoot, edit, get};
use volfs::volume::keys;
use volfs_bench::fresh::Bytes;

use crate::store::{open_store, timed};

const KEYS: u64 = 1_000_000;
/// Keys of a batch of edits.
const EDIT_KEYS: u64 = 1000;
/// Keys that a large read needs.
const SCAN_KEYS: u64 = 128;
/// More than the tree takes: all of its nodes stay decoded.
const LARGE_CACHE_BYTES: usize = 1 << 30;
/// What a pool has by default: less than the tree takes.
const DEFAULT_CACHE_BYTES: usize = 64 << 20;

fn key(index: u64) -> Key {
    keys::block(Ino(7), index)
}

/// A pointer to a block of new content.
fn value(bytes: &mut Bytes) -> Value {
    let mut id = [0; 32];
    for part in id.chunks_mut(8) {
        part.copy_from_slice(&bytes.number().to_le_bytes());
    }
    let place = Place {
        segment: SegmentId(bytes.number() % 1000 + 1),
        offset: bytes.number() as u32,
        len: 4200,
    };
    Value {
        bytes: Arc::from(id),
        place: Some(place),
    }
}

/// Sets of keys, and what they are set to.
struct Batch {
    bytes: Bytes,
    edits: Edits,
}

impl Batch {
    fn new() -> Batch {
        Batch {
            bytes: Bytes::of(3),
            edits: Edits::default(),
        }
    }

    fn set(&mut self, indexes: impl Iterator<Item = u64>) {
        let value = |index| (key(index), Some(value(&mut self.bytes)));
        self.edits.points = indexes.map(value).collect();
    }

    /// Keys anywhere: about each falls into a leaf of its own.
    fn scattered(&mut self) {
        let step = KEYS / EDIT_KEYS;
        let first = self.bytes.number() % step;
        self.set((0..EDIT_KEYS).map(|at| at * step + first));
    }

    /// Keys beside each other.
    fn neighbours(&mut self) {
        let first = self.bytes.number() % (KEYS - EDIT_KEYS);
        self.set(first..first + EDIT_KEYS);
    }
}

struct Trees {
    root: TreeRoot,
    nodes: BlockNodes,
    nodes_by_default: BlockNodes,
    map: BTreeMap<Key, Value>,
}

impl Trees {
    fn grow(store: &Arc<BlockStore>) -> Trees {
        let mut batch = Batch::new();
        batch.set(0..KEYS);
        let nodes = BlockNodes::new(store.clone(), LARGE_CACHE_BYTES);
        let root = edit(&nodes, None, &batch.edits).expect("a tree");
        let entries = batch.edits.points.into_iter();
        Trees {
            root: root.expect("it has keys"),
            nodes,
            nodes_by_default: BlockNodes::new(store.clone(), DEFAULT_CACHE_BYTES),
            map: entries
                .filter_map(|(key, value)| Some((key, value?)))
                .collect(),
        }
    }

    fn edit(&self, edits: &Edits) {
        black_box(edit(&self.nodes, Some(&self.root), edits).expect("edited"));
    }

    fn edit_map(&mut self, edits: &Edits) {
        for (key, value) in &edits.points {
            let value = value.clone().expect("nothing is removed");
            self.map.insert(*key, value);
        }
    }

    fn get(&self, nodes: &dyn NodeStore, index: u64) {
        let found = get(nodes, Some(&self.root), &key(index)).expect("readable");
        black_box(found.expect("it is there"));
    }

    fn scan(&self, from: u64) {
        let cursor = Cursor::seek(&self.nodes, Some(&self.root), &key(from));
        let mut cursor = cursor.expect("readable");
        for _ in 0..SCAN_KEYS {
            black_box(cursor.next().expect("readable"));
        }
    }

    fn scan_map(&self, from: u64) {
        for (key, value) in self.map.range(key(from)..).take(SCAN_KEYS as usize) {
            black_box((*key, value.clone()));
        }
    }
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let store = open_store(scratch.path(), false);
    let mut trees = Trees::grow(&store);
    bench_reads(criterion, &trees);
    bench_edits(criterion, &mut trees);
}

fn bench_reads(criterion: &mut Criterion, trees: &Trees) {
    let mut bytes = Bytes::of(4);
    let mut any = move |below: u64| bytes.number() % below;
    let mut group = criterion.benchmark_group("tree");
    let mut read = |name: &str, count: u64, work: &dyn Fn(u64)| {
        group.throughput(Throughput::Elements(count));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || any(KEYS - SCAN_KEYS),
                work,
                criterion::BatchSize::SmallInput,
            );
        });
    };
    read("get", 1, &|index| trees.get(&trees.nodes, index));
    read("get-default-cache", 1, &|index| {
        trees.get(&trees.nodes_by_default, index);
    });
    read("get-map", 1, &|index| {
        black_box(trees.map.get(&key(index)).cloned());
    });
    read("scan", SCAN_KEYS, &|from| trees.scan(from));
    read("scan-map", SCAN_KEYS, &|from| trees.scan_map(from));
    group.finish();
}

fn bench_edits(criterion: &mut Criterion, trees: &mut Trees) {
    let mut batch = Batch::new();
    let mut group = criterion.benchmark_group("tree");
    group.throughput(Throughput::Elements(EDIT_KEYS));
    let ways = [
        ("scattered", Batch::scattered as fn(&mut Batch)),
        ("neighbours", Batch::neighbours),
    ];
    for (name, prepare) in ways {
        group.bench_function(format!("edit-{name}"), |bencher| {
            bencher.iter_custom(|rounds| {
                timed(rounds, &mut batch, prepare, |batch| {
                    trees.edit(&batch.edits);
                })
            });
        });
        group.bench_function(format!("edit-{name}-map"), |bencher| {
            bencher.iter_custom(|rounds| {
                timed(rounds, &mut batch, prepare, |batch| {
                    trees.edit_map(&batch.edits);
                })
            });
        });
    }
    group.finish();
}
