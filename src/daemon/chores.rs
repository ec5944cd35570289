//! Work that nobody waits for, on a thread of its own.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use crossbeam_channel::{Sender, bounded};

/// Does its work when it is asked to, as long as it takes: who asks goes on at once. What is asked
/// for while it works is done once more, and no more often. The end does not wait for it either.
pub(super) struct Chores {
    ask: Sender<()>,
}

impl Chores {
    /// A thread that does this work. It ends after the work that is under way when this goes, or
    /// with the process.
    pub(super) fn start(work: impl Fn() + Send + 'static) -> io::Result<Chores> {
        let (ask, asked) = bounded(1);
        let thread = thread::Builder::new().name("chores".to_owned());
        thread.spawn(move || {
            for () in asked {
                // The panic itself is in the log; the next time may go better.
                if catch_unwind(AssertUnwindSafe(&work)).is_err() {
                    log::error!("chores: broken off by an error of the daemon's own");
                }
            }
        })?;
        Ok(Chores { ask })
    }

    /// It is time to work.
    pub(super) fn ask(&self) {
        // Full: it will look once more anyway.
        let _ = self.ask.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who asks does not wait, however often; what was asked for during the work is done once; and
    /// a panic does not end it.
    #[test]
    fn nobody_waits_for_chores() {
        let (begun, begins) = bounded(10);
        let (go_on, goes_on) = bounded::<bool>(10);
        let chores = Chores::start(move || {
            begun.send(()).unwrap();
            assert!(goes_on.recv().unwrap(), "this time the work panics");
        })
        .unwrap();
        chores.ask();
        begins.recv().unwrap();
        for _ in 0..100 {
            chores.ask();
        }
        go_on.send(false).unwrap();
        begins.recv().unwrap();
        drop(chores);
        go_on.send(true).unwrap();
        assert!(begins.recv().is_err(), "the work was done too often");
    }
}
