//! Threads that an exploration starts as its own, and the machine's otherwise.

use std::io;

use super::explore::is_explored;

/// As [`std::thread::Builder`].
#[derive(Default)]
pub(crate) struct Builder {
    name: String,
}

impl Builder {
    /// A thread without a name.
    pub(crate) fn new() -> Builder {
        Builder::default()
    }

    /// Names the thread.
    pub(crate) fn name(self, name: String) -> Builder {
        Builder { name }
    }

    /// Starts it.
    pub(crate) fn spawn<T: Send + 'static>(
        self,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        if is_explored() {
            let builder = shuttle::thread::Builder::new().name(self.name);
            builder.spawn(run).map(JoinHandle::Explored)
        } else {
            let builder = std::thread::Builder::new().name(self.name);
            builder.spawn(run).map(JoinHandle::Real)
        }
    }
}

/// As [`std::thread::JoinHandle`].
pub(crate) enum JoinHandle<T> {
    /// One of the machine's.
    Real(std::thread::JoinHandle<T>),
    /// One of an exploration.
    Explored(shuttle::thread::JoinHandle<T>),
}

impl<T> JoinHandle<T> {
    /// Waits for its end; an error is its panic.
    pub(crate) fn join(self) -> std::thread::Result<T> {
        match self {
            JoinHandle::Real(thread) => thread.join(),
            JoinHandle::Explored(thread) => thread.join(),
        }
    }

    /// Which thread it is.
    pub(crate) fn thread(&self) -> Thread {
        match self {
            JoinHandle::Real(thread) => Thread(ThreadId::Real(thread.thread().id())),
            JoinHandle::Explored(thread) => Thread(ThreadId::Explored(thread.thread().id())),
        }
    }
}

/// As [`std::thread::Thread`].
pub(crate) struct Thread(ThreadId);

impl Thread {
    /// Tells it from others.
    pub(crate) fn id(&self) -> ThreadId {
        self.0
    }
}

/// As [`std::thread::ThreadId`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ThreadId {
    /// One of the machine's.
    Real(std::thread::ThreadId),
    /// One of an exploration.
    Explored(shuttle::thread::ThreadId),
}

/// The thread that asks.
pub(crate) fn current() -> Thread {
    Thread(if is_explored() {
        ThreadId::Explored(shuttle::thread::current().id())
    } else {
        ThreadId::Real(std::thread::current().id())
    })
}

/// Starts a thread without a name, in tests.
pub(crate) fn spawn<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().spawn(run).expect("a thread starts")
}
