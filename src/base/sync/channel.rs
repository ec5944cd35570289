//! Channels that are `crossbeam_channel`'s for ordinary threads, and queues under the locks of this
//! module for explored ones. Who makes a channel decides which it is.

use std::collections::VecDeque;
use std::sync::Arc;

pub(crate) use crossbeam_channel::{RecvError, SendError, TrySendError};

use super::explore::is_explored;
use super::{Condvar, Mutex};

/// The sending end.
pub(crate) enum Sender<T> {
    /// Of ordinary threads.
    Real(crossbeam_channel::Sender<T>),
    /// Of explored ones.
    Explored(Arc<Queue<T>>),
}

/// The receiving end.
pub(crate) enum Receiver<T> {
    /// Of ordinary threads.
    Real(crossbeam_channel::Receiver<T>),
    /// Of explored ones.
    Explored(Arc<Queue<T>>),
}

/// A channel of explored threads.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    /// Without room a value is taken only if a receiver waits for it.
    has_room: bool,
}

struct State<T> {
    values: VecDeque<T>,
    waiting: usize,
    senders: usize,
    receivers: usize,
}

/// A channel without room: a value goes from hand to hand.
///
/// # Panics
/// For any other capacity.
pub(crate) fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert_eq!(capacity, 0, "only such channels are explored");
    match is_explored() {
        true => explored(false),
        false => real(crossbeam_channel::bounded(0)),
    }
}

/// A channel that takes any number of values.
pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    match is_explored() {
        true => explored(true),
        false => real(crossbeam_channel::unbounded()),
    }
}

fn real<T>(
    ends: (crossbeam_channel::Sender<T>, crossbeam_channel::Receiver<T>),
) -> (Sender<T>, Receiver<T>) {
    (Sender::Real(ends.0), Receiver::Real(ends.1))
}

fn explored<T>(has_room: bool) -> (Sender<T>, Receiver<T>) {
    let state = State {
        values: VecDeque::new(),
        waiting: 0,
        senders: 1,
        receivers: 1,
    };
    let queue = Arc::new(Queue {
        state: Mutex::new(state),
        changed: Condvar::new(),
        has_room,
    });
    (Sender::Explored(queue.clone()), Receiver::Explored(queue))
}

impl<T> Queue<T> {
    fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let mut state = self.state.lock();
        if state.receivers == 0 {
            return Err(TrySendError::Disconnected(value));
        }
        if !self.has_room && state.waiting <= state.values.len() {
            return Err(TrySendError::Full(value));
        }
        state.values.push_back(value);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    fn recv(&self) -> Result<T, RecvError> {
        let mut state = self.state.lock();
        loop {
            if let Some(value) = state.values.pop_front() {
                return Ok(value);
            }
            if state.senders == 0 {
                return Err(RecvError);
            }
            state.waiting += 1;
            self.changed.wait(&mut state);
            state.waiting -= 1;
        }
    }
}

impl<T> Sender<T> {
    /// Hands the value over if that is possible now.
    pub(crate) fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        match self {
            Sender::Real(sender) => sender.try_send(value),
            Sender::Explored(queue) => queue.try_send(value),
        }
    }

    /// Sends to a channel that takes any number of values.
    pub(crate) fn send(&self, value: T) -> Result<(), SendError<T>> {
        match self {
            Sender::Real(sender) => sender.send(value),
            Sender::Explored(queue) => queue
                .try_send(value)
                .map_err(|refused| SendError(refused.into_inner())),
        }
    }
}

impl<T> Receiver<T> {
    /// Waits for a value; an error if there are no senders any more.
    pub(crate) fn recv(&self) -> Result<T, RecvError> {
        match self {
            Receiver::Real(receiver) => receiver.recv(),
            Receiver::Explored(queue) => queue.recv(),
        }
    }

    /// Values until there are no senders any more.
    pub(crate) fn iter(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.recv().ok())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        match self {
            Sender::Real(sender) => Sender::Real(sender.clone()),
            Sender::Explored(queue) => {
                queue.state.lock().senders += 1;
                Sender::Explored(queue.clone())
            }
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        match self {
            Receiver::Real(receiver) => Receiver::Real(receiver.clone()),
            Receiver::Explored(queue) => {
                queue.state.lock().receivers += 1;
                Receiver::Explored(queue.clone())
            }
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if let Sender::Explored(queue) = self {
            queue.state.lock().senders -= 1;
            queue.changed.notify_all();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if let Receiver::Explored(queue) = self {
            queue.state.lock().receivers -= 1;
        }
    }
}
