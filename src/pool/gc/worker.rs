//! Garbage is collected by itself.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{GcOptions, Patience};
use crate::base::chain;
use crate::base::progress::Progress;
use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::base::sync::thread::{self, JoinHandle};
use crate::base::sync::{Condvar, Mutex};
use crate::pool::{Collected, Pool, PoolError};
use crate::volume::core::admission::Room;

/// Nice value of the thread: behind everybody who works.
const NICE: i32 = 10;
/// How often the thread looks whether there is enough garbage.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Bytes of segments that must have been added since the last look at what is alive.
const GROWTH_BYTES_MIN: u64 = 64 << 20;

/// The thread, and what it is told.
#[derive(Default)]
pub(in crate::pool) struct GcWorker {
    told: Arc<Told>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// By this thread, or for whoever asked.
    collected: Mutex<Collected>,
}

#[derive(Default)]
struct Told {
    state: Mutex<State>,
    changed: Condvar,
    /// Apart from the lock, so that the work can look at it often.
    is_over: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Something was deleted: there may be much garbage although nothing has grown.
    is_wanted: bool,
}

impl GcWorker {
    /// Starts the thread. Garbage is collected when it passes `percent` of what is alive.
    pub(in crate::pool) fn start(
        &self,
        pool: &Arc<Pool>,
        percent: u8,
        bytes_per_second: u64,
    ) -> std::io::Result<()> {
        if percent == 0 {
            return Ok(());
        }
        let (pool, told) = (Arc::downgrade(pool), self.told.clone());
        let worker = Worker {
            pool,
            told,
            percent,
            bytes_per_second,
            next_look: GROWTH_BYTES_MIN,
            is_short: false,
        };
        let thread = thread::Builder::new().name("gc".to_owned());
        *self.thread.lock() = Some(thread.spawn(move || worker.run())?);
        Ok(())
    }

    /// Something was deleted.
    pub(in crate::pool) fn want(&self) {
        self.told.state.lock().is_wanted = true;
    }

    /// A round has ended; these are a report's sums before and after it.
    pub(super) fn note(&self, before: Collected, after: Collected) {
        let mut sums = self.collected.lock();
        sums.moved_bytes += after.moved_bytes - before.moved_bytes;
        sums.removed_segments += after.removed_segments - before.removed_segments;
        sums.freed_bytes += after.freed_bytes.saturating_sub(before.freed_bytes);
    }

    /// What was collected since the opening.
    pub(in crate::pool) fn collected(&self) -> Collected {
        *self.collected.lock()
    }

    /// Ends the thread, and what it does, at its next frame.
    pub(in crate::pool) fn stop(&self) {
        self.told.is_over.store(true, Ordering::Release);
        drop(self.told.state.lock());
        self.told.changed.notify_all();
        if let Some(thread) = self.thread.lock().take()
            // The last reference to the pool may be the thread's own.
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            log::error!("the thread that collects garbage panicked");
        }
    }
}

struct Worker {
    pool: Weak<Pool>,
    told: Arc<Told>,
    percent: u8,
    bytes_per_second: u64,
    /// Bytes of segments from which on it is worth finding out what is alive.
    next_look: u64,
    /// The disk has no room for anything new: every segment counts.
    is_short: bool,
}

impl Worker {
    fn run(mut self) {
        lower_priority();
        loop {
            let is_wanted = {
                let mut state = self.told.state.lock();
                if !self.told.is_over() {
                    self.told.changed.wait_for(&mut state, LOOK_EVERY);
                }
                std::mem::take(&mut state.is_wanted)
            };
            let Some(pool) = self.pool.upgrade().filter(|_| !self.told.is_over()) else {
                return;
            };
            let was_short = self.is_short;
            self.is_short = pool.shared.admission.room() < Room::Enough;
            let is_wanted = is_wanted || self.is_short && !was_short;
            if is_wanted || pool.shared.store.stats().stored_bytes >= self.next_look {
                self.look(&pool);
            }
        }
    }

    fn look(&mut self, pool: &Pool) {
        if pool.await_index(&*self.told).is_err() {
            return;
        }
        // A check or a scrub reads segments one after the other.
        let Some(_one) = pool.maintenance.try_lock() else {
            return;
        };
        let percent = if self.is_short { 1 } else { self.percent };
        let options = GcOptions {
            dry_run: false,
            bytes_per_second: self.bytes_per_second,
            segment_garbage_percent: (percent / 2).min(50),
            garbage_percent: percent,
            patience: match self.is_short {
                true => Patience::default(),
                false => self.patience(pool),
            },
        };
        match pool.collect(&options, &*self.told) {
            Ok(found) if found.removed > 0 => log::info!(
                "garbage collection: {} segments deleted, {} bytes given back, {} moved",
                found.removed,
                found.freed_bytes,
                found.moved_bytes
            ),
            Ok(_) | Err(PoolError::BrokenOff) => {}
            Err(error) => log::warn!("garbage is not collected: {}", chain(&error)),
        }
        let stored = pool.shared.store.stats().stored_bytes;
        self.next_look = stored + growth(stored, percent);
    }
}

impl Worker {
    /// Until half as much again has been added as what made it look.
    fn patience(&self, pool: &Pool) -> Patience {
        let stored = pool.shared.store.stats().stored_bytes;
        Patience {
            stored_bytes_max: stored + growth(stored, self.percent) / 2,
        }
    }
}

/// Bytes of segments that are added between two looks.
fn growth(stored: u64, percent: u8) -> u64 {
    (stored / 400 * u64::from(percent)).max(GROWTH_BYTES_MIN)
}

impl Told {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}

impl Progress for Told {
    fn update(&self, _done: u64, _total: u64) {}

    fn is_cancelled(&self) -> bool {
        self.is_over()
    }
}

fn lower_priority() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICE) {
        log::debug!("the thread that collects garbage keeps its priority: {error}");
    }
}
