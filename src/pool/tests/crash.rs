//! Power loss, SIGKILL and failing media under a whole pool, on random operations, against a model.
//!
//! Each seed is a life of a pool on a simulated medium (`disk::sim_disk` says what that may lose):
//! rounds of operations, a fault inside of them or none, one or more outages with recoveries that
//! may be cut short themselves, and a comparison. Three marks per volume say what may be found:
//! attempted, acknowledged, durable. After power loss a volume is in one of its states from the
//! durable one to the last attempted; after SIGKILL from the acknowledged one on. Acknowledged
//! snapshots are identical for ever, those of one cut are all there or none, and `Pool::check`
//! finds nothing. What was recovered is durable, and the next round goes on from there.
//!
//! `VOLFS_SEEDS=7` or `VOLFS_SEEDS=3,5` or `VOLFS_SEEDS=100..200` runs those seeds instead.

mod model;
mod world;

use std::collections::BTreeSet;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};

use model::Floor;
use world::World;

use crate::disk::{Fault, SimDisk};

/// Seeds of a run in CI.
const SEEDS: u64 = 200;
const ROUNDS: u64 = 6;

/// What a run has covered.
#[derive(Default, Debug)]
struct Covered {
    seeds: u64,
    operations: u64,
    outages: u64,
    /// Recoveries that were cut short.
    cut_short: u64,
    media: BTreeSet<[u8; 32]>,
}

impl AddAssign for Covered {
    fn add_assign(&mut self, other: Covered) {
        self.seeds += other.seeds;
        self.operations += other.operations;
        self.outages += other.outages;
        self.cut_short += other.cut_short;
        self.media.extend(other.media);
    }
}

fn seeds() -> Vec<u64> {
    let Ok(text) = std::env::var("VOLFS_SEEDS") else {
        return (0..SEEDS).collect();
    };
    let number = |text: &str| -> u64 { text.trim().parse().expect("VOLFS_SEEDS: a,b,c or a..b") };
    match text.split_once("..") {
        Some((first, end)) => (number(first)..number(end)).collect(),
        None => text.split(',').map(number).collect(),
    }
}

/// After any outage each volume is a prefix that holds everything synced, SIGKILL loses nothing
/// acknowledged, acknowledged snapshots and clones are identical, and a check finds nothing.
#[test]
fn outages_leave_a_prefix_with_everything_synced() {
    let seeds = seeds();
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(2, |count| count.get());
    let covered = std::thread::scope(|scope| {
        let run = || {
            let mut covered = Covered::default();
            while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                covered += live(*seed);
            }
            covered
        };
        let running: Vec<_> = (0..threads.min(seeds.len()))
            .map(|_| scope.spawn(run))
            .collect();
        let mut all = Covered::default();
        for thread in running {
            all += thread.join().expect("a violation: see above");
        }
        all
    });
    println!(
        "{} seeds, {} operations, {} outages ({} during recovery), {} different media after them",
        covered.seeds,
        covered.operations,
        covered.outages,
        covered.cut_short,
        covered.media.len()
    );
}

fn live(seed: u64) -> Covered {
    let mut world = World::new(seed);
    let mut covered = Covered {
        seeds: 1,
        ..Covered::default()
    };
    create(&mut world, &mut covered);
    for _ in 0..ROUNDS {
        let floor = work(&mut world);
        let lost_power = outages(&mut world, &mut covered);
        let floor = if lost_power { Floor::Durable } else { floor };
        let with_check = world.random.chance(50);
        world.verify(floor, with_check);
    }
    covered.operations = world.operations;
    covered
}

/// Creates the pool; a power loss inside leaves a pool that opens, or none.
fn create(world: &mut World, covered: &mut Covered) {
    let dies = world.random.chance(50);
    if dies {
        let after = world.random.below(40);
        world.tell(format!("the pool's creation dies after {after} effects"));
        world.disk.arm(Fault::Die(after));
    }
    let created = world.create();
    assert!(created.is_ok() || world.disk.has_failed(), "{created:?}");
    lose_power(world, covered);
    assert!(
        world.exists() || created.is_err(),
        "the created pool is gone"
    );
    if !world.exists() {
        world.replace_disk(SimDisk::new());
        world.create().expect("the medium works");
    }
    world.open().expect("a new pool opens");
}

/// Operations until something is to happen; returns what SIGKILL may lose then.
fn work(world: &mut World) -> Floor {
    let random = &mut world.random;
    let fault = match random.below(10) {
        0..4 => Some(Fault::Die(random.below(120))),
        4 => Some(Fault::FailSync(random.below(12))),
        5 => Some(Fault::FailWrite(random.below(60))),
        _ => None,
    };
    let steps = 1 + random.below(30);
    if let Some(fault) = fault {
        world.tell(format!("armed: {fault:?}"));
        world.disk.arm(fault);
    }
    for _ in 0..steps {
        if let Err(problem) = world.step() {
            world.tell(format!("failed: {problem}"));
            assert!(world.disk.has_failed(), "{problem}");
            break;
        }
    }
    if fault.is_none() && world.random.chance(10) {
        world.close();
    }
    match fault {
        Some(Fault::FailSync(_)) if world.disk.has_failed() => Floor::Durable,
        _ => Floor::Acknowledged,
    }
}

/// One outage, or several with recoveries between them that are cut short. Whether power was lost.
fn outages(world: &mut World, covered: &mut Covered) -> bool {
    let mut lost_power = false;
    let mut cuts = match world.random.chance(50) {
        true => 1 + world.random.below(3),
        false => 0,
    };
    loop {
        if world.random.chance(65) {
            lost_power = true;
            lose_power(world, covered);
        } else {
            world.tell("SIGKILL".to_owned());
            world.replace_disk(world.disk.kill());
            covered.outages += 1;
        }
        if cuts > 0 {
            let after = world.random.below(60);
            world.tell(format!("recovery dies after {after} effects"));
            world.disk.arm(Fault::Die(after));
        }
        let opened = world.open();
        if !world.disk.has_failed() {
            world.disk.disarm();
            opened.unwrap_or_else(|error| panic!("the pool does not open: {error:?}"));
            return lost_power;
        }
        covered.cut_short += 1;
        cuts -= 1;
    }
}

fn lose_power(world: &mut World, covered: &mut Covered) {
    let seed = world.random.next();
    world.tell(format!("power loss {seed:#x}"));
    world.replace_disk(world.disk.crash(seed));
    covered.outages += 1;
    covered.media.insert(world.disk.fingerprint());
}
