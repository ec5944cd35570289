//! Power is lost, or the daemon killed, at each effect of something: all that was durable, or
//! acknowledged, is there afterwards, and also when the recovery from it is cut short.

use super::super::crash::{Floor, World, outage_anywhere, prepared, scene};
use crate::disk::{Fault, SimDisk};
use crate::pool::PoolError;

/// During a volume's creation.
#[test]
fn power_loss_during_volume_create() {
    assert!(outage_anywhere(scene("volume create")) > 20);
}

/// During a volume's removal.
#[test]
fn power_loss_during_volume_rm() {
    assert!(outage_anywhere(scene("volume rm")) > 20);
}

/// During a checkpoint, at each step.
#[test]
fn power_loss_during_a_checkpoint() {
    assert!(outage_anywhere(scene("checkpoint")) > 20);
}

/// During writing into a journal file that was used before.
#[test]
fn power_loss_during_journal_recycling() {
    assert!(outage_anywhere(scene("journal recycling")) > 20);
}

/// During the end of a segment and the start of the next.
#[test]
fn power_loss_during_a_segment_rollover() {
    assert!(outage_anywhere(scene("segment rollover")) > 20);
}

/// During one cut of three volumes.
#[test]
fn power_loss_during_a_snapshot_of_three_volumes() {
    assert!(outage_anywhere(scene("snapshot of three volumes")) > 20);
}

/// During rollbacks, to a sealed and to an unsealed snapshot.
#[test]
fn power_loss_during_a_rollback() {
    assert!(outage_anywhere(scene("rollback")) > 20);
}

/// During clones, of a sealed and of an unsealed snapshot.
#[test]
fn power_loss_during_a_clone() {
    assert!(outage_anywhere(scene("clone")) > 20);
}

/// During the creation of the first pool: it opens, or there is none, and it can be made again on
/// what is left, as often as that is cut short.
#[test]
fn power_loss_during_the_first_pool_creation() {
    let mut whole = World::started(0);
    whole.clear();
    whole.create().unwrap();
    let (mut none, mut some) = (0, 0);
    for moment in 0..=whole.disk.effects() {
        let mut world = World::started(0);
        world.clear();
        world.disk.arm(Fault::Die(moment));
        let created = world.create();
        for loss in 0..4 {
            let left = world.disk.crash(moment * 4 + loss);
            match world.open_copy(&left) {
                Ok(pool) => {
                    assert!(pool.volumes().is_empty());
                    some += 1;
                }
                Err(PoolError::NotAPool { .. }) => {
                    assert!(created.is_err(), "the created pool is gone");
                    none += 1;
                    left.arm(Fault::Die(moment / 2));
                    let disk = std::mem::replace(&mut world.disk, left);
                    let again = world.create();
                    assert!(again.is_ok() || world.disk.has_failed(), "{again:?}");
                    for twice in [world.disk.kill(), world.disk.crash(loss)] {
                        make_again(&mut world, twice);
                    }
                    world.replace_disk(disk);
                }
                Err(other) => panic!("neither a pool nor none: {other:?}"),
            }
        }
        let killed = world.disk.kill();
        make_again(&mut world, killed);
    }
    assert!(none > 20 && some > 3, "{none} {some}");
}

/// There is a pool on this medium, or one can be made there.
fn make_again(world: &mut World, medium: SimDisk) {
    world.replace_disk(medium);
    if !world.exists() {
        world.create().unwrap();
    }
    world.open().unwrap();
    assert!(world.pool().volumes().is_empty());
    let refused = world.create().unwrap_err();
    assert!(matches!(refused, PoolError::NotEmpty { .. }), "{refused:?}");
}

/// During recovery, at each of its effects; and with more and more recoveries that are cut short
/// behind each other, each of which may leave a segment that the next one syncs.
#[test]
fn power_loss_during_recovery() {
    for (script, publishes) in [("a long journal", false), ("half a journal", true)] {
        let world = prepared(scene(script));
        for (is_repeated, step) in [(false, 1), (true, 10)] {
            let mut medium = world.disk.kill();
            for moment in (0..).step_by(step) {
                let attempt = medium.kill();
                attempt.arm(Fault::Die(moment));
                let opened = world.open_copy(&attempt);
                if !attempt.has_failed() {
                    assert!(moment > 5);
                    assert_eq!(opened.unwrap().status().checkpoints > 0, publishes);
                    break;
                }
                // The first outage may lose what was not synced; from then on nothing may be lost.
                let left = attempt.kill();
                world.try_medium(&left.kill(), Floor::Acknowledged);
                world.try_medium(&attempt.crash(moment), Floor::Durable);
                if is_repeated {
                    medium = left;
                }
            }
        }
    }
}
