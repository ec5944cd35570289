//! The medium is full from any call on: nothing acknowledged is lost, nothing is poisoned, and
//! with room again work goes on.

use super::super::crash::{Floor, World, disk_full_anywhere, prepared, scene};
use crate::disk::Fault;

/// During a volume's creation.
#[test]
fn disk_full_during_volume_create() {
    disk_full_anywhere(scene("volume create"));
}

/// During a volume's removal.
#[test]
fn disk_full_during_volume_rm() {
    disk_full_anywhere(scene("volume rm"));
}

/// During a checkpoint, at each step.
#[test]
fn disk_full_during_a_checkpoint() {
    disk_full_anywhere(scene("checkpoint"));
}

/// During writing into a journal file that was used before.
#[test]
fn disk_full_during_journal_recycling() {
    disk_full_anywhere(scene("journal recycling"));
}

/// During the end of a segment and the start of the next.
#[test]
fn disk_full_during_a_segment_rollover() {
    disk_full_anywhere(scene("segment rollover"));
}

/// During one cut of three volumes.
#[test]
fn disk_full_during_a_snapshot_of_three_volumes() {
    disk_full_anywhere(scene("snapshot of three volumes"));
}

/// During rollbacks, to a sealed and to an unsealed snapshot.
#[test]
fn disk_full_during_a_rollback() {
    disk_full_anywhere(scene("rollback"));
}

/// During clones, of a sealed and of an unsealed snapshot.
#[test]
fn disk_full_during_a_clone() {
    disk_full_anywhere(scene("clone"));
}

/// During the creation of the first pool: it fails for want of room, and works with room.
#[test]
fn disk_full_during_the_first_pool_creation() {
    for call in 0.. {
        let mut world = World::started(0);
        world.clear();
        world.disk.arm(Fault::Full(call));
        let created = world.create();
        if !world.disk.has_failed() {
            created.unwrap();
            assert!(call > 4);
            return;
        }
        assert!(created.unwrap_err().is_no_space());
        assert!(!world.exists());
        world.clear();
        world.create().unwrap();
        world.open().unwrap();
    }
}

/// During recovery: the pool does not open for want of room, or it opens; nothing is lost.
#[test]
fn disk_full_during_recovery() {
    let world = prepared(scene("a long journal"));
    for call in 0.. {
        let medium = world.disk.kill();
        medium.arm(Fault::Full(call));
        let opened = world.open_copy(&medium);
        if !medium.has_failed() {
            opened.unwrap();
            assert!(call > 1);
            return;
        }
        if let Err(error) = opened {
            assert!(error.is_no_space(), "{error:?}");
        }
        medium.disarm();
        world.try_medium(&medium.kill(), Floor::Acknowledged);
        world.try_medium(&medium.crash(call), Floor::Durable);
    }
}
