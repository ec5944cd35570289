//! The content index is lost, old, or garbage, or cannot be made: nothing depends on it.

use std::sync::Arc;

use super::super::crash::{IndexFolder, World};
use super::super::{name, new_volume, noise, put, read};
use crate::base::SplitMix64;
use crate::base::progress::Silent;
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

/// Power is lost while the index is built anew: the medium loses what it may, and the folder is
/// as it was at some moment of the building.
#[test]
fn power_loss_during_an_index_rebuild() {
    for seed in 0..6 {
        let mut world = indexed();
        world.pool().close().unwrap();
        world.replace_disk(world.disk.kill());
        index(&world).lose().unwrap();
        world.open_as_it_is();
        for _ in 0..seed * 20 {
            std::thread::yield_now();
        }
        // The building may remove what is being copied: then the copy is what it came to.
        let _ = index(&world).keep_a_copy();
        world.replace_disk(world.disk.crash(seed));
        index(&world).roll_back().unwrap();
        world.open_as_it_is();
        is_whole(&world);
    }
}

/// There is no room for the index's folder: the pool works without, and says what it holds.
#[test]
fn disk_full_during_an_index_rebuild() {
    let mut world = indexed();
    world.pool().close().unwrap();
    world.replace_disk(world.disk.kill());
    index(&world).lose().unwrap();
    std::fs::write(index(&world).path(), b"in the way").unwrap();
    world.open_as_it_is();
    write(world.pool(), "three", 3);
    let volume = world.pool().open_volume(&name("a")).unwrap();
    assert_eq!(read(&volume, "two").unwrap(), noise(2, LEN));
    assert_eq!(read(&volume, "three").unwrap(), noise(3, LEN));
    drop(volume);
    let report = world.pool().check(&Silent).unwrap();
    assert_eq!(report.violations, Vec::new());
    assert!(!world.pool().shared.store.stats().index_ready);
}
