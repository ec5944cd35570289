//! How much of the medium's time reading ahead may take.
//!
//! Whoever reads meanwhile has most of it: stretches come one at a time, and but for the first ones
//! they take a part of the time only, however much there is to bring in. And where a stretch takes
//! as long as most of its blocks one by one, because the medium has little throughput and not many
//! waits (a disk that is limited to so many bytes a second), it is hardly ever tried.
//!
//! How long a stretch takes is told by those who read meanwhile: the kernel tells nobody.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::disk::DiskFile;

/// The part of the medium's time that this may take in the long run: one in so many.
const SHARE: u32 = 4;
/// And beyond that, at once.
const SPEND_MAX: Duration = Duration::from_millis(100);
/// A stretch that has not come after this time is not waited for: its pages were dropped before
/// anybody looked, it could not be read, or the host's filesystem cannot tell (RWF_NOWAIT).
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two reads that follow each other lies no more than this.
const GAP_MAX: Duration = Duration::from_millis(1);
/// What a stretch counts for at most behind the last look at it: where nobody looked, nobody read.
const UNSEEN_MAX: Duration = Duration::from_millis(50);
/// Waits for a single block that a stretch may take as long as. It has some 256 of 8 KiB. Between
/// what it takes on a disk with throughput and on a limited one (docs/benchmarks.md); not swept.
const WORTH: u32 = 96;
/// How long none is tried where one was not worth it.
const REST: Duration = Duration::from_secs(10);
/// Of how many waits the usual one is a mean, about.
const WAITS: u32 = 8;

/// See the module's text.
#[derive(Default)]
pub(super) struct Pace {
    under_way: Option<UnderWay>,
    spent: Duration,
    /// When `spent` was last set.
    at: Option<Instant>,
    /// What one block takes without a stretch beside it; zero until one was read.
    wait: Duration,
    /// When the last stretch had come.
    came_at: Option<Instant>,
    rests_until: Option<Instant>,
}

/// A stretch that has not come yet, as far as is known.
struct UnderWay {
    /// Held by others: a segment that is deleted gives its room back.
    file: Weak<dyn DiskFile>,
    /// Behind its last byte.
    end: u64,
    since: Instant,
    /// When it was last seen not to have come.
    missing_at: Instant,
}

impl UnderWay {
    fn has_come(&self) -> bool {
        let last = self.end.saturating_sub(1);
        let file = self.file.upgrade();
        file.is_none_or(|file| file.read_cached_at(&mut [0], last))
    }
}

impl Pace {
    /// Whether another stretch may be read.
    pub(super) fn is_allowed(&mut self, now: Instant) -> bool {
        self.look(now, now);
        let since = self
            .at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.at = Some(now);
        self.spent = self.spent.saturating_sub(since / SHARE);
        let rests = self.rests_until.is_some_and(|until| now < until);
        self.under_way.is_none() && self.spent < SPEND_MAX && !rests
    }

    /// A stretch of this file, up to byte `end`, is on its way.
    pub(super) fn begin(&mut self, file: &Arc<dyn DiskFile>, end: u64, now: Instant) {
        self.under_way = Some(UnderWay {
            file: Arc::downgrade(file),
            end,
            since: now,
            missing_at: now,
        });
    }

    /// Somebody waited for the medium between these times, for one block.
    pub(super) fn waited(&mut self, began: Instant, now: Instant) {
        let is_alone = self.under_way.is_none() && self.came_at.is_none_or(|at| began >= at);
        if is_alone {
            let took = now.saturating_duration_since(began);
            self.wait = match self.wait {
                Duration::ZERO => took,
                wait => wait - wait / WAITS + took.min(wait * WAITS) / WAITS,
            };
        }
        self.look(began, now);
    }

    /// Looks for the stretch that is under way; the medium was busy between these times.
    fn look(&mut self, began: Instant, now: Instant) {
        let Some(stretch) = &mut self.under_way else {
            return;
        };
        let is_awaited = now.saturating_duration_since(stretch.since) < PATIENCE;
        if is_awaited && !stretch.has_come() {
            stretch.missing_at = now;
            return;
        }
        let gap = began.saturating_duration_since(stretch.missing_at);
        let (seen, unseen) = match gap <= GAP_MAX {
            true => (now, Duration::ZERO),
            false => (stretch.missing_at, gap.min(UNSEEN_MAX)),
        };
        let seen = seen.saturating_duration_since(stretch.since);
        self.spent += seen + unseen;
        if !self.wait.is_zero() && seen > self.wait * WORTH {
            self.rests_until = Some(now + REST);
        }
        self.under_way = None;
        self.came_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk as _, SimDisk};

    const WAIT: Duration = Duration::from_micros(100);

    /// A stretch that does not come before its file is dropped.
    fn begin(pace: &mut Pace, now: Instant) -> Arc<dyn DiskFile> {
        let file = SimDisk::new().create("segment").unwrap();
        pace.begin(&file, 8192, now);
        file
    }

    /// One reader who waits for one block behind the other, `wait` each, or for the stretch that is
    /// under way; how many stretches came in `time`, each of which took `takes`.
    fn count(takes: Duration, wait: Duration, time: Duration) -> u32 {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let (mut now, mut count) = (start + wait, 0);
        pace.waited(start, now);
        while now < start + time {
            let began = now;
            let stretch = pace.is_allowed(now).then(|| begin(&mut pace, now));
            now += if stretch.is_some() { takes } else { wait };
            count += u32::from(stretch.is_some());
            drop(stretch);
            pace.waited(began, now);
        }
        count
    }

    /// However long a stretch takes, all of them take their share, also where whoever would look
    /// for it waits behind it.
    #[test]
    fn the_mediums_time_is_shared() {
        let time = Duration::from_secs(40);
        for (takes, wait) in [(4, 1), (40, 1), (400, 8)] {
            let (takes, wait) = (Duration::from_millis(takes), Duration::from_millis(wait));
            let most = (SPEND_MAX + time / SHARE).div_duration_f64(takes);
            let count = f64::from(count(takes, wait, time));
            assert!(
                (most * 0.7..most + 2.0).contains(&count),
                "{takes:?}: {count} of {most}"
            );
        }
    }

    /// Where a stretch takes as long as its blocks one by one, one is tried now and then.
    #[test]
    fn what_is_not_worth_it_is_hardly_tried() {
        assert!(count(WAIT * WORTH / 2, WAIT, REST) > 100);
        assert_eq!(count(WAIT * WORTH * 2, WAIT, REST * 3), 3);
    }

    /// There is one at a time, whoever asks.
    #[test]
    fn one_is_under_way() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let file = begin(&mut pace, start);
        assert!(!pace.is_allowed(start + WAIT));
        pace.waited(start, start + WAIT);
        assert!(!pace.is_allowed(start + WAIT * 2));
        drop(file);
        assert!(pace.is_allowed(start + WAIT * 3));
    }

    /// Where nobody looked when it came, it does not count for so long; one that never comes is
    /// given up.
    #[test]
    fn a_stretch_is_not_waited_for_for_ever() {
        let start = Instant::now();
        for comes in [true, false] {
            let mut pace = Pace::default();
            let file = Some(begin(&mut pace, start)).filter(|_| !comes);
            assert_eq!(pace.is_allowed(start + PATIENCE / 2), comes);
            pace.is_allowed(start + PATIENCE);
            assert!(pace.is_allowed(start + PATIENCE * (1 + SHARE)));
            drop(file);
        }
    }
}
