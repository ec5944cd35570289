//! Time, as a seam: tests that must be deterministic bring their own clock.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// A wall-clock time: seconds since 1970 (may be negative) and nanoseconds within the second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 UTC.
    pub secs: i64,
    /// Nanoseconds, below one billion.
    pub nanos: u32,
}

/// Source of time.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time.
    fn now(&self) -> Timestamp;
    /// Monotonic time since an arbitrary start.
    fn monotonic(&self) -> Duration;
    /// The time for a file's stamps. With the writeback cache the kernel stamps what is written,
    /// the daemon everything else: both must read one clock, or a file that was made first looks
    /// newer than one that was written later.
    fn stamp(&self) -> Timestamp {
        self.now()
    }
}

/// The machine's clock.
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        SystemClock {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from(SystemTime::now())
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    /// The kernel's own clock for files, which moves with its tick.
    fn stamp(&self) -> Timestamp {
        let time = clock_gettime(ClockId::RealtimeCoarse);
        Timestamp {
            secs: time.tv_sec,
            nanos: time.tv_nsec as u32,
        }
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp {
                secs: after.as_secs() as i64,
                nanos: after.subsec_nanos(),
            },
            Err(error) => {
                let before = error.duration();
                let borrow = i64::from(before.subsec_nanos() > 0);
                Timestamp {
                    secs: -(before.as_secs() as i64) - borrow,
                    nanos: if borrow == 1 {
                        1_000_000_000 - before.subsec_nanos()
                    } else {
                        0
                    },
                }
            }
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        let whole = Duration::from_secs(time.secs.unsigned_abs());
        let nanos = Duration::from_nanos(u64::from(time.nanos));
        if time.secs >= 0 {
            UNIX_EPOCH + whole + nanos
        } else {
            UNIX_EPOCH - whole + nanos
        }
    }
}

impl Timestamp {
    /// Year, month, day, hour, minute, second in UTC (proleptic Gregorian calendar; the algorithm
    /// is Howard Hinnant's `civil_from_days`).
    fn civil(&self) -> (i64, i64, i64, i64, i64, i64) {
        let (days, second) = (self.secs.div_euclid(86_400), self.secs.rem_euclid(86_400));
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
        let month = if month_shifted < 10 {
            month_shifted + 3
        } else {
            month_shifted - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (
            year,
            month,
            day,
            second / 3600,
            second % 3600 / 60,
            second % 60,
        )
    }

    /// Year and month in UTC.
    pub fn month(&self) -> (i64, i64) {
        let (year, month, ..) = self.civil();
        (year, month)
    }

    /// A name for a snapshot that sorts by time: `20261122T101500.123456Z`.
    pub fn sortable(&self) -> String {
        let (year, month, day, hour, minute, second) = self.civil();
        let micros = self.nanos / 1_000;
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{micros:06}Z")
    }
}

/// RFC 3339 in UTC, to the second.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second) = self.civil();
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known dates print as they should, leap days and times before 1970 included.
    #[test]
    fn timestamps_print_as_rfc_3339() {
        let text = |secs| {
            Timestamp {
                secs,
                nanos: 5_000_000,
            }
            .to_string()
        };
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(text(1_795_313_700), "2026-11-22T02:15:00Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59Z");
        assert_eq!(
            Timestamp {
                secs: 0,
                nanos: 5_000_000
            }
            .sortable(),
            "19700101T000000.005000Z"
        );
    }

    /// Stamps are the present time, and never newer: a tick behind at most.
    #[test]
    fn stamps_are_a_tick_behind_at_most() {
        let clock = SystemClock::new();
        for _ in 0..1000 {
            let (stamp, now) = (
                SystemTime::from(clock.stamp()),
                SystemTime::from(clock.now()),
            );
            let behind = now.duration_since(stamp).unwrap();
            assert!(behind < Duration::from_secs(1), "{behind:?}");
        }
    }

    /// Times before 1970 with a fraction survive the way to `SystemTime` and back.
    #[test]
    fn system_time_round_trips_before_and_after_1970() {
        for (secs, nanos) in [(0, 0), (5, 7), (-1, 0), (-1, 999_999_999), (-9, 1)] {
            let time = Timestamp { secs, nanos };
            assert_eq!(Timestamp::from(SystemTime::from(time)), time);
        }
    }
}
