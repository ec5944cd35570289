//! What happens beside the random operations, from a stream of its own: deaths and failures at a
//! named step, damage to a superblock slot, the daemon's list of mounts, and what the medium must
//! look like.

use std::ops::Range;

use super::steps::{Done, Failed};
use super::world::{ID, World, path, text};
use crate::base::{SegmentId, SplitMix64};
use crate::disk::{AtStep, Disk, DiskError, Replacing, SimDisk, Step, replace_file};
use crate::pool::create;
use crate::pool::superblock::{SLOT_OFFSETS, SuperblockFile};

/// Bytes of segments that may be unsynced.
pub(super) const UNSYNCED_MAX: u64 = 256 << 10;
/// A large write, which may come on top of that, and small ones at a checkpoint.
const UNSYNCED_SLACK: u64 = 192 << 10;
const LIST: &str = "mounts.json";

/// Its state.
pub(super) struct Aside {
    pub(super) random: SplitMix64,
    /// Large contents that were written and overwritten.
    pub(super) contents: Vec<Vec<u8>>,
    /// What was armed last at a step.
    last: Option<AtStep>,
    /// Whether it looks at what costs time only, not content.
    pub(super) checks_costs: bool,
    /// The number in the list that is durable, and the last one attempted.
    list: (u64, u64),
    /// Number of the first segment of this opening.
    born: SegmentId,
    /// Segments that were ended by an orderly close.
    closed: Option<Range<SegmentId>>,
}

impl Aside {
    pub(super) fn new(seed: u64) -> Aside {
        Aside {
            random: SplitMix64::new(!seed),
            contents: Vec::new(),
            last: None,
            checks_costs: true,
            list: (0, 0),
            born: SegmentId(0),
            closed: None,
        }
    }

    /// In this share, in percent, of the cases.
    pub(super) fn is_due(&mut self, percent: u64) -> bool {
        self.random.chance(percent)
    }
}

/// A superblock slot is damaged on the medium.
pub(super) fn damage_slot(disk: &SimDisk, slot: usize) {
    let file = disk.open("superblock").expect("it was there");
    let damage = file.write_at(&[&[0xff; 64]], SLOT_OFFSETS[slot]);
    let damage = damage.and_then(|()| file.sync(Step::FirstSuperblock));
    damage.expect("the medium works");
}

impl World {
    fn any_step(&mut self) -> Step {
        let focus = &self.habits.focus;
        let random = &mut self.aside.random;
        match focus.is_empty() || random.chance(20) {
            true => *random.pick(Step::ALL).expect("there are steps"),
            false => *random.pick(focus).expect("not empty"),
        }
    }

    /// Perhaps arms a death or a failed sync at some step.
    pub(super) fn arm_at_a_step(&mut self) -> bool {
        let percent = if self.habits.focus.is_empty() { 20 } else { 60 };
        if !self.aside.is_due(percent) {
            return false;
        }
        let step = self.any_step();
        let at = match self.aside.is_due(self.habits.deaths) {
            true => AtStep::Die(step),
            false => AtStep::Fail(step),
        };
        self.arm_it_at(at);
        true
    }

    /// Perhaps arms the death that was armed last at a step: it strikes twice in a row.
    pub(super) fn arm_again(&mut self) -> bool {
        let is_death = |at: &AtStep| matches!(at, AtStep::Die(_));
        let last = self.aside.last.filter(is_death);
        let last = last.filter(|_| !self.habits.focus.is_empty() && self.aside.is_due(50));
        let Some(at) = last else {
            return false;
        };
        self.arm_it_at(at);
        true
    }

    fn arm_it_at(&mut self, at: AtStep) {
        self.tell(format!("armed: {at:?}"));
        self.disk.arm_at(at);
        self.aside.last = Some(at);
    }

