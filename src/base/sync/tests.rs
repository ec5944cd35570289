//! The seam itself: what it is outside of an exploration, and that explorations find what is wrong.

use std::panic::{UnwindSafe, catch_unwind};
use std::sync::Arc;

use super::atomic::{AtomicU64, Ordering};
use super::explore::{explore, replay};
use super::{Condvar, Mutex, RwLock, thread};

/// How an exploration fails.
fn failure(run: impl FnOnce() + UnwindSafe) -> String {
    let panic = catch_unwind(run).unwrap_err();
    let text = panic.downcast_ref::<String>().cloned();
    text.unwrap_or_else(|| panic.downcast_ref::<&str>().unwrap().to_string())
}

/// Two threads add one each, in two steps.
fn add_in_two_steps() {
    let count = Arc::new(AtomicU64::new(0));
    let add = |count: &AtomicU64| {
        let seen = count.load(Ordering::Relaxed);
        count.store(seen + 1, Ordering::Relaxed);
    };
    let other = thread::spawn({
        let count = count.clone();
        move || add(&count)
    });
    add(&count);
    other.join().unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 2, "an update was lost");
}

/// Ordinary threads wait for each other by the locks' own means.
#[test]
fn ordinary_threads_use_the_machines_locks() {
    let shared = Arc::new((Mutex::new(0), Condvar::new(), RwLock::new(0)));
    let other = thread::spawn({
        let shared = shared.clone();
        move || {
            let mut turn = shared.0.lock();
            while *turn != 1 {
                shared.1.wait(&mut turn);
            }
            *shared.2.write() += 1;
            *turn = 2;
            shared.1.notify_all();
        }
    });
    let mut turn = shared.0.lock();
    *turn = 1;
    shared.1.notify_all();
    while *turn != 2 {
        shared.1.wait(&mut turn);
    }
    drop(turn);
    other.join().unwrap();
    assert_eq!(*shared.2.read(), 1);
}

/// Under the locks of this module no update is lost under any schedule; between two atomic steps
/// one can be, and is.
#[test]
fn interleavings_of_single_steps_are_found() {
    explore(|| {
        let count = Arc::new(Mutex::new(0));
        let other = thread::spawn({
            let count = count.clone();
            move || *count.lock() += 1
        });
        *count.lock() += 1;
        other.join().unwrap();
        assert_eq!(*count.lock(), 2);
    });
    let lost = failure(|| explore(add_in_two_steps));
    assert!(lost.contains("an update was lost"), "{lost}");
}

/// The schedule that a failure printed makes it fail again.
#[test]
fn interleavings_are_repeated_by_their_schedule() {
    let lost = failure(|| replay("9101099690c3d4da84a4b676200a00", add_in_two_steps));
    assert!(lost.contains("an update was lost"), "{lost}");
}

/// A notification that comes before the wait, and locks taken in two orders, are deadlocks that
/// are found, not hangs.
#[test]
fn interleavings_that_deadlock_are_found() {
    let lost = failure(|| {
        explore(|| {
            let shared = Arc::new((Mutex::new(()), Condvar::new(), AtomicU64::new(0)));
            let other = thread::spawn({
                let shared = shared.clone();
                move || {
                    // Without the lock: the other may be between its look and its wait.
                    shared.2.store(1, Ordering::Relaxed);
                    shared.1.notify_all();
                }
            });
            let mut guard = shared.0.lock();
            while shared.2.load(Ordering::Relaxed) == 0 {
                shared.1.wait(&mut guard);
            }
            drop(guard);
            other.join().unwrap();
        })
    });
    assert!(lost.contains("deadlock"), "{lost}");
    let crossed = failure(|| {
        explore(|| {
            let locks = Arc::new((Mutex::new(()), RwLock::new(())));
            let other = thread::spawn({
                let locks = locks.clone();
                move || {
                    let _second = locks.1.write();
                    let _first = locks.0.lock();
                }
            });
            let first = locks.0.lock();
            let second = locks.1.read();
            drop((second, first));
            other.join().unwrap();
        })
    });
    assert!(crossed.contains("deadlock"), "{crossed}");
}
