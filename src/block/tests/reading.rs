//! Finding and verifying frames.

use super::*;
use crate::base::{Nature, Place};

/// A row of neighbours is read with few preads, blocks of the cache with none, and order and
/// duplicates are kept.
#[test]
fn neighbours_are_read_together() {
    let fixture = Fixture::new();
    let (store, disk) = fixture.open_hooked();
    let blocks: Vec<Vec<u8>> = (0..256).map(|seed| noise(seed, 8192)).collect();
    let mut pointers: Vec<Pointer> = blocks
        .iter()
        .map(|block| store.put_block(block).unwrap())
        .collect();
    pointers.reverse();
    pointers.push(pointers[7]);
    disk.take_calls();

    let found = store.read_blocks(&pointers).unwrap();
    for (at, content) in found.iter().enumerate() {
        let block = if at == 256 { 248 } else { 255 - at };
        assert_eq!(**content, *blocks[block]);
    }
    let reads = disk.take_calls();
    assert_eq!(reads.len(), 3, "{reads:?}");
    assert!(store.stats().cache.bytes > 256 * 8192);
    store.read_blocks(&pointers[..100]).unwrap();
    assert_eq!(disk.take_calls(), []);
    assert_eq!(store.read_blocks(&[]).unwrap().len(), 0);
}

/// What is read into rooms is what is read otherwise, whatever lay in them: zeros behind a content
/// that is shorter, a part of one that is longer; blocks of the cache, duplicates, and what another
/// room's damage is. The cache is not filled.
#[test]
fn rooms_are_filled() {
    let fixture = Fixture::new();
    let (store, disk) = fixture.open_hooked();
    let text = b"the same again ".repeat(500);
    let mut blocks: Vec<Vec<u8>> = (0..100).map(|seed| noise(seed, 8192)).collect();
    blocks.push(text);
    let pointers: Vec<Pointer> = blocks
        .iter()
        .map(|block| store.put_block(block).unwrap())
        .collect();
    store.read_block(&pointers[3]).unwrap();
    let cached = store.stats().cache.bytes;
    disk.take_calls();

    let wanted = [100, 99, 3, 4, 5, 5, 7, 100];
    let lens = [8192, 8192, 8192, 8192, 9000, 10, 8192, 7000];
    let mut rooms: Vec<Vec<u8>> = lens.iter().map(|&len| vec![0xaa; len]).collect();
    let mut fill = || {
        let targets = wanted.iter().zip(&mut rooms);
        let targets = targets.map(|(&block, room)| Target {
            pointer: pointers[block],
            room,
        });
        let outcome = store.read_into(targets.collect());
        outcome.map(|()| rooms.clone())
    };
    for (number, room) in fill().unwrap().iter().enumerate() {
        let mut expected = blocks[wanted[number]].clone();
        expected.resize(lens[number], 0);
        assert!(*room == expected, "room {number}");
    }
    assert!(disk.take_calls().len() < wanted.len());
    // The content that is longer than its room came through the cache.
    assert!(store.stats().cache.bytes < cached + 3 * 8500);
    store.read_into(Vec::new()).unwrap();

    let damaged = pointers[7].place.offset + 100;
    fixture.flip(pointers[7].place.segment, damaged);
    assert_eq!(fill().unwrap_err().nature(), Nature::Corrupt);
}

/// Writing does not fill the cache.
#[test]
fn writes_do_not_pollute_the_cache() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let pointer = store.put_block(&noise(1, 8192)).unwrap();
    assert_eq!(store.stats().cache.bytes, 0);
    store.read_block(&pointer).unwrap();
    assert!(store.stats().cache.bytes > 8192);
}

/// Any damaged byte of a frame is found by reads and by `verify`; the error has the id, the
/// segment and the offset, and other frames are not concerned.
#[test]
fn damage_is_reported_with_its_place() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let pointer = store.put_block(&noise(1, 200)).unwrap();
    let other = store.put_block(&noise(2, 200)).unwrap();
    store.close().unwrap();
    for at in (pointer.place.offset..other.place.offset).step_by(5) {
        fixture.flip(SegmentId(1), at);
        let store = fixture.open_settled();
        for error in [
            store.read_block(&pointer).unwrap_err(),
            store.read_blocks(&[other, pointer]).unwrap_err(),
            store.verify(&pointer).unwrap_err(),
        ] {
            assert_eq!(error.nature(), Nature::Corrupt);
            let text = error.to_string();
            let place = format!("block {} in segment 1 at byte 64: ", pointer.id);
            assert!(text.starts_with(&place), "{text}");
        }
        store.verify(&other).unwrap();
        fixture.flip(SegmentId(1), at);
    }
}

/// Content that does not have its id is refused even when every checksum fits.
#[test]
fn content_is_checked_against_its_id() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let pointer = store.put_block(&noise(1, 200)).unwrap();
    drop(store);
    let (content, id) = (noise(2, 200), pointer.id);
    let header = frame::FrameHeader::of(
        frame::FrameKind::Block,
        frame::Codec::Raw,
        content.len(),
        id,
        &content,
    );
    let path = fixture.segment_path(SegmentId(1), SegmentKind::Data);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[64..].copy_from_slice(&[header.encode().as_slice(), &content].concat());
    std::fs::write(&path, bytes).unwrap();

    let store = fixture.open_settled();
    let error = store.read_block(&pointer).unwrap_err();
    let text = error.to_string();
    assert!(
        text.ends_with(&format!("the content there is {}", block_id(&content))),
        "{text}"
    );
    assert!(store.verify(&pointer).is_err());
}

