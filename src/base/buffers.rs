//! Memory for bytes in passing.
//!
//! It is handed out last in, first out, to whatever thread: what was used last is still in the
//! processor's caches. Requests of a stream go to a mount's readers in turn, and with a buffer for
//! each thread every one of them would miss the caches.

use parking_lot::Mutex;

/// As many are kept as work at once where it is much.
const KEPT_MAX: usize = 8;
/// Longer ones are not kept, in bytes.
const KEPT_BYTES_MAX: usize = 2 << 20;

/// Buffers that nobody uses now.
pub(crate) struct Buffers {
    idle: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// None yet.
    pub(crate) const fn new() -> Buffers {
        Buffers {
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Calls `work` with `len` bytes that hold anything.
    pub(crate) fn with<R>(&self, len: usize, work: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut buffer = self.idle.lock().pop().unwrap_or_default();
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        let result = work(&mut buffer[..len]);
        self.give_back(buffer);
        result
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let mut idle = self.idle.lock();
        if idle.len() < KEPT_MAX && buffer.capacity() <= KEPT_BYTES_MAX {
            idle.push(buffer);
        } else {
            // Freed outside of the lock.
            drop(idle);
            drop(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last one given back comes first, as long as is asked for; giants and what is too many
    /// are not kept.
    #[test]
    fn the_last_used_comes_first() {
        let buffers = Buffers::new();
        let outer = buffers.with(10, |outer| {
            let inner = buffers.with(20, |inner| inner.as_ptr());
            assert_eq!(buffers.with(20, |again| again.as_ptr()), inner);
            outer.as_ptr()
        });
        assert_eq!(
            buffers.with(5, |bytes| (bytes.as_ptr(), bytes.len())),
            (outer, 5)
        );
        buffers.with(KEPT_BYTES_MAX + 1, |_| ());
        assert_eq!(buffers.idle.lock().len(), 1);
        nest(&buffers, 2 * KEPT_MAX);
        assert_eq!(buffers.idle.lock().len(), KEPT_MAX);
    }

    fn nest(buffers: &Buffers, depth: usize) {
        if depth > 0 {
            buffers.with(1, |_| nest(buffers, depth - 1));
        }
    }
}
