//! Which stretches of a segment are read as a whole, because many of their blocks are read one by
//! one from the medium.
//!
//! A volume that is cold is read at random: by a database that starts, in pages of some KiB. Each
//! costs a wait for the medium, although the medium would give the megabytes around it in the time
//! of a few such waits. FUSE does not tell how a file is going to be read, and the host's own
//! readahead looks for order. So this counts: where several blocks of one stretch were not in
//! memory within a short time, its other blocks are presumably wanted soon as well.
//!
//! What that costs is bounded. No stretch is read twice in a long time, for where memory is too
//! small to keep them. And whoever reads meanwhile has most of the medium: stretches come one at a
//! time, and but for the first ones they take a part of its time only, however much there is to
//! bring in.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::base::sync::Mutex;
use crate::base::{Place, SegmentId};
use crate::disk::DiskFile;

/// Bytes of a stretch. Of 256 KiB to 4 MiB the longest two did best (docs/benchmarks.md).
const STRETCH_BYTES: u64 = 2 << 20;
/// Blocks that have to be missed in a stretch.
const MISSES: u32 = 4;
/// Within this time.
const SPELL: Duration = Duration::from_secs(2);
/// How long a stretch that was read is not read again.
const REST: Duration = Duration::from_secs(600);
/// Stretches that are remembered: some 1 MiB of memory.
const STRETCHES_MAX: usize = 16 << 10;

/// The part of the medium's time that this may take in the long run: one in so many.
const SHARE: u32 = 4;
/// And beyond that, at once.
const SPEND_MAX: Duration = Duration::from_millis(100);
/// A stretch that has not come after this time is not waited for.
const PATIENCE: Duration = Duration::from_millis(50);

/// The stretches in which blocks were missed lately.
#[derive(Default)]
pub(super) struct Around {
    stretches: Mutex<HashMap<(SegmentId, u64), Stretch>>,
    spending: Mutex<Spending>,
}

struct Stretch {
    /// When it was missed first, or read.
    since: Instant,
    misses: u32,
    is_read: bool,
}

impl Stretch {
    fn is_over(&self, now: Instant) -> bool {
        let stay = if self.is_read { REST } else { SPELL };
        now.saturating_duration_since(self.since) >= stay
    }
}

/// The medium's time: one stretch at a time, and none while too much was spent.
#[derive(Default)]
struct Spending {
    under_way: Option<UnderWay>,
    spent: Duration,
    /// When `spent` was last set.
    at: Option<Instant>,
}

/// A stretch that has not come yet, as far as is known.
struct UnderWay {
    /// Held by others: a segment that is deleted gives its room back.
    file: Weak<dyn DiskFile>,
    /// Behind its last byte.
    end: u64,
    since: Instant,
}

impl UnderWay {
    fn has_come(&self) -> bool {
        let last = self.end.saturating_sub(1);
        let file = self.file.upgrade();
        file.is_none_or(|file| file.read_cached_at(&mut [0], last))
    }
}

impl Spending {
    /// Whether another stretch may be read.
    fn is_allowed(&mut self, now: Instant) -> bool {
        let regained = self
            .at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
            / SHARE;
        self.at = Some(now);
        self.spent = self.spent.saturating_sub(regained);
        if let Some(last) = &self.under_way {
            let took = now.saturating_duration_since(last.since).min(PATIENCE);
            if took < PATIENCE && !last.has_come() {
                return false;
            }
            self.spent += took;
            self.under_way = None;
        }
        self.spent < SPEND_MAX
    }
}

impl Around {
    /// A block of this file was not in memory: begins to read what is around it where that is
    /// presumably wanted, too, and the medium has the time.
    pub(super) fn missed(&self, file: &Arc<dyn DiskFile>, place: &Place, now: Instant) {
        let is_allowed = || self.spending.lock().is_allowed(now);
        let Some(bytes) = self.wanted(place, now, is_allowed) else {
            return;
        };
        let end = file.len().map_or(bytes.end, |len| len.min(bytes.end));
        file.read_ahead(bytes);
        self.spending.lock().under_way = Some(UnderWay {
            file: Arc::downgrade(file),
            end,
            since: now,
        });
    }

