//! Each step that the code takes for durability is left out in turn, and the random outages notice.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::live;
use super::world::World;
use crate::disk::Step;

/// Seeds within which a step that is left out must be noticed.
const SEEDS: u64 = 300;

/// Steps whose loss shows in a course of events of their own only, and the test that has it.
const OWN_COURSES: [(Step, &str); 12] = [
    (
        Step::BothSlotsPublished,
        "a_slot_behind_a_lost_end_is_needed",
    ),
    (Step::FrameHealed, "frame_healed_is_needed"),
    (Step::FrameReread, "frame_reread_is_needed"),
    (
        Step::JournalFolderSettled,
        "journal_folder_settled_is_needed",
    ),
    (Step::ReleaseByOlderSlot, "release_by_older_slot_is_needed"),
    (
        Step::SegmentFolderSettled,
        "segment_folder_settled_is_needed",
    ),
    (Step::SegmentMended, "segment_mended_is_needed"),
    (
        Step::SegmentNumberUsedUp,
        "segment_number_used_up_is_needed",
    ),
    (Step::SuperblockNamed, "superblock_named_is_needed"),
    (Step::SuperblockReplaced, "superblock_replaced_is_needed"),
    (Step::SuperblockReread, "superblock_reread_is_needed"),
    (Step::SuperblockSettled, "superblock_settled_is_needed"),
];

/// The test that fails when this step is left out; for all but a few it is the random outages.
pub(crate) fn canary(step: Step) -> Option<&'static str> {
    let own = OWN_COURSES.iter().find(|(own, _)| *own == step);
    own.map(|(_, test)| *test)
}

/// The life of this seed, with the step left out or not; whether it comes to its end.
fn lives(seed: u64, step: Step, left_out: bool) -> bool {
    let mut world = World::new(seed, false);
    if has_short_files(step) {
        world.shorten_journal_files();
    }
    world.aside.focus = focus(step);
    world.aside.checks_costs = matches!(step, Step::SegmentWithinCap | Step::SegmentClosed);
    if left_out {
        world.disk.leave_out(step);
    }
    std::panic::catch_unwind(AssertUnwindSafe(|| live(world))).is_ok()
}

/// The first seed whose life notices that the step is left out, and is in order if it is not.
fn noticed(step: Step) -> Option<u64> {
    let seed = (0..SEEDS).find(|seed| !lives(*seed, step, true))?;
    assert!(
        lives(seed, step, false),
        "{}: seed {seed} fails anyhow",
        step.name()
    );
    Some(seed)
}

/// Pools whose journal is made of many small files: their ends, and their making, are met often.
fn has_short_files(step: Step) -> bool {
    matches!(step, Step::RecordChain | Step::JournalSettled)
}

/// The steps at which deaths and failures show best that the step is left out.
fn focus(step: Step) -> Vec<Step> {
    match step {
        Step::PoolFilesNamed => vec![Step::PoolFileNamed],
        Step::JournalSettled | Step::RecordChain => vec![Step::JournalBeforeReply],
        Step::JournalReread => vec![Step::JournalBeforeReply, Step::CutBeforeReply],
        Step::SegmentReread => vec![Step::SegmentBeforeReply, Step::SegmentBeforeSuperblock],
        Step::UnusedSlot => vec![Step::SuperblockPublished],
        _ => Vec::new(),
    }
}

/// Every step is needed, and the random outages show it: where one is left out, a seed of the
/// first few hundred finds what the contract forbids, and finds nothing with the step taken.
#[test]
fn every_step_left_out_is_noticed() {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut missed = Vec::new();
        while let Some(step) = Step::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            if canary(*step).is_some() {
                continue;
            }
            match noticed(*step) {
                Some(seed) => println!("{}: noticed by seed {seed}", step.name()),
                None => missed.push(step.name()),
            }
        }
        missed
    };
    let missed: Vec<&str> = std::thread::scope(|scope| {
        let threads = [scope.spawn(run), scope.spawn(run)];
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("the search comes to its end"))
            .collect()
    });
    assert_eq!(missed, Vec::<&str>::new());
}
