//! Each kind of damage is that violation, with its coordinates, and nothing else is.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::base::progress::Progress;
use crate::base::{Key, Value};
use crate::pool::{InodeRule, PoolError};
use crate::volume::{Volume, keys};

/// Every byte of a pool, but for the index and the lock.
fn bytes_of(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("index") || path.ends_with("lock") {
            continue;
        }
        if path.is_dir() {
            found.extend(bytes_of(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// A healthy pool has no violations, whether it was closed or its daemon has died with everything
/// still in the journal; looking changes not a byte of it.
#[test]
fn a_healthy_pool_is_sound_and_untouched() {
    let mut fixture = sample();
    for died in [false, true] {
        if died {
            let pool = fixture.open();
            let volume = pool.open_volume(&name("a")).unwrap();
            put(&volume, "large", &noise(3, 300_000));
            put(&volume, "small", b"small");
            drop((volume, pool));
            fixture.pool = None;
        }
        let before = bytes_of(&fixture.path());
        let report = inspect(&fixture);
        assert_eq!(report.violations, []);
        assert_eq!((report.volumes, report.snapshots), (1, 1));
        // 300 000 bytes are 73 whole blocks, sealed at once, and a rest in the journal.
        assert_eq!(report.blocks, if died { 12 + 73 } else { 12 });
        let quick = Pool::inspect(&fixture.path(), &CheckOptions::default(), &Silent).unwrap();
        assert_eq!(quick, report);
        assert!(bytes_of(&fixture.path()) == before, "the pool was changed");
    }
    let pool = fixture.open();
    assert_eq!(pool.check(&Silent).unwrap().violations, []);
    let scrubbed = pool.scrub(&CheckOptions::default(), &Silent).unwrap();
    assert_eq!((scrubbed.violations, scrubbed.repaired), (vec![], vec![]));
}

/// A pool that somebody has open cannot be inspected, nor repaired.
#[test]
fn an_open_pool_is_left_alone() {
    let fixture = Fixture::new();
    let refused = Pool::inspect(&fixture.path(), &deep(), &Silent).unwrap_err();
    assert!(matches!(refused, PoolError::Locked { .. }), "{refused}");
    let refused = Pool::repair(&fixture.path(), NO_CUT, &Silent).unwrap_err();
    assert!(matches!(refused, PoolError::Locked { .. }), "{refused}");
}

/// A damaged superblock slot is named, also of an open pool; with both damaged nothing else is
/// wrong and nothing else is known.
#[test]
fn superblock_slots_are_checked() {
    let fixture = sample();
    let path = fixture.path().join("superblock");
    let problem = || "wrong checksum".to_owned();
    let slot = |slot| Violation::SuperblockSlot {
        slot,
        problem: problem(),
    };
    flip(&path, (1 << 20) + 100);
    assert_eq!(violations(&fixture), [slot(1)]);
    flip(&path, 100);
    let report = inspect(&fixture);
    assert_eq!(report.violations, [slot(0), slot(1)]);
    assert_eq!((report.volumes, report.frames > 12), (0, true));
}

/// Damage in the journal below what was durable is told with its position, and with what cutting
/// it off gives up.
#[test]
fn the_journal_is_checked() {
    let mut fixture = sample();
    let pool = fixture.open();
    let volume = pool.open_volume(&name("a")).unwrap();
    let from = pool.published.lock().newest.replay_from;
    for text in ["first needle", "second needle", "third needle"] {
        put(&volume, text, text.as_bytes());
        volume.sync().unwrap();
    }
    drop((volume, pool));
    fixture.pool = None;
    for path in files(&fixture.path().join("journal"), "journal") {
        let bytes = fs::read(&path).unwrap();
        let hit = bytes
            .windows(13)
            .position(|window| window == b"second needle");
        if let Some(at) = hit {
            flip(&path, at as u64);
        }
    }
    let found = violations(&fixture);
    let [Violation::Journal { lsn, lost, .. }] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert!(*lsn > from.lsn, "{lsn} lies behind {}", from.lsn);
    let [lost] = lost.as_deref().unwrap() else {
        panic!("{lost:?}");
    };
    assert_eq!(lost.volume.as_deref(), Some("a"));
    assert!(
        found[0]
            .problem()
            .ends_with(&format!("'a' ({})", lost.records))
    );
}

/// Headers and tables of contents of segments are checked, each byte of them.
#[test]
fn what_segments_have_beside_frames_is_checked() {
    let mut fixture = sample();
    let data = files(&fixture.path().join("segments"), "data")[0].clone();
    let whole = fs::read(&data).unwrap();
    let segment = number_of(&data);
    let length = whole.len() as u64;
    flip(&data, 20);
    let found = violations(&fixture);
    assert!(
        matches!(found[..], [Violation::SegmentHeader { segment: at, .. }] if at == segment),
        "{found:?}"
    );
    // The table; the trailer; the trailer's very name.
    for at in [length - 64 - 40, length - 30, length - 64] {
        fs::write(&data, &whole).unwrap();
        flip(&data, at);
        let found = violations(&fixture);
        assert!(
            matches!(found[..], [Violation::TableOfContents { segment: at, .. }] if at == segment),
            "{at}: {found:?}"
        );
    }
    // A table that is right by itself, but names another content than its frame.
    fs::write(&data, &whole).unwrap();
    let table = length as usize - 64 - 12 * 40;
    let mut bytes = whole.clone();
    bytes[table] ^= 1;
    let checksum = xxh3_64(&bytes[table..length as usize - 64]);
    let trailer = length as usize - 64;
    bytes[trailer + 48..trailer + 56].copy_from_slice(&checksum.to_le_bytes());
    let checksum = xxh3_64(&bytes[trailer..trailer + 56]);
    bytes[trailer + 56..].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&data, &bytes).unwrap();
    let found = violations(&fixture);
    assert!(
        matches!(found[..], [Violation::Frame { segment: at, offset: 64, .. }] if at == segment),
        "{found:?}"
    );
    fs::write(&data, &whole).unwrap();
    fixture.open();
    fixture.check();
}

/// A frame that no state refers to any more is a damaged frame, and no lost content; with right
/// checksums, but the wrong content, it says whose content it has.
#[test]
fn frames_that_nobody_needs_are_checked() {
    let mut fixture = Fixture::new();
    fixture.pool().create_volume(&new_volume("a")).unwrap();
    let volume = fixture.pool().open_volume(&name("a")).unwrap();
    for seed in [1, 2] {
        put(&volume, "f", &noise(seed, 3 * BLOCK));
        fixture.pool().checkpoint().unwrap();
    }
    drop(volume);
    close(&mut fixture);
    let old = noise(1, 3 * BLOCK)[BLOCK..2 * BLOCK].to_vec();
    let at = frame_of(&fixture, &old);
    let path = segment_path(&fixture, at.segment, "data");
    let whole = fs::read(&path).unwrap();
    hurt(&fixture, at);
    let expected = Violation::Frame {
        segment: at.segment,
        offset: at.offset,
        id: Some(id_of(&old)),
        copy: None,
        problem: "frame at byte 64: the payload's checksum does not match".to_owned(),
    };
    let found = violations(&fixture);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].kind(), found[0].place()),
        (expected.kind(), expected.place())
    );
    let quick = Pool::inspect(&fixture.path(), &CheckOptions::default(), &Silent).unwrap();
    assert_eq!(quick.violations, [], "headers alone do not tell");

    let mut bytes = whole;
    let frame = at.offset as usize;
    bytes[frame + 64] ^= 1;
    let checksum = xxh3_64(&bytes[frame + 64..frame + 64 + BLOCK]);
    bytes[frame + 48..frame + 56].copy_from_slice(&checksum.to_le_bytes());
    let checksum = xxh3_64(&bytes[frame..frame + 56]);
    bytes[frame + 56..frame + 64].copy_from_slice(&checksum.to_le_bytes());
    let content = id_of(&bytes[frame + 64..frame + 64 + BLOCK]);
    fs::write(&path, bytes).unwrap();
    let expected = Violation::FrameContent {
        segment: at.segment,
        offset: at.offset,
        id: id_of(&old),
        found: content,
    };
    assert_eq!(violations(&fixture), [expected]);
}

