//! The seeded driver for as long as one likes.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::base::sync::Mutex;

use super::habits::Habits;
use super::run::{Covered, SOAK_SEEDS, live, on_all_cores};

/// Seeds of a run without a time.
const FEW: u64 = 10;

/// `VOLFS_SOAK_MINUTES=N`: fresh seeds for so long, on all cores; says what was covered, and the
/// seeds that found a violation. Without it, a few seeds.
#[test]
fn soak() {
    let minutes = std::env::var("VOLFS_SOAK_MINUTES").ok();
    let minutes = minutes.map(|text| text.parse::<f64>().expect("VOLFS_SOAK_MINUTES: a number"));
    let (first, limit) = match minutes {
        None => (SOAK_SEEDS, None),
        Some(minutes) => {
            let since = SystemTime::UNIX_EPOCH
                .elapsed()
                .expect("a clock after 1970");
            let limit = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
            (SOAK_SEEDS + (since.as_secs() << 24), Some(limit))
        }
    };
    println!("seeds from {first} on");
    let next = AtomicU64::new(0);
    let violations = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, |count| count.get());
    let workers: Vec<u64> = (0..threads as u64).collect();
    let covered = on_all_cores(&workers, |_| {
        let mut covered = Covered::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let ends = limit.map_or(number >= FEW, |limit| Instant::now() >= limit);
            if ends {
                return covered;
            }
            let seed = first + number;
            let life = AssertUnwindSafe(|| live(seed, Habits::of(seed), None));
            match std::panic::catch_unwind(life) {
                Ok(more) => covered += more,
                Err(_) => violations.lock().push(seed),
            }
        }
    });
    let mut all = Covered::default();
    covered.into_iter().for_each(|more| all += more);
    let violations = std::mem::take(&mut *violations.lock());
    println!("{all}; {} violations {violations:?}", violations.len());
    assert_eq!(violations, [0; 0], "VOLFS_SEEDS repeats them");
}
