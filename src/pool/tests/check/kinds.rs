//! Kinds of damage that are rare, folders, and how far a check has come.

use std::collections::BTreeSet;

use super::outage;
use super::*;
use crate::base::progress::Progress;
use crate::base::sync::Mutex;
use crate::base::{Key, Nature, Pointer, Value, VolumeId};
use crate::disk::{Disk, Fault, SimDisk};
use crate::pool::records::volume_key;
use crate::pool::{InodeRule, PoolError, Repair};
use crate::volume::ops::{FileKind, NewNode};
use crate::volume::records::Inode;
use crate::volume::{Volume, keys};

/// A record of the catalog that no version can have written, under right checksums, is told as
/// such; the pool does not open.
#[test]
fn records_of_the_catalog_are_checked() {
    let mut fixture = sample();
    let pool = fixture.open();
    let nonsense = Some(Value::record([0xff; 7]));
    let key = volume_key(VolumeId(99));
    pool.catalog.lock().changed.insert(key, nonsense);
    pool.checkpoint().unwrap();
    pool.close().unwrap();
    drop(pool);
    fixture.pool = None;
    let found = violations(&fixture);
    let is_it =
        |one: &Violation| matches!(one, Violation::Catalog { problem } if problem.contains("99"));
    assert!(found.iter().any(is_it), "{found:?}");
    let refused = Pool::open(&fixture.path(), PoolOptions::default());
    let refused = refused.err().unwrap();
    assert!(matches!(refused, PoolError::Catalog { .. }), "{refused:?}");
}

/// A volume that accepts no more changes is told, alone, because no walk gets to what it holds in
/// memory; a check of other volumes says nothing of it.
#[test]
fn poisoned_volumes_are_told() {
    let disk = outage::created();
    let pool = outage::open(&disk);
    for volume in ["a", "b"] {
        pool.create_volume(&new_volume(volume)).unwrap();
    }
    let volume = pool.open_volume(&name("a")).unwrap();
    put(&volume, "f", &noise(1, 100_000));
    disk.arm(Fault::FailSync(0));
    volume.sync().unwrap_err();
    let found = pool.check(&Silent).unwrap().violations;
    let told: Vec<&Violation> = found
        .iter()
        .filter(|one| one.kind() == "volume_poisoned")
        .collect();
    let [Violation::VolumePoisoned { volume, problem }] = told[..] else {
        panic!("{found:?}");
    };
    assert_eq!(volume, "a");
    assert!(problem.contains("restart the daemon"), "{problem}");
    let only = CheckOptions {
        volumes: vec![name("b")],
        ..deep()
    };
    assert_eq!(pool.check_with(&only, &Silent).unwrap().violations, []);
}

/// A segment of which a read fails is named, each of them, whichever read of it that is; a read
/// that fails elsewhere ends the check with the medium's error.
#[test]
fn segments_that_cannot_be_read_are_named() {
    let disk = outage::created();
    let pool = outage::open(&disk);
    pool.create_volume(&new_volume("a")).unwrap();
    put(
        &pool.open_volume(&name("a")).unwrap(),
        "f",
        &noise(1, 40 * BLOCK),
    );
    pool.close().unwrap();
    drop(pool);
    let mut named = BTreeSet::new();
    for read in 0.. {
        let hurt = disk.kill();
        hurt.arm(Fault::FailRead(read));
        let found = outage::inspect(&hurt);
        if !hurt.has_failed() {
            assert_eq!(found.unwrap().violations, []);
            break;
        }
        match found {
            Ok(report) => {
                for violation in &report.violations {
                    if let Violation::SegmentUnreadable { segment, problem } = violation {
                        assert!(!problem.is_empty());
                        named.insert(*segment);
                    }
                }
            }
            Err(error) => assert_eq!(error.nature(), Nature::Environment, "{error:?}"),
        }
    }
    assert_eq!(named, numbers(&disk));
}

/// All segments.
fn numbers(disk: &SimDisk) -> BTreeSet<SegmentId> {
    let names = disk.list("segments").unwrap();
    names
        .iter()
        .map(|name| number_of(Path::new(name)))
        .collect()
}

