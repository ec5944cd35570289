//! What may be called durable, and what failures do to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::*;

fn syncs(calls: &[Call]) -> usize {
    calls
        .iter()
        .filter(|call| matches!(call, Call::Sync { .. }))
        .count()
}

fn folder_syncs(calls: &[Call]) -> usize {
    calls
        .iter()
        .filter(|call| matches!(call, Call::SyncDir))
        .count()
}

/// A sync covers what was appended, syncs the folder for a new file only, and does nothing when
/// there is nothing new.
#[test]
fn a_sync_costs_what_is_new() {
    let fixture = Fixture::new();
    let (store, disk) = fixture.open_hooked();
    let first = store.put_block(&noise(1, 1000)).unwrap();
    assert_eq!(store.durable_bytes(first.place.segment), 0);
    assert_eq!(store.unsynced_bytes(), 64 + 1064);
    disk.take_calls();

    store
        .sync(&[first.place.segment], Step::SegmentBeforeReply)
        .unwrap();
    let calls = disk.take_calls();
    assert_eq!((syncs(&calls), folder_syncs(&calls)), (1, 1));
    assert_eq!(store.durable_bytes(first.place.segment), 64 + 1064);
    assert_eq!(store.unsynced_bytes(), 0);
    let mark = SegmentMark {
        segment: first.place.segment,
        durable_bytes: 1128,
    };
    assert_eq!(store.marks(), [mark]);

    store
        .sync(&[first.place.segment], Step::SegmentBeforeReply)
        .unwrap();
    store.sync_all(Step::SegmentBeforeSuperblock).unwrap();
    assert_eq!(disk.take_calls(), []);

    store.put_block(&noise(2, 500)).unwrap();
    store.sync_all(Step::SegmentBeforeSuperblock).unwrap();
    let calls = disk.take_calls();
    assert_eq!((syncs(&calls), folder_syncs(&calls)), (1, 0));
    assert_eq!(store.durable_bytes(first.place.segment), 1128 + 564);
}

/// A frame that is being written when a sync is asked for is waited for, and no flush is issued
/// before it is there: the mark covers it.
#[test]
fn a_sync_waits_for_writes_in_flight() {
    let fixture = Fixture::new();
    let (store, disk) = fixture.open_hooked();
    let segment = store.put_block(&noise(0, 100)).unwrap().place.segment;
    let (entered, at_gate) = mpsc::channel();
    let (gate, opened) = mpsc::channel::<()>();
    let (flushing, flushed) = mpsc::channel();
    let (opened, entered) = (Mutex::new(opened), Mutex::new((entered, flushing)));
    disk.hook(move |call| {
        match call {
            Call::Write { offset: 228 } => {
                entered.lock().0.send(()).unwrap();
                opened.lock().recv().unwrap();
            }
            Call::Sync { .. } => entered.lock().1.send(()).unwrap(),
            _ => {}
        }
        Ok(())
    });

    std::thread::scope(|scope| {
        let slow = scope.spawn(|| store.put_block(&noise(1, 5000)).unwrap());
        at_gate.recv().unwrap();
        let behind = store.put_block(&noise(2, 100)).unwrap();
        assert_eq!(behind.place.offset, 228 + 5064);
        let sync = scope.spawn(|| store.sync(&[segment], Step::SegmentBeforeReply).unwrap());
        assert!(
            flushed.recv_timeout(Duration::from_millis(50)).is_err(),
            "flushed too early"
        );
        assert_eq!(store.durable_bytes(segment), 0);
        gate.send(()).unwrap();
        sync.join().unwrap();
        slow.join().unwrap();
    });
    assert_eq!(store.durable_bytes(segment), 228 + 5064 + 164);
    flushed.recv().unwrap();
    assert!(flushed.try_recv().is_err());
}

