//! Storing a block once, and the content index that knows of it.

use std::path::PathBuf;

use super::*;

/// A block that was stored lately is not stored again, and costs its caller the same sync.
#[test]
fn recent_blocks_are_stored_once() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let content = noise(1, 8192);
    let first = store.put_block(&content).unwrap();
    let bytes = store.stats().stored_bytes;
    assert_eq!(store.put_block(&content).unwrap(), first);
    assert_eq!(
        store.put_blocks(&[&content, &content]).unwrap(),
        [first, first]
    );
    let stats = store.stats();
    assert_eq!((stats.blocks_put, stats.bytes_put), (4, 4 * 8192));
    assert_eq!((stats.dedup_hits, stats.dedup_bytes), (3, 3 * 8192));
    assert_eq!(stats.stored_bytes, bytes);
    assert!(!stats.index_ready);
    let node = store.put_node(first.id, &content).unwrap();
    assert_ne!(store.put_node(first.id, &content).unwrap(), node);
}

/// What is stored anew is counted once, with what compression has left of it; nodes are not.
#[test]
fn newly_stored_blocks_are_counted() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let counted = || {
        let stats = store.stats();
        (stats.new_bytes, stats.new_frame_bytes)
    };
    let (random, even) = (noise(1, 8192), vec![7; 8192]);
    let stored = store.put_blocks(&[&random, &even, &random]).unwrap();
    let frame_bytes: u64 = stored[..2]
        .iter()
        .map(|pointer| u64::from(pointer.place.len))
        .sum();
    assert!((8192..8192 + 1000).contains(&frame_bytes));
    assert_eq!(counted(), (2 * 8192, frame_bytes));
    store.put_block(&even).unwrap();
    store.put_node(stored[0].id, &random).unwrap();
    assert_eq!(counted(), (2 * 8192, frame_bytes));
}

/// A frame that is found damaged where it was remembered is not referred to: the block is stored
/// again.
#[test]
fn a_damaged_frame_is_no_hit() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let content = noise(1, 8192);
    let first = store.put_block(&content).unwrap();
    fixture.flip(SegmentId(1), 5000);
    let second = store.put_block(&content).unwrap();
    assert_ne!(second.place, first.place);
    store.verify(&second).unwrap();
    assert_eq!(store.put_block(&content).unwrap(), second);
}

/// Fills a store with these blocks and closes it.
fn filled(fixture: &Fixture, seeds: std::ops::Range<u64>) -> Vec<Pointer> {
    let store = fixture.open_settled();
    let pointers = seeds
        .map(|seed| store.put_block(&noise(seed, 3000)).unwrap())
        .collect();
    store.close().unwrap();
    pointers
}

/// Opens the store, waits for the index, and asserts that each of these blocks is found stored
/// where it is.
fn assert_deduplicated(fixture: &Fixture, pointers: &[Pointer]) {
    let store = fixture.open_settled();
    store.index().drain();
    assert!(store.stats().index_ready);
    for (seed, pointer) in pointers.iter().enumerate() {
        assert_eq!(
            store.put_block(&noise(seed as u64, 3000)).unwrap(),
            *pointer
        );
    }
    assert_eq!(store.stats().dedup_hits, pointers.len() as u64);
    store.close().unwrap();
}

fn index_folders(fixture: &Fixture) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(fixture.folder.path().join("index")).unwrap();
    let mut folders: Vec<PathBuf> = folders.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

/// Blocks of earlier runs are found through the index; what it lacked at the close is fed after
/// the next opening, and an index that already covers all is not fed again.
#[test]
fn older_blocks_are_found_through_the_index() {
    let mut fixture = Fixture::with_index();
    fixture.options.segment_bytes = 100_000;
    let pointers = filled(&fixture, 0..100);
    assert_deduplicated(&fixture, &pointers);

    let (store, disk) = fixture.open_hooked();
    disk.take_calls();
    store.settle(SegmentId::default()).unwrap();
    store.index().drain();
    assert!(store.stats().index_ready);
    assert!(
        !disk
            .take_calls()
            .iter()
            .any(|call| matches!(call, Call::Read { .. }))
    );
}

/// The index is fed while the store runs, with what has been synced: durable frames are found
/// even when nothing else remembers them, and the feeding goes on with every segment.
#[test]
fn the_index_is_fed_behind_the_writers() {
    let mut fixture = Fixture::with_index();
    fixture.options.segment_bytes = 5 << 20;
    let store = fixture.open_settled();
    let pointers: Vec<Pointer> = (0..3000)
        .map(|seed| store.put_block(&noise(seed, 3000)).unwrap())
        .collect();
    store.index().drain();
    assert_eq!(store.index().lookup(&pointers[0].id), None);

    store.sync_all(Step::SegmentBeforeSuperblock).unwrap();
    store.index().drain();
    let known = pointers
        .iter()
        .filter(|pointer| store.index().lookup(&pointer.id) == Some(pointer.place))
        .count();
    assert_eq!(known, 3000);
}