/// An index that is another pool's is told, and a repair throws it away.
#[test]
fn an_index_of_another_pool_is_told() {
    let [own, strange] = [(), ()].map(|()| {
        let mut fixture = sample();
        let pool = fixture.open();
        assert!(
            pool.shared
                .store
                .wait_for_index(std::time::Duration::from_secs(60))
        );
        drop(pool);
        close(&mut fixture);
        fixture
    });
    fs::remove_dir_all(own.path().join("index")).unwrap();
    fs::rename(strange.path().join("index"), own.path().join("index")).unwrap();
    let found = violations(&own);
    assert!(
        matches!(&found[..], [Violation::Index { problem }] if problem.contains("another pool")),
        "{found:?}"
    );
    let repaired = Pool::repair(&own.path(), NO_CUT, &Silent).unwrap();
    assert_eq!(repaired.violations, []);
    assert_eq!(repaired.repaired.len(), 1);
    assert_eq!(violations(&own), []);
}

/// The root of volume `a`'s tree, which is its only node.
fn root_of(pool: &Pool) -> Pointer {
    let catalog = pool.catalog.lock();
    let layer = catalog.volume(&name("a")).unwrap().volume.lock();
    let root = layer.base().chain().1.unwrap();
    assert_eq!(root.height, 0);
    root.node
}

fn edit(volume: &Volume, key: Key, value: &[u8]) {
    let change = volume.update(&WHO, |edit| {
        edit.put(key, Value::record(value));
        Ok(())
    });
    change.unwrap();
}

fn stored(volume: &Volume, key: &Key) -> Vec<u8> {
    let value = volume.read(&WHO, |view| view.get(key)).unwrap();
    value.unwrap().bytes.to_vec()
}

/// A volume whose only tree node was written twice, because its content came to be a second time;
/// where each of the two lies.
fn with_a_node_twice() -> (Fixture, [Pointer; 2]) {
    let mut fixture = Fixture::new();
    fixture.pool().create_volume(&new_volume("a")).unwrap();
    let pool = fixture.pool().clone();
    let volume = pool.open_volume(&name("a")).unwrap();
    put(&volume, "f", b"content");
    let ino = volume.lookup(&WHO, Ino::ROOT, b"f").unwrap().ino;
    let key = keys::inode(ino);
    pool.checkpoint().unwrap();
    let first = root_of(&pool);
    let record = stored(&volume, &key);
    let mut other = Inode::decode(&record).unwrap();
    other.perm ^= 0o111;
    edit(&volume, key, &other.encode());
    pool.checkpoint().unwrap();
    assert_ne!(root_of(&pool).id, first.id);
    edit(&volume, key, &record);
    pool.checkpoint().unwrap();
    let second = root_of(&pool);
    assert!(second.id == first.id && second.place != first.place);
    drop((volume, pool));
    close(&mut fixture);
    (fixture, [first, second])
}

/// A tree node with a healthy copy elsewhere is told with the place of the copy; a repair heals it
/// where it is, and so does a scrub of the open pool.
#[test]
fn a_copy_heals_a_node() {
    let (mut fixture, [copy, node]) = with_a_node_twice();
    let place = node.place;
    let path = segment_path(&fixture, place.segment, "node");
    let whole = fs::read(&path).unwrap();
    let hurt = || flip(&path, u64::from(place.offset) + 64 + 30);
    let healed = [Repair::Frame {
        id: node.id,
        segment: place.segment,
        offset: place.offset,
        moved_to: None,
    }];

    hurt();
    let found = violations(&fixture);
    let [
        Violation::Node {
            state,
            id,
            segment,
            offset,
            copy: Some(found_copy),
            ..
        },
    ] = found.as_slice()
    else {
        panic!("{found:?}");
    };
    assert_eq!((state, *id), (&Some(live("a")), node.id));
    assert_eq!((*segment, *offset), (place.segment, place.offset));
    assert_eq!(found_copy, &copy.place);
    let report = Pool::repair(&fixture.path(), NO_CUT, &Silent).unwrap();
    assert_eq!(
        (report.violations, &report.repaired[..]),
        (vec![], &healed[..])
    );
    assert!(fs::read(&path).unwrap() == whole, "it is not as it was");

    hurt();
    let pool = fixture.open();
    let report = pool.scrub(&CheckOptions::default(), &Silent).unwrap();
    assert_eq!(
        (report.violations, &report.repaired[..]),
        (vec![], &healed[..])
    );
    let volume = pool.open_volume(&name("a")).unwrap();
    assert_eq!(read(&volume, "f").unwrap(), b"content");
    drop((volume, pool));
    close(&mut fixture);
    assert_eq!(violations(&fixture), []);
}

