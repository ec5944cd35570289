//! What the daemon was asked to do, and how long each took: without the command's own process and
//! the way to the daemon.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::RequestStats;
use crate::base::histogram::AtomicHistogram;
use crate::base::sync::Mutex;

/// Counts operations by name.
#[derive(Default)]
pub(super) struct Operations {
    kinds: Mutex<BTreeMap<&'static str, Arc<Counters>>>,
}

struct Counters {
    /// Nanoseconds.
    times: AtomicHistogram,
    errors: AtomicU64,
}

impl Operations {
    /// Carries one out, and counts it.
    pub(super) fn timed<T, E>(
        &self,
        name: &'static str,
        operation: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let started = Instant::now();
        let done = operation();
        let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let counters = self.kinds.lock().entry(name).or_default().clone();
        counters.times.record(nanos);
        if done.is_err() {
            counters.errors.fetch_add(1, Ordering::Relaxed);
        }
        done
    }

    /// Those that have come at all, sorted by name.
    pub(super) fn counted(&self) -> Vec<RequestStats> {
        let kinds = self.kinds.lock();
        let of_one = |(name, counters): (&&'static str, &Arc<Counters>)| {
            let errors = counters.errors.load(Ordering::Relaxed);
            RequestStats::new((*name).to_owned(), (errors, 0), counters.times.counted())
        };
        kinds.iter().map(of_one).collect()
    }
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            times: AtomicHistogram::new(),
            errors: AtomicU64::new(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is counted under its name with its time, also those that fail.
    #[test]
    fn operations_are_counted() {
        let operations = Operations::default();
        for wanted in [Ok(1), Err("no"), Ok(2)] {
            assert_eq!(operations.timed("clone", || wanted), wanted);
        }
        assert_eq!(operations.timed("rollback", || Ok::<_, ()>(3)), Ok(3));
        let counted = operations.counted();
        let told: Vec<_> = counted
            .iter()
            .map(|one| (one.request.as_str(), one.count, one.errors))
            .collect();
        assert_eq!(told, [("clone", 3, 1), ("rollback", 1, 0)]);
        assert!(counted.iter().all(|one| one.max_ns > 0), "{counted:?}");
    }
}
