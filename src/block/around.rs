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
//! small to keep them. And stretches take a part of the medium's time only ([`Pace`]).

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pace::Pace;
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

/// The stretches in which blocks were missed lately.
#[derive(Default)]
pub(super) struct Around {
    stretches: Mutex<HashMap<(SegmentId, u64), Stretch>>,
    pace: Mutex<Pace>,
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

impl Around {
    /// A block of this file was not in memory: begins to read what is around it where that is
    /// presumably wanted, too, and the medium has the time.
    pub(super) fn missed(&self, file: &Arc<dyn DiskFile>, place: &Place, now: Instant) {
        let begin = |bytes: &Range<u64>| {
            let mut pace = self.pace.lock();
            let is_allowed = pace.is_allowed(now);
            if is_allowed {
                let end = file.len().map_or(bytes.end, |len| len.min(bytes.end));
                pace.begin(file, end, now);
            }
            is_allowed
        };
        if let Some(bytes) = self.wanted(place, now, begin) {
            file.read_ahead(bytes);
        }
    }

    /// Such a block was waited for between these times.
    pub(super) fn waited(&self, began: Instant, now: Instant) {
        self.pace.lock().waited(began, now);
    }

    /// Takes note of a block that was not in memory; gives the bytes of the segment's file that
    /// are to be read ahead now, if any are. `begin` says whether that is allowed, and is asked
    /// when they are wanted.
    fn wanted(
        &self,
        place: &Place,
        now: Instant,
        begin: impl FnOnce(&Range<u64>) -> bool,
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
        let start = number * STRETCH_BYTES;
        let bytes = start..start + STRETCH_BYTES;
        if stretch.is_read || stretch.misses < MISSES || !begin(&bytes) {
            return None;
        }
        stretch.is_read = true;
        stretch.since = now;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(segment: u64, offset: u64) -> Place {
        Place {
            segment: SegmentId(segment),
            offset: offset as u32,
            len: 4000,
        }
    }

    /// As [`Around::wanted`], where everything is allowed.
    fn wanted(around: &Around, place: &Place, now: Instant) -> Option<Range<u64>> {
        around.wanted(place, now, |_| true)
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
        let missed = |is_allowed| around.wanted(&place(1, 0), now, |_| is_allowed);
        assert_eq!((0..10).find_map(|_| missed(false)), None);
        assert_eq!(missed(true), Some(0..STRETCH_BYTES));
        assert_eq!(missed(true), None);
    }
}