/// A missing, a damaged and another pool's index are rebuilt from the segments, those that were
/// never closed included.
#[test]
fn an_unusable_index_is_rebuilt() {
    let fixture = Fixture::with_index();
    let mut pointers = filled(&fixture, 0..50);
    let store = fixture.open_settled();
    pointers.extend((50..60).map(|seed| store.put_block(&noise(seed, 3000)).unwrap()));
    drop(store);
    assert_deduplicated(&fixture, &pointers);

    for folder in index_folders(&fixture) {
        std::fs::remove_dir_all(folder).unwrap();
    }
    assert_deduplicated(&fixture, &pointers);

    let folders = index_folders(&fixture);
    let database = folders[0].join("db");
    let mut bytes = std::fs::read(&database).unwrap();
    bytes.iter_mut().step_by(97).for_each(|byte| *byte ^= 0x55);
    std::fs::write(&database, bytes).unwrap();
    std::fs::write(folders[0].join("conf"), b"nonsense").unwrap();
    assert_deduplicated(&fixture, &pointers);

    let folders = index_folders(&fixture);
    let foreign = tempfile::tempdir().unwrap();
    let disk = std::sync::Arc::new(FileDisk::new(foreign.path()));
    disk.create_dir("segments").unwrap();
    let other = BlockStore::open(disk, PoolId([1; 16]), fixture.options.clone()).unwrap();
    other.index().drain();
    other.close().unwrap();
    let others = index_folders(&fixture);
    assert_ne!(others, folders);
    assert_deduplicated(&fixture, &pointers);
    assert_ne!(index_folders(&fixture), others);
    assert_eq!(index_folders(&fixture).len(), 1);
}

/// An index that fails while the store runs is replaced behind it: nothing fails meanwhile, and
/// afterwards it knows again what it knew.
#[test]
fn a_failing_index_is_replaced_behind_the_store() {
    let fixture = Fixture::with_index();
    let pointers = filled(&fixture, 0..50);
    let store = fixture.open_settled();
    store.index().drain();
    let before = index_folders(&fixture);
    for round in 0..5 {
        store.index().fail();
        assert!(!store.stats().index_ready || index_folders(&fixture) != before);
        let content = noise(1000 + round, 3000);
        let pointer = store.put_block(&content).unwrap();
        assert_eq!(*store.read_block(&pointer).unwrap(), *content);
        store.index().drain();
        assert!(store.stats().index_ready);
        assert_eq!(store.put_block(&noise(7, 3000)).unwrap(), pointers[7]);
    }
    store.close().unwrap();
    let after = index_folders(&fixture);
    assert_eq!(after.len(), 1);
    assert_ne!(after, before);
}

/// An index whose folder cannot be made is done without.
#[test]
fn without_an_index_everything_else_works() {
    let fixture = Fixture::with_index();
    std::fs::write(fixture.folder.path().join("index"), b"in the way").unwrap();
    let store = fixture.open_settled();
    let pointer = store.put_block(&noise(1, 3000)).unwrap();
    assert_eq!(store.put_block(&noise(1, 3000)).unwrap(), pointer);
    store.sync_all(Step::SegmentBeforeSuperblock).unwrap();
    assert!(!store.stats().index_ready);
    store.close().unwrap();
}

/// An index that lags behind, as a crash leaves it, is only fed with what it lacks; entries for
/// segments that are gone are no hits.
#[test]
fn an_index_that_lags_catches_up() {
    let fixture = Fixture::with_index();
    let mut pointers = filled(&fixture, 0..50);
    assert_deduplicated(&fixture, &pointers);
    let saved = tempfile::tempdir().unwrap();
    let folder = index_folders(&fixture).remove(0);
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    };
    copy(&folder, saved.path());
    pointers.extend(filled(&fixture, 50..100));
    std::fs::remove_dir_all(&folder).unwrap();
    copy(saved.path(), &folder);
    assert_deduplicated(&fixture, &pointers);
    assert_eq!(index_folders(&fixture), [folder]);

    fixture.remove(SegmentId(1), SegmentKind::Data);
    let store = fixture.open_settled();
    store.index().drain();
    let again = store.put_block(&noise(3, 3000)).unwrap();
    assert_eq!(again.place.segment, SegmentId(3));
    assert_eq!(store.put_block(&noise(60, 3000)).unwrap(), pointers[60]);
}
