//! When the feeder may work: it stays behind those who use the store.
//!
//! What it has not fed yet is among the recent frames, so that putting it off costs no saving as
//! long as they hold it.

use std::time::{Duration, Instant};

use super::recent;

/// A store that nobody has used for so long is at rest.
const REST: Duration = Duration::from_millis(20);
/// Work that has been put off for so long is done beside them.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// So many frames at most may be stored before they are fed beside them.
const LAG_FRAMES_MAX: u64 = recent::FRAMES_MAX as u64 / 2;

/// How often the store was used since the opening.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Use {
    /// Blocks stored that are not among the recent frames.
    pub(super) stored: u64,
    /// Frames read.
    pub(super) read: u64,
}

/// What the feeder has seen of the use of the store.
pub(super) struct Manners {
    seen: Use,
    /// When the use was seen to be another for the last time.
    used: Instant,
    /// Since when there is work.
    work: Option<Instant>,
    /// What had been stored when there was no work.
    stored_done: u64,
}

impl Manners {
    pub(super) fn new(now: Instant) -> Manners {
        Manners {
            seen: Use::default(),
            used: now,
            work: None,
            stored_done: 0,
        }
    }

    /// Whether work that there is may be done now, or is to be put off.
    pub(super) fn may_work(&mut self, seen: Use, now: Instant) -> bool {
        if self.seen != seen {
            (self.seen, self.used) = (seen, now);
        }
        let since = *self.work.get_or_insert(now);
        now - self.used >= REST
            || now - since >= WAIT_MAX
            || seen.stored - self.stored_done >= LAG_FRAMES_MAX
    }

    /// There is no work.
    pub(super) fn note_done(&mut self, seen: Use) {
        self.work = None;
        self.stored_done = seen.stored;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Work waits while the store is used, and for the first moment of rest; not longer than the
    /// limits.
    #[test]
    fn work_waits_for_rest_within_limits() {
        let start = Instant::now();
        let stored = |stored| Use { stored, read: 0 };
        let mut manners = Manners::new(start);
        let mut now = start + REST;
        assert!(manners.may_work(stored(0), now));
        assert!(!manners.may_work(stored(1), now));
        now += REST / 2;
        assert!(!manners.may_work(stored(1), now));
        assert!(!manners.may_work(Use { stored: 1, read: 1 }, now + REST));
        now += REST * 2;
        assert!(manners.may_work(Use { stored: 1, read: 1 }, now));

        manners.note_done(stored(1));
        assert!(!manners.may_work(stored(LAG_FRAMES_MAX), now));
        assert!(manners.may_work(stored(LAG_FRAMES_MAX + 1), now));
        assert!(manners.may_work(stored(LAG_FRAMES_MAX + 2), now));
        manners.note_done(stored(LAG_FRAMES_MAX + 2));

        assert!(!manners.may_work(stored(LAG_FRAMES_MAX + 3), now));
        now += WAIT_MAX - REST / 2;
        assert!(!manners.may_work(stored(LAG_FRAMES_MAX + 4), now));
        now += REST / 2;
        assert!(manners.may_work(stored(LAG_FRAMES_MAX + 5), now));
    }
}
