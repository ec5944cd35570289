//! What surrounds every handler: panics end here, and readers are counted.

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::errno::Errno;

thread_local! {
    /// The operation that this thread serves.
    static SERVING: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// From now on a panic while an operation is served goes to the log with its backtrace, which is
/// lost once the stack has been unwound. Other panics are reported as before.
pub(crate) fn log_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| match SERVING.get() {
            Some(operation) => {
                log::error!("{operation}: {info}\n{}", Backtrace::force_capture());
            }
            None => previous(info),
        }));
    });
}

/// Runs `serve`; a panic in it becomes EIO. Reply objects that it owned answer EIO by themselves.
///
/// The state behind may be used on: the volume's locks are held for the length of its own calls,
/// and an operation that did not get to its commit has changed nothing.
pub(crate) fn catch<R>(operation: &'static str, serve: impl FnOnce() -> R) -> Result<R, Errno> {
    let outer = SERVING.replace(Some(operation));
    let outcome = panic::catch_unwind(AssertUnwindSafe(serve));
    SERVING.set(outer);
    outcome.map_err(|_| Errno::EIO)
}

/// Counts the readers that serve a request at the moment.
pub(crate) struct Readers {
    count: usize,
    busy: AtomicUsize,
}

impl Readers {
    pub(crate) fn new(count: usize) -> Readers {
        Readers {
            count,
            busy: AtomicUsize::new(0),
        }
    }

    pub(crate) fn enter(&self) -> BusyReader<'_> {
        // A hint for scheduling: no memory is published through it.
        self.busy.fetch_add(1, Ordering::Relaxed);
        BusyReader(self)
    }

    /// Whether no reader waits for requests: the caller is the last one that could have.
    pub(crate) fn none_idle(&self) -> bool {
        self.busy.load(Ordering::Relaxed) >= self.count
    }
}

/// The reader is idle again when this is dropped.
pub(crate) struct BusyReader<'a>(&'a Readers);

impl Drop for BusyReader<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A panic in a handler answers EIO, and the thread goes on.
    #[test]
    fn panics_become_eio() {
        log_panics();
        log_panics();
        assert_eq!(
            catch("read", || -> u32 { panic!("broken") }),
            Err(Errno(libc::EIO))
        );
        assert_eq!(SERVING.get(), None);
        assert_eq!(catch("read", || 7), Ok(7));
    }

    /// The last idle reader knows that it is the last, until another one has come back.
    #[test]
    fn the_last_idle_reader_is_known() {
        let readers = Readers::new(2);
        let first = readers.enter();
        assert!(!readers.none_idle());
        let second = readers.enter();
        assert!(readers.none_idle());
        drop(first);
        assert!(!readers.none_idle());
        drop(second);
    }
}
