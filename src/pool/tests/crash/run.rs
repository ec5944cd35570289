//! The seeded driver: lives of pools.

use std::collections::HashSet;
use std::fmt;
use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::aside::damage_slot;
use super::habits::Habits;
use super::model::Floor;
use super::world::World;
use crate::base::SplitMix64;
use crate::base::sync::once;
use crate::disk::{Fault, Rates, Step};

const ROUNDS: u64 = 6;
/// Share of damaged slots, in percent, from which on rounds are long.
const LONG_ROUNDS: u64 = 50;

/// What a run has covered.
#[derive(Default)]
pub(super) struct Covered {
    pub(super) seeds: u64,
    pub(super) operations: u64,
    /// Power losses and SIGKILLs.
    pub(super) outages: u64,
    /// Recoveries that were cut short.
    pub(super) cut_short: u64,
    /// What power losses have left, by fingerprint.
    pub(super) media: HashSet<u64>,
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

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seeds, {} operations, {} crash points ({} during recovery), {} different media",
            self.seeds,
            self.operations,
            self.outages,
            self.cut_short,
            self.media.len()
        )
    }
}

/// Runs all seeds; a panic ends the run.
pub(super) fn on_all_cores<T: Send>(seeds: &[u64], run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, |count| count.get());
    std::thread::scope(|scope| {
        let work = || {
            let mut results = Vec::new();
            while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                results.push(run(*seed));
            }
            results
        };
        let running: Vec<_> = (0..threads.min(seeds.len()))
            .map(|_| scope.spawn(work))
            .collect();
        let joined = running.into_iter();
        joined
            .flat_map(|thread| thread.join().expect("a violation: see above"))
            .collect()
    })
}

/// Seeds from here on try more of the media that each power loss could leave.
pub(super) const SOAK_SEEDS: u64 = 1 << 32;
const MORE: u64 = 12;

/// The life of this seed; with a step left out or not. It has its threads, if any, under a
/// schedule of its own, so that equal seeds live equal lives.
pub(super) fn live(seed: u64, habits: Habits, left_out: Option<Step>) -> Covered {
    let has_threads = habits.has_threads();
    let life = move || {
        let mut world = World::new(seed, habits);
        if let Some(step) = left_out {
            world.disk.leave_out(step);
            // Of most steps more than time is to be lost.
            world.aside.checks_costs = matches!(step, Step::SegmentWithinCap | Step::SegmentClosed);
        }
        to_its_end(world)
    };
    if !has_threads {
        return life();
    }
    catch_unwind(AssertUnwindSafe(|| once(seed, life))).unwrap_or_else(|panic| {
        // Threads that wait for each other for ever leave nobody to tell it.
        eprintln!("VOLFS_SEEDS={seed} ended badly");
        resume_unwind(panic)
    })
}

fn to_its_end(mut world: World) -> Covered {
    let more = if world.seed < SOAK_SEEDS { 0 } else { MORE };
    let mut life = Life {
        covered: Covered {
            seeds: 1,
            ..Covered::default()
        },
        more: world.habits.more + more,
        is_created: false,
    };
    life.create(&mut world);
    for _ in 0..ROUNDS {
        let floor = work(&mut world);
        let lost_power = life.outages(&mut world);
        let floor = if lost_power { Floor::Durable } else { floor };
        let with_check = world.random.chance(50);
        world.verify(floor, with_check);
    }
    life.covered.operations = world.operations;
    life.covered
}

struct Life {
    covered: Covered,
    /// Further media that each power loss could leave and are tried.
    more: u64,
    /// There is a pool, whatever happens.
    is_created: bool,
}

/// What goes wrong while the pool works.
fn any_fault(random: &mut SplitMix64) -> Option<Fault> {
    Some(match random.below(100) {
        0..40 => Fault::Die(random.below(120)),
        40..46 => Fault::FailSync(random.below(12)),
        46..48 => Fault::FailFolderSync(random.below(6)),
        48..56 => Fault::FailWrite(random.below(60)),
        56..60 => Fault::FailRead(random.below(60)),
        60..70 => Fault::Full(random.below(25)),
        _ => return None,
    })
}

/// Arms something, or nothing. Whether that may lose pages.
fn arm(world: &mut World) -> bool {
    if !world.habits.focus.is_empty() && world.arm_at_a_step() {
        return true;
    }
    if let Some(fault) = any_fault(&mut world.random) {
        world.tell(format!("armed: {fault:?}"));
        world.disk.arm(fault);
        return matches!(fault, Fault::FailSync(_));
    }
    if world.arm_at_a_step() {
        return true;
    }
    if world.random.chance(15) {
        let rate = 1 + world.random.below(20);
        let rates = Rates {
            read_error: rate,
            write_error: rate,
            sync_error: rate,
            no_space: rate,
            interrupted: 0,
        };
        world.tell(format!("{rates:?}"));
        world.disturb(rates);
        return true;
    }
    if world.random.chance(15) {
        let used: u64 = world.disk.files().iter().map(|(_, len)| len).sum();
        let room = world.random.below(600 << 10);
        world.tell(format!("room for {room} bytes"));
        world.disk.set_capacity(Some(used + room));
    }
    false
}

