//! Each step that the code takes for durability is left out in turn, and the random outages notice.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::habits::Habits;
use super::run::{live, on_all_cores};
use super::seeds;
use crate::disk::Step;

/// Seeds within which a step that is left out must be noticed.
const SEEDS: u64 = 600;

/// How the seeds that notice the loss of this step are made to: what such lives have more of.
pub(crate) fn canary(step: Step) -> String {
    Habits::aim(step)
}

/// Whether the life of this seed comes to its end, with the step left out or not.
fn lives(seed: u64, step: Step, left_out: bool) -> bool {
    let habits = Habits::of(seed).aimed_at(step);
    let left_out = left_out.then_some(step);
    catch_unwind(AssertUnwindSafe(|| live(seed, habits, left_out))).is_ok()
}

/// The first seed whose life notices that the step is left out, and is in order if it is not.
fn noticed(step: Step) -> Option<u64> {
    let mut seeds = seeds(SEEDS).into_iter();
    let seed = seeds.find(|seed| !lives(*seed, step, true))?;
    assert!(
        lives(seed, step, false),
        "{}: seed {seed} fails anyhow",
        step.name()
    );
    Some(seed)
}

/// Every step is needed, and the random outages alone show it: where one is left out, a seed of
/// the first some hundred finds what the contract forbids, and finds nothing with the step taken.
///
/// `VOLFS_STEP=name` looks at that one only, `VOLFS_SEEDS` at other seeds.
#[test]
fn every_step_left_out_is_noticed() {
    let wanted = std::env::var("VOLFS_STEP").ok();
    let is_wanted = |step: &Step| wanted.as_ref().is_none_or(|name| step.name() == name);
    let numbers: Vec<u64> = (0..Step::ALL.len() as u64).collect();
    let found = on_all_cores(&numbers, |number| {
        let step = Step::ALL[number as usize];
        if !is_wanted(&step) {
            return None;
        }
        let since = std::time::Instant::now();
        let seed = noticed(step);
        println!("{}: {seed:?} in {:.1?}", step.name(), since.elapsed());
        seed.is_none().then(|| step.name())
    });
    let missed: Vec<&str> = found.into_iter().flatten().collect();
    assert_eq!(missed, Vec::<&str>::new());
}