/// A block is not read as a node, nor a node as a block.
#[test]
fn kinds_are_told_apart() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let block = store.put_block(b"content").unwrap();
    let node = store.put_node(block_id(b"content"), b"content").unwrap();
    assert_eq!(store.read_node(&block).unwrap(), b"content");
    assert_eq!(&*store.read_block(&node).unwrap(), b"content");
    fixture.remove(SegmentId(1), SegmentKind::Data);
    drop(store);
    let store = fixture.open_settled();
    assert_eq!(
        store.read_block(&node).unwrap_err().nature(),
        Nature::Corrupt
    );
    assert_eq!(store.read_node(&block).unwrap(), b"content");
}

/// Stores the same block and node twice, in segments 1 and 2, and 3 and 4.
fn stored_twice(fixture: &Fixture) -> [Pointer; 2] {
    let put = || {
        let store = fixture.open_settled();
        let block = store.put_block(&noise(1, 3000)).unwrap();
        let node = store.put_node(BlockId([5; 32]), b"a node").unwrap();
        store.close().unwrap();
        [block, node]
    };
    let first = put();
    let second = put();
    assert_eq!(second.map(|pointer| pointer.place.segment.0), [3, 4]);
    first
}

/// An older copy of a node may have places that were lost since: it does not stand in for a newer
/// one that the medium fails to read; a newer one does for an older.
#[test]
fn a_read_error_serves_no_older_node() {
    let fixture = Fixture::new();
    let (store, disk) = fixture.open_hooked();
    let put = |payload: &[u8]| store.put_node(BlockId([5; 32]), payload).unwrap();
    let (older, newer) = (put(b"with lost places"), put(b"with sound places"));
    let fail_at = |pointer: &Pointer| {
        let place = pointer.place;
        disk.hook(move |call| match call {
            Call::Read { offset, .. } if *offset == u64::from(place.offset) => {
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
            _ => Ok(()),
        });
    };
    fail_at(&newer);
    for hint in [older.place, newer.place] {
        store.core.recent.insert(&older.id, hint);
        let error = store.read_node(&newer).unwrap_err();
        assert!(matches!(error, BlockError::Disk { .. }), "{error}");
    }
    fail_at(&older);
    assert_eq!(store.read_node(&older).unwrap(), b"with sound places");
    disk.heal();
    assert_eq!(store.read_node(&older).unwrap(), b"with lost places");
}

/// A frame whose segment is gone is found through the tables of contents of the others, and once
/// found is known; without another copy the error says that it is gone.
#[test]
fn moved_frames_are_found_in_the_tables_of_contents() {
    let fixture = Fixture::new();
    let [block, node] = stored_twice(&fixture);
    fixture.remove(SegmentId(1), SegmentKind::Data);
    fixture.remove(SegmentId(2), SegmentKind::Node);
    let store = fixture.open_settled();
    assert_eq!(*store.read_block(&block).unwrap(), *noise(1, 3000));
    assert_eq!(
        *store.read_blocks(&[block, block]).unwrap()[1],
        *noise(1, 3000)
    );
    assert_eq!(store.read_node(&node).unwrap(), b"a node");
    store.verify(&block).unwrap();
    store.verify(&node).unwrap();
    drop(store);

    fixture.remove(SegmentId(3), SegmentKind::Data);
    let store = fixture.open_settled();
    let error = store.read_block(&block).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("the segment is gone, and no other names it"),
        "{error}"
    );
    assert!(store.verify(&block).is_err());
    store.verify(&node).unwrap();
}

/// However many frames were lost with a segment, and whether the others were closed or cut short by
/// a crash, what the others hold is not read for each.
#[test]
fn lost_frames_do_not_cost_all_tables_each() {
    let mut fixture = Fixture::new();
    fixture.options.segment_bytes = 50_000;
    let store = fixture.open();
    let put = |seed| store.put_block(&noise(seed, 8192)).unwrap();
    let pointers: Vec<Pointer> = (0..100).map(put).collect();
    store.sync_all(Step::SegmentSettled).unwrap();
    // Never closed: the last segment has no table of contents.
    std::mem::forget(store);
    let (lost, kept) = pointers.split_at(6);
    assert!(
        lost.iter()
            .all(|pointer| pointer.place.segment == SegmentId(1))
    );
    fixture.remove(SegmentId(1), SegmentKind::Data);

    let (store, disk) = fixture.open_hooked();
    store.settle(SegmentId(0)).unwrap();
    let bytes_read = || {
        let calls = disk.take_calls();
        let bytes = calls.iter().map(|call| match call {
            Call::Read { len, .. } => *len,
            _ => 0,
        });
        bytes.sum::<usize>()
    };
    bytes_read();
    assert!(store.read_block(&lost[0]).is_err());
    assert!(bytes_read() > 0);
    for pointer in lost {
        assert!(store.read_block(pointer).is_err());
        assert!(store.verify(pointer).is_err());
    }
    assert_eq!(bytes_read(), 0);
    for (seed, pointer) in (6..).zip(kept) {
        assert_eq!(*store.read_block(pointer).unwrap(), *noise(seed, 8192));
    }
}

