//! A limit on how many bytes a second some long work may move.

use std::time::Duration;

/// What may be moved at once after a pause, as a time at the full rate.
const BURST: Duration = Duration::from_millis(100);

/// Says how long to wait so that a rate is kept. It has no clock of its own: it is told the time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Bytes a second; 0: no limit.
    rate: u64,
    /// When everything that was moved so far is paid for, on the caller's monotonic clock.
    paid_until: Duration,
}

impl Pace {
    /// At most `rate` bytes a second; 0: no limit.
    pub fn new(rate: u64) -> Pace {
        Pace {
            rate,
            paid_until: Duration::ZERO,
        }
    }

    /// `bytes` were moved and it is `now`: how long to wait before more are.
    pub fn spend(&mut self, bytes: u64, now: Duration) -> Duration {
        if self.rate == 0 {
            return Duration::ZERO;
        }
        // What was not used in time is lost, but for a burst.
        let from = self.paid_until.max(now.saturating_sub(BURST));
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.paid_until = from.saturating_add(cost);
        self.paid_until.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten seconds at the rate take ten seconds, but for a tenth that may come at once; a pause
    /// earns no more than that.
    #[test]
    fn the_rate_is_kept() {
        let mut pace = Pace::new(1000);
        let mut now = Duration::from_secs(50);
        for _ in 0..100 {
            now += pace.spend(100, now);
        }
        assert_eq!(now, Duration::from_millis(59_900));
        now += Duration::from_secs(1000);
        assert_eq!(pace.spend(100, now), Duration::ZERO);
        assert_eq!(pace.spend(100, now), Duration::from_millis(100));
    }

    /// Without a limit nobody waits.
    #[test]
    fn no_limit_is_no_wait() {
        let mut pace = Pace::new(0);
        assert_eq!(pace.spend(u64::MAX, Duration::ZERO), Duration::ZERO);
    }
}
