//! What a run's environment decides: how often a loop goes round, and at which moments.

use std::env;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Rounds of a loop: `VOLFS_TEST_ROUNDS`, else `default`.
pub fn rounds(default: u64) -> u64 {
    number("VOLFS_TEST_ROUNDS").unwrap_or(default)
}

/// `VOLFS_TEST_SEED`, else 1. Printed, so that a failing test shows it.
pub fn seed() -> u64 {
    let seed = number("VOLFS_TEST_SEED").unwrap_or(1);
    println!("VOLFS_TEST_SEED={seed}");
    seed
}

/// As many seeds, from 1 on; `VOLFS_TEST_SEED` alone where it is set, which so repeats a failure.
pub fn seeds(count: u64) -> RangeInclusive<u64> {
    number("VOLFS_TEST_SEED").map_or(1..=count, |seed| seed..=seed)
}

/// Bytes that do not compress, different for each seed.
pub fn random(seed: u64, count: u64) -> Vec<u8> {
    Chance::new(seed).bytes(count)
}

/// A number that a variable of the environment holds, if it is set.
pub fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().expect("the variable is a number"))
}

/// A seeded source of decisions: SplitMix64.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Equal seeds decide equally.
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// Lets a part of `longest` pass. Not a wait for something: the moment of what comes next is
    /// what varies.
    pub fn pause(&mut self, longest: Duration) {
        std::thread::sleep(Duration::from_micros(
            self.below(longest.as_micros() as u64 + 1),
        ));
    }

    /// Bytes that do not compress.
    pub fn bytes(&mut self, count: u64) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }

    /// Brings the items into some order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A seed repeats its decisions, another one decides otherwise, and a shuffle loses nothing.
    #[test]
    fn a_seed_repeats_its_decisions() {
        let decide = |seed| {
            let mut chance = Chance::new(seed);
            (0..20).map(|_| chance.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(decide(7), decide(7));
        assert_ne!(decide(7), decide(8));
        let mut items: Vec<u64> = (0..10).collect();
        Chance::new(7).shuffle(&mut items);
        assert_ne!(items, (0..10).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..10).collect::<Vec<_>>());
    }
}
