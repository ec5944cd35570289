//! Snapshots that are made by themselves: when, and which of them are kept.
//!
//! Times are UTC throughout, so that neither a change to summer time nor a journey makes a day that
//! is there twice or not at all.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::{ByteReader, DecodeError, PutBytes, Timestamp};

const MINUTE: u64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// 1970-01-01 was a Thursday: weeks begin on Mondays, as ISO 8601 has them.
const DAYS_TO_MONDAY: i64 = 3;
/// The longest time between two snapshots, in seconds: ten years.
const EVERY_MAX: u64 = 10 * 366 * 24 * 3600;

/// When snapshots of a volume are made by themselves, and which of these are kept. Of each period
/// the newest one counts; one may count for several.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Seconds between two of them.
    pub every: u64,
    /// The newest ones, so many.
    pub keep_last: u32,
    /// Of so many hours with a snapshot.
    pub keep_hourly: u32,
    /// Of so many days.
    pub keep_daily: u32,
    /// Of so many weeks.
    pub keep_weekly: u32,
    /// Of so many months.
    pub keep_monthly: u32,
}

impl Policy {
    /// Why it makes no sense, if so.
    pub fn problem(&self) -> Option<String> {
        if !(MINUTE..=EVERY_MAX).contains(&self.every) {
            let every = self.every;
            return Some(format!(
                "every {every} seconds: a minute at least, ten years at most"
            ));
        }
        let kept = [
            self.keep_last,
            self.keep_hourly,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
        ];
        (kept == [0; 5]).then(|| {
            "a policy that keeps no snapshot makes none: say how many with --keep-last, \
             --keep-hourly, --keep-daily, --keep-weekly or --keep-monthly"
                .to_owned()
        })
    }

    /// Whether it is time for a snapshot. `newest` is when the last one was made. However many were
    /// missed, while nobody was there to make them, one is enough; and a clock that was set back
    /// does not stop them.
    pub fn is_due(&self, newest: Option<Timestamp>, now: Timestamp) -> bool {
        let Some(newest) = newest else {
            return true;
        };
        let since = now.secs.saturating_sub(newest.secs);
        since < 0 || since as u64 >= self.every
    }

    /// Which of the snapshots made at these times are kept, in the same order.
    pub fn kept(&self, made: &[Timestamp]) -> Vec<bool> {
        let mut newest_first: Vec<usize> = (0..made.len()).collect();
        newest_first.sort_by_key(|&index| (std::cmp::Reverse(made[index]), index));
        let mut kept = vec![false; made.len()];
        type Period = fn(&Timestamp) -> (i64, i64);
        let hour: Period = |time| (time.secs.div_euclid(HOUR), 0);
        let day: Period = |time| (day_of(time), 0);
        let week: Period = |time| ((day_of(time) + DAYS_TO_MONDAY).div_euclid(7), 0);
        let month: Period = |time| time.month();
        let rules = [
            (self.keep_hourly, hour),
            (self.keep_daily, day),
            (self.keep_weekly, week),
            (self.keep_monthly, month),
        ];
        for index in newest_first.iter().take(self.keep_last as usize) {
            kept[*index] = true;
        }
        for (count, period) in rules {
            let mut seen = BTreeSet::new();
            for &index in &newest_first {
                if seen.len() == count as usize {
                    break;
                }
                if seen.insert(period(&made[index])) {
                    kept[index] = true;
                }
            }
        }
        kept
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.every);
        for count in [
            self.keep_last,
            self.keep_hourly,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
        ] {
            out.put_u32(count);
        }
    }

    pub(crate) fn read(reader: &mut ByteReader<'_>) -> Result<Policy, DecodeError> {
        let policy = Policy {
            every: reader.u64()?,
            keep_last: reader.u32()?,
            keep_hourly: reader.u32()?,
            keep_daily: reader.u32()?,
            keep_weekly: reader.u32()?,
            keep_monthly: reader.u32()?,
        };
        match policy.problem() {
            Some(_) => Err(reader.error("a policy that makes no sense")),
            None => Ok(policy),
        }
    }
}

