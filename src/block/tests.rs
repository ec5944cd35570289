//! The store as a whole, on files in a temporary folder.

mod crash;
mod dedup;
mod durability;
mod hooked_disk;
mod interleavings;
mod model;
mod reading;

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use tempfile::TempDir;

use super::*;
use crate::base::{Pointer, PoolId};
use crate::disk::{Disk, FileDisk, Step};
use hooked_disk::{Call, HookedDisk};

const POOL: PoolId = PoolId([9; 16]);

/// A folder in which stores are opened, one after the other.
struct Fixture {
    folder: TempDir,
    options: StoreOptions,
}

impl Fixture {
    /// Without a content index and with the caller's thread only.
    fn new() -> Fixture {
        let options = StoreOptions {
            cache_bytes: 4 << 20,
            workers: 0,
            segment_bytes: 64 << 20,
            first_segment: SegmentId(0),
            index_dir: None,
        };
        let folder = tempfile::tempdir().unwrap();
        FileDisk::new(folder.path()).create_dir("segments").unwrap();
        Fixture { folder, options }
    }

    fn with_index() -> Fixture {
        let mut fixture = Fixture::new();
        fixture.options.index_dir = Some(fixture.folder.path().join("index"));
        fixture
    }

    fn open(&self) -> Arc<BlockStore> {
        let disk = Arc::new(FileDisk::new(self.folder.path()));
        BlockStore::open(disk, POOL, self.options.clone()).unwrap()
    }

    /// As after recovery: all that is there is on the medium.
    fn open_settled(&self) -> Arc<BlockStore> {
        let store = self.open();
        store.settle(SegmentId(0)).unwrap();
        store
    }

    fn open_hooked(&self) -> (Arc<BlockStore>, HookedDisk) {
        let disk = HookedDisk::new(self.folder.path());
        let store = BlockStore::open(Arc::new(disk.clone()), POOL, self.options.clone());
        (store.unwrap(), disk)
    }

    fn segment_path(&self, segment: SegmentId, kind: SegmentKind) -> std::path::PathBuf {
        self.folder
            .path()
            .join(format!("segments/{:016x}.{kind}", segment.0))
    }

    fn segment_bytes(&self, segment: SegmentId) -> Vec<u8> {
        std::fs::read(self.segment_path(segment, SegmentKind::Data)).unwrap()
    }

    /// Inverts a byte of a data segment.
    fn flip(&self, segment: SegmentId, at: u32) {
        let path = self.segment_path(segment, SegmentKind::Data);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at as usize] ^= 0xff;
        std::fs::write(&path, bytes).unwrap();
    }

    fn remove(&self, segment: SegmentId, kind: SegmentKind) {
        std::fs::remove_file(self.segment_path(segment, kind)).unwrap();
    }
}

/// Content that does not compress, a different one for every seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut content = vec![0; len];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut content);
    content
}

/// Blocks of every sort of size and compressibility, and nodes, come back as they were: from the
/// store that took them, from one opened after its close, and to `verify`.
#[test]
fn what_is_put_is_read_back() {
    let fixture = Fixture::new();
    let mut blocks: Vec<Vec<u8>> = [1, 63, 64, 8192, 65_535, 131_072, 1 << 20]
        .map(|len| noise(len as u64, len))
        .into();
    blocks.extend([1, 100, 8192, 65_536, 1 << 20].map(|len| vec![7; len]));
    let node = noise(99, (1 << 20) + (128 << 10));

    let store = fixture.open();
    let pointers: Vec<Pointer> = blocks
        .iter()
        .map(|block| store.put_block(block).unwrap())
        .collect();
    let node_id = BlockId([3; 32]);
    let node_pointer = store.put_node(node_id, &node).unwrap();
    let check = |store: &BlockStore| {
        for (pointer, block) in pointers.iter().zip(&blocks) {
            assert_eq!(pointer.id, block_id(block));
            assert_eq!(&*store.read_block(pointer).unwrap(), block.as_slice());
            store.verify(pointer).unwrap();
        }
        let many = store.read_blocks(&pointers).unwrap();
        assert!(
            many.iter()
                .zip(&blocks)
                .all(|(found, block)| **found == **block)
        );
        assert_eq!(store.read_node(&node_pointer).unwrap(), node);
        store.verify(&node_pointer).unwrap();
    };
    check(&store);
    store.close().unwrap();

    let store = fixture.open_settled();
    check(&store);
    let infos = store.segments();
    assert_eq!(infos.len(), 2);
    for info in infos {
        assert!(
            info.closed && !info.poisoned && info.bytes == info.durable_bytes,
            "{info:?}"
        );
    }
}

