//! Ctrl-C and its like, for a command that goes on until then.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// Exit code of a process that a second signal ends.
pub(crate) const INTERRUPTED: i32 = 130;

/// Told by the first signal. A second one, where the first does not help because an answer does not
/// come, ends the process.
pub(crate) struct Interrupt {
    interrupted: Receiver<()>,
}

impl Interrupt {
    /// From now on.
    pub(crate) fn new() -> io::Result<Interrupt> {
        let once = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register_conditional_shutdown(signal, INTERRUPTED, once.clone())?;
            flag::register(signal, once.clone())?;
        }
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let (tell, interrupted) = bounded(1);
        thread::Builder::new()
            .name("volfs-signals".to_owned())
            .spawn(move || {
                if signals.forever().next().is_some() {
                    // An error means that the command has ended already.
                    let _ = tell.send(());
                }
            })?;
        Ok(Interrupt { interrupted })
    }

    /// Waits so long; whether it was interrupted by then.
    pub(crate) fn comes_within(&self, time: Duration) -> bool {
        !matches!(
            self.interrupted.recv_timeout(time),
            Err(RecvTimeoutError::Timeout)
        )
    }
}
