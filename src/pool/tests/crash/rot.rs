//! Media that rot in what is stored twice, or derives from something else: it is healed, and what
//! was called healed is there after every power loss.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::model::Floor;
use super::steps::Done;
use super::world::World;
use crate::base::progress::Silent;
use crate::base::{Place, Pointer, SegmentId};
use crate::block::{Healed, Reach};
use crate::disk::{Disk, Fault, Rates, SimDisk};
use crate::pool::repair::repair_on;
use crate::pool::settings::PoolFile;
use crate::pool::{CheckOptions, Pool, RepairOptions, Violation};

/// Media that are tried after something was called healed.
const LOSSES: u64 = 3;
/// Repairs of one medium that may be cut short.
const REPAIRS_MAX: u64 = 3;

fn path(segment: SegmentId) -> String {
    format!("segments/{:016x}.data", segment.0)
}

impl World {
    /// Something rots, and is healed.
    pub(super) fn any_rot(&mut self) -> Done {
        match self.random.below(3) {
            0 => self.heal_a_copy(),
            1 => self.scrub_a_copy(),
            _ => self.mend_a_table(),
        }
    }

    /// A bit within a place.
    fn any_bit(&mut self, place: &Place) -> (u64, u8) {
        let at = u64::from(place.offset) + self.random.below(u64::from(place.len));
        (at, 1 << self.random.below(8))
    }

    /// A copy of the medium with everything on it, on which nothing goes wrong, opened; a block of
    /// some volume that is on it twice, and a sound copy of that.
    fn pick_stored_twice(&mut self) -> Option<(SimDisk, Arc<Pool>, Pointer, Place)> {
        let is_poisoned = self.pool().volumes().iter().any(|it| it.poisoned.is_some());
        if is_poisoned || self.disk.has_failed() {
            return None;
        }
        let medium = quiet_copy(&self.disk);
        let pool = self.open_copy(&medium).expect("a copy opens");
        let found = stored_twice(&pool);
        let (pointer, copy) = self.random.pick(&found).copied()?;
        Some((medium, pool, pointer, copy))
    }

    /// On a copy of the medium: a block rots that is stored twice, and is healed, perhaps by a
    /// write that goes astray. If it is said to be healed in place, it is, after every power loss.
    fn heal_a_copy(&mut self) -> Done {
        self.checkpoint()?;
        let Some((medium, pool, pointer, copy)) = self.pick_stored_twice() else {
            return Ok(());
        };
        self.tell(format!("on a copy: rot of {:?}", pointer.place));
        let (at, mask) = self.any_bit(&pointer.place);
        assert!(medium.flip(&path(pointer.place.segment), at, mask));
        if self.random.chance(60) {
            medium.arm(Fault::Misdirect(0, self.random.next()));
        }
        let healed = pool.shared.store.heal(&pointer, &[copy], &|_| false);
        if !matches!(healed, Ok(Some(Healed::InPlace))) {
            return Ok(());
        }
        for _ in 0..LOSSES {
            let left = medium.crash(self.random.next());
            // What the write hit instead may be anything.
            if let Ok(pool) = self.open_copy(&left) {
                let verified = pool.shared.store.verify(&pointer);
                verified.expect("what was healed in place is there");
            }
        }
        Ok(())
    }

    /// On a copy of the medium: a block rots that is stored twice. A scrub finds it, wherever it is
    /// needed, and heals it for good.
    fn scrub_a_copy(&mut self) -> Done {
        self.checkpoint()?;
        let Some((medium, pool, pointer, _)) = self.pick_stored_twice() else {
            return Ok(());
        };
        self.tell(format!(
            "on a copy: a scrub finds rot of {:?}",
            pointer.place
        ));
        let (at, mask) = self.any_bit(&pointer.place);
        assert!(medium.flip(&path(pointer.place.segment), at, mask));
        let report = pool.check_with(&scrubbing(), &Silent);
        let report = report.expect("the medium works");
        assert_eq!(report.violations, [], "what is stored twice is lost");
        assert!(!report.repaired.is_empty(), "a scrub passed over it");
        for _ in 0..LOSSES {
            let left = medium.crash(self.random.next());
            self.try_medium(&left, Floor::Durable);
        }
        Ok(())
    }

    /// On a copy of the medium: a table of contents rots and is written anew. It is there after
    /// every power loss.
    fn mend_a_table(&mut self) -> Done {
        self.checkpoint()?;
        if self.disk.has_failed() {
            return Ok(());
        }
        let medium = quiet_copy(&self.disk);
        let pool = self.open_copy(&medium).expect("a copy opens");
        let block = self.random.bytes(3000);
        let stored = pool.shared.store.put_block(&block);
        stored.expect("the medium works");
        pool.close().expect("the medium works");
        let pool = self.open_copy(&medium).expect("a copy opens");
        let Some((segment, at)) = self.pick_in_a_table(&pool, &medium) else {
            return Ok(());
        };
        self.tell(format!("on a copy: rot of the table of segment {segment}"));
        let mask = 1 << self.random.below(8);
        assert!(medium.flip(&path(segment), at, mask));
        let mended = pool.shared.store.rewrite_contents(segment);
        assert!(mended.expect("the medium works"), "nothing was mended");
        for _ in 0..LOSSES {
            let left = medium.crash(self.random.next());
            self.try_medium(&left, Floor::Durable);
        }
        Ok(())
    }

