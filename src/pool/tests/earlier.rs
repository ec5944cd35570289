//! Snapshots beside the present state: what differs, and what is put back.

use super::*;
use crate::pool::{DiffReport, GcOptions};
use crate::volume::ops::{How, RestoreOptions, Restored, Unwatched};

const BLOCK: usize = 4096;

fn noise(seed: u64, len: usize) -> Vec<u8> {
    crate::base::SplitMix64::new(seed).bytes(len)
}

/// A volume with a file of 50 blocks and a snapshot `s`; then two of the blocks are others.
fn changed() -> (Fixture, Vec<u8>) {
    let fixture = Fixture::new();
    let pool = fixture.pool();
    pool.create_volume(&new_volume("a")).unwrap();
    let content = noise(1, 50 * BLOCK);
    let a = pool.open_volume(&name("a")).unwrap();
    put(&a, "table", &content);
    pool.create_snapshots(&[(name("a"), snap("s"))]).unwrap();
    let mut other = content.clone();
    other[7 * BLOCK] ^= 1;
    other[30 * BLOCK] ^= 1;
    put(&a, "table", &other);
    put(&a, "new", b"new");
    (fixture, content)
}

fn restore(pool: &Pool, force: bool) -> PoolResult<Restored> {
    let options = RestoreOptions {
        paths: vec!["table".parse().unwrap()],
        to: None,
        force,
    };
    let from = (&name("a"), &snap("s"));
    pool.restore(from, &options, &Unwatched, &Silent)
}

fn diff(pool: &Pool) -> DiffReport {
    let a = name("a");
    pool.compare_states((&a, Some(&snap("s"))), (&a, None))
        .unwrap()
}

/// The present state counts, in memory or not; a restore makes it equal to the snapshot but for
/// what is new, and survives the death of the daemon.
#[test]
fn what_is_put_back_is_durable_and_no_difference() {
    let (mut fixture, content) = changed();
    let told = diff(fixture.pool());
    let list: Vec<(How, &str, u64)> = told
        .differences
        .iter()
        .map(|it| (it.change, it.path.as_str(), it.bytes_changed))
        .collect();
    let two = 2 * BLOCK as u64;
    assert_eq!(
        list,
        [(How::Added, "/new", 3), (How::Changed, "/table", two)]
    );
    assert_eq!((told.before.as_str(), told.after.as_str()), ("a@s", "a"));

    let refused = restore(fixture.pool(), false).unwrap_err();
    assert!(
        refused.to_string().contains("already '/table'"),
        "{refused}"
    );
    let stored = fixture.pool().status().segment_bytes;
    let told = restore(fixture.pool(), true).unwrap();
    assert_eq!((told.changed, told.changed_bytes), (1, two));
    assert_eq!(told.compared_bytes, 50 * BLOCK as u64);
    let left = diff(fixture.pool());
    assert_eq!((left.added, left.changed), (1, 0), "{left:?}");
    let grown = fixture.pool().status().segment_bytes - stored;
    assert!(grown < 10 * BLOCK as u64, "{grown} bytes for a few nodes");

    let pool = fixture.die_and_reopen();
    let a = pool.open_volume(&name("a")).unwrap();
    assert!(read(&a, "table").unwrap() == content);
    fixture.check();
}

/// What is put back needs its snapshot no longer: the blocks are the volume's own.
#[test]
fn what_is_put_back_outlives_its_snapshot() {
    let (fixture, content) = changed();
    let pool = fixture.pool();
    let a = pool.open_volume(&name("a")).unwrap();
    a.unlink(&WHO, Ino::ROOT, b"table").unwrap();
    a.reap_orphans().unwrap();
    assert_eq!(restore(pool, false).unwrap().created, 1);
    pool.remove_snapshot(&name("a"), &snap("s")).unwrap();
    pool.checkpoint().unwrap();
    pool.collect_garbage(&GcOptions::default(), &Silent)
        .unwrap();
    assert!(read(&a, "table").unwrap() == content);
    drop(a);
    fixture.check();
    assert!(matches!(
        restore(pool, true),
        Err(PoolError::NoSnapshot { .. })
    ));
}

/// Volumes that do not descend from each other are not compared.
#[test]
fn strangers_are_not_compared() {
    let (fixture, _) = changed();
    let pool = fixture.pool();
    pool.create_volume(&new_volume("b")).unwrap();
    let (a, b) = (name("a"), name("b"));
    let refused = pool.compare_states((&a, Some(&snap("s"))), (&b, None));
    assert!(matches!(refused, Err(PoolError::Invalid(_))), "{refused:?}");
    pool.clone_volume(&a, Some(&snap("s")), &name("c")).unwrap();
    let c = name("c");
    let told = pool.compare_states((&a, None), (&c, None)).unwrap();
    assert_eq!((told.removed, told.changed), (1, 1));
}
