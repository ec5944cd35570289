//! Media that lie: bits flip at rest, writes go astray, reads end early. Nothing wrong is ever
//! read, what is lost is named, and nothing panics.

use super::habits::Habits;
use super::model::{Floor, Found};
use super::reading::{Unread, read_what_is_sound};
use super::run::on_all_cores;
use super::seeds;
use super::tree::{Tree, differences};
use super::world::World;
use crate::base::Nature;
use crate::base::progress::Silent;
use crate::disk::{Fault, SimDisk};
use crate::pool::{Pool, PoolError};

const SEEDS: u64 = 150;

/// What was done to a medium.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Damage {
    /// A bit of a segment: everything is there, or named. Of a volume that recovery names what is
    /// newest may be lost, as in an outage.
    Segment,
    /// A bit of the journal or the superblock: what is newest may be lost.
    Order,
    /// A bit of `pool.toml`.
    Settings,
    /// A write went astray: anything may be lost.
    Astray,
    /// A read ends early, once: nothing is lost.
    ShortRead,
}

/// Whatever is damaged: each thing that can be read is as it once was in the model, everything
/// else answers an error of damage, and a check names it.
#[test]
fn damage_is_never_read_as_data() {
    let seeds = seeds(SEEDS);
    let found = on_all_cores(&seeds, damaged_life);
    let count = |wanted: Outcome| found.iter().filter(|outcome| **outcome == wanted).count();
    let (refused, unread) = (count(Outcome::Refused), count(Outcome::Unread));
    let count = seeds.len();
    println!("{count} seeds: {refused} pools refused to open, {unread} had unreadable files");
    // A few seeds need not have everything.
    assert!(seeds.len() < SEEDS as usize || (refused > 0 && unread > 0));
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Refused,
    Unread,
    Sound,
}

fn damaged_life(seed: u64) -> Outcome {
    let mut world = World::new(seed, Habits::plain());
    world.create().expect("the medium works");
    world.open().expect("a new pool opens");
    let damage = work(&mut world);
    world.tell(format!("damage: {damage:?}"));
    let loses = matches!(damage, Damage::Order | Damage::Astray);
    let costs = if loses {
        Costs::Anything
    } else {
        Costs::Nothing
    };
    let survey = match damage {
        // Such an error is one of the medium, and gone the next time.
        Damage::ShortRead => survey(&world, &world.disk, costs, |_| true),
        Damage::Settings => survey(&world, &world.disk, costs, |_| true),
        _ => survey(&world, &world.disk, costs, |nature| {
            nature == Nature::Corrupt
        }),
    };
    let named = survey.violations > 0 || damage == Damage::ShortRead;
    assert!(
        survey.unread.is_empty() || named,
        "a check does not name the damage"
    );
    assert!(
        survey.dropped == 0 || named || loses,
        "a check does not name what made recovery drop records"
    );
    match (survey.refused, survey.unread.len()) {
        (Some(_), _) => Outcome::Refused,
        (None, 0) => Outcome::Sound,
        (None, _) => Outcome::Unread,
    }
}

/// What could be made of a damaged medium.
#[derive(Debug, Default)]
pub(in crate::pool::tests) struct Survey {
    /// Why the pool does not open.
    pub(in crate::pool::tests) refused: Option<PoolError>,
    /// Files and folders that cannot be read: volume, snapshot, path.
    pub(in crate::pool::tests) unread: Vec<String>,
    /// Volumes whose newest records recovery dropped.
    pub(in crate::pool::tests) dropped: usize,
    /// What a check finds.
    pub(in crate::pool::tests) violations: usize,
}

/// What damage may cost where it is not told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::pool::tests) enum Costs {
    /// Nothing that was acknowledged.
    Nothing,
    /// What was not synced.
    Unsynced,
    /// Also what was: then it is at least what once was.
    Anything,
}