    /// Power was lost; perhaps one of two good superblock slots is damaged on the medium.
    pub(super) fn damage_a_slot(&mut self) {
        if self.aside.is_due(15) && self.newest_slot(&self.disk).is_some() {
            let slot = self.aside.random.below(2) as usize;
            self.damage(slot);
        }
    }

    /// The newest of two good slots on a medium that nobody uses.
    pub(super) fn newest_slot(&self, disk: &SimDisk) -> Option<usize> {
        if !self.exists_on(disk) {
            return None;
        }
        let (_, slots) = SuperblockFile::open(disk, ID, &path()).ok()?;
        let is_good = slots.damage.is_none();
        is_good.then_some((slots.newest.generation % 2) as usize)
    }

    /// A superblock slot is damaged on the medium.
    pub(super) fn damage(&mut self, slot: usize) {
        self.tell(format!("superblock slot {slot} is damaged"));
        damage_slot(&self.disk, slot);
    }

    /// The pool's folder, with one above it, made as a pool's creation does. From then on a power
    /// loss does not take it.
    pub(super) fn make_folder(&mut self) {
        let around = self.disk.cleared();
        create::make_folder(&around, "above/pool").expect("the medium works");
        let after = around.crash(self.aside.random.next());
        let is_there = |within: &str, name: &str| {
            let names = after.list(within);
            names.is_ok_and(|names| names.iter().any(|one| one == name))
        };
        let both = is_there("", "above") && is_there("above", "pool");
        assert!(both, "the pool's folder is gone");
    }

    /// The daemon's list of mounts changes; that is durable when it is answered.
    pub(super) fn save_list(&mut self) -> Done {
        self.aside.list.1 += 1;
        let number = self.aside.list.1;
        self.tell(format!("the list of mounts becomes {number}"));
        let steps = Replacing {
            written: Step::MountListWritten,
            named: Step::MountListNamed,
        };
        let bytes = number.to_string();
        let saved = replace_file(&self.disk, "", LIST, bytes.as_bytes(), steps);
        saved.map_err(|error| Failed {
            is_full: error.is_no_space(),
            text: text(error),
            is_harmless: true,
        })?;
        self.aside.list.0 = number;
        Ok(())
    }

    /// The list is one of those from the durable to the last attempted one.
    pub(super) fn verify_list(&mut self) {
        let (durable, attempted) = self.aside.list;
        let read = || -> Result<String, DiskError> {
            let file = self.disk.open(LIST)?;
            let mut bytes = vec![0; file.len()? as usize];
            file.read_exact_at(&mut bytes, 0)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let found = match read() {
            Err(error) if error.is_not_found() => "0".to_owned(),
            other => other.expect("the medium works"),
        };
        let number: Option<u64> = found.parse().ok();
        let is_right = number.is_some_and(|number| (durable..=attempted).contains(&number));
        assert!(
            is_right,
            "the list of mounts is '{found}', not {durable} to {attempted}"
        );
    }

    /// No fsync would find more to do than the cap says.
    pub(super) fn check_unsynced(&self) {
        let unsynced = self.disk.unsynced_bytes("segments/");
        let most = UNSYNCED_MAX + UNSYNCED_SLACK;
        assert!(
            unsynced <= most,
            "{unsynced} bytes of segments are unsynced"
        );
    }

    /// After an orderly close.
    pub(super) fn note_closed_segments(&mut self) {
        let end = self.pool().shared.store.next_segment();
        self.aside.closed = Some(self.aside.born..end);
    }

    /// What was closed in order has its tables of contents.
    pub(super) fn check_closed_segments(&mut self) {
        let store = self.pool().shared.store.clone();
        let closed = self.aside.closed.take();
        self.aside.born = store.next_segment();
        let Some(closed) = closed.filter(|_| self.aside.checks_costs) else {
            return;
        };
        for info in store.segments() {
            let concerned = closed.contains(&info.segment);
            assert!(
                info.closed || !concerned,
                "segment {} was closed and has no table of contents",
                info.segment
            );
        }
    }
}
