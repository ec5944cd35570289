//! Calls of the operating system that were interrupted before they did anything.

use std::io;

/// Times that a call is repeated that says "not now".
const STALLS_MAX: u32 = 1000;

/// Repeats a read or a write that was interrupted (EINTR), or a bounded number of times one that
/// was put off (EAGAIN): neither says anything about the medium, so neither may become an I/O error
/// of a volume. Never for syncs: the kernel may have reported a lost page together with the
/// interruption, and would say nothing of that to a second call.
pub(super) fn repeat<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut stalls = 0;
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && stalls < STALLS_MAX => {
                stalls += 1;
                std::thread::yield_now();
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An interrupted call is repeated, one that says "not now" a bounded number of times, and any
    /// other error is the caller's at once.
    #[test]
    fn passing_errors_are_repeated_and_others_are_not() {
        let calls = |kinds: &mut dyn Iterator<Item = io::ErrorKind>| {
            let mut count = 0;
            let result = repeat(|| {
                count += 1;
                kinds.next().map_or(Ok(7), |kind| Err(kind.into()))
            });
            (count, result.map_err(|error: io::Error| error.kind()))
        };
        use io::ErrorKind::{Interrupted, StorageFull, WouldBlock};
        let passing = [Interrupted, WouldBlock, Interrupted];
        assert_eq!(calls(&mut passing.into_iter()), (4, Ok(7)));
        let full = [Interrupted, StorageFull, Interrupted];
        assert_eq!(calls(&mut full.into_iter()), (2, Err(StorageFull)));
        let stalled = calls(&mut std::iter::repeat(WouldBlock));
        assert_eq!(stalled, (1001, Err(WouldBlock)));
    }
}
