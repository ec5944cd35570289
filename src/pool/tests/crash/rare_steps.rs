//! Steps whose loss shows only in a course of events that random outages take rarely. Each has its
//! course here, which must end well with the step taken, and badly without.

use std::ops::ControlFlow;
use std::time::Duration;

use super::World;
use super::{name, new_volume, noise, put};
use crate::base::{Ino, Pointer};
use crate::block::{Depth, Healed};
use crate::disk::{AtStep, Disk, Fault, SimDisk, Step};
use crate::pool::superblock::SLOT_OFFSETS;
use crate::pool::tests::WHO;
use crate::volume::Volume;

/// Media that a power loss could leave, of each that is tried.
const LOSSES: u64 = 60;
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the course ends well with the step taken, and badly without.
fn shows(step: Step, ends_well: impl Fn(&dyn Fn(&SimDisk)) -> bool) {
    assert!(ends_well(&|_| ()), "it ends badly as it is");
    let ends_well_without = ends_well(&|disk| disk.leave_out(step));
    assert!(!ends_well_without, "{} is not needed", step.name());
}

/// A new pool with volume `a`, published.
fn world_with_a(prepare: &dyn Fn(&SimDisk), short_files: bool) -> World {
    let mut world = World::new(0, false);
    if short_files {
        world.shorten_journal_files();
    }
    prepare(&world.disk);
    world.create().unwrap();
    world.open().unwrap();
    world.pool().create_volume(&new_volume("a")).unwrap();
    world.pool().checkpoint().unwrap();
    world
}

fn volume(world: &World) -> std::sync::Arc<Volume> {
    world.pool().open_volume(&name("a")).unwrap()
}

/// Writes a few blocks by way of the journal; whether that is durable.
fn write_and_sync(world: &World, file: &str, seed: u64) -> bool {
    put(&volume(world), file, &noise(seed, 12_000));
    volume(world).sync().is_ok()
}

/// Whether the pool opens on this medium and holds these files.
fn holds(world: &World, medium: &SimDisk, files: &[(&str, u64, usize)]) -> bool {
    let Ok(pool) = world.open_copy(medium) else {
        return false;
    };
    let Ok(volume) = pool.open_volume(&name("a")) else {
        return false;
    };
    files.iter().all(|(file, seed, len)| {
        let attr = volume.lookup(&WHO, Ino::ROOT, file.as_bytes());
        let content = attr.and_then(|attr| volume.read_file(&WHO, attr.ino, 0, *len));
        content.is_ok_and(|content| content == noise(*seed, *len))
    })
}

/// The same after each of some power losses now.
fn survives(world: &World, files: &[(&str, u64, usize)]) -> bool {
    (0..LOSSES).all(|loss| holds(world, &world.disk.crash(loss), files))
}

/// The same where the newest superblock slot is damaged, too.
fn older_slot_holds(world: &World, files: &[(&str, u64, usize)]) -> bool {
    let newest = world.pool().published.lock().newest.generation % 2;
    let medium = world.disk.crash(0);
    let file = medium.open("superblock").unwrap();
    file.write_at(&[&[0xff; 64]], SLOT_OFFSETS[newest as usize])
        .unwrap();
    file.sync(Step::FirstSuperblock).unwrap();
    holds(world, &medium, files)
}

/// Uses the journal's files again and again between two checkpoints, up to where it is full.
fn recycles_journal_safely(world: &World) -> bool {
    for round in 0..12 {
        world.pool().checkpoint().unwrap();
        for part in 0..3 {
            assert!(write_and_sync(world, "f", 10 * round + part));
            if !older_slot_holds(world, &[("f", 10 * round + part, 12_000)]) {
                return false;
            }
        }
    }
    true
}

/// The newest slot is damaged after the journal was used again behind its checkpoint.
#[test]
fn release_by_older_slot_is_needed() {
    shows(Step::ReleaseByOlderSlot, |prepare| {
        recycles_journal_safely(&world_with_a(prepare, true))
    });
}

