//! Leaders, followers and the flush thread under explored schedules.

use std::sync::Arc;

use super::*;
use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::base::sync::{explore, explore_sabotaged, switch, thread};

/// A medium with a counter for content.
#[derive(Default)]
struct Medium {
    written: AtomicU64,
    durable: AtomicU64,
    flushes: AtomicU64,
    answers: Mutex<Vec<(u64, Result<(), Errno>)>>,
}

impl Medium {
    /// Makes durable what was written when it was called; the one with this number fails.
    fn flush(&self, failing: u64) -> Result<(), Errno> {
        let written = self.written.load(Ordering::Relaxed);
        switch();
        if self.flushes.fetch_add(1, Ordering::Relaxed) == failing {
            return Err(Errno(libc::EIO));
        }
        self.durable.fetch_max(written, Ordering::Relaxed);
        Ok(())
    }
}

/// A request that covers the writes up to a number.
struct Request(u64, Arc<Medium>);

impl Durable for Request {
    fn finish(self, outcome: Result<(), Errno>) {
        let Request(written, medium) = self;
        let durable = medium.durable.load(Ordering::Relaxed);
        let kept = outcome.is_err() || durable >= written;
        assert!(kept, "answered before its flush");
        medium.answers.lock().push((written, outcome));
    }
}

/// Three threads write and sync twice each; the flush with this number fails.
fn write_and_sync(failing: u64) {
    let medium = Arc::new(Medium::default());
    let queue = SyncQueue::start({
        let medium = medium.clone();
        move || medium.flush(failing)
    });
    let queue = Arc::new(queue.unwrap());
    let work = |_| {
        let (medium, queue) = (medium.clone(), queue.clone());
        thread::spawn(move || {
            for _ in 0..2 {
                let written = medium.written.fetch_add(1, Ordering::Relaxed) + 1;
                queue.submit(Request(written, medium.clone()));
            }
        })
    };
    let threads: Vec<_> = (0..3).map(work).collect();
    for thread in threads {
        thread.join().unwrap();
    }
    drop(queue);
    let mut answers = std::mem::take(&mut *medium.answers.lock());
    answers.sort_unstable_by_key(|(written, _)| *written);
    let answered: Vec<u64> = answers.iter().map(|(written, _)| *written).collect();
    assert_eq!(answered, [1, 2, 3, 4, 5, 6], "each is answered once");
    let failed = answers.iter().any(|(_, outcome)| outcome.is_err());
    let flushes = medium.flushes.load(Ordering::Relaxed);
    assert_eq!(failed, flushes > failing, "a failed flush is told");
}

/// Every request is answered exactly once, and never before a flush that began after it came; the
/// failure of a flush reaches those that it was for; the queue's end waits for all.
#[test]
fn each_request_is_answered_once_after_its_flush() {
    explore(|| write_and_sync(1));
}

/// The exploration notices a leader that answers those who came during its flush.
#[test]
fn answers_to_those_who_came_late_are_noticed() {
    let how = explore_sabotaged(Sabotage::LateRequestsAnswered, || write_and_sync(u64::MAX));
    assert!(how.contains("answered before its flush"), "{how}");
}
