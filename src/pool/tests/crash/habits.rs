//! What is particular about a life. Every run of the seeded driver takes all of it at random; a
//! canary asks for what shows its step best.

use crate::base::SplitMix64;
use crate::disk::Step;
use crate::journal::JournalOptions;

/// Habits of a pool, and of those who work with it.
#[derive(Clone, Debug)]
pub(super) struct Habits {
    pub(super) journal: JournalOptions,
    /// Threads that help with sealing.
    pub(super) workers: usize,
    pub(super) has_index: bool,
    /// Calls are interrupted now and then.
    pub(super) is_interrupted: bool,
    /// Steps at which something happens more often than elsewhere.
    pub(super) focus: Vec<Step>,
    /// What was written before is written again, also after an outage in the midst of it.
    pub(super) repeats: bool,
    /// The journal is filled between two checkpoints.
    pub(super) fills: bool,
    /// Bits flip in what is stored twice or derived, and that is healed.
    pub(super) rots: bool,
    /// How much of what happens at a step, in percent, is a death; the rest is a failure.
    pub(super) deaths: u64,
    /// Garbage is collected.
    pub(super) collects: bool,
    /// Volumes go to the trash and come back, snapshots are held, files are restored.
    pub(super) brings_back: bool,
    /// How many further media are tried that each power loss could leave.
    pub(super) more: u64,
    /// On how many of these, in percent, the newest superblock slot is damaged.
    pub(super) damaged_slots: u64,
}

/// A journal without a thread.
const TWO_FILES: JournalOptions = JournalOptions {
    file_bytes: 256 << 10,
    files_max: 2,
};
/// A thread makes the further files.
const GROWING: JournalOptions = JournalOptions {
    file_bytes: 128 << 10,
    files_max: 4,
};
/// Their ends, and their making, are met often, and they are used again and again.
const SHORT_FILES: JournalOptions = JournalOptions {
    file_bytes: 32 << 10,
    files_max: 4,
};
/// More of them are made.
const MANY_SHORT_FILES: JournalOptions = JournalOptions {
    files_max: 6,
    ..SHORT_FILES
};

impl Habits {
    /// Those of a life without threads, in which nothing is particular.
    pub(super) fn plain() -> Habits {
        Habits {
            journal: TWO_FILES,
            workers: 0,
            has_index: false,
            is_interrupted: false,
            focus: Vec::new(),
            repeats: false,
            fills: false,
            rots: false,
            deaths: 50,
            collects: false,
            brings_back: false,
            more: 0,
            damaged_slots: 0,
        }
    }

    /// Those of this seed's life.
    pub(super) fn of(seed: u64) -> Habits {
        let mut random = SplitMix64::new(seed ^ 0x6861_6269_7473);
        let habits = Habits {
            journal: match random.below(100) {
                0..15 => GROWING,
                15..30 => SHORT_FILES,
                _ => TWO_FILES,
            },
            workers: usize::from(random.chance(15)),
            has_index: random.chance(10),
            is_interrupted: random.chance(20),
            repeats: random.chance(25),
            fills: random.chance(10),
            rots: random.chance(15),
            collects: random.chance(20),
            more: 1,
            damaged_slots: 15,
            // From elsewhere, so that it moves nothing else.
            brings_back: SplitMix64::new(seed ^ 0x6261_636b).chance(15),
            ..Habits::plain()
        };
        match random.chance(40) {
            true => habits.aimed_at(*random.pick(Step::ALL).expect("there are steps")),
            false => habits.in_agreement(),
        }
    }