/// A superblock's sync fails, the process is killed, and the slot that recovery then writes is
/// damaged after the journal was used again.
#[test]
fn superblock_reread_is_needed() {
    shows(Step::SuperblockReread, |prepare| {
        let mut world = world_with_a(prepare, true);
        assert!((1..4).all(|seed| write_and_sync(&world, "f", seed)));
        world.disk.arm_at(AtStep::Fail(Step::SuperblockPublished));
        world.pool().checkpoint().unwrap_err();
        world.replace_disk(world.disk.kill());
        world.open().unwrap();
        (4..8).all(|seed| {
            assert!(write_and_sync(&world, "f", seed));
            older_slot_holds(&world, &[("f", seed, 12_000)])
        })
    });
}

/// Two deaths in a row between the write and the sync of a superblock, then a power loss: both
/// slots may be torn.
#[test]
fn superblock_settled_is_needed() {
    shows(Step::SuperblockSettled, |prepare| {
        let mut world = world_with_a(prepare, false);
        assert!(write_and_sync(&world, "f", 1));
        world.disk.arm_at(AtStep::Die(Step::SuperblockPublished));
        world.pool().checkpoint().unwrap_err();
        world.replace_disk(world.disk.kill());
        world.disk.arm_at(AtStep::Die(Step::SuperblockPublished));
        assert!(world.open().is_err());
        survives(&world, &[("f", 1, 12_000)])
    });
}

/// After a failed sync of the superblock its file is replaced, and the journal goes on.
fn replaced_superblock_survives(prepare: &dyn Fn(&SimDisk)) -> bool {
    let world = world_with_a(prepare, true);
    world.disk.arm_at(AtStep::Fail(Step::SuperblockPublished));
    world.pool().checkpoint().unwrap_err();
    (0..8).all(|round| {
        assert!(write_and_sync(&world, "f", round));
        world.pool().checkpoint().unwrap();
        survives(&world, &[("f", round, 12_000)])
    })
}

/// The new file's bytes may be lost while its name is there.
#[test]
fn superblock_replaced_is_needed() {
    shows(Step::SuperblockReplaced, replaced_superblock_survives);
}

/// The new file's name may be lost, and the old one's journal is gone.
#[test]
fn superblock_named_is_needed() {
    shows(Step::SuperblockNamed, replaced_superblock_survives);
}

/// The process is killed between the two syncs of a new journal file, which then takes records.
#[test]
fn journal_folder_settled_is_needed() {
    shows(Step::JournalFolderSettled, |prepare| {
        let mut world = world_with_a(prepare, true);
        world.disk.arm_at(AtStep::Die(Step::JournalFileNamed));
        let mut last = 0;
        while write_and_died(&world, last + 1) {
            last += 1;
        }
        world.replace_disk(world.disk.kill());
        world.open().unwrap();
        (100..112).all(|seed| {
            if world.pool().status().journal_bytes > 48 << 10 {
                world.pool().checkpoint().unwrap();
            }
            assert!(write_and_sync(&world, "f", seed));
            survives(&world, &[("f", seed, 12_000)])
        })
    });
}

/// Writes and syncs until the medium dies, which may be in another thread.
fn write_and_died(world: &World, seed: u64) -> bool {
    let volume = volume(world);
    let attr = volume.lookup(&WHO, Ino::ROOT, b"f");
    if attr.is_err() {
        put(&volume, "f", b"");
    }
    let ino = volume.lookup(&WHO, Ino::ROOT, b"f").map(|attr| attr.ino);
    let written = ino.and_then(|ino| {
        let mode = crate::volume::ops::WriteMode::default();
        volume.write_file(&WHO, ino, 0, &noise(seed, 12_000), mode)
    });
    written.is_ok() && volume.sync().is_ok() && !world.disk.has_failed()
}

