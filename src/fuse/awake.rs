//! Cores of a guest that stay awake while requests come close behind one another.
//!
//! A request through FUSE wakes a reader, and its answer wakes the caller; a commit takes some six
//! wake-ups. An idle core of a virtual machine halts, and to wake it is a matter for the host: that
//! was a third to a half of what a caller waited for. So while requests come, the kernel is asked
//! for a wake-up latency of nothing (PM QoS, `Documentation/admin-guide/pm/cpuidle.rst` in Linux),
//! with which idle cores poll. It forgets that with the descriptor, however this process ends.
//! docs/decisions/0010 has why, and what it costs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Requests that may be a burst. Short, for programs that do one thing at a time for a moment;
/// not so short that a folder listing is one.
const BURST_REQUESTS: u64 = 16;

/// They are, if they come within this time: a thousand a second.
const BURST_TIME: Duration = Duration::from_millis(16);

/// How long few requests must have come until cores may halt again: longer than a write-out in the
/// midst of commits, too short to be seen in what a machine takes.
const REST: Duration = Duration::from_millis(50);

/// Requests that carry so much are a stream's, and do not count: what they cost is the work on
/// their bytes, and polling cores were in the way of that.
const STREAM_BYTES: u64 = 256 << 10;

/// The longest wake-up latency that is asked for, in microseconds, as 32 bits. Only with none does
/// the driver below not halt.
const LATENCY: [u8; 4] = [0; 4];

const LATENCY_DEVICE: &str = "/dev/cpu_dma_latency";

/// The driver of idle cores, and the one under which waking them is up to a host. Others sleep in
/// steps of which the deepest only are worth keeping a core from, and that was not measured.
const IDLE_DRIVER: &str = "/sys/devices/system/cpu/cpuidle/current_driver";
const HALTING_DRIVER: &str = "haltpoll";

/// Looks at how fast requests come.
pub(crate) struct Awake {
    is_wanted: bool,
    since: Instant,
    requests: AtomicU64,
    /// When the last [`BURST_REQUESTS`] had come, in microseconds.
    burst_ended: AtomicU64,
    /// Cores are to be kept awake, or are.
    is_busy: AtomicBool,
    has_ended: Mutex<bool>,
    changed: Condvar,
}

impl Awake {
    /// `is_wanted`: whether cores are kept awake at all.
    pub(crate) fn new(is_wanted: bool) -> Awake {
        Awake {
            is_wanted,
            since: Instant::now(),
            requests: AtomicU64::new(0),
            burst_ended: AtomicU64::new(0),
            is_busy: AtomicBool::new(false),
            has_ended: Mutex::new(false),
            changed: Condvar::new(),
        }
    }

    /// A request that carried so many bytes was answered at this moment.
    pub(crate) fn answered(&self, now: Instant, bytes: u64) {
        if !self.is_wanted || bytes >= STREAM_BYTES {
            return;
        }
        let requests = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if !requests.is_multiple_of(BURST_REQUESTS) || self.is_busy.load(Ordering::Relaxed) {
            return;
        }
        let now = self.micros(now);
        let before = self.burst_ended.swap(now, Ordering::Relaxed);
        let is_burst = u128::from(now.saturating_sub(before)) <= BURST_TIME.as_micros();
        if is_burst && !self.is_busy.swap(true, Ordering::Relaxed) {
            // Behind the lock: whoever looks at `is_busy` sees it, or sleeps by then.
            let _looked = self.has_ended.lock();
            self.changed.notify_one();
        }
    }

    fn micros(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.since);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether cores are kept awake at all.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// The session has ended.
    pub(crate) fn end(&self) {
        *self.has_ended.lock() = true;
        self.changed.notify_one();
    }

    /// Keeps what `hold` gives while requests come fast, until the session ends. While they do not,
    /// this sleeps.
    pub(crate) fn run<H>(&self, hold: impl Fn() -> io::Result<H>) {
        let mut has_ended = self.has_ended.lock();
        while self.is_wanted && !*has_ended {
            if !self.is_busy.load(Ordering::Relaxed) {
                self.changed.wait(&mut has_ended);
                continue;
            }
            let held = match hold() {
                Ok(held) => held,
                Err(error) => {
                    // A container may not have the device. `is_busy` stays: nobody asks again.
                    log::info!("idle cores go on halting: {LATENCY_DEVICE}: {error}");
                    return;
                }
            };
            self.wait_for_rest(&mut has_ended);
            drop(held);
            self.is_busy.store(false, Ordering::Relaxed);
        }
    }
    /// Waits until hardly any requests come, or the session has ended.
    fn wait_for_rest(&self, has_ended: &mut MutexGuard<'_, bool>) {
        let mut before = self.requests.load(Ordering::Relaxed);
        loop {
            let until = Instant::now() + REST;
            while !**has_ended && Instant::now() < until {
                self.changed.wait_until(has_ended, until);
            }
            let now = self.requests.load(Ordering::Relaxed);
            if **has_ended || now - before < BURST_REQUESTS {
                return;
            }
            before = now;
        }
    }
}