/// With an index, moved frames are found without reading tables of contents, and a damaged frame
/// is read from the copy that the index knows; `verify` still reports the damage.
#[test]
fn the_index_finds_other_copies() {
    let fixture = Fixture::new();
    let [block, node] = stored_twice(&fixture);
    let mut fixture = fixture;
    fixture.options.index_dir = Some(fixture.folder.path().join("index"));
    fixture.flip(SegmentId(1), 100);
    fixture.remove(SegmentId(2), SegmentKind::Node);
    let (store, disk) = fixture.open_hooked();
    store.settle(SegmentId(0)).unwrap();
    store.index().drain();
    assert!(store.stats().index_ready);

    disk.take_calls();
    assert_eq!(*store.read_block(&block).unwrap(), *noise(1, 3000));
    assert_eq!(store.read_node(&node).unwrap(), b"a node");
    let reads = disk.take_calls();
    assert_eq!(reads.len(), 3, "{reads:?}");
    assert_eq!(store.verify(&block).unwrap_err().nature(), Nature::Corrupt);
    store.verify(&node).unwrap();
}

/// A place that no writer makes does no harm: `verify` refuses it, unless it only names a segment
/// that is gone, and a read is served from where the frame is known to be.
#[test]
fn wild_places_do_no_harm() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let pointer = store.put_block(&noise(1, 200)).unwrap();
    let Place {
        segment,
        offset,
        len,
    } = pointer.place;
    for place in [
        Place {
            segment,
            offset,
            len: 0,
        },
        Place {
            segment,
            offset,
            len: 64,
        },
        Place {
            segment,
            offset,
            len: u32::MAX,
        },
        Place {
            segment,
            offset,
            len: len - 1,
        },
        Place {
            segment,
            offset,
            len: len + 1,
        },
        Place {
            segment,
            offset: offset + 1,
            len,
        },
        Place {
            segment,
            offset: u32::MAX,
            len,
        },
        Place {
            segment: SegmentId(u64::MAX),
            offset,
            len,
        },
    ] {
        let wild = Pointer { place, ..pointer };
        let moved = place.segment != segment;
        assert_eq!(store.verify(&wild).is_ok(), moved, "{place:?}");
        let found = store.read_blocks(&[wild, wild]).unwrap();
        assert_eq!(*found[1], *noise(1, 200), "{place:?}");
    }
}

/// An error of the medium is told as such and not as corruption.
#[test]
fn a_failing_read_is_not_corruption() {
    let fixture = Fixture::new();
    let (store, disk) = fixture.open_hooked();
    let pointer = store.put_block(&noise(1, 200)).unwrap();
    disk.hook(|call| match call {
        Call::Read { .. } => fault(io::ErrorKind::Other),
        _ => Ok(()),
    });
    for error in [
        store.read_block(&pointer).unwrap_err(),
        store.verify(&pointer).unwrap_err(),
    ] {
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
    }
    disk.heal();
    store.read_block(&pointer).unwrap();
}

/// Where several blocks of one stretch are read from the medium, the stretch is read ahead,
/// whichever way they are read; not for nodes, nor for what is verified.
#[test]
fn what_lies_around_scattered_reads_is_read_ahead() {
    let fixture = Fixture::new();
    let (store, disk) = fixture.open_hooked();
    let put = |seed| store.put_block(&noise(seed, 8192)).unwrap();
    let blocks: Vec<Pointer> = (0..300).map(put).collect();
    let put = |seed| store.put_node(block_id(&[seed]), &noise(seed.into(), 900));
    let nodes: Vec<Pointer> = (0..9).map(|seed| put(seed).unwrap()).collect();
    let read_ahead = || {
        let calls = disk.take_calls().into_iter();
        let bytes = calls.filter_map(|call| match call {
            Call::ReadAhead { bytes } => Some((bytes.start, bytes.end)),
            _ => None,
        });
        bytes.collect::<Vec<_>>()
    };
    for (node, block) in nodes.iter().zip(&blocks) {
        store.read_node(node).unwrap();
        store.verify(block).unwrap();
    }
    assert_eq!(read_ahead(), []);

    store.read_block(&blocks[30]).unwrap();
    store.read_blocks(&[blocks[90], blocks[10]]).unwrap();
    assert_eq!(read_ahead(), []);
    let mut room = vec![0; 8192];
    store
        .read_into(vec![Target {
            pointer: blocks[200],
            room: &mut room,
        }])
        .unwrap();
    assert_eq!(room, noise(200, 8192));
    assert_eq!(read_ahead(), [(0, 2 << 20)]);
    for block in &blocks {
        store.read_block(block).unwrap();
    }
    assert_eq!(read_ahead(), [(2 << 20, 4 << 20)]);
}
