//! A progress bar on stderr, on a terminal only, for work that takes longer than a moment.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::base::progress::Progress;
use crate::base::{Clock, SystemClock};
use crate::cli::interrupt::INTERRUPTED;

/// Nothing is drawn before this time.
const QUIET: Duration = Duration::from_millis(250);

/// At most so many drawings a second.
const DRAWINGS_PER_SECOND: u8 = 10;

/// A progress bar.
pub(crate) struct Bar {
    bar: ProgressBar,
    clock: SystemClock,
    interrupted: Arc<AtomicBool>,
}

impl Bar {
    /// A bar with a word in front of it.
    pub(crate) fn new(what: &'static str) -> Bar {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3}% {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.set_message(what);
        Bar {
            bar,
            clock: SystemClock::new(),
            interrupted: Arc::default(),
        }
    }

    /// From now on the work, if this process does it, ends in good order at the first Ctrl-C; the
    /// second one ends the process.
    pub(crate) fn heed_signals(self) -> io::Result<Bar> {
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let set = self.interrupted.clone();
            flag::register_conditional_shutdown(signal, INTERRUPTED, set)?;
            flag::register(signal, self.interrupted.clone())?;
        }
        Ok(self)
    }
}

impl Progress for Bar {
    fn update(&self, done: u64, total: u64) {
        if !io::stderr().is_terminal() || self.clock.monotonic() < QUIET {
            return;
        }
        if self.bar.is_hidden() {
            self.bar
                .set_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWINGS_PER_SECOND));
        }
        if total > 0 {
            self.bar.set_length(total);
        }
        self.bar.set_position(done);
    }

    fn is_cancelled(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
