//! Atomics whose every use is a point where another explored thread may go on.
//!
//! Exploration knows one order only, as if each use were `SeqCst`: what a weaker ordering allows
//! beyond that is not found.

pub(crate) use std::sync::atomic::Ordering;

use super::explore::switch;

/// A `bool`, see the module's text.
#[derive(Debug, Default)]
pub(crate) struct AtomicBool(std::sync::atomic::AtomicBool);

impl AtomicBool {
    pub(crate) const fn new(value: bool) -> AtomicBool {
        AtomicBool(std::sync::atomic::AtomicBool::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> bool {
        switch();
        self.0.load(order)
    }

    pub(crate) fn store(&self, value: bool, order: Ordering) {
        switch();
        self.0.store(value, order);
    }

    pub(crate) fn swap(&self, value: bool, order: Ordering) -> bool {
        switch();
        self.0.swap(value, order)
    }
}

/// A `u64`, see the module's text.
#[derive(Debug, Default)]
pub(crate) struct AtomicU64(std::sync::atomic::AtomicU64);

impl AtomicU64 {
    pub(crate) const fn new(value: u64) -> AtomicU64 {
        AtomicU64(std::sync::atomic::AtomicU64::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> u64 {
        switch();
        self.0.load(order)
    }

    pub(crate) fn store(&self, value: u64, order: Ordering) {
        switch();
        self.0.store(value, order);
    }

    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        switch();
        self.0.fetch_add(value, order)
    }

    pub(crate) fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
        switch();
        self.0.fetch_sub(value, order)
    }

    pub(crate) fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
        switch();
        self.0.fetch_max(value, order)
    }
}
