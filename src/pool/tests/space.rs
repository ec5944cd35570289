//! What volumes and snapshots take.

use std::collections::{BTreeMap, BTreeSet};

use super::check::outage::{created, open};
use super::*;
use crate::base::{Place, Pointer, SplitMix64, ValueRef};
use crate::pool::{GcOptions, SpaceUse};
use crate::tree::TreeRoot;

type Frames = BTreeSet<Place>;
/// A volume, and a snapshot of it or its live state.
type StateKey = (String, Option<String>);

/// The frames of each state and what it names in bytes, found by reading all trees in full, one
/// after the other.
fn frames_of_all(pool: &Pool) -> BTreeMap<StateKey, (Frames, u64)> {
    let mut all = BTreeMap::new();
    for state in pool.published_states().unwrap().states_by_name() {
        let (volume, snapshot, root) = state;
        let (mut frames, mut named) = (Frames::new(), 0);
        if let Some(root) = root {
            read_in_full(pool, &root, &mut frames, &mut named);
        }
        all.insert((volume, snapshot), (frames, named));
    }
    all
}

fn read_in_full(pool: &Pool, root: &TreeRoot, frames: &mut Frames, named: &mut u64) {
    let mut left: Vec<(Pointer, u8)> = vec![(root.node, root.height)];
    while let Some((pointer, height)) = left.pop() {
        let node = pool.shared.nodes.read_node(&pointer, height).unwrap();
        let blocks = node.values().filter_map(ValueRef::pointer);
        for frame in blocks.chain([pointer]) {
            let place = match pool.shared.store.is_sound_at(&frame) {
                true => frame.place,
                false => pool.shared.store.locate(&frame.id).unwrap(),
            };
            frames.insert(place);
            *named += u64::from(place.len);
        }
        let children = node.children().iter();
        left.extend(children.map(|child| (*child, height.saturating_sub(1))));
    }
}

fn bytes<'a>(frames: impl IntoIterator<Item = &'a Place>) -> u64 {
    frames.into_iter().map(|place| u64::from(place.len)).sum()
}

/// Bytes of the frames that only the states which `is_one` picks have.
fn alone(all: &BTreeMap<StateKey, (Frames, u64)>, is_one: impl Fn(&StateKey) -> bool) -> u64 {
    let union = |wanted: bool| -> Frames {
        let picked = all.iter().filter(|(key, _)| is_one(key) == wanted);
        picked
            .flat_map(|(_, (frames, _))| frames.iter().copied())
            .collect()
    };
    bytes(union(true).difference(&union(false)))
}

/// Volumes with equal blocks within and among them, snapshots, clones, overwrites.
fn busy_pool(seed: u64) -> Arc<Pool> {
    let mut rng = SplitMix64::new(seed);
    let pool = open(&created());
    for volume in ["a", "b"] {
        pool.create_volume(&new_volume(volume)).unwrap();
    }
    for step in 0..40 {
        let target = ["a", "b"][rng.below(2) as usize];
        let volume = pool.open_volume(&name(target)).unwrap();
        let file = format!("f{}", rng.below(6));
        let content = noise(rng.below(8), 4096 * (1 + rng.below(40) as usize));
        put(&volume, &file, &content);
        if step % 4 == 0 {
            pool.checkpoint().unwrap();
        }
        match rng.below(6) {
            0 => drop(
                pool.create_snapshots(&[(name(target), snap(&format!("s{step}")))])
                    .unwrap(),
            ),
            1 => pool.checkpoint().unwrap(),
            2 if step > 20 => {
                let new = name(&format!("c{step}"));
                pool.clone_volume(&name(target), None, &new).unwrap();
            }
            _ => {}
        }
    }
    pool
}