    /// The same, and more of what shows best that this step is taken.
    pub(super) fn aimed_at(mut self, step: Step) -> Habits {
        self.focus = companions(step).to_vec();
        self.more = 2;
        match step {
            Step::JournalFolderSettled => (self.journal, self.more) = (MANY_SHORT_FILES, 5),
            Step::RecordChain
            | Step::JournalSettled
            | Step::JournalFileNamed
            | Step::JournalFileMade => self.journal = SHORT_FILES,
            Step::SuperblockReplaced | Step::SuperblockNamed | Step::SuperblockSettled => {
                self.journal = SHORT_FILES;
                (self.damaged_slots, self.more) = (50, 5);
                if step == Step::SuperblockReread {
                    self.deaths = 10;
                }
            }
            Step::ReleaseByOlderSlot | Step::SuperblockReread => {
                (self.journal, self.fills) = (SHORT_FILES, true);
                (self.damaged_slots, self.more) = (60, 5);
            }
            Step::BothSlotsPublished => self.damaged_slots = 70,
            Step::FirstRecord => (self.repeats, self.more) = (true, 5),
            Step::SegmentFolderSettled | Step::IndexAfterSegment => {
                (self.has_index, self.repeats, self.more) = (true, true, 4);
            }
            Step::SegmentNumberUsedUp => {
                (self.has_index, self.repeats, self.more) = (false, true, 5);
            }
            Step::CondemnedIsMissed | Step::CopyBeforeRemoval => {
                (self.collects, self.more) = (true, 4);
            }
            Step::RemovalBehindSlots => {
                (self.collects, self.damaged_slots, self.more) = (true, 60, 5);
            }
            Step::FrameHealed | Step::FrameReread | Step::SegmentMended => self.rots = true,
            _ => {}
        }
        self.in_agreement()
    }

    /// The same, where one habit follows from another.
    fn in_agreement(mut self) -> Habits {
        // What the index knows is not stored twice.
        self.has_index &= !self.rots;
        self.repeats |= self.rots;
        // What damage may bring back of a volume is known by its name.
        self.brings_back &= !self.rots;
        self
    }

    /// Whether threads run in it, beside the one that works.
    pub(super) fn has_threads(&self) -> bool {
        self.journal.files_max > 2 || self.workers > 0 || self.has_index
    }

    /// What a life that is aimed at this step has more of, for people.
    pub(super) fn aim(step: Step) -> String {
        let (plain, aimed) = (Habits::plain(), Habits::plain().aimed_at(step));
        let mut parts = Vec::new();
        if aimed.journal != plain.journal {
            parts.push("short journal files".to_owned());
        }
        if aimed.fills {
            parts.push("filled journals".to_owned());
        }
        if aimed.has_index {
            parts.push("an index".to_owned());
        }
        if aimed.repeats && !aimed.rots {
            parts.push("writes that are repeated".to_owned());
        }
        if aimed.rots {
            parts.push("rot".to_owned());
        }
        if aimed.collects {
            parts.push("collections of garbage".to_owned());
        }
        if aimed.damaged_slots > 0 {
            parts.push("damaged slots".to_owned());
        }
        let names: Vec<&str> = aimed.focus.iter().map(|step| step.name()).collect();
        if !names.is_empty() {
            parts.push(format!("failures at {}", names.join(", ")));
        }
        match parts.is_empty() {
            true => "seeds".to_owned(),
            false => format!("seeds: {}", parts.join("; ")),
        }
    }
}

/// The steps at which deaths and failures show best that this one is left out.
fn companions(step: Step) -> &'static [Step] {
    match step {
        Step::PoolFilesNamed => &[Step::PoolFileNamed],
        Step::JournalSettled | Step::RecordChain | Step::FirstRecord => &[Step::JournalBeforeReply],
        Step::JournalReread => &[Step::JournalBeforeReply, Step::CutBeforeReply],
        Step::JournalFolderSettled => &[Step::JournalFileNamed],
        Step::SegmentFolderSettled => &[Step::SegmentNamed],
        Step::SegmentReread | Step::BothSlotsPublished | Step::IndexAfterSegment => {
            &[Step::SegmentBeforeReply, Step::SegmentBeforeSuperblock]
        }
        Step::UnusedSlot
        | Step::SuperblockReplaced
        | Step::SuperblockNamed
        | Step::SuperblockReread
        | Step::SuperblockSettled => &[Step::SuperblockPublished],
        _ => &[],
    }
}