/// The first frame of a pool lies where the format says, and its pointer says so.
#[test]
fn golden_place() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let pointer = store.put_block(b"hello").unwrap();
    assert_eq!(pointer.place.segment, SegmentId(1));
    assert_eq!((pointer.place.offset, pointer.place.len), (64, 69));
    assert_eq!(&fixture.segment_bytes(SegmentId(1))[128..], b"hello");
}

/// Contents that no frame can hold are refused, and are the caller's fault.
#[test]
fn impossible_lengths_are_refused() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let long = vec![0; FRAME_CONTENT_MAX + (128 << 10) + 1];
    let id = BlockId([1; 32]);
    for error in [
        store.put_block(b"").unwrap_err(),
        store.put_block(&long[..=FRAME_CONTENT_MAX]).unwrap_err(),
        store.put_blocks(&[b"a", b""]).unwrap_err(),
        store.put_node(id, b"").unwrap_err(),
        store.put_node(id, &long).unwrap_err(),
        store
            .sync(&[SegmentId(77)], Step::SegmentBeforeReply)
            .unwrap_err(),
    ] {
        assert_eq!(error.nature(), crate::base::Nature::Refused, "{error}");
    }
}

/// Segments end at their size with a table of contents, and the next one goes on.
#[test]
fn full_segments_are_closed() {
    let mut fixture = Fixture::new();
    fixture.options.segment_bytes = 50_000;
    let store = fixture.open();
    let pointers: Vec<Pointer> = (0..20)
        .map(|seed| store.put_block(&noise(seed, 8192)).unwrap())
        .collect();
    let big = store.put_block(&noise(100, 100_000)).unwrap();
    let behind = store.put_block(&noise(101, 8192)).unwrap();

    let infos = store.segments();
    let closed: Vec<bool> = infos.iter().map(|info| info.closed).collect();
    assert_eq!(closed, [true, true, true, true, true, false]);
    // Six frames fit, and 64 bytes of header, 40 for each entry, 64 of trailer.
    assert_eq!(infos[0].bytes, 64 + 6 * (8192 + 64) + 6 * 40 + 64);
    assert_eq!(big.place.segment, SegmentId(5));
    assert_eq!(behind.place.segment, SegmentId(6));
    for (seed, pointer) in pointers.iter().enumerate() {
        assert_eq!(
            *store.read_block(pointer).unwrap(),
            *noise(seed as u64, 8192)
        );
    }
}

/// Several threads put and read at once, by one and by many, over many segments; every block is
/// what it was, and equal blocks have equal ids.
#[test]
fn threads_do_not_disturb_each_other() {
    let mut fixture = Fixture::with_index();
    fixture.options.segment_bytes = 200_000;
    fixture.options.workers = 2;
    let store = fixture.open();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..10 {
                    let blocks: Vec<Vec<u8>> = (0..40)
                        .map(|at| noise((thread % 2) * 1000 + round * 40 + at, 8192))
                        .collect();
                    let slices: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
                    let pointers = store.put_blocks(&slices).unwrap();
                    store
                        .sync(&[pointers[0].place.segment], Step::SegmentBeforeReply)
                        .unwrap();
                    let found = store.read_blocks(&pointers).unwrap();
                    for ((pointer, content), block) in pointers.iter().zip(&found).zip(&blocks) {
                        assert_eq!(pointer.id, block_id(block));
                        assert_eq!(**content, **block);
                        assert_eq!(*store.read_block(pointer).unwrap(), **block);
                    }
                    let node = store.put_node(pointers[0].id, &blocks[1]).unwrap();
                    assert_eq!(store.read_node(&node).unwrap(), blocks[1]);
                }
            });
        }
    });
    store.sync_all(Step::SegmentBeforeSuperblock).unwrap();
    assert_eq!(store.unsynced_bytes(), 0);
    assert_eq!(store.stats().blocks_put, 1600);
    assert_eq!(store.stats().bytes_put, 1600 * 8192);
    store.close().unwrap();
    assert!(store.marks().is_empty());
}

/// A closed store refuses all work, and closing again does nothing.
#[test]
fn a_closed_store_refuses() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let pointer = store.put_block(b"x").unwrap();
    store.close().unwrap();
    store.close().unwrap();
    assert!(matches!(store.put_block(b"y"), Err(BlockError::Closed)));
    assert!(matches!(store.put_blocks(&[b"y"]), Err(BlockError::Closed)));
    assert!(matches!(
        store.read_block(&pointer),
        Err(BlockError::Closed)
    ));
    assert!(matches!(store.verify(&pointer), Err(BlockError::Closed)));
    assert_eq!(store.segments()[0].durable_bytes, store.segments()[0].bytes);
}

/// The fault that a hook answers with.
fn fault(kind: io::ErrorKind) -> io::Result<()> {
    Err(kind.into())
}