/// Operations until something is to happen; returns what SIGKILL may lose then.
fn work(world: &mut World) -> Floor {
    let loses_pages = arm(world);
    // Where older journal files are to be needed again, they must be used again.
    let is_long = world.habits.damaged_slots >= LONG_ROUNDS;
    let steps = 1 + world.random.below(if is_long { 60 } else { 30 });
    for number in 0..=steps {
        let done = match number {
            0 => world
                .let_go()
                .and_then(|()| world.repeat_what_was_cut_short()),
            _ => world.step(),
        };
        let Err(failed) = done else {
            continue;
        };
        world.tell(format!("failed: {}", failed.text));
        // Who asks for much room at once is refused before the medium is asked.
        let is_refused = failed.is_full && world.disk.is_bounded();
        assert!(world.disk.has_failed() || is_refused, "{}", failed.text);
        if failed.is_full && !loses_pages && !world.disk.is_dead() {
            world.make_room();
            break;
        }
        // A checkpoint that failed is nobody's business: the next one may succeed.
        if !failed.is_harmless || world.disk.is_dead() || world.random.chance(30) {
            break;
        }
    }
    world.calm();
    if !world.disk.has_failed() {
        if world.random.chance(50) {
            world.compare(Floor::Newest);
        }
        if world.random.chance(10) {
            world.close();
        }
    }
    match loses_pages && world.disk.has_failed() {
        true => Floor::Durable,
        false => Floor::Acknowledged,
    }
}

impl Life {
    /// Creates the pool; a power loss inside leaves a pool that opens, or none.
    fn create(&mut self, world: &mut World) {
        if world.random.chance(50) {
            let after = world.random.below(40);
            world.tell(format!("the pool's creation dies after {after} effects"));
            world.disk.arm(Fault::Die(after));
        } else {
            world.arm_at_a_step();
        }
        let created = world.create();
        assert!(created.is_ok() || world.disk.has_failed(), "{created:?}");
        self.is_created = created.is_ok();
        self.lose_power(world);
        assert!(
            world.exists() || created.is_err(),
            "the created pool is gone"
        );
        if !world.exists() {
            // On what the outage has left of it.
            world.calm();
            world.create().expect("the medium works");
        }
        self.is_created = true;
        world.open().expect("a new pool opens");
    }

    /// One outage, or several with recoveries between them that are cut short. Whether power was
    /// lost.
    fn outages(&mut self, world: &mut World) -> bool {
        let mut lost_power = false;
        let often = !world.habits.focus.is_empty();
        let mut cuts = match world.random.chance(if often { 80 } else { 50 }) {
            true => 1 + world.random.below(3),
            false => 0,
        };
        loop {
            if world.random.chance(65) {
                lost_power = true;
                self.lose_power(world);
                world.damage_a_slot();
            } else {
                world.tell("SIGKILL".to_owned());
                world.replace_disk(world.disk.kill());
                self.covered.outages += 1;
            }
            if cuts > 0 && (world.arm_again() || world.arm_at_a_step()) {
                // A sync that fails loses pages, as a power loss does.
                lost_power = true;
            } else if cuts > 0 {
                let fault = match world.random.below(10) {
                    0 => Fault::FailRead(world.random.below(40)),
                    1 => Fault::Full(world.random.below(5)),
                    _ => Fault::Die(world.random.below(60)),
                };
                world.tell(format!("recovery meets {fault:?}"));
                world.disk.arm(fault);
            }
            let opened = world.open();
            if !world.disk.has_failed() {
                world.disk.disarm();
                opened.unwrap_or_else(|error| panic!("the pool does not open: {error:?}"));
                return lost_power;
            }
            self.covered.cut_short += 1;
            cuts -= 1;
        }
    }

    fn lose_power(&mut self, world: &mut World) {
        let mut seen = HashSet::new();
        for _ in 0..self.more {
            self.try_another(world, &mut seen);
        }
        let seed = world.random.next();
        world.tell(format!("power loss {seed:#x}"));
        world.replace_disk(world.disk.crash(seed));
        self.covered.outages += 1;
        self.covered.media.insert(world.disk.fingerprint());
    }

    /// Tries another medium that this power loss could leave, unless it was one of those `seen`.
    fn try_another(&mut self, world: &mut World, seen: &mut HashSet<u64>) {
        let seed = world.random.next();
        let copy = world.disk.crash(seed);
        let damages = world.random.chance(world.habits.damaged_slots);
        let slot = damages.then(|| world.newest_slot(&copy)).flatten();
        if let Some(slot) = slot {
            damage_slot(&copy, slot);
        }
        let fingerprint = copy.fingerprint();
        if !seen.insert(fingerprint) {
            return;
        }
        world.tell(format!(
            "on a copy: power loss {seed:#x}, damaged slot: {slot:?}"
        ));
        world.try_power_loss(&copy, self.is_created);
        if world.habits.rots && world.random.chance(30) {
            world.repair_a_copy(&world.disk.crash(seed));
        }
        self.covered.outages += 1;
        self.covered.media.insert(fingerprint);
    }
}