fn day_of(time: &Timestamp) -> i64 {
    time.secs.div_euclid(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp { secs, nanos: 0 }
    }

    /// Seconds since 1970 of a moment in UTC, by counting days from year to year.
    fn utc(year: i64, month: i64, day: i64, hour: i64) -> i64 {
        let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let lengths = |year| {
            let february = if is_leap(year) { 29 } else { 28 };
            [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        };
        let years: i64 = (1970..year)
            .map(|year| lengths(year).iter().sum::<i64>())
            .sum();
        let months: i64 = lengths(year).iter().take(month as usize - 1).sum();
        (years + months + day - 1) * DAY + hour * HOUR
    }

    fn kept(policy: Policy, made: &[i64]) -> Vec<i64> {
        let times: Vec<Timestamp> = made.iter().map(|secs| at(*secs)).collect();
        let kept = policy.kept(&times);
        let kept = made.iter().zip(kept).filter(|(_, kept)| *kept);
        kept.map(|(secs, _)| *secs).collect()
    }

    /// The newest ones are kept, in whatever order they come.
    #[test]
    fn the_last_ones_are_kept() {
        let policy = Policy {
            keep_last: 2,
            ..Policy::default()
        };
        assert_eq!(kept(policy, &[30, 10, 20]), [30, 20]);
        assert_eq!(kept(policy, &[5]), [5]);
        assert_eq!(kept(policy, &[]), Vec::<i64>::new());
    }

    /// Of each hour, day, week and month the newest one is kept, and empty ones do not count.
    #[test]
    fn the_newest_of_each_period_is_kept() {
        let daily = Policy {
            keep_daily: 3,
            ..Policy::default()
        };
        let made = [
            utc(2026, 3, 1, 1),
            utc(2026, 3, 1, 23),
            utc(2026, 3, 2, 0),
            utc(2026, 3, 9, 5),
            utc(2026, 3, 9, 6),
        ];
        assert_eq!(kept(daily, &made), [made[1], made[2], made[4]]);
        let hourly = Policy {
            keep_hourly: 2,
            ..Policy::default()
        };
        assert_eq!(kept(hourly, &[0, 10, 3599, 3600, 3601]), [3599, 3601]);
        // 2026-03-01 was a Sunday, 2026-03-02 a Monday.
        let weekly = Policy {
            keep_weekly: 2,
            ..Policy::default()
        };
        let made = [utc(2026, 2, 23, 0), utc(2026, 3, 1, 23), utc(2026, 3, 2, 0)];
        assert_eq!(kept(weekly, &made), [made[1], made[2]]);
    }

    /// Months have their own lengths, February in leap years too, and years end.
    #[test]
    fn months_are_those_of_the_calendar() {
        let monthly = Policy {
            keep_monthly: 4,
            ..Policy::default()
        };
        let made = [
            utc(2023, 12, 31, 23),
            utc(2024, 1, 1, 0),
            utc(2024, 1, 31, 23),
            utc(2024, 2, 1, 0),
            utc(2024, 2, 29, 23),
            utc(2024, 3, 1, 0),
        ];
        assert_eq!(kept(monthly, &made), [made[0], made[2], made[4], made[5]]);
        let century = [utc(2100, 2, 28, 23), utc(2100, 3, 1, 0)];
        assert_eq!(century[1] - century[0], HOUR);
        assert_eq!(kept(monthly, &century), century);
        let last = Policy {
            keep_monthly: 1,
            ..Policy::default()
        };
        assert_eq!(kept(last, &made), [made[5]]);
    }

    /// Where the clocks of a country are set forward or back, in the night of a change to summer
    /// time and back, every hour has one snapshot kept, and every day too.
    #[test]
    fn summer_time_changes_nothing() {
        for (month, day) in [(3, 29), (10, 25)] {
            let made: Vec<i64> = (0..24).map(|hour| utc(2026, month, day, hour)).collect();
            let hourly = Policy {
                keep_hourly: 24,
                ..Policy::default()
            };
            assert_eq!(kept(hourly, &made), made);
            let daily = Policy {
                keep_daily: 24,
                ..Policy::default()
            };
            assert_eq!(kept(daily, &made), [made[23]]);
        }
    }

    /// A snapshot a quarter of an hour for three years, pruned after each as the daemon does it,
    /// leaves as many as the rules say, and the oldest one is as old as the months reach.
    #[test]
    fn a_long_life_keeps_what_the_rules_say() {
        let policy = Policy {
            every: 900,
            keep_last: 4,
            keep_hourly: 24,
            keep_daily: 7,
            keep_weekly: 4,
            keep_monthly: 12,
        };
        let start = utc(2023, 1, 1, 0);
        let mut made: Vec<i64> = Vec::new();
        // Every six hours is enough to go through three years.
        for step in 0..3 * 1461 {
            made.push(start + step * 6 * HOUR);
            made = kept(policy, &made);
        }
        let end = *made.last().unwrap();
        assert!(
            made.len() <= 4 + 24 + 7 + 4 + 12 && made.len() > 24,
            "{}",
            made.len()
        );
        let age = (end - made[0]) / DAY;
        assert!((330..=366).contains(&age), "{age} days");
    }

    /// It is time when the time has passed, once, and also when the clock was set back.
    #[test]
    fn one_snapshot_makes_up_for_many_that_were_missed() {
        let policy = Policy {
            every: 900,
            ..Policy::default()
        };
        assert!(policy.is_due(None, at(0)));
        assert!(!policy.is_due(Some(at(1000)), at(1899)));
        assert!(policy.is_due(Some(at(1000)), at(1900)));
        assert!(policy.is_due(Some(at(1000)), at(9_999_999)));
        assert!(policy.is_due(Some(at(1000)), at(999)));
    }

    /// What keeps nothing, or comes every moment, is refused, also from the medium.
    #[test]
    fn policies_that_make_no_sense_are_refused() {
        let good = Policy {
            every: 60,
            keep_last: 1,
            ..Policy::default()
        };
        assert_eq!(good.problem(), None);
        let bad = [
            Policy {
                keep_last: 0,
                ..good
            },
            Policy { every: 59, ..good },
            Policy {
                every: u64::MAX,
                ..good
            },
        ];
        for policy in bad {
            assert!(policy.problem().is_some(), "{policy:?}");
            let mut bytes = Vec::new();
            policy.put(&mut bytes);
            assert!(Policy::read(&mut ByteReader::new("policy", &bytes)).is_err());
        }
        let mut bytes = Vec::new();
        good.put(&mut bytes);
        assert_eq!(
            Policy::read(&mut ByteReader::new("policy", &bytes)),
            Ok(good)
        );
    }
}
