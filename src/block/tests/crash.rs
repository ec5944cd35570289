//! What a store finds that was opened after another one ended.

use std::fs::OpenOptions;
use std::ops::ControlFlow;
use std::time::Duration;

use super::*;

/// A store that was not closed leaves segments that are read and never appended to; new ones have
/// higher numbers.
#[test]
fn segments_open_at_a_crash_are_never_appended_to() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let block = store.put_block(&noise(1, 1000)).unwrap();
    let node = store.put_node(BlockId([2; 32]), b"a node").unwrap();
    drop(store);

    let left: Vec<u8> = fixture.segment_bytes(SegmentId(1));
    let store = fixture.open_settled();
    assert_eq!(store.next_segment(), SegmentId(3));
    assert!(
        store
            .segments()
            .iter()
            .all(|info| !info.closed && info.durable_bytes == info.bytes)
    );
    store.verify(&block).unwrap();
    assert_eq!(store.read_node(&node).unwrap(), b"a node");
    let next = store.put_block(&noise(2, 1000)).unwrap();
    assert_eq!(next.place.segment, SegmentId(3));
    store.close().unwrap();
    assert_eq!(fixture.segment_bytes(SegmentId(1)), left);
}

/// Numbers start above what the superblock recorded even when those files are lost, and foreign
/// files in the folder are left alone.
#[test]
fn numbers_are_not_used_again() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.open().next_segment(), SegmentId(1));
    fixture.options.first_segment = SegmentId(40);
    let store = fixture.open();
    assert_eq!(store.next_segment(), SegmentId(40));
    assert_eq!(store.put_block(b"x").unwrap().place.segment, SegmentId(40));
    drop(store);
    for name in ["notes.txt", "00000000000000ff.tmp", "0000000000000063.node"] {
        std::fs::write(fixture.folder.path().join("segments").join(name), b"").unwrap();
    }
    fixture.options.first_segment = SegmentId(7);
    let store = fixture.open_settled();
    assert_eq!(store.next_segment(), SegmentId(0x64));
    assert_eq!(store.segments().len(), 2);
}

/// Nothing found counts as durable before it was settled: from the first segment on each file is
/// synced and its cached pages dropped, those below are durable by the caller's word.
#[test]
fn settling_syncs_what_is_past_the_checkpoint() {
    let mut fixture = Fixture::new();
    fixture.options.segment_bytes = 10_000;
    let store = fixture.open();
    for seed in 0..4 {
        store.put_block(&noise(seed, 8192)).unwrap();
    }
    drop(store);

    let (store, disk) = fixture.open_hooked();
    assert!(store.segments().iter().all(|info| info.durable_bytes == 0));
    assert!(store.unsynced_bytes() > 4 * 8192);
    disk.take_calls();
    store.settle(SegmentId(3)).unwrap();
    let calls = disk.take_calls();
    let synced = |number| Call::Sync {
        path: format!("segments/{number:016x}.data"),
    };
    let expected: Vec<Call> = [3, 4]
        .into_iter()
        .flat_map(|number| [synced(number), Call::DropCache, Call::SyncDir])
        .collect();
    assert_eq!(calls, expected);
    assert!(
        store
            .segments()
            .iter()
            .all(|info| info.durable_bytes == info.bytes)
    );
    assert_eq!(store.unsynced_bytes(), 0);
    assert_eq!(store.marks(), []);
    store.settle(SegmentId(0)).unwrap();
    assert_eq!(disk.take_calls(), []);
}

/// A segment that cannot be settled is poisoned and says so; the others are settled.
#[test]
fn what_cannot_be_settled_is_poisoned() {
    let mut fixture = Fixture::new();
    fixture.options.segment_bytes = 10_000;
    let store = fixture.open();
    let blocks: Vec<Vec<u8>> = (0..3).map(|seed| noise(seed, 8192)).collect();
    let pointers: Vec<Pointer> = blocks
        .iter()
        .map(|block| store.put_block(block).unwrap())
        .collect();
    drop(store);

    let (store, disk) = fixture.open_hooked();
    disk.hook(|call| match call {
        Call::Sync { path } if path.contains("2.data") => fault(io::ErrorKind::Other),
        _ => Ok(()),
    });
    let error = store.settle(SegmentId(0)).unwrap_err();
    assert!(
        matches!(
            error,
            BlockError::Disk {
                segment: SegmentId(2),
                ..
            }
        ),
        "{error}"
    );
    disk.heal();
    assert!(matches!(
        store.settle(SegmentId(0)),
        Err(BlockError::Poisoned { .. })
    ));
    let durable: Vec<bool> = store
        .segments()
        .iter()
        .map(|info| info.durable_bytes > 0)
        .collect();
    assert_eq!(durable, [true, false, true]);
    assert_eq!(*store.read_block(&pointers[1]).unwrap(), *blocks[1]);
}

/// A file cut off anywhere opens; frames that are whole are read, others are corrupt and no more.
#[test]
fn torn_segments_open() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let pointers: Vec<Pointer> = (0..3)
        .map(|seed| store.put_block(&noise(seed, 100)).unwrap())
        .collect();
    store.close().unwrap();
    let path = fixture.segment_path(SegmentId(1), SegmentKind::Data);
    let whole = std::fs::metadata(&path).unwrap().len();

    for len in (0..whole).rev().step_by(7) {
        OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(len)
            .unwrap();
        let store = fixture.open_settled();
        assert!(!store.segments()[0].closed);
        for pointer in &pointers {
            let end = u64::from(pointer.place.offset + pointer.place.len);
            match store.read_block(pointer) {
                Ok(_) => assert!(end <= len),
                Err(BlockError::Corrupt { id, place, .. }) => {
                    assert!(end > len);
                    assert_eq!((id, place), (pointer.id, pointer.place));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Of a segment that was never synced a power loss may leave the table of contents and take frames
/// that it names. An index that is built from it names them, too, which is no fault, and no new
/// pointer goes there; rot of such a frame is one.
#[test]
fn index_entries_of_frames_that_a_power_loss_took_are_no_fault() {
    let fixture = Fixture::with_index();
    let store = fixture.open();
    let blocks = [1, 2, 3].map(|seed| noise(seed, 2000));
    let pointers = blocks
        .each_ref()
        .map(|block| store.put_block(block).unwrap());
    store.close().unwrap();
    let [lost, rotten] = [1, 2].map(|at| pointers[at].place);
    let path = fixture.segment_path(lost.segment, SegmentKind::Data);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[lost.offset as usize..][..lost.len as usize].fill(0);
    bytes[rotten.offset as usize + 1] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    std::fs::remove_dir_all(fixture.folder.path().join("index")).unwrap();

    let store = fixture.open_settled();
    assert!(store.segments()[0].closed);
    assert!(store.wait_for_index(Duration::MAX));
    let mut faults = Vec::new();
    let checked = store.check_index(&mut |fault| {
        faults.push(fault.place);
        ControlFlow::Continue(())
    });
    assert_eq!((checked, faults), (Ok(()), vec![rotten]));
    let stored = blocks
        .each_ref()
        .map(|block| store.put_block(block).unwrap());
    let is_found: Vec<bool> = (0..3).map(|at| stored[at] == pointers[at]).collect();
    assert_eq!(is_found, [true, false, false]);
}