/// Opens the pool of the world on a damaged medium. Whatever can be read is as the model has it
/// after what the damage may cost; every error fits.
pub(in crate::pool::tests) fn survey(
    world: &World,
    medium: &SimDisk,
    costs: Costs,
    fits: impl Fn(Nature) -> bool,
) -> Survey {
    let pool = match world.open_copy(medium) {
        Ok(pool) => pool,
        Err(error) => {
            assert!(fits(error.nature()), "{error:?}");
            let refused = Some(error);
            return Survey {
                refused,
                ..Survey::default()
            };
        }
    };
    let (found, unread) = read_what_is_sound(&pool);
    for one in &unread {
        assert!(fits(one.nature), "{one:?}");
    }
    compare(world, costs, &pool, &found, &unread);
    let violations = match pool.check(&Silent) {
        Ok(report) => report.violations.len(),
        Err(error) => {
            assert!(fits(error.nature()), "{error:?}");
            1
        }
    };
    Survey {
        refused: None,
        unread: unread.into_iter().map(|one| one.what).collect(),
        dropped: pool.dropped_records().len(),
        violations,
    }
}

/// Some operations, an end, and the damage.
fn work(world: &mut World) -> Damage {
    let astray = world.random.chance(25);
    if astray {
        let (after, to) = (world.random.below(60), world.random.next());
        world.disk.arm(Fault::Misdirect(after, to));
    }
    for _ in 0..20 + world.random.below(60) {
        if let Err(failed) = world.step() {
            world.tell(format!("failed: {}", failed.text));
            assert!(world.disk.has_failed(), "{}", failed.text);
            break;
        }
    }
    world.disk.disarm();
    if !world.disk.has_failed() && world.random.chance(50) {
        world.close();
    }
    if astray {
        let seed = world.random.next();
        world.replace_disk(world.disk.crash(seed));
        return Damage::Astray;
    }
    world.replace_disk(world.disk.kill());
    if world.random.chance(10) {
        let after = world.random.below(60);
        world.disk.arm(Fault::ShortRead(after));
        return Damage::ShortRead;
    }
    flip(world)
}

fn flip(world: &mut World) -> Damage {
    let kind = world.random.below(20);
    let (prefix, damage) = match kind {
        0 => ("pool.toml", Damage::Settings),
        1..3 => ("superblock", Damage::Order),
        3..8 => ("journal/", Damage::Order),
        _ => ("segments/", Damage::Segment),
    };
    let files = world.disk.files().into_iter();
    let files: Vec<(String, u64)> = files.filter(|(path, _)| path.starts_with(prefix)).collect();
    let Some((path, len)) = world.random.pick(&files).cloned() else {
        return damage;
    };
    let (at, mask) = (world.random.below(len), 1 << world.random.below(8));
    world.tell(format!("bits {mask:#x} of byte {at} of {path} flip"));
    assert!(world.disk.flip(&path, at, mask));
    damage
}

/// What was found is, as far as it can be read, what once was; what recovery does not name has
/// everything that was acknowledged.
fn compare(world: &World, costs: Costs, pool: &Pool, found: &Found, unread: &[Unread]) {
    let dropped = pool.dropped_records();
    for (name, volume) in &world.model.volumes {
        let tree = found.volumes.get(name);
        let is_dropped = dropped.iter().any(|records| records.volume == *name);
        let states: Vec<&Option<Tree>> = match costs {
            Costs::Anything => volume.ever().collect(),
            Costs::Nothing if !is_dropped => volume.since(Floor::Acknowledged).collect(),
            Costs::Nothing | Costs::Unsynced => volume.since(Floor::Durable).collect(),
        };
        assert!(
            states
                .iter()
                .any(|state| agrees(state.as_ref(), tree, unread)),
            "volume {name}: {}",
            differences(volume.newest(), tree)
        );
    }
    for (key, snapshot) in &world.model.snapshots {
        let tree = found.snapshots.get(key);
        let may_be_gone = costs == Costs::Anything;
        assert!(tree.is_some() || may_be_gone, "{key:?} is gone");
        assert!(
            tree.is_none() || agrees(Some(&snapshot.tree), tree, unread),
            "{key:?}: {}",
            differences(Some(&snapshot.tree), tree)
        );
    }
}

/// Equal; where something could not be read, what could is.
fn agrees(state: Option<&Tree>, found: Option<&Tree>, unread: &[Unread]) -> bool {
    match (state, found) {
        (Some(state), Some(found)) if !unread.is_empty() => found
            .entries()
            .all(|(path, node)| state.get(path) == Some(node)),
        _ => state == found,
    }
}
