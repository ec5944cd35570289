//! A progress bar on stderr, on a terminal only, for work that takes longer than a moment.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::base::progress::Progress;
use crate::base::{Clock, SystemClock};

/// Nothing is drawn before this time.
const QUIET: Duration = Duration::from_millis(250);

/// At most so many drawings a second.
const DRAWINGS_PER_SECOND: u8 = 10;

/// A progress bar.
pub(crate) struct Bar {
    bar: ProgressBar,
    clock: SystemClock,
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
        }
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
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
