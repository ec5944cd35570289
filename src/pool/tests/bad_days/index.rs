//! The content index is lost, old, or garbage, or cannot be made: nothing depends on it.

use std::sync::Arc;

use super::super::crash::{IndexFolder, World};
use super::super::{name, new_volume, noise, put, read};
use crate::base::SplitMix64;
use crate::base::progress::Silent;
use crate::block::upset::{Armed, Upset};
use crate::pool::Pool;

const LEN: usize = 200_000;

fn write(pool: &Arc<Pool>, file: &str, seed: u64) {
    let volume = pool.open_volume(&name("a")).unwrap();
    put(&volume, file, &noise(seed, LEN));
    volume.sync().unwrap();
}

/// A pool with an index, and two files.
fn indexed() -> World {
    let world = World::with_index(0);
    world.pool().create_volume(&new_volume("a")).unwrap();
    write(world.pool(), "one", 1);
    world.pool().checkpoint().unwrap();
    write(world.pool(), "two", 2);
    world
}

/// Everything is there; blocks that are written again are found stored, once the index is back.
fn is_whole(world: &World) {
    let pool = world.pool();
    let volume = pool.open_volume(&name("a")).unwrap();
    assert_eq!(read(&volume, "one").unwrap(), noise(1, LEN));
    assert_eq!(read(&volume, "two").unwrap(), noise(2, LEN));
    drop(volume);
    while !pool.shared.store.stats().index_ready {
        std::thread::yield_now();
    }
    let before = pool.status().dedup_hits;
    write(pool, "again", 1);
    assert!(pool.status().dedup_hits > before + 40);
    let report = pool.check(&Silent).unwrap();
    assert_eq!(report.violations, Vec::new());
}

fn index(world: &World) -> &IndexFolder {
    world.index.as_ref().unwrap()
}

/// The folder is deleted between two runs.
#[test]
fn the_index_folder_is_deleted() {
    let mut world = indexed();
    world.pool().close().unwrap();
    world.replace_disk(world.disk.kill());
    index(&world).lose().unwrap();
    world.open_as_it_is();
    is_whole(&world);
}

/// The folder is from last week: it knows segments that are gone, and not those that are new.
#[test]
fn the_index_folder_is_from_last_week() {
    let mut world = indexed();
    world.pool().close().unwrap();
    world.replace_disk(world.disk.kill());
    index(&world).keep_a_copy().unwrap();
    world.open_as_it_is();
    write(world.pool(), "three", 3);
    world.pool().close().unwrap();
    world.replace_disk(world.disk.crash(1));
    index(&world).roll_back().unwrap();
    world.open_as_it_is();
    is_whole(&world);
}

/// Each file of the folder has bits that flipped.
#[test]
fn the_index_folder_is_garbage() {
    for seed in 0..6 {
        let mut world = indexed();
        world.pool().close().unwrap();
        world.replace_disk(world.disk.kill());
        index(&world).rot(&mut SplitMix64::new(seed)).unwrap();
        world.open_as_it_is();
        is_whole(&world);
    }
}

/// Closed, and the index gone: the next opening builds it anew.
fn without_index() -> World {
    let mut world = indexed();
    world.pool().close().unwrap();
    world.replace_disk(world.disk.kill());
    index(&world).lose().unwrap();
    world
}

/// How many batches of frames a rebuild feeds.
fn batches() -> u64 {
    let mut world = without_index();
    let counting = Armed::new(&index(&world).path(), Upset::Pause, u64::MAX);
    world.open_as_it_is();
    while !world.pool().shared.store.stats().index_ready {
        std::thread::yield_now();
    }
    counting.fed()
}

/// Power is lost while the index is built anew, after each of the batches it is fed with: the
/// medium loses what it may, and the folder is as it was at that moment.
#[test]
fn power_loss_during_an_index_rebuild() {
    let batches = batches();
    assert!(batches > 2, "there is nothing half built");
    for fed in 0..batches {
        for seed in 0..3 {
            let mut world = without_index();
            let paused = Armed::new(&index(&world).path(), Upset::Pause, fed);
            world.open_as_it_is();
            paused.wait(1);
            assert!(!world.pool().shared.store.stats().index_ready);
            index(&world).keep_a_copy().unwrap();
            let left = world.disk.crash(seed);
            drop(paused);
            world.replace_disk(left);
            index(&world).roll_back().unwrap();
            world.open_as_it_is();
            is_whole(&world);
        }
    }
}

/// The disk is full while the index is built anew, from each batch on that it is fed with: the
/// pool works without, and says what it holds; with room again the index is built.
#[test]
fn disk_full_during_an_index_rebuild() {
    /// After so many attempts it is given up until the next opening.
    const ATTEMPTS: u64 = 3;
    for fed in 0..batches() {
        let mut world = without_index();
        let full = Armed::new(&index(&world).path(), Upset::NoRoom, fed);
        world.open_as_it_is();
        full.wait(1);
        assert!(!world.pool().shared.store.stats().index_ready);
        write(world.pool(), "three", 3);
        works_without(&world);
        full.wait(ATTEMPTS);
        write(world.pool(), "four", 4);
        works_without(&world);
        drop(full);
        world.pool().close().unwrap();
        world.replace_disk(world.disk.kill());
        world.open_as_it_is();
        is_whole(&world);
    }
}

/// There is no room even for the index's folder, or something is in its way: the same.
#[test]
fn an_index_folder_that_cannot_be_made() {
    let mut world = without_index();
    std::fs::write(index(&world).path(), b"in the way").unwrap();
    world.open_as_it_is();
    write(world.pool(), "three", 3);
    works_without(&world);
}

/// Everything can be read without an index, and a check finds nothing.
fn works_without(world: &World) {
    let volume = world.pool().open_volume(&name("a")).unwrap();
    assert_eq!(read(&volume, "two").unwrap(), noise(2, LEN));
    assert_eq!(read(&volume, "three").unwrap(), noise(3, LEN));
    drop(volume);
    let report = world.pool().check(&Silent).unwrap();
    assert_eq!(report.violations, Vec::new());
    assert!(!world.pool().shared.store.stats().index_ready);
}