/// What is appended while a flush is under way is not covered by it, and those who wait for it
/// share the next one.
#[test]
fn concurrent_syncs_share_a_flush() {
    let fixture = Fixture::new();
    let (store, disk) = fixture.open_hooked();
    let segment = store.put_block(&noise(0, 100)).unwrap().place.segment;
    let (entered, at_gate) = mpsc::channel();
    let (gate, opened) = mpsc::channel::<()>();
    let gates = Mutex::new((entered, opened));
    disk.hook(move |call| {
        if matches!(call, Call::Sync { .. }) {
            let gates = gates.lock();
            gates.0.send(()).unwrap();
            gates.1.recv().unwrap();
        }
        Ok(())
    });
    disk.take_calls();

    std::thread::scope(|scope| {
        let first = scope.spawn(|| store.sync(&[segment], Step::SegmentBeforeReply).unwrap());
        at_gate.recv().unwrap();
        let later: Vec<_> = (1..=8)
            .map(|seed| {
                let store = &store;
                store.put_block(&noise(seed, 100)).unwrap();
                scope.spawn(move || store.sync(&[segment], Step::SegmentBeforeReply).unwrap())
            })
            .collect();
        gate.send(()).unwrap();
        first.join().unwrap();
        at_gate.recv().unwrap();
        assert_eq!(store.durable_bytes(segment), 64 + 164);
        gate.send(()).unwrap();
        later.into_iter().for_each(|sync| sync.join().unwrap());
    });
    assert_eq!(syncs(&disk.take_calls()), 2);
    assert_eq!(store.durable_bytes(segment), 64 + 9 * 164);
}

/// After a failed sync of its file or its folder a segment is poisoned for good: no later sync of
/// it succeeds, it takes no more frames and no more references; reads of it go on, and the next
/// segment is healthy.
#[test]
fn a_failed_sync_poisons_the_segment() {
    for broken in ["file", "folder"] {
        let fixture = Fixture::new();
        let (store, disk) = fixture.open_hooked();
        let content = noise(1, 1000);
        let lost = store.put_block(&content).unwrap();
        disk.hook(move |call| match call {
            Call::Sync { .. } if broken == "file" => fault(io::ErrorKind::Other),
            Call::SyncDir if broken == "folder" => fault(io::ErrorKind::Other),
            _ => Ok(()),
        });
        let error = store
            .sync(&[lost.place.segment], Step::SegmentBeforeReply)
            .unwrap_err();
        assert!(
            matches!(error, BlockError::Disk { .. } | BlockError::Folder(_)),
            "{error}"
        );
        disk.heal();

        for _ in 0..2 {
            let error = store
                .sync(&[lost.place.segment], Step::SegmentBeforeReply)
                .unwrap_err();
            assert!(
                matches!(
                    error,
                    BlockError::Poisoned {
                        segment: SegmentId(1),
                        ..
                    }
                ),
                "{error}"
            );
            assert!(store.sync_all(Step::SegmentBeforeSuperblock).is_err());
        }
        assert_eq!(store.durable_bytes(lost.place.segment), 0);
        assert_eq!(store.unsynced_bytes(), 0);
        assert!(store.segments()[0].poisoned);
        assert_eq!(*store.read_block(&lost).unwrap(), *content);

        let again = store.put_block(&content).unwrap();
        assert_eq!(again.place.segment, SegmentId(2));
        assert_eq!(store.stats().dedup_hits, 0);
        store
            .sync(&[again.place.segment], Step::SegmentBeforeReply)
            .unwrap();
        assert!(matches!(store.close(), Err(BlockError::Poisoned { .. })));
    }
}

/// A write that fails poisons its segment, together with the frames in it that were not durable;
/// the next frame goes to a new segment.
#[test]
fn a_failed_write_poisons_the_segment() {
    let fixture = Fixture::new();
    let (store, disk) = fixture.open_hooked();
    let durable = store.put_block(&noise(1, 1000)).unwrap();
    store.sync_all(Step::SegmentBeforeSuperblock).unwrap();
    let unsynced = store.put_block(&noise(2, 1000)).unwrap();
    disk.hook(|call| match call {
        Call::Write { .. } => fault(io::ErrorKind::Other),
        _ => Ok(()),
    });
    let error = store.put_block(&noise(3, 1000)).unwrap_err();
    assert!(
        matches!(
            error,
            BlockError::Disk {
                segment: SegmentId(1),
                ..
            }
        ),
        "{error}"
    );
    disk.heal();

    let error = store
        .sync(&[unsynced.place.segment], Step::SegmentBeforeReply)
        .unwrap_err();
    assert!(matches!(error, BlockError::Poisoned { .. }), "{error}");
    assert_eq!(store.durable_bytes(durable.place.segment), 64 + 1064);
    let next = store.put_block(&noise(3, 1000)).unwrap();
    assert_eq!(next.place.segment, SegmentId(2));
    store
        .sync(&[next.place.segment], Step::SegmentBeforeReply)
        .unwrap();
    for pointer in [durable, unsynced, next] {
        store.verify(&pointer).unwrap();
    }
}

