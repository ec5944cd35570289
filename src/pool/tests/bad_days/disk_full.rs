//! The medium is full before something, or from any call of it on, or refuses a single write:
//! nothing acknowledged is lost, nothing is poisoned, and with room again work goes on.
//!
//! What is only written over needs no room on most hosts, and so nothing that could be refused by
//! a full one ([`Fault::Full`]): the journal, and with it volumes, snapshots, clones and rollbacks.
//! A host that never writes in place can refuse such a write, too ([`Fault::FullWrite`]).

use super::super::crash::{
    Floor, OnFull, World, disk_full_anywhere, on_a_full_disk, prepared, scene,
};
use super::super::{WHO, new_volume};
use crate::base::Ino;
use crate::disk::Fault;
use crate::pool::PoolError;
use crate::volume::core::admission::Room;

/// How many calls needed room, each of which got none.
fn full_at(script: &str) -> u64 {
    disk_full_anywhere(scene(script), Fault::Full)
}

/// How many writes there were, each of which was refused.
fn refused_at(script: &str) -> u64 {
    disk_full_anywhere(scene(script), Fault::FullWrite)
}

/// During a volume's creation: there is none, and it can be made with room.
#[test]
fn disk_full_during_volume_create() {
    assert_eq!(on_a_full_disk(scene("volume create")), OnFull::Refused);
    assert!(refused_at("volume create") > 1);
}

/// Who makes what is there is told so, whatever room there is.
#[test]
fn a_name_that_is_taken_is_told_on_a_full_disk() {
    let mut world = World::started(0);
    world.pool().create_volume(&new_volume("a")).unwrap();
    world.fill_the_disk();
    let create = |name| world.pool().create_volume(&new_volume(name)).unwrap_err();
    assert!(matches!(create("a"), PoolError::Exists { .. }));
    assert!(create("b").is_no_space());
}

/// During a volume's removal, which needs no room itself: it makes some.
#[test]
fn disk_full_during_volume_rm() {
    assert!(full_at("volume rm") > 0);
    assert!(refused_at("volume rm") > 2);
    on_a_full_disk(scene("volume rm"));
}

/// During a checkpoint, at each step.
#[test]
fn disk_full_during_a_checkpoint() {
    assert!(full_at("checkpoint") > 2);
    assert!(refused_at("checkpoint") > 2);
    assert_eq!(on_a_full_disk(scene("checkpoint")), OnFull::Refused);
}

/// During writing into a journal file that was used before.
#[test]
fn disk_full_during_journal_recycling() {
    assert!(refused_at("journal recycling") >= 20);
    assert_eq!(on_a_full_disk(scene("journal recycling")), OnFull::Refused);
}

/// During the end of a segment and the start of the next.
#[test]
fn disk_full_during_a_segment_rollover() {
    assert!(full_at("segment rollover") > 20);
    assert!(refused_at("segment rollover") > 20);
    assert_eq!(on_a_full_disk(scene("segment rollover")), OnFull::Refused);
}

/// During one cut of three volumes, which needs no room.
#[test]
fn disk_full_during_a_snapshot_of_three_volumes() {
    let outcome = on_a_full_disk(scene("snapshot of three volumes"));
    assert_eq!(outcome, OnFull::Done);
    assert!(refused_at("snapshot of three volumes") > 1);
}

/// During rollbacks, to a sealed and to an unsealed snapshot: they need no room, but what is
/// written between them does.
#[test]
fn disk_full_during_a_rollback() {
    assert_eq!(on_a_full_disk(scene("rollback")), OnFull::Refused);
    assert!(refused_at("rollback") > 2);
}

/// During clones, of a sealed and of an unsealed snapshot, which need no room.
#[test]
fn disk_full_during_a_clone() {
    assert_eq!(on_a_full_disk(scene("clone")), OnFull::Done);
    assert!(refused_at("clone") > 1);
}

/// The same of the state of this moment, which is not sealed.
#[test]
fn disk_full_during_a_clone_of_the_live_state() {
    let outcome = on_a_full_disk(scene("clone of the live state"));
    assert_eq!(outcome, OnFull::Done);
    assert!(refused_at("clone of the live state") > 0);
}

/// During the creation of the first pool: it fails for want of room, and works with room, on what
/// the attempt has left.
#[test]
fn disk_full_during_the_first_pool_creation() {
    for (fault, least) in [(Fault::Full as fn(u64) -> Fault, 5), (Fault::FullWrite, 5)] {
        let mut calls = 0;
        loop {
            let mut world = World::started(0);
            world.clear();
            world.disk.arm(fault(calls));
            let created = world.create();
            if !world.disk.has_failed() {
                created.unwrap();
                break;
            }
            assert!(created.unwrap_err().is_no_space());
            assert!(!world.exists());
            for left in [world.disk.kill(), world.disk.crash(calls)] {
                world.replace_disk(left);
                world.create().unwrap();
                world.open().unwrap();
                assert!(world.pool().volumes().is_empty());
            }
            calls += 1;
        }
        assert!(calls >= least, "{calls}");
    }
}

/// During a recovery that publishes: the pool does not open for want of room, or it opens; nothing
/// is lost. One that goes on with what it replayed needs no room.
#[test]
fn disk_full_during_recovery() {
    let (long, half) = ("a long journal", "half a journal");
    let (full, refused) = (Fault::Full as fn(u64) -> Fault, Fault::FullWrite);
    let least = [
        (long, full as fn(u64) -> Fault, 0),
        (long, refused, 1),
        (half, full, 2),
        (half, refused, 2),
    ];
    for (script, fault, least) in least {
        let world = prepared(scene(script));
        let mut calls = 0;
        loop {
            let medium = world.disk.kill();
            medium.arm(fault(calls));
            let opened = world.open_copy(&medium);
            if !medium.has_failed() {
                opened.unwrap();
                break;
            }
            if let Err(error) = opened {
                assert!(error.is_no_space(), "{error:?}");
            }
            medium.disarm();
            world.try_medium(&medium.kill(), Floor::Acknowledged);
            world.try_medium(&medium.crash(calls), Floor::Durable);
            calls += 1;
        }
        assert!(calls >= least, "{script}: {calls}");
        assert_eq!(calls > 0, least > 0, "{script}: {calls}");
    }
}

/// The process dies at any effect of a volume's creation, and then the disk is full: where there is
/// the volume, the opening makes its root folder all the same.
#[test]
fn a_volume_is_finished_on_a_full_disk() {
    let mut finished = 0;
    for moment in 0.. {
        let world = World::started(0);
        world.disk.arm(Fault::Die(moment));
        let created = world.pool().create_volume(&new_volume("b"));
        if !world.disk.has_failed() {
            created.unwrap();
            assert!(finished > 0, "{moment} effects");
            return;
        }
        let medium = world.disk.kill();
        // So that it is not enough for another reserve what the recovery leaves of the first.
        let used: u64 = medium.files().iter().map(|(_, len)| len).sum();
        medium.set_capacity(Some(used - (64 << 10)));
        let pool = world.open_copy(&medium).unwrap();
        let is_full = pool.shared.admission.room() == Room::None;
        assert!(is_full || pool.volumes().is_empty(), "there was room");
        for info in pool.volumes() {
            let volume = pool.open_volume(&info.name).unwrap();
            assert_eq!(volume.getattr(&WHO, Ino::ROOT).unwrap().nlink, 2);
            finished += 1;
        }
    }
}