/// A lost block is named in each state that shows it, with path and bytes; the last block of a
/// file ends with the file. The header's damage is found without reading content.
#[test]
fn lost_blocks_are_named_in_every_state() {
    let mut fixture = sample();
    let inode = ino_of(&mut fixture, "bad");
    let (third, last) = (bad_block(2), bad_block(5));
    let expected = |state: StateName, block: u64, content: &[u8], at: At| {
        let problem = "frame: the payload's checksum does not match".to_owned();
        Violation::Block {
            state,
            inode,
            path: Some("/bad".to_owned()),
            block,
            file_offset: block * BLOCK as u64,
            file_bytes: content.len() as u64,
            id: id_of(content),
            segment: at.segment,
            offset: at.offset,
            problem,
        }
    };
    let mut all = Vec::new();
    let places = [frame_of(&fixture, &third), frame_of(&fixture, &last)];
    hurt(&fixture, places[0]);
    hurt(&fixture, places[1]);
    for state in [of_snapshot("a", "s"), live("a")] {
        all.push(expected(state.clone(), 2, &third, places[0]));
        all.push(expected(state, 5, &last, places[1]));
    }
    let told = |list: &[Violation]| -> Vec<String> {
        list.iter()
            .map(|one| format!("{} {}", one.kind(), one.place()))
            .collect()
    };
    let found = violations(&fixture);
    assert_eq!(told(&found), told(&all));
    for (found, expected) in found.iter().zip(&all) {
        let (Violation::Block { id, .. }, Violation::Block { id: due, .. }) = (found, expected)
        else {
            panic!("{found:?}");
        };
        assert_eq!(id, due);
    }
    let pool = fixture.open();
    assert_eq!(told(&pool.check(&Silent).unwrap().violations), told(&all));
    drop(pool);
    close(&mut fixture);

    let path = segment_path(&fixture, places[0].segment, "data");
    flip(&path, u64::from(places[0].offset) + 20);
    let quick = Pool::inspect(&fixture.path(), &CheckOptions::default(), &Silent).unwrap();
    assert_eq!(
        told(&quick.violations),
        told(&[all[0].clone(), all[2].clone()])
    );
}