    /// Takes note of a block that was not in memory; gives the bytes of the segment's file that
    /// are to be read ahead now, if any are. Whether that is allowed is asked when they are wanted.
    fn wanted(
        &self,
        place: &Place,
        now: Instant,
        is_allowed: impl FnOnce() -> bool,
    ) -> Option<Range<u64>> {
        let number = u64::from(place.offset) / STRETCH_BYTES;
        let mut stretches = self.stretches.lock();
        if stretches.len() >= STRETCHES_MAX {
            stretches.retain(|_, stretch| !stretch.is_over(now));
            if stretches.len() >= STRETCHES_MAX / 2 {
                stretches.clear();
            }
        }
        let fresh = || Stretch {
            since: now,
            misses: 0,
            is_read: false,
        };
        let stretch = stretches
            .entry((place.segment, number))
            .or_insert_with(fresh);
        if stretch.is_over(now) {
            *stretch = fresh();
        }
        stretch.misses = stretch.misses.saturating_add(1);
        if stretch.is_read || stretch.misses < MISSES || !is_allowed() {
            return None;
        }
        stretch.is_read = true;
        stretch.since = now;
        let start = number * STRETCH_BYTES;
        Some(start..start + STRETCH_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, SimDisk};

    fn place(segment: u64, offset: u64) -> Place {
        Place {
            segment: SegmentId(segment),
            offset: offset as u32,
            len: 4000,
        }
    }

    /// As [`Around::wanted`], where everything is allowed.
    fn wanted(around: &Around, place: &Place, now: Instant) -> Option<Range<u64>> {
        around.wanted(place, now, || true)
    }

    /// Several misses in a short time have a stretch read, once; those after them do not, before a
    /// long time is over.
    #[test]
    fn dense_misses_have_a_stretch_read_once() {
        let (around, start) = (Around::default(), Instant::now());
        let missed = |offset, at| wanted(&around, &place(1, STRETCH_BYTES + offset), start + at);
        for offset in 0..3 {
            assert_eq!(missed(offset * 8192, Duration::ZERO), None);
        }
        let read = Some(STRETCH_BYTES..2 * STRETCH_BYTES);
        assert_eq!(missed(STRETCH_BYTES - 1, Duration::from_secs(1)), read);
        for offset in 0..100 {
            assert_eq!(missed(offset, Duration::from_secs(600)), None);
        }
        let later = Duration::from_secs(601);
        assert_eq!((0..3).find_map(|offset| missed(offset, later)), None);
        assert_eq!(missed(3, later), read);
    }

    /// Misses that are far from each other, in place or time, are none of one stretch.
    #[test]
    fn sparse_misses_have_nothing_read() {
        let (around, start) = (Around::default(), Instant::now());
        for round in 0..20 {
            let now = start + round * Duration::from_secs(2);
            for segment in 0..3 {
                assert_eq!(wanted(&around, &place(segment, 0), now), None);
                assert_eq!(wanted(&around, &place(segment, STRETCH_BYTES), now), None);
            }
        }
    }

    /// However many stretches are missed in, those that are remembered are bounded.
    #[test]
    fn memory_is_bounded() {
        let (around, now) = (Around::default(), Instant::now());
        for segment in 0..3 * STRETCHES_MAX as u64 {
            wanted(&around, &place(segment, 0), now);
        }
        assert!(around.stretches.lock().len() <= STRETCHES_MAX);
    }

    /// What is not allowed is wanted again by the next miss.
    #[test]
    fn what_has_to_wait_is_not_forgotten() {
        let (around, now) = (Around::default(), Instant::now());
        let missed = |is_allowed| around.wanted(&place(1, 0), now, || is_allowed);
        assert_eq!((0..10).find_map(|_| missed(false)), None);
        assert_eq!(missed(true), Some(0..STRETCH_BYTES));
        assert_eq!(missed(true), None);
    }

    /// A stretch waits for the one before; when the medium was busy with them for long, they take
    /// their share of its time.
    #[test]
    fn the_mediums_time_is_shared() {
        let file = SimDisk::new().create("segment").unwrap();
        file.write_at(&[&[1; 8192]], 0).unwrap();
        let (around, start) = (Around::default(), Instant::now());
        // Nothing says that it has come: each takes as long as patience lasts.
        let (mut read, mut last) = (0, None);
        let (step, steps) = (Duration::from_millis(1), 10_000);
        for millis in 0..steps {
            let now = start + step * millis;
            if !around.spending.lock().is_allowed(now) {
                continue;
            }
            assert!(last.is_none_or(|last| now >= last + PATIENCE));
            around.spending.lock().under_way = Some(UnderWay {
                file: Arc::downgrade(&file),
                end: 8192,
                since: now,
            });
            (read, last) = (read + 1, Some(now));
        }
        let most = (SPEND_MAX + step * steps / SHARE).div_duration_f64(PATIENCE);
        assert!(
            (most - 1.0..most + 2.0).contains(&f64::from(read)),
            "{read} of {most}"
        );
    }
}