/// A folder that says another parent than the one that holds it, or other counts than what is in
/// it, is told, with its path.
#[test]
fn folders_are_checked() {
    let broken = |change: &dyn Fn(&mut Inode)| {
        let mut fixture = Fixture::new();
        fixture.pool().create_volume(&new_volume("a")).unwrap();
        let pool = fixture.pool().clone();
        let volume = pool.open_volume(&name("a")).unwrap();
        let new = NewNode {
            kind: FileKind::Directory,
            perm: 0o755,
            umask: 0,
            rdev: 0,
        };
        let outer = volume.create(&WHO, Ino::ROOT, b"outer", &new).unwrap().ino;
        let inner = volume.create(&WHO, outer, b"inner", &new).unwrap().ino;
        let key = keys::inode(inner);
        let mut inode = Inode::decode(&stored(&volume, &key)).unwrap();
        assert_eq!(inode.parent, outer);
        change(&mut inode);
        edit(&volume, key, &inode.encode());
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
        assert_eq!((state, *inode), (&live("a"), Some(inner)));
        assert_eq!(path.as_deref(), Some("/outer/inner"));
        *rule
    };
    assert_eq!(broken(&|inode| inode.parent = Ino::ROOT), InodeRule::Parent);
    assert_eq!(broken(&|inode| inode.entries = 1), InodeRule::Count);
    assert_eq!(broken(&|inode| inode.nlink = 3), InodeRule::LinkCount);
}

/// Notes what it is told.
#[derive(Default)]
struct Noting(Mutex<Vec<(u64, u64)>>);

impl Progress for Noting {
    fn update(&self, done: u64, total: u64) {
        self.0.lock().push((done, total));
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

/// A check, a scrub and a repair tell how far they are: more each time, never beyond the end, and
/// near to it in the end.
#[test]
fn progress_is_told() {
    const BLOCKS: usize = 1500;
    let mut fixture = Fixture::new();
    fixture.pool().create_volume(&new_volume("a")).unwrap();
    let volume = fixture.pool().open_volume(&name("a")).unwrap();
    put(&volume, "f", &noise(1, BLOCKS * BLOCK));
    drop(volume);
    close(&mut fixture);
    let told = |work: &dyn Fn(&Noting)| {
        let noting = Noting::default();
        work(&noting);
        let updates = noting.0.lock().clone();
        assert!(updates.len() >= 5, "{updates:?}");
        assert!(
            updates.is_sorted_by(|one, next| one.0 < next.0),
            "{updates:?}"
        );
        assert!(
            updates.iter().all(|(done, total)| done <= total),
            "{updates:?}"
        );
        let (done, total) = updates[updates.len() - 1];
        assert!(
            total >= BLOCKS as u64 && done * 10 >= total * 8,
            "{updates:?}"
        );
    };
    let path = fixture.path();
    told(&|noting| drop(Pool::inspect(&path, &deep(), noting).unwrap()));
    told(&|noting| drop(Pool::repair(&path, NO_CUT, noting).unwrap()));
    let pool = fixture.open();
    told(&|noting| drop(pool.check(noting).unwrap()));
    told(&|noting| drop(pool.scrub(&CheckOptions::default(), noting).unwrap()));
    let only = CheckOptions {
        volumes: vec![name("a")],
        ..deep()
    };
    told(&|noting| drop(pool.check_with(&only, noting).unwrap()));
    fixture.pool = None;
}