/// A block that only the journal names is checked, too; one that was overwritten since is not.
#[test]
fn what_the_journal_names_is_checked() {
    let mut fixture = Fixture::new();
    fixture.pool().create_volume(&new_volume("a")).unwrap();
    let pool = fixture.pool().clone();
    let volume = pool.open_volume(&name("a")).unwrap();
    put(&volume, "f", &noise(1, 64 * BLOCK));
    volume.sync().unwrap();
    put(&volume, "f", &noise(2, BLOCK));
    drop((volume, pool));
    fixture.pool = None;
    let (first, second) = (
        &noise(1, 64 * BLOCK)[..BLOCK],
        &noise(1, 64 * BLOCK)[BLOCK..2 * BLOCK],
    );
    for content in [first, second] {
        let at = frame_of(&fixture, content);
        hurt(&fixture, at);
    }
    let found = violations(&fixture);
    let blocks: Vec<&Violation> = found
        .iter()
        .filter(|one| matches!(one, Violation::Block { .. }))
        .collect();
    assert!(
        matches!(blocks[..], [Violation::Block { block: 1, .. }]),
        "{found:?}"
    );
}

/// The node that a key of the live state lies in.
fn leaf_of(pool: &Pool, key: &Key) -> crate::base::Pointer {
    let layer = pool
        .catalog
        .lock()
        .volume(&name("a"))
        .unwrap()
        .volume
        .lock()
        .base()
        .clone();
    let root = layer.chain().1.unwrap();
    let (mut pointer, mut height) = (root.node, root.height);
    while height > 0 {
        let node = pool.shared.nodes.read_node(&pointer, height).unwrap();
        let at = node.keys().partition_point(|first| first <= key);
        pointer = node.children()[at.saturating_sub(1)];
        height -= 1;
    }
    pointer
}

/// A lost tree node is named with the inodes of which it held records, and with their files; the
/// others can still be read.
#[test]
fn lost_nodes_are_named_with_their_files() {
    let mut fixture = Fixture::new();
    fixture.pool().create_volume(&new_volume("a")).unwrap();
    let volume = fixture.pool().open_volume(&name("a")).unwrap();
    for file in 0..800 {
        put(&volume, &format!("f{file}"), &[7; 10]);
    }
    let ino = volume.lookup(&WHO, Ino::ROOT, b"f700").unwrap().ino;
    let intact = volume.lookup(&WHO, Ino::ROOT, b"f10").unwrap().ino;
    drop(volume);
    fixture.pool().checkpoint().unwrap();
    let leaf = leaf_of(fixture.pool(), &keys::inode(ino));
    close(&mut fixture);
    let path = segment_path(&fixture, leaf.place.segment, "node");
    flip(&path, u64::from(leaf.place.offset) + 100);

    let found = violations(&fixture);
    let [
        Violation::Node {
            state,
            id,
            segment,
            offset,
            first,
            last,
            files,
            copy: None,
            ..
        },
    ] = found.as_slice()
    else {
        panic!("{found:?}");
    };
    assert_eq!((state, *id), (&Some(live("a")), leaf.id));
    assert_eq!((*segment, *offset), (leaf.place.segment, leaf.place.offset));
    assert!(
        (*first..=last.unwrap_or(u64::MAX)).contains(&ino.0),
        "{first} to {last:?}"
    );
    assert!(files.contains(&"/f700".to_owned()), "{files:?}");
    assert!(!files.contains(&"/f10".to_owned()), "{files:?}");

    let pool = fixture.open();
    let volume = pool.open_volume(&name("a")).unwrap();
    assert_eq!(volume.read_file(&WHO, intact, 0, 10).unwrap(), [7; 10]);
    assert!(volume.read_file(&WHO, ino, 0, 10).is_err());
}

