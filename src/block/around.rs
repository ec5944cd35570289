//! Which stretches of a segment are read as a whole, because many of their blocks are read one by
//! one from the medium.
//!
//! A volume that is cold is read at random: by a database that starts, in pages of some KiB. Each
//! costs a wait for the medium, although the medium would give the megabytes around it in the time
//! of a few such waits. FUSE does not tell how a file is going to be read, and the host's own
//! readahead looks for order. So this counts: where several blocks of one stretch were not in
//! memory within a short time, its other blocks are presumably wanted soon as well.
//!
//! What that costs is bounded: it takes that density, which a file much larger than what is read
//! in such a time does not have, and no stretch is read twice in a long time, so that where memory
//! is too small to keep them it comes to little beside what is read anyway.

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::base::sync::Mutex;
use crate::base::{Place, SegmentId};

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
}

struct Stretch {
    /// When it was missed first, or read.
    since: Instant,
    misses: u32,
}

impl Stretch {
    fn is_over(&self, now: Instant) -> bool {
        let stay = if self.misses < MISSES { SPELL } else { REST };
        now.saturating_duration_since(self.since) >= stay
    }
}

impl Around {
    /// Takes note of a block that was not in memory; gives the bytes of the segment's file that
    /// are to be read ahead now, if any are.
    pub(super) fn missed(&self, place: &Place, now: Instant) -> Option<Range<u64>> {
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
        };
        let stretch = stretches
            .entry((place.segment, number))
            .or_insert_with(fresh);
        if stretch.is_over(now) {
            *stretch = fresh();
        }
        stretch.misses = stretch.misses.saturating_add(1);
        if stretch.misses != MISSES {
            return None;
        }
        stretch.since = now;
        let start = number * STRETCH_BYTES;
        Some(start..start + STRETCH_BYTES)
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

    /// Several misses in a short time have a stretch read, once; those after them do not, before a
    /// long time is over.
    #[test]
    fn dense_misses_have_a_stretch_read_once() {
        let (around, start) = (Around::default(), Instant::now());
        let missed = |offset, at| around.missed(&place(1, STRETCH_BYTES + offset), start + at);
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
                assert_eq!(around.missed(&place(segment, 0), now), None);
                assert_eq!(around.missed(&place(segment, STRETCH_BYTES), now), None);
            }
        }
    }

    /// However many stretches are missed in, those that are remembered are bounded.
    #[test]
    fn memory_is_bounded() {
        let (around, now) = (Around::default(), Instant::now());
        for segment in 0..3 * STRETCHES_MAX as u64 {
            around.missed(&place(segment, 0), now);
        }
        assert!(around.stretches.lock().len() <= STRETCHES_MAX);
    }
}
