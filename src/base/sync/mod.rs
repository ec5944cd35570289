//! Locks, condition variables, channels, atomics and threads, as a seam: tests decide which thread
//! runs next.
//!
//! Outside of tests these are `parking_lot`'s, `crossbeam_channel`'s and the standard library's own
//! types, by another name. In tests they are the same as long as the thread is an ordinary one.
//! Inside of [`explore()`] every use of them is a point at which the thread may be stopped and
//! another one go on, chosen by a schedule that can be repeated.
//!
//! Whatever holds a lock while it takes another one, waits, calls the medium or touches an atomic
//! of this module takes its locks from here too: a thread that is stopped while it holds a lock of
//! another kind would stop the whole exploration. Locks held for a look only (caches) need not.

#[cfg(test)]
pub(crate) mod atomic;
#[cfg(test)]
pub(crate) mod channel;
#[cfg(test)]
mod explore;
#[cfg(test)]
mod explored;
#[cfg(test)]
mod sabotage;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod thread;

#[cfg(not(test))]
pub(crate) use crossbeam_channel as channel;
#[cfg(not(test))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockWriteGuard};
#[cfg(not(test))]
pub(crate) use std::{sync::atomic, thread};

#[cfg(test)]
pub(crate) use explore::{explore, explore_sabotaged, is_explored, once, switch};
#[cfg(test)]
pub(crate) use explored::{Condvar, Mutex, MutexGuard, RwLock, RwLockWriteGuard};
#[cfg(test)]
pub(crate) use sabotage::{Sabotage, is_sabotaged};
