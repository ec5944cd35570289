//! Threads that share the work of large requests with the thread that brings it.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use crate::base::sync::Mutex;
use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::base::sync::channel::{self, Receiver, Sender};
use crate::base::sync::thread::{self, JoinHandle};

/// Work that a worker may take over: it owns what it needs.
pub(super) type Job<R> = Box<dyn FnOnce() -> R + Send>;

/// A pool of threads. There is no queue: a piece of work goes to a worker that is idle now, or is
/// done by the thread that brings it. So nothing waits behind another request's work, and memory
/// is bounded by the number of threads.
pub(super) struct Workers {
    hand_over: Mutex<Option<Sender<Job<()>>>>,
    idle: Arc<AtomicU64>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Workers {
    /// Starts `count` threads; with none, every caller works alone.
    pub(super) fn start(count: usize) -> io::Result<Workers> {
        let (sender, receiver) = channel::bounded(0);
        let workers = Workers {
            hand_over: Mutex::new(Some(sender)),
            idle: Arc::new(AtomicU64::new(0)),
            threads: Mutex::new(Vec::with_capacity(count)),
        };
        for number in 0..count {
            let (receiver, idle) = (receiver.clone(), workers.idle.clone());
            let thread = thread::Builder::new()
                .name(format!("volfs-block-{number}"))
                .spawn(move || work(&receiver, &idle))?;
            workers.threads.lock().push(thread);
        }
        Ok(workers)
    }

    /// Number of threads, the caller's among them.
    pub(super) fn parallelism(&self) -> usize {
        self.threads.lock().len() + 1
    }

    /// `here(item)` for every item, in order. Where a worker is idle it gets `away(item)` instead,
    /// which must come to the same. A panic in either is the caller's, after all has ended.
    pub(super) fn map<T, R: Send + 'static>(
        &self,
        items: &[T],
        here: impl Fn(&T) -> R,
        away: impl Fn(&T) -> Job<R>,
    ) -> Vec<R> {
        let sender = self.hand_over.lock().clone();
        let (done, results) = channel::unbounded();
        let mut slots: Vec<Option<R>> = items.iter().map(|_| None).collect();
        let mut handed = 0;
        for (at, item) in items.iter().enumerate() {
            // The last item is this thread's: it would only wait.
            let helper = sender
                .as_ref()
                .filter(|_| at + 1 < items.len() && self.idle.load(Ordering::Relaxed) > 0);
            let Some(helper) = helper else {
                slots[at] = Some(here(item));
                continue;
            };
            let (job, done) = (away(item), done.clone());
            let job: Job<()> = Box::new(move || {
                let result = catch_unwind(AssertUnwindSafe(job));
                // The caller is gone only if its own part panicked.
                let _ = done.send((at, result));
            });
            match helper.try_send(job) {
                Ok(()) => {}
                Err(refused) => refused.into_inner()(),
            }
            handed += 1;
        }
        let mut panic: Option<Box<dyn Any + Send>> = None;
        for (at, result) in results.iter().take(handed) {
            match result {
                Ok(result) => slots[at] = Some(result),
                Err(payload) => panic = Some(payload),
            }
        }
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
        slots
            .into_iter()
            .map(|slot| slot.expect("every item was worked on"))
            .collect()
    }

    /// Ends the threads; whoever calls later works alone.
    pub(super) fn stop(&self) {
        drop(self.hand_over.lock().take());
        for thread in std::mem::take(&mut *self.threads.lock()) {
            if thread.join().is_err() {
                log::error!("a worker thread of the block store panicked outside of its work");
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}

fn work(jobs: &Receiver<Job<()>>, idle: &AtomicU64) {
    loop {
        idle.fetch_add(1, Ordering::Relaxed);
        let job = jobs.recv();
        idle.fetch_sub(1, Ordering::Relaxed);
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Results come in the order of the items, whoever worked on them, before and after the stop.
    #[test]
    fn results_keep_their_order() {
        let workers = Workers::start(3).unwrap();
        assert_eq!(workers.parallelism(), 4);
        let items: Vec<u64> = (0..500).collect();
        let squares: Vec<u64> = items.iter().map(|item| item * item).collect();
        let run = || {
            workers.map(
                &items,
                |item| item * item,
                |&item| Box::new(move || item * item),
            )
        };
        assert_eq!(run(), squares);
        workers.stop();
        assert_eq!(run(), squares);
    }

    /// A panic of a piece of work reaches the caller, and the workers go on.
    #[test]
    fn panics_reach_the_caller_and_workers_survive() {
        let workers = Workers::start(1).unwrap();
        let run = |items: &[u32]| {
            let work = |item: u32| if item == 3 { panic!("item 3") } else { item };
            catch_unwind(AssertUnwindSafe(|| {
                workers.map(
                    items,
                    |&item| work(item),
                    |&item| Box::new(move || work(item)),
                )
            }))
        };
        for _ in 0..50 {
            let payload = run(&[0, 1, 2, 3, 4, 5]).unwrap_err();
            assert_eq!(payload.downcast_ref::<&str>(), Some(&"item 3"));
            assert_eq!(run(&[1, 2]).unwrap(), [1, 2]);
        }
        workers.stop();
    }
}