/// A lost node of the catalog is named as such.
#[test]
fn lost_nodes_of_the_catalog_are_named() {
    let mut fixture = sample();
    let root = fixture.open().published.lock().newest.catalog.unwrap();
    close(&mut fixture);
    let path = segment_path(&fixture, root.node.place.segment, "node");
    flip(&path, u64::from(root.node.place.offset) + 70);
    let found = violations(&fixture);
    assert!(
        matches!(&found[..], [Violation::Node { state: None, id, .. }] if *id == root.node.id),
        "{found:?}"
    );
}

/// Broken rules between inodes are told with rule, inode and path: links, sizes, orphans.
#[test]
fn rules_between_inodes_are_checked() {
    let break_rule = |change: &dyn Fn(&Volume, Ino)| {
        let mut fixture = sample();
        let pool = fixture.open();
        let volume = pool.open_volume(&name("a")).unwrap();
        let ino = volume.lookup(&WHO, Ino::ROOT, b"bad").unwrap().ino;
        change(&volume, ino);
        drop((volume, pool));
        close(&mut fixture);
        let found = violations(&fixture);
        let [
            Violation::Inode {
                state,
                rule,
                inode,
                path,
                ..
            },
        ] = found.as_slice()
        else {
            panic!("{found:?}");
        };
        assert_eq!(*state, live("a"));
        assert!(inode.is_none_or(|inode| inode == ino));
        (*rule, path.clone())
    };
    let edit = |volume: &Volume, key: Key, value: Value| {
        volume
            .update(&WHO, |edit| {
                edit.put(key, value.clone());
                Ok(())
            })
            .unwrap();
    };
    let with_inode = |volume: &Volume, ino: Ino, change: &dyn Fn(&mut Vec<u8>)| {
        let key = keys::inode(ino);
        let stored = volume.read(&WHO, |view| view.get(&key)).unwrap().unwrap();
        let mut bytes = stored.bytes.to_vec();
        change(&mut bytes);
        edit(volume, key, Value::record(bytes));
    };
    let bad = Some("/bad".to_owned());
    let links = break_rule(&|volume, ino| with_inode(volume, ino, &|bytes| bytes[4] = 2));
    assert_eq!(links, (InodeRule::LinkCount, bad.clone()));
    let orphan = break_rule(&|volume, ino| edit(volume, keys::orphan(ino), Value::record([])));
    assert_eq!(orphan, (InodeRule::WronglyMarked, bad.clone()));
    let size = break_rule(&|volume, ino| {
        with_inode(volume, ino, &|bytes| {
            bytes[24..32].copy_from_slice(&(5 * BLOCK as u64).to_le_bytes());
        });
    });
    assert_eq!(size, (InodeRule::Size, bad));
}

/// Entries of the content index that lead to no frame are told; not those that lead to a segment
/// that is gone: garbage collection takes segments away, and the index may hear of it later.
#[test]
fn the_index_is_checked_against_the_segments() {
    let mut fixture = sample();
    let index_it = |fixture: &mut Fixture| {
        let pool = fixture.open();
        assert!(
            pool.shared
                .store
                .wait_for_index(std::time::Duration::from_secs(60))
        );
        drop(pool);
        close(fixture);
    };
    index_it(&mut fixture);
    let pool = fixture.open();
    pool.remove_volume(&name("a")).unwrap();
    drop(pool);
    close(&mut fixture);
    let data = files(&fixture.path().join("segments"), "data")[0].clone();
    let file = fs::File::options().write(true).open(&data).unwrap();
    // Its header stays.
    file.set_len(64).unwrap();
    let found = violations(&fixture);
    fs::remove_file(&data).unwrap();
    assert_eq!(violations(&fixture), []);
    assert_eq!(found.len(), 12);
    for violation in found {
        let Violation::IndexEntry { segment, .. } = violation else {
            panic!("{violation}");
        };
        assert_eq!(segment, number_of(&data));
    }
}

/// Says after a while that nobody waits any more.
struct Impatient;

impl Progress for Impatient {
    fn update(&self, _done: u64, _total: u64) {}

    fn is_cancelled(&self) -> bool {
        true
    }
}

/// A check, a scrub and a repair end as soon as nobody waits for them.
#[test]
fn work_that_nobody_waits_for_ends() {
    let mut fixture = sample();
    let broken = |result: Result<CheckReport, PoolError>| {
        matches!(result.unwrap_err(), PoolError::BrokenOff)
    };
    assert!(broken(Pool::inspect(&fixture.path(), &deep(), &Impatient)));
    assert!(broken(Pool::repair(&fixture.path(), NO_CUT, &Impatient)));
    let pool = fixture.open();
    assert!(broken(pool.check(&Impatient)));
    assert!(broken(pool.scrub(&CheckOptions::default(), &Impatient)));
}