/// A killed process has stored blocks in a new segment and not told anybody; after recovery the
/// content index finds them for a file with the same content.
#[test]
fn segment_folder_settled_is_needed() {
    shows(Step::SegmentFolderSettled, |prepare| {
        (20..32).all(|moment| {
            let mut world = World::with_index(0);
            prepare(&world.disk);
            world.pool().create_volume(&new_volume("a")).unwrap();
            put(&volume(&world), "f", b"");
            world.pool().checkpoint().unwrap();
            world.disk.arm(Fault::Die(moment));
            let ino = volume(&world).lookup(&WHO, Ino::ROOT, b"f").unwrap().ino;
            let mode = crate::volume::ops::WriteMode::default();
            let content = noise(1, 100_000);
            let _ = volume(&world).write_file(&WHO, ino, 0, &content, mode);
            world.replace_disk(world.disk.kill());
            world.open_as_it_is();
            assert!(world.pool().shared.store.wait_for_index(PATIENCE));
            put(&volume(&world), "f", &content);
            volume(&world).sync().unwrap();
            survives(&world, &[("f", 1, 100_000)])
        })
    });
}

/// A table of contents that was written anew is there after a power loss.
#[test]
fn segment_mended_is_needed() {
    shows(Step::SegmentMended, |prepare| {
        let (world, [pointer, _]) = world_with_copies(prepare);
        let segment = pointer.place.segment;
        let path = format!("segments/{:016x}.data", segment.0);
        let files = world.disk.files();
        let (_, len) = files.iter().find(|(file, _)| *file == path).unwrap();
        assert!(world.disk.flip(&path, len - 100, 1));
        let store = &world.pool().shared.store;
        assert!(store.rewrite_contents(segment).unwrap());
        (0..LOSSES).all(|loss| {
            let left = world.open_copy(&world.disk.crash(loss)).unwrap();
            let mut go_on = |_| ControlFlow::Continue(());
            let store = &left.shared.store;
            let findings = store.examine(segment, Depth::Headers, &mut go_on);
            findings.unwrap().unwrap().faults.is_empty()
        })
    });
}

/// A world in whose pool a block is stored twice, in segments that are at rest.
fn world_with_copies(prepare: &dyn Fn(&SimDisk)) -> (World, [Pointer; 2]) {
    let mut world = world_with_a(prepare, false);
    let pointers = [1, 2].map(|_| {
        // Each from a process of its own, which does not know what is stored already.
        let store = &world.pool().shared.store;
        let pointer: Pointer = store.put_block(&noise(1, 4096)).unwrap();
        world.close();
        world.replace_disk(world.disk.kill());
        world.open().unwrap();
        pointer
    });
    (world, pointers)
}

/// Heals a frame from its copy; whether it can be read after each of some power losses, if it is
/// said to be healed.
fn healed_frame_survives(prepare: &dyn Fn(&SimDisk), goes_astray: bool) -> bool {
    let (world, [pointer, copy]) = world_with_copies(prepare);
    let path = format!("segments/{:016x}.data", pointer.place.segment.0);
    let middle = u64::from(pointer.place.offset) + 1000;
    assert!(world.disk.flip(&path, middle, 1));
    if goes_astray {
        world.disk.arm(Fault::Misdirect(0, 3));
    }
    let healed = world
        .pool()
        .shared
        .store
        .heal(&pointer, &[copy.place], &|_| false);
    if !matches!(healed, Ok(Some(Healed::InPlace))) {
        return true;
    }
    (0..LOSSES).all(|loss| {
        let left = world.open_copy(&world.disk.crash(loss)).unwrap();
        left.shared.store.verify(&pointer).is_ok()
    })
}

/// A power loss does not take back that a frame is healed.
#[test]
fn frame_healed_is_needed() {
    shows(Step::FrameHealed, |prepare| {
        healed_frame_survives(prepare, false)
    });
}

/// A write of a healed frame that goes astray is not called healed in place.
#[test]
fn frame_reread_is_needed() {
    shows(Step::FrameReread, |prepare| {
        healed_frame_survives(prepare, true)
    });
}