    /// A byte of a table of contents, not of what says that it is one.
    fn pick_in_a_table(&mut self, pool: &Pool, medium: &SimDisk) -> Option<(SegmentId, u64)> {
        let files = medium.files();
        let is_data = |segment| files.iter().any(|(name, _)| *name == path(segment));
        let segments = pool.shared.store.segments().into_iter();
        let closed: Vec<_> = segments
            .filter(|info| info.closed && info.durable_bytes == info.bytes && is_data(info.segment))
            .collect();
        let info = self.random.pick(&closed)?;
        let from_end = 70 + self.random.below(30);
        Some((info.segment, u64::from(info.bytes) - from_end))
    }

    /// Power was lost. On a copy of what is left something rots that is stored twice or derived,
    /// and a repair mends it, which may be cut short and repeated; nothing of the pool is lost.
    pub(super) fn repair_a_copy(&mut self, medium: &SimDisk) {
        if !self.exists_on(medium) {
            return;
        }
        let mut medium = medium.kill();
        let recovered = medium.kill();
        let Ok(pool) = self.open_copy(&recovered) else {
            return;
        };
        // Recovery stores some blocks once more: such a copy is not there yet.
        let mut twice = stored_twice(&pool);
        twice.retain(|(_, copy)| bytes_at(&medium, copy) == bytes_at(&recovered, copy));
        let block = self.random.pick(&twice).copied();
        let table = self.pick_in_a_table(&pool, &medium);
        drop(pool);
        let (what, at) = match (block, table, self.random.below(3)) {
            (Some((pointer, _)), _, 0) => (pointer.place.segment, self.any_bit(&pointer.place).0),
            (_, Some((segment, at)), 1) => (segment, at),
            // The header says what the name says.
            (_, Some((segment, _)), _) => (segment, self.random.below(64)),
            _ => return,
        };
        self.tell(format!(
            "on a copy: rot of segment {what} at {at}, and a repair"
        ));
        // What the power loss took is not there.
        if !medium.flip(&path(what), at, 1 << self.random.below(8)) {
            return;
        }
        for attempt in 0..REPAIRS_MAX {
            if attempt + 1 < REPAIRS_MAX {
                medium.arm(Fault::Die(self.random.below(40)));
            }
            let repaired = self.repair(&medium);
            let is_over = !medium.has_failed();
            if is_over {
                assert_eq!(repaired, Vec::new(), "a repair leaves something");
            }
            medium = medium.crash(self.random.next());
            if is_over {
                break;
            }
        }
        self.try_medium(&medium, Floor::Durable);
    }

    /// What a repair leaves; nothing where the medium fails.
    fn repair(&self, medium: &SimDisk) -> Vec<Violation> {
        let file = PoolFile::read(medium, &super::world::path());
        let repaired = file.and_then(|file| {
            let ground = self.ground(medium, None, 0);
            repair_on(&ground, &file, RepairOptions::default(), &Silent)
        });
        match repaired {
            Ok(report) => report.violations,
            Err(error) => {
                assert!(medium.has_failed(), "{error:?}");
                Vec::new()
            }
        }
    }
}

/// What a scrub does.
pub(super) fn scrubbing() -> CheckOptions {
    CheckOptions {
        read_data: true,
        heal: true,
        ..CheckOptions::default()
    }
}

/// A copy of a medium, on which nothing goes wrong.
fn quiet_copy(disk: &SimDisk) -> SimDisk {
    let copy = disk.kill();
    copy.set_rates(Rates::default(), 0);
    copy.set_capacity(None);
    copy
}

/// What a medium has in a place.
fn bytes_at(medium: &SimDisk, place: &Place) -> Option<Vec<u8>> {
    let file = medium.open(&path(place.segment)).ok()?;
    let mut bytes = vec![0; place.len as usize];
    let read = file.read_exact_at(&mut bytes, u64::from(place.offset));
    read.ok().map(|()| bytes)
}

/// Blocks that volumes name, and of each a sound copy elsewhere; all on the medium.
fn stored_twice(pool: &Arc<Pool>) -> Vec<(Pointer, Place)> {
    let mut named = Vec::new();
    for info in pool.volumes() {
        let volume = pool.open_volume(&info.name).expect("a listed volume");
        let scanned = volume.scan_all(&mut |_, value| {
            named.extend(value.pointer());
            Ok(ControlFlow::Continue(()))
        });
        scanned.expect("the volume can be read");
    }
    let store = &pool.shared.store;
    let wanted: HashSet<_> = named.iter().map(|pointer| pointer.id).collect();
    let copies = store.find_copies(&wanted, &mut |_| ControlFlow::Continue(()));
    let is_durable = |place: &Place| {
        let mut reach = Reach::default();
        reach.add(place);
        store.is_durable(&reach)
    };
    let mut found = Vec::new();
    for pointer in named {
        let places: Vec<Place> = copies.get(&pointer.id).cloned().unwrap_or_default();
        let places: Vec<Place> = places.into_iter().filter(&is_durable).collect();
        if places.contains(&pointer.place)
            && let Some(copy) = store.sound_copy(&pointer, &places, &|_| false)
        {
            found.push((pointer, copy));
        }
    }
    found
}
