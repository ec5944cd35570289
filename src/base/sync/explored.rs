//! Locks that are `parking_lot`'s for ordinary threads and take turns by a schedule for explored
//! ones.
//!
//! Each lock is a pair: `turn`, which the schedule decides about, and `parking_lot`'s with the
//! data. An explored thread takes the turn first, so that the second is always free for it.

use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::Duration;

use super::explore::is_explored;

/// See the module's text.
#[derive(Default)]
pub(crate) struct Mutex<T: ?Sized> {
    turn: shuttle::sync::Mutex<()>,
    data: parking_lot::Mutex<T>,
}

/// Holds a [`Mutex`]. Dropped in the order of its fields: the data before the turn.
pub(crate) struct MutexGuard<'a, T: ?Sized> {
    data: Option<parking_lot::MutexGuard<'a, T>>,
    turn: Option<shuttle::sync::MutexGuard<'a, ()>>,
    mutex: &'a Mutex<T>,
}

impl<T> Mutex<T> {
    /// A free lock.
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex {
            turn: shuttle::sync::Mutex::new(()),
            data: parking_lot::Mutex::new(value),
        }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock; a panic under it leaves it usable.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let turn = is_explored().then(|| {
            let turn = self.turn.lock();
            turn.unwrap_or_else(PoisonError::into_inner)
        });
        MutexGuard {
            data: Some(self.lock_data(turn.is_some())),
            turn,
            mutex: self,
        }
    }

    /// Takes the lock if nobody has it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let turn = match is_explored() {
            true => Some(self.turn.try_lock().ok()?),
            false => None,
        };
        let data = match turn.is_some() {
            true => self.lock_data(true),
            false => self.data.try_lock()?,
        };
        Some(MutexGuard {
            data: Some(data),
            turn,
            mutex: self,
        })
    }

    fn lock_data(&self, has_turn: bool) -> parking_lot::MutexGuard<'_, T> {
        if has_turn {
            let data = self.data.try_lock();
            data.expect("whoever has the turn finds the lock free")
        } else {
            self.data.lock()
        }
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.data.as_ref().expect("only a waiting guard has none")
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.data.as_mut().expect("only a waiting guard has none")
    }
}

/// See the module's text.
#[derive(Default)]
pub(crate) struct Condvar {
    turns: shuttle::sync::Condvar,
    real: parking_lot::Condvar,
}

impl Condvar {
    /// Nobody waits.
    pub(crate) fn new() -> Condvar {
        Condvar::default()
    }

    /// Gives the lock up until notified.
    pub(crate) fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        match guard.turn.take() {
            None => {
                let data = guard.data.as_mut();
                self.real.wait(data.expect("only a waiting guard has none"));
            }
            Some(turn) => {
                guard.data = None;
                let turn = self.turns.wait(turn);
                guard.turn = Some(turn.unwrap_or_else(PoisonError::into_inner));
                guard.data = Some(guard.mutex.lock_data(true));
            }
        }
    }

    /// As [`Condvar::wait`], for a limited time. That of an explored thread never ends, so that a
    /// notification that is missing shows as a deadlock instead of as a delay.
    pub(crate) fn wait_for<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        timeout: Duration,
    ) -> Waited {
        if guard.turn.is_some() {
            self.wait(guard);
            return Waited { timed_out: false };
        }
        let data = guard.data.as_mut();
        let data = data.expect("only a waiting guard has none");
        let timed_out = self.real.wait_for(data, timeout).timed_out();
        Waited { timed_out }
    }

    /// Wakes one that waits.
    pub(crate) fn notify_one(&self) {
        if is_explored() {
            self.turns.notify_one();
        } else {
            self.real.notify_one();
        }
    }

    /// Wakes all that wait.
    pub(crate) fn notify_all(&self) {
        if is_explored() {
            self.turns.notify_all();
        } else {
            self.real.notify_all();
        }
    }
}

/// How a limited wait ended.
pub(crate) struct Waited {
    timed_out: bool,
}

impl Waited {
    /// Whether the time was over.
    pub(crate) fn timed_out(&self) -> bool {
        self.timed_out
    }
}

/// See the module's text.
#[derive(Default)]
pub(crate) struct RwLock<T: ?Sized> {
    turn: shuttle::sync::RwLock<()>,
    data: parking_lot::RwLock<T>,
}

/// Reads a [`RwLock`]. Dropped in the order of its fields.
pub(crate) struct RwLockReadGuard<'a, T: ?Sized> {
    data: parking_lot::RwLockReadGuard<'a, T>,
    _turn: Option<shuttle::sync::RwLockReadGuard<'a, ()>>,
}

/// Holds a [`RwLock`] alone. Dropped in the order of its fields.
pub(crate) struct RwLockWriteGuard<'a, T: ?Sized> {
    data: parking_lot::RwLockWriteGuard<'a, T>,
    _turn: Option<shuttle::sync::RwLockWriteGuard<'a, ()>>,
}

impl<T> RwLock<T> {
    /// A free lock.
    pub(crate) fn new(value: T) -> RwLock<T> {
        RwLock {
            turn: shuttle::sync::RwLock::new(()),
            data: parking_lot::RwLock::new(value),
        }
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Takes the lock beside other readers. A thread that has it already is told off: behind a
    /// waiting writer it would wait for itself.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        let turn = is_explored().then(|| {
            let turn = self.turn.read();
            turn.unwrap_or_else(PoisonError::into_inner)
        });
        let data = match turn {
            Some(_) => self.data.try_read(),
            None => Some(self.data.read()),
        };
        RwLockReadGuard {
            data: data.expect("whoever has the turn finds the lock free"),
            _turn: turn,
        }
    }

    /// Takes the lock alone.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        let turn = is_explored().then(|| {
            let turn = self.turn.write();
            turn.unwrap_or_else(PoisonError::into_inner)
        });
        let data = match turn {
            Some(_) => self.data.try_write(),
            None => Some(self.data.write()),
        };
        RwLockWriteGuard {
            data: data.expect("whoever has the turn finds the lock free"),
            _turn: turn,
        }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.data
    }
}
