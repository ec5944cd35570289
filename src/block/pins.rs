//! Who may be about to use a frame that nothing durable refers to yet, or any more.
//!
//! Two turns: whoever takes a pin takes it in the present turn, and whoever drains begins the next
//! one and waits for the last. So pins never wait, and a drain waits for a bounded number of them.

use crate::base::sync::{Condvar, Mutex};
#[cfg(test)]
use crate::base::sync::{Sabotage, is_sabotaged};

/// The pins of a store.
#[derive(Default)]
pub(super) struct Pins {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Counts up; its parity says which count is the present one.
    turn: usize,
    held: [u64; 2],
}

/// While it lives, no segment goes that was there when it was taken.
pub struct Pin<'a> {
    pins: &'a Pins,
    side: usize,
}

impl Pins {
    /// Takes a pin.
    pub(super) fn pin(&self) -> Pin<'_> {
        let mut state = self.state.lock();
        let side = state.turn % 2;
        state.held[side] += 1;
        Pin { pins: self, side }
    }

    /// Waits until every pin is gone that was taken before. One caller at a time.
    pub(super) fn drain(&self) {
        let mut state = self.state.lock();
        let last = state.turn % 2;
        state.turn += 1;
        #[cfg(test)]
        if is_sabotaged(Sabotage::PinsIgnored) {
            return;
        }
        while state.held[last] > 0 {
            self.changed.wait(&mut state);
        }
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let mut state = self.pins.state.lock();
        state.held[self.side] -= 1;
        if state.held[self.side] == 0 {
            drop(state);
            self.pins.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sync::atomic::{AtomicBool, Ordering};
    use crate::base::sync::{explore, thread};
    use std::sync::Arc;

    /// A drain waits for each pin that was there before it, and for none that came later.
    #[test]
    fn a_drain_waits_for_those_before_it() {
        explore(|| {
            let pins = Arc::new(Pins::default());
            for _ in 0..2 {
                let is_over = Arc::new(AtomicBool::new(false));
                let before = pins.pin();
                let draining = thread::spawn({
                    let (pins, is_over) = (pins.clone(), is_over.clone());
                    move || {
                        pins.drain();
                        is_over.store(true, Ordering::SeqCst);
                    }
                });
                assert!(!is_over.load(Ordering::SeqCst));
                let user = thread::spawn({
                    let pins = pins.clone();
                    move || drop(pins.pin())
                });
                user.join().unwrap();
                assert!(!is_over.load(Ordering::SeqCst));
                drop(before);
                draining.join().unwrap();
            }
            assert_eq!(pins.state.lock().held, [0, 0]);
        });
    }
}
