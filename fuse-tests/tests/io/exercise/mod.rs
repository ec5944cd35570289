//! Random operations on one file by every way into it, against a vector of bytes.
//!
//! `VOLFS_TEST_OPERATIONS` sets how many a run makes, `VOLFS_TEST_SEED` which: one run then, else
//! one for each of a few seeds. A failing run prints its seed, its last operations and the first
//! byte that differs. The same runs on an ext4 of its
//! own are the control of the oracle.

mod ground;
mod operation;
mod oracle;
mod subject;

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use fuse_tests::chance::{Chance, number, seeds};
use fuse_tests::report::Suite;

use ground::{Ext4, Ground, Volume};
pub use operation::Span;
use operation::{Operation, Shape};
use oracle::Oracle;
use subject::Subject;
pub use subject::data_pieces;

/// Operations of a run in CI.
const OPERATIONS: u64 = 25_000;
/// Runs in CI, each of other operations.
const SEEDS: u64 = 3;
/// Operations that a failing run shows.
const SHOWN: usize = 100;
/// What a run may take; a soak of a million operations takes longer.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

/// How many operations a run makes.
pub fn operations(default: u64) -> u64 {
    number("VOLFS_TEST_OPERATIONS").unwrap_or(default)
}

/// Runs as many operations as the environment says for each seed, each on a ground of its own.
fn exercise<G: Ground>(new_ground: impl Fn() -> G, shape: Shape, seeds: RangeInclusive<u64>) {
    let name = format!("exerciser, blocks of {} KiB, operations", shape.block >> 10);
    let mut suite = Suite::new(&name, env!("CARGO_PKG_VERSION"));
    for seed in seeds {
        let ground = new_ground();
        suite = run(suite.on(&ground.name()), ground, shape, seed);
    }
    suite.record();
}

fn run(suite: Suite, mut ground: impl Ground, shape: Shape, seed: u64) -> Suite {
    let mut chance = Chance::new(seed + shape.block);
    let mut oracle = Oracle::default();
    let mut subject = Subject::open(ground.folder());
    let mut last = VecDeque::with_capacity(SHOWN);
    for number in 0..operations(OPERATIONS) {
        let operation = Operation::choose(&mut chance, shape, oracle.size());
        if last.len() == SHOWN {
            last.pop_front();
        }
        last.push_back(format!("{number}: {operation:?}"));
        let outcome = subject.apply(&operation, &mut oracle, &mut ground, number);
        if let Err(problem) = outcome {
            suite.passed(number).failed(1).record();
            let log: Vec<String> = last.into();
            let log = log.join("\n");
            panic!("{log}\n{problem}\nVOLFS_TEST_SEED={seed}, {shape:?}");
        }
    }
    suite.passed(operations(OPERATIONS))
}

fn on_volume(block_size: &str, bytes: u64, options: &'static [&'static str], count: u64) {
    let shape = Shape {
        block: bytes,
        direct_unit: 1,
    };
    let ground = || Volume::new(block_size, options, LIMIT);
    exercise(ground, shape, seeds(count));
}

/// Blocks of 4 KiB.
#[test]
fn exercise_blocks_of_4_kib() {
    on_volume("4K", 4 << 10, &[], SEEDS);
}

/// Blocks of 16 KiB.
#[test]
fn exercise_blocks_of_16_kib() {
    on_volume("16K", 16 << 10, &[], SEEDS);
}

/// Blocks of 64 KiB.
#[test]
fn exercise_blocks_of_64_kib() {
    on_volume("64K", 64 << 10, &[], SEEDS);
}

/// Without the kernel's writeback cache: every write reaches the daemon by itself.
#[test]
fn exercise_without_a_writeback_cache() {
    on_volume("8K", 8 << 10, &["--write-through"], 1);
}

/// The oracle asks nothing that ext4 does not do.
#[test]
fn exercise_ext4_as_a_control() {
    let shape = Shape {
        block: 4 << 10,
        direct_unit: 512,
    };
    exercise(|| Ext4::new(LIMIT), shape, seeds(1));
}