/// What every volume and snapshot takes is what reading all trees in full finds, to the byte, also
/// after garbage was collected and pointers are out of date; and what a removal of any set would
/// give back is what no other state has.
#[test]
fn space_is_counted_to_the_byte() {
    for seed in 0..6 {
        let pool = busy_pool(seed);
        if seed % 2 == 1 {
            pool.collect_garbage(&GcOptions::default(), &Silent)
                .unwrap();
        }
        let space = pool.space(&Silent).unwrap();
        let all = frames_of_all(&pool);
        assert_eq!(space.volumes.len(), all.len());
        for found in &space.volumes {
            let key = key_of(found);
            let (frames, named) = &all[&key];
            assert_eq!(found.referenced_bytes, *named, "{key:?}");
            assert_eq!(
                found.unique_bytes,
                alone(&all, |one| *one == key),
                "{key:?}"
            );
            let freed = match &found.snapshot {
                Some(_) => found.unique_bytes,
                None => alone(&all, |one| one.0 == key.0),
            };
            assert_eq!(found.freed_bytes, freed, "{key:?}");
            let distinct = pool.distinct_bytes(&found.volume, found.snapshot.as_ref(), &Silent);
            assert_eq!(distinct.unwrap(), bytes(frames), "{key:?}");
            assert!(found.shared_bytes() + found.unique_bytes == found.referenced_bytes);
        }
        let every: Frames = all
            .values()
            .flat_map(|(frames, _)| frames.iter().copied())
            .collect();
        assert!(
            space.live_bytes >= bytes(&every),
            "the catalog's nodes come on top"
        );
        assert!(space.live_bytes + space.garbage_bytes == space.segment_bytes);

        let snapshots: Vec<_> = pool.snapshots(None).unwrap();
        let picked: Vec<_> = snapshots.iter().step_by(2).collect();
        let picked: Vec<_> = picked
            .iter()
            .map(|one| (one.volume.clone(), one.name.clone()))
            .collect();
        let would = pool.freed_by_removal(&[], &picked, &Silent).unwrap();
        let is_picked = |one: &StateKey| {
            let of = |(volume, snapshot): &(VolumeName, SnapshotName)| {
                one.0 == volume.as_str() && one.1.as_deref() == Some(snapshot.as_str())
            };
            picked.iter().any(of)
        };
        assert_eq!(would, alone(&all, is_picked), "seed {seed}");
    }
}

fn key_of(found: &SpaceUse) -> StateKey {
    let snapshot = found.snapshot.as_ref().map(ToString::to_string);
    (found.volume.to_string(), snapshot)
}

/// What a removal is said to give back is what a collection of garbage then finds, to the byte of
/// the frames that are left.
#[test]
fn what_is_told_comes_back() {
    let pool = busy_pool(9);
    let gone: Vec<_> = pool
        .snapshots(None)
        .unwrap()
        .into_iter()
        .step_by(2)
        .collect();
    let gone: Vec<_> = gone.into_iter().map(|one| (one.volume, one.name)).collect();
    let would = pool.freed_by_removal(&[], &gone, &Silent).unwrap();
    let left = |pool: &Pool| -> u64 {
        let all = frames_of_all(pool);
        let every: Frames = all
            .values()
            .flat_map(|(frames, _)| frames.iter().copied())
            .collect();
        bytes(&every)
    };
    let before = left(&pool);
    for (volume, snapshot) in &gone {
        pool.remove_snapshot(volume, snapshot).unwrap();
    }
    assert!(would > 0);
    assert_eq!(before - left(&pool), would);
    pool.collect_garbage(&GcOptions::default(), &Silent)
        .unwrap();
    assert_eq!(before - left(&pool), would);

    let volume = pool.volumes()[0].name.clone();
    let would = pool
        .freed_by_removal(std::slice::from_ref(&volume), &[], &Silent)
        .unwrap();
    let before = left(&pool);
    pool.remove_volume(&volume).unwrap();
    assert_eq!(before - left(&pool), would);
}

/// Names that are not there are errors, and a look that nobody waits for ends.
#[test]
fn what_is_not_there_cannot_be_counted() {
    let pool = busy_pool(3);
    let error = pool
        .freed_by_removal(&[name("nothing")], &[], &Silent)
        .unwrap_err();
    assert!(matches!(error, PoolError::NoVolume { .. }), "{error}");
    let missing = (name("a"), snap("nothing"));
    let error = pool.freed_by_removal(&[], &[missing], &Silent).unwrap_err();
    assert!(matches!(error, PoolError::NoSnapshot { .. }), "{error}");
}

/// A scrub, which may take hours, keeps nobody from finding out what is taken.
#[test]
fn a_scrub_keeps_nobody_waiting() {
    let pool = busy_pool(1);
    let _scrub = pool.maintenance.lock();
    assert!(pool.space(&Silent).unwrap().live_bytes > 0);
    let distinct = pool.distinct_bytes(&name("a"), None, &Silent);
    assert!(distinct.unwrap() > 0);
}