/// A full medium refuses a frame and costs nothing else: what was written before becomes durable,
/// and the same segment goes on once there is room.
#[test]
fn a_full_medium_poisons_nothing() {
    let fixture = Fixture::new();
    let (store, disk) = fixture.open_hooked();
    let before = store.put_block(&noise(1, 1000)).unwrap();
    disk.hook(|call| match call {
        Call::Write { .. } | Call::Create => fault(io::ErrorKind::StorageFull),
        _ => Ok(()),
    });
    for _ in 0..3 {
        let error = store.put_block(&noise(2, 1000)).unwrap_err();
        assert!(error.is_no_space(), "{error}");
        let error = store.put_node(BlockId([1; 32]), b"node").unwrap_err();
        assert!(error.is_no_space(), "{error}");
    }
    store
        .sync(&[before.place.segment], Step::SegmentBeforeReply)
        .unwrap();
    assert_eq!(store.durable_bytes(before.place.segment), 64 + 1064);
    disk.heal();

    let after = store.put_block(&noise(2, 1000)).unwrap();
    assert_eq!(
        (after.place.segment, after.place.offset),
        (SegmentId(1), 64 + 1064)
    );
    store.close().unwrap();
    let store = fixture.open_settled();
    for pointer in [before, after] {
        store.verify(&pointer).unwrap();
    }
    assert!(store.segments().iter().all(|info| info.closed));
}

/// A frame that a full medium refused while another was written behind it leaves a gap, which no
/// one refers to: the segment ends there, with a table of contents that names the others.
#[test]
fn a_gap_ends_the_segment_and_harms_nobody() {
    let fixture = Fixture::new();
    let (store, disk) = fixture.open_hooked();
    let before = store.put_block(&noise(0, 100)).unwrap();
    let (entered, at_gate) = mpsc::channel();
    let (gate, opened) = mpsc::channel::<()>();
    let gates = Mutex::new((entered, opened));
    disk.hook(move |call| match call {
        Call::Write { offset: 228 } => {
            let gates = gates.lock();
            gates.0.send(()).unwrap();
            gates.1.recv().unwrap();
            fault(io::ErrorKind::StorageFull)
        }
        _ => Ok(()),
    });
    let behind = std::thread::scope(|scope| {
        let refused = scope.spawn(|| store.put_block(&noise(1, 5000)).unwrap_err());
        at_gate.recv().unwrap();
        let behind = store.put_block(&noise(2, 100)).unwrap();
        gate.send(()).unwrap();
        assert!(refused.join().unwrap().is_no_space());
        behind
    });
    disk.heal();

    let next = store.put_block(&noise(1, 5000)).unwrap();
    assert_eq!(next.place.segment, SegmentId(2));
    store
        .sync(&[behind.place.segment], Step::SegmentBeforeReply)
        .unwrap();
    let info = store.segments()[0];
    assert!(info.closed && !info.poisoned && info.bytes == info.durable_bytes);
    assert_eq!(info.bytes, 228 + 5064 + 164 + 2 * 40 + 64);
    for pointer in [before, behind, next] {
        store.verify(&pointer).unwrap();
    }
    store.close().unwrap();
}

/// A disk that panics in a flush or a write takes down its caller and poisons the segment; nobody
/// waits for ever.
#[test]
fn a_panic_in_the_disk_poisons_the_segment() {
    let fixture = Fixture::new();
    let (store, disk) = fixture.open_hooked();
    let store: &BlockStore = &store;
    let panics = Arc::new(AtomicBool::new(true));
    let armed = panics.clone();
    disk.hook(move |call| {
        let is_target = matches!(call, Call::Sync { .. } | Call::Write { offset: 228 });
        assert!(
            !is_target || !armed.load(Ordering::Relaxed),
            "as the test says"
        );
        Ok(())
    });
    let caught =
        |call: &(dyn Fn() + Sync)| std::thread::scope(|scope| scope.spawn(call).join().is_err());

    let first = store.put_block(&noise(1, 100)).unwrap();
    assert!(caught(&|| store
        .sync_all(Step::SegmentBeforeSuperblock)
        .unwrap()));
    let second = store.put_block(&noise(2, 100)).unwrap();
    assert!(caught(&|| drop(store.put_block(&noise(3, 100)))));
    panics.store(false, Ordering::Relaxed);
    for pointer in [first, second] {
        let error = store
            .sync(&[pointer.place.segment], Step::SegmentBeforeReply)
            .unwrap_err();
        assert!(matches!(error, BlockError::Poisoned { .. }), "{error}");
        store.verify(&pointer).unwrap();
    }
    let third = store.put_block(&noise(3, 100)).unwrap();
    store
        .sync(&[third.place.segment], Step::SegmentBeforeReply)
        .unwrap();
}