/// Whether idle cores of this machine halt, and would poll if they were asked to.
pub(crate) fn do_cores_halt() -> bool {
    fs::read_to_string(IDLE_DRIVER).is_ok_and(|driver| driver.trim() == HALTING_DRIVER)
}

/// Idle cores poll until the file is closed. Only root may ask for it.
pub(crate) fn keep_cores_awake() -> io::Result<File> {
    let mut device = OpenOptions::new().write(true).open(LATENCY_DEVICE)?;
    device.write_all(&LATENCY)?;
    Ok(device)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Sender, channel};
    use std::thread;

    use super::*;

    /// Longer than anything here takes.
    const SOON: Duration = Duration::from_secs(30);

    /// What is held: it tells when it goes.
    struct Held(Sender<&'static str>);

    impl Drop for Held {
        fn drop(&mut self) {
            // An error is a test that does not look.
            let _ = self.0.send("let go");
        }
    }

    /// As many requests, this far apart.
    fn requests(awake: &Awake, count: u64, apart: Duration) {
        let mut now = Instant::now();
        for _ in 0..count {
            now += apart;
            awake.answered(now, 8192);
        }
    }

    fn is_busy(awake: &Awake) -> bool {
        awake.is_busy.load(Ordering::Relaxed)
    }

    /// A thousand requests a second are fast, nine hundred are not, whatever there was before.
    #[test]
    fn bursts_are_told_from_single_requests() {
        let awake = Awake::new(true);
        requests(&awake, 1, SOON);
        requests(&awake, 100 * BURST_REQUESTS, Duration::from_micros(1100));
        assert!(!is_busy(&awake));
        requests(&awake, 2 * BURST_REQUESTS, Duration::from_micros(1000));
        assert!(is_busy(&awake));
    }

    /// However fast a stream is, it is none.
    #[test]
    fn streams_are_no_bursts() {
        let awake = Awake::new(true);
        for _ in 0..10 * BURST_REQUESTS {
            awake.answered(Instant::now(), 1 << 20);
        }
        assert!(!is_busy(&awake));
    }

    /// Nothing is held before requests come fast, nor when they come no more; with the next ones it
    /// is held again.
    #[test]
    fn cores_are_kept_awake_during_bursts_alone() {
        let awake = Arc::new(Awake::new(true));
        let (tell, told) = channel();
        let keeper = thread::spawn({
            let awake = awake.clone();
            move || {
                awake.run(|| {
                    tell.send("held").unwrap();
                    Ok(Held(tell.clone()))
                })
            }
        });
        for _ in 0..2 {
            assert!(told.try_recv().is_err());
            requests(&awake, 3 * BURST_REQUESTS, Duration::ZERO);
            assert_eq!(told.recv_timeout(SOON), Ok("held"));
            assert_eq!(told.recv_timeout(SOON), Ok("let go"));
            while is_busy(&awake) {
                thread::yield_now();
            }
        }
        awake.end();
        keeper.join().unwrap();
    }

    /// What is held stays held while requests go on, and goes with the session.
    #[test]
    fn the_end_lets_go() {
        let awake = Arc::new(Awake::new(true));
        let (tell, told) = channel();
        let keeper = thread::spawn({
            let awake = awake.clone();
            move || awake.run(|| Ok(Held(tell.clone())))
        });
        let until = Instant::now() + 3 * REST;
        while Instant::now() < until {
            requests(&awake, BURST_REQUESTS, Duration::ZERO);
        }
        assert!(is_busy(&awake));
        awake.end();
        keeper.join().unwrap();
        assert_eq!(told.recv(), Ok("let go"));
    }

    /// Where it may not be held it is not tried again, and where it is not wanted not at all.
    #[test]
    fn what_cannot_be_held_is_left() {
        let awake = Awake::new(true);
        requests(&awake, 2 * BURST_REQUESTS, Duration::ZERO);
        awake.run(|| -> io::Result<()> { Err(io::ErrorKind::NotFound.into()) });
        assert!(is_busy(&awake), "nobody wakes the keeper any more");

        let awake = Awake::new(false);
        requests(&awake, 2 * BURST_REQUESTS, Duration::ZERO);
        assert!(!is_busy(&awake));
        awake.run(|| -> io::Result<()> { panic!("it is not wanted") });
    }
}
