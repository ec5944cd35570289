//! The exhaustive driver: something goes wrong at each single effect of a script, and of recovery.

use super::change::Change;
use super::model::Floor;
use super::scripts::Scene;
use super::world::World;
use crate::base::SplitMix64;
use crate::disk::{Fault, SimDisk};

/// Of each recovery, every so manyeth effect gets an outage; in a soak each one does.
const RECOVERY_STRIDE: u64 = 7;
/// Power losses that are tried at each effect.
const LOSSES: u64 = 2;

/// A pool that is ready for the script's act.
pub(in crate::pool::tests) fn prepared(scene: &Scene) -> World {
    let mut world = World::started(0);
    prepare(&mut world, scene);
    world
}

/// Makes a new pool ready for the script's act.
pub(in crate::pool::tests) fn prepare(world: &mut World, scene: &Scene) {
    world.tell(format!("script '{}'", scene.name));
    let done = (scene.prepare)(world);
    done.unwrap_or_else(|failed| panic!("{}: {}", scene.name, failed.text));
}

/// Power is lost, and the process killed, at each effect of the script; of each recovery from
/// that at some effects. Returns how many outages that were.
pub(in crate::pool::tests) fn outage_anywhere(scene: &Scene) -> u64 {
    let stride = match std::env::var_os("VOLFS_SOAK_MINUTES") {
        Some(_) => 1,
        None => RECOVERY_STRIDE,
    };
    let mut whole = prepared(scene);
    let before = whole.disk.effects();
    let done = (scene.act)(&mut whole);
    done.unwrap_or_else(|failed| panic!("{}: {}", scene.name, failed.text));
    whole.compare(Floor::Newest);
    let effects = whole.disk.effects() - before;
    let mut outages = 0;
    for moment in 0..effects {
        let mut world = prepared(scene);
        world.disk.arm(Fault::Die(moment));
        // What is only a help may fail unseen; then the operation is acknowledged.
        let _ = (scene.act)(&mut world);
        assert!(world.disk.has_failed(), "the script repeats itself");
        world.tell(format!("an outage after {moment} of {effects} effects"));
        let killed = world.disk.kill();
        outages += 1 + recover(&mut world, &killed, Floor::Acknowledged, moment, stride);
        for loss in 0..LOSSES {
            let left = world.disk.crash(moment * LOSSES + loss);
            outages += 1 + recover(&mut world, &left, Floor::Durable, moment + loss, stride);
        }
    }
    outages
}

/// Recovery as it is, and with an outage at every `stride`th of its effects, from `phase` on.
fn recover(world: &mut World, medium: &SimDisk, floor: Floor, phase: u64, stride: u64) -> u64 {
    let copy = medium.kill();
    drop(world.open_copy(&copy).expect("what an outage leaves opens"));
    let effects = copy.effects();
    let mut outages = 0;
    for moment in (phase % stride..effects).step_by(stride as usize) {
        let cut = medium.kill();
        cut.arm(Fault::Die(moment));
        drop(world.open_copy(&cut));
        assert!(cut.has_failed(), "recovery repeats itself");
        world.tell(format!("recovery ends after {moment} of {effects} effects"));
        let left = match (floor, moment % 2) {
            (Floor::Durable, _) | (_, 1) => (cut.crash(moment), Floor::Durable),
            _ => (cut.kill(), floor),
        };
        world.try_medium(&left.0, left.1);
        outages += 1;
    }
    world.try_medium(medium, floor);
    outages
}

/// The medium is full from each call on that needs room, or refuses one write that it has no room
/// for, as the fault says: nothing acknowledged is lost, nothing is poisoned, and with room again
/// work goes on. Returns at how many calls that was.
pub(in crate::pool::tests) fn disk_full_anywhere(scene: &Scene, fault: fn(u64) -> Fault) -> u64 {
    for call in 0.. {
        let mut world = prepared(scene);
        world.disk.arm(fault(call));
        let outcome = (scene.act)(&mut world);
        if !world.disk.has_failed() {
            outcome.unwrap_or_else(|failed| panic!("{}: {}", scene.name, failed.text));
            return call;
        }
        world.tell(format!("no room: {:?}", fault(call)));
        if let Err(failed) = outcome {
            assert!(failed.is_full, "{}: {}", scene.name, failed.text);
        }
        world.compare(Floor::Acknowledged);
        world.try_medium(&world.disk.kill(), Floor::Acknowledged);
        go_on_with_room(world, scene, call);
    }
    unreachable!("a script needs room finitely often")
}

/// What became of a script on a full medium.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pool::tests) enum OnFull {
    /// All of it needs no room.
    Done,
    /// A part was refused for want of room.
    Refused,
}

/// The medium is full before the script begins, and the reserve in use: what needs no room is
/// done, the rest refused and nothing poisoned. After an outage the pool opens while the medium is
/// still full, or says that there is no room for its recovery; nothing acknowledged is lost, and
/// with room again work goes on.
pub(in crate::pool::tests) fn on_a_full_disk(scene: &Scene) -> OnFull {
    let mut world = prepared(scene);
    world.fill_the_disk();
    let outcome = match (scene.act)(&mut world) {
        Ok(()) => OnFull::Done,
        Err(failed) => {
            assert!(failed.is_full, "{}: {}", scene.name, failed.text);
            OnFull::Refused
        }
    };
    world.compare(Floor::Acknowledged);
    for (left, floor) in [
        (world.disk.kill(), Floor::Acknowledged),
        (world.disk.crash(0), Floor::Durable),
        (world.disk.crash(1), Floor::Durable),
    ] {
        let still_full = left.kill();
        match world.open_copy(&still_full) {
            Ok(pool) => {
                drop(pool);
                world.try_medium(&still_full.kill(), floor);
            }
            Err(error) => assert!(error.is_no_space(), "{error:?}"),
        }
        still_full.set_capacity(None);
        world.try_medium(&still_full.kill(), floor);
    }
    go_on_with_room(world, scene, 0);
    outcome
}

fn go_on_with_room(mut world: World, scene: &Scene, seed: u64) {
    world.make_room();
    let go_on = |world: &mut World| {
        world.create_volume("after")?;
        world.change("after", &Change::Create("f".to_owned()))?;
        let data = SplitMix64::new(seed).bytes(100_000);
        world.change("after", &Change::Write("f".to_owned(), 0, data))?;
        world.sync("after")?;
        world.checkpoint()
    };
    go_on(&mut world).unwrap_or_else(|failed| panic!("{}: {}", scene.name, failed.text));
    world.compare(Floor::Acknowledged);
    world.try_medium(&world.disk.kill(), Floor::Acknowledged);
    world.try_medium(&world.disk.crash(seed), Floor::Durable);
}
