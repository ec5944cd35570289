//! How often which values came: counted from many threads without a lock, told as quantiles.
//!
//! Log-linear: each power of two is cut into four equal buckets, so that what is told is at most a
//! quarter more than what was counted, whatever its size.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Buckets of a power of two, and the bits that tell them apart.
const STEP_BITS: u32 = 2;
const STEPS: usize = 1 << STEP_BITS;
/// Values from here on share the last bucket: more than an hour, in nanoseconds.
const VALUE_BITS: u32 = 42;
const BUCKETS: usize = (VALUE_BITS - STEP_BITS + 1) as usize * STEPS;

/// The bucket of a value.
fn bucket_of(value: u64) -> usize {
    if value < STEPS as u64 {
        return value as usize;
    }
    let exponent = u64::BITS - 1 - value.leading_zeros();
    let step = (value >> (exponent - STEP_BITS)) as usize % STEPS;
    let bucket = (exponent - STEP_BITS + 1) as usize * STEPS + step;
    bucket.min(BUCKETS - 1)
}

/// The largest value of a bucket.
fn last_of(bucket: usize) -> u64 {
    if bucket < STEPS {
        return bucket as u64;
    }
    if bucket == BUCKETS - 1 {
        return u64::MAX;
    }
    let (power, step) = (bucket / STEPS - 1, bucket % STEPS);
    (((STEPS + step + 1) as u64) << power) - 1
}

/// Counts values.
pub(crate) struct AtomicHistogram {
    buckets: [AtomicU64; BUCKETS],
    max: AtomicU64,
}

impl AtomicHistogram {
    /// Nothing yet.
    pub(crate) const fn new() -> AtomicHistogram {
        AtomicHistogram {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            max: AtomicU64::new(0),
        }
    }

    /// Counts a value: one atomic addition, for which nobody waits.
    pub(crate) fn record(&self, value: u64) {
        // Nothing else is published through these.
        self.buckets[bucket_of(value)].fetch_add(1, Ordering::Relaxed);
        if value > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(value, Ordering::Relaxed);
        }
    }

    /// What was counted until now. Values that come meanwhile are in it or not.
    pub(crate) fn counted(&self) -> Histogram {
        let counts = self.buckets.iter().enumerate().map(|(bucket, count)| {
            let count = count.load(Ordering::Relaxed);
            (last_of(bucket), count)
        });
        Histogram {
            buckets: counts.filter(|(_, count)| *count > 0).collect(),
            max: self.max.load(Ordering::Relaxed),
        }
    }
}

/// What was counted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Histogram {
    /// The largest value of a bucket, and how many values are in it; ascending, without empty ones.
    buckets: Vec<(u64, u64)>,
    /// The largest value.
    max: u64,
}

impl Histogram {
    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// The largest value; 0 without any.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The value that `per_mille` thousandths of all values do not exceed, or up to a quarter more;
    /// 0 without any.
    pub fn quantile(&self, per_mille: u64) -> u64 {
        let rank = (self.count() * per_mille).div_ceil(1000).max(1);
        let mut below = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            below += count;
            below >= rank
        });
        found.map_or(0, |(last, _)| *last).min(self.max)
    }

    /// What was counted since `earlier` was told. The largest value of that time is exact if it is
    /// the largest of all, else that of its bucket.
    #[must_use]
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        let before = |last: u64| {
            let found = earlier.buckets.binary_search_by_key(&last, |entry| entry.0);
            found.map_or(0, |at| earlier.buckets[at].1)
        };
        let counts = self.buckets.iter();
        let counts = counts.map(|&(last, count)| (last, count.saturating_sub(before(last))));
        let buckets: Vec<(u64, u64)> = counts.filter(|(_, count)| *count > 0).collect();
        let max = match buckets.last() {
            None => 0,
            Some(_) if self.max > earlier.max => self.max,
            Some((last, _)) => self.max.min(*last),
        };
        Histogram { buckets, max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Histogram {
        let counting = AtomicHistogram::new();
        for value in values {
            counting.record(value);
        }
        counting.counted()
    }

    /// Every value is in the bucket whose largest value is the next one at or above it, at most a
    /// quarter more; beyond the range all are in the last one.
    #[test]
    fn buckets_hold_what_is_close() {
        let edges = (0..VALUE_BITS).flat_map(|bit| {
            let power = 1_u64 << bit;
            [power - 1, power, power + 1, power + power / 3]
        });
        for value in edges.chain(0..5000) {
            let bucket = bucket_of(value);
            let last = last_of(bucket);
            assert!(value <= last || bucket == BUCKETS - 1, "{value}: {last}");
            assert!(bucket == 0 || last_of(bucket - 1) < value, "{value}");
            let is_close = last - value <= value / 4;
            assert!(is_close || bucket == BUCKETS - 1, "{value}: {last}");
        }
        let lasts: Vec<u64> = (0..BUCKETS).map(last_of).collect();
        assert!(lasts.is_sorted_by(|a, b| a < b), "{lasts:?}");
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(of([u64::MAX]).quantile(500), u64::MAX);
    }

    /// Quantiles are those of the values, up to a quarter more, and never above the largest one.
    #[test]
    fn quantiles_are_close() {
        let counted = of(1..=10_000);
        assert_eq!((counted.count(), counted.max()), (10_000, 10_000));
        for (per_mille, exact) in [(500, 5000), (990, 9900), (999, 9990), (1000, 10_000)] {
            let told = counted.quantile(per_mille);
            assert!(
                told >= exact && told <= exact * 5 / 4,
                "{per_mille}: {told}"
            );
            assert!(told <= counted.max(), "{per_mille}: {told}");
        }
        let outlier = of([100; 999].into_iter().chain([1_000_000]));
        assert!(outlier.quantile(999) < 125, "{outlier:?}");
        assert_eq!(outlier.quantile(1000), 1_000_000);
        assert_eq!(of([7]).quantile(500), 7);
        assert_eq!((of([]).quantile(990), of([]).max()), (0, 0));
    }

    /// A difference has what came between, and nothing else.
    #[test]
    fn a_difference_is_what_came_between() {
        let counting = AtomicHistogram::new();
        counting.record(50);
        counting.record(1000);
        let before = counting.counted();
        assert_eq!(before.since(&before), Histogram::default());
        counting.record(50);
        counting.record(70);
        let between = counting.counted().since(&before);
        assert_eq!(between.count(), 2);
        assert!((70..88).contains(&between.max()), "{between:?}");
        assert!((50..63).contains(&between.quantile(500)), "{between:?}");
        counting.record(5000);
        assert_eq!(counting.counted().since(&before).max(), 5000);
        assert_eq!(before.since(&Histogram::default()), before);
    }

    /// No value is lost where many threads count.
    #[test]
    fn threads_count_together() {
        let counting = AtomicHistogram::new();
        std::thread::scope(|scope| {
            for thread in 1..=4 {
                let counting = &counting;
                scope.spawn(move || (0..10_000).for_each(|value| counting.record(value * thread)));
            }
        });
        let counted = counting.counted();
        assert_eq!((counted.count(), counted.max()), (40_000, 9999 * 4));
    }
}
