//! fsync: one flush at a time, which serves all who asked before it began.

use std::io;
use std::sync::Arc;

use super::errno::Errno;
use super::{guard, workers};
use crate::base::sync::thread::JoinHandle;
use crate::base::sync::{Condvar, Mutex};
#[cfg(test)]
use crate::base::sync::{Sabotage, is_sabotaged};

#[cfg(test)]
mod interleavings;

/// A request that is answered once everything before it is on the medium.
pub(crate) trait Durable: Send + 'static {
    /// Answers it.
    fn finish(self, outcome: Result<(), Errno>);
}

/// At most one reader is ever in a device flush, so that the others can serve what the flush need
/// not hold up.
///
/// The first request becomes leader: it flushes on its reader, for a hand-over to another thread
/// would cost as much as the rest of the request. Requests that come meanwhile park their reply and
/// their reader returns. They may stand for changes made after the flush began, so that they need
/// another round; the leader hands these rounds to the flush thread, which goes on until nobody is
/// parked. Each round answers all that were parked before it began.
pub(crate) struct SyncQueue<R: Durable> {
    shared: Arc<Shared<R>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared<R> {
    flush: Box<dyn Fn() -> Result<(), Errno> + Send + Sync>,
    state: Mutex<State<R>>,
    changed: Condvar,
}

struct State<R> {
    /// A leader or the flush thread is at work: new requests park.
    flushing: bool,
    /// The flush thread is the one at work.
    handed_over: bool,
    closed: bool,
    parked: Vec<R>,
}

impl<R: Durable> SyncQueue<R> {
    /// `flush` makes durable all that was acknowledged before it was called.
    pub(crate) fn start(
        flush: impl Fn() -> Result<(), Errno> + Send + Sync + 'static,
    ) -> io::Result<SyncQueue<R>> {
        let state = State {
            flushing: false,
            handed_over: false,
            closed: false,
            parked: Vec::new(),
        };
        let shared = Arc::new(Shared {
            flush: Box::new(flush),
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let thread = workers::spawn("volfs-flush", {
            let shared = shared.clone();
            move || shared.serve_rounds()
        })?;
        Ok(SyncQueue {
            shared,
            thread: Some(thread),
        })
    }

    /// Answers the request after a flush: before this returns, or later from another thread.
    pub(crate) fn submit(&self, request: R) {
        let shared = &*self.shared;
        {
            let mut state = shared.state.lock();
            if state.flushing {
                state.parked.push(request);
                return;
            }
            state.flushing = true;
        }
        let outcome = shared.flush();
        request.finish(outcome);
        let mut state = shared.state.lock();
        #[cfg(test)]
        if is_sabotaged(Sabotage::LateRequestsAnswered) {
            let late = std::mem::take(&mut state.parked);
            late.into_iter().for_each(|late| late.finish(outcome));
        }
        if state.parked.is_empty() {
            state.flushing = false;
        } else {
            state.handed_over = true;
            shared.changed.notify_one();
        }
    }
}

impl<R: Durable> Shared<R> {
    fn flush(&self) -> Result<(), Errno> {
        guard::catch("sync", || (self.flush)()).flatten()
    }

    fn serve_rounds(&self) {
        let mut state = self.state.lock();
        loop {
            while !state.handed_over {
                if state.closed {
                    return;
                }
                self.changed.wait(&mut state);
            }
            let round = std::mem::take(&mut state.parked);
            drop(state);
            let outcome = self.flush();
            round
                .into_iter()
                .for_each(|request| request.finish(outcome));
            state = self.state.lock();
            if state.parked.is_empty() {
                state.handed_over = false;
                state.flushing = false;
            }
        }
    }
}

impl<R: Durable> Drop for SyncQueue<R> {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It catches the panics of a flush.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

    use super::*;

    /// A request that reports its number, its outcome and the thread that answered.
    struct Probe(u64, Sender<(u64, Result<(), Errno>, thread::ThreadId)>);

    impl Durable for Probe {
        fn finish(self, outcome: Result<(), Errno>) {
            self.1
                .send((self.0, outcome, thread::current().id()))
                .unwrap();
        }
    }

    /// A flush that tells when it begins and ends when told how.
    fn stepped() -> (SyncQueue<Probe>, Receiver<()>, Sender<Result<(), Errno>>) {
        let (begin, began) = unbounded();
        let (end, ended) = bounded::<Result<(), Errno>>(0);
        let queue = SyncQueue::start(move || {
            begin.send(()).unwrap();
            ended.recv().unwrap()
        });
        (queue.unwrap(), began, end)
    }

    /// A lone request is flushed and answered on its own thread, before submit returns.
    #[test]
    fn a_lone_request_is_served_where_it_came() {
        let flushes = Arc::new(AtomicU64::new(0));
        let counter = flushes.clone();
        let queue = SyncQueue::start(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
        let (answers, answered) = unbounded();

        for number in 0..3 {
            queue.submit(Probe(number, answers.clone()));
            let answer = answered.try_recv().unwrap();
            assert_eq!(answer, (number, Ok(()), thread::current().id()));
        }
        assert_eq!(flushes.load(Ordering::Relaxed), 3);
    }

    /// Requests that come during a flush are answered by a later one, all by the same.
    #[test]
    fn a_flush_answers_only_what_came_before_it() {
        let (queue, began, end) = stepped();
        let (answers, answered) = unbounded();
        thread::scope(|scope| {
            scope.spawn(|| queue.submit(Probe(1, answers.clone())));
            began.recv().unwrap();
            queue.submit(Probe(2, answers.clone()));
            queue.submit(Probe(3, answers.clone()));
            assert!(answered.is_empty());

            end.send(Ok(())).unwrap();
            assert_eq!(answered.recv().unwrap().0, 1);
            began.recv().unwrap();
            queue.submit(Probe(4, answers.clone()));
            assert!(answered.is_empty(), "2 and 3 wait for the second flush");

            end.send(Ok(())).unwrap();
            let (second, third) = (answered.recv().unwrap(), answered.recv().unwrap());
            assert_eq!((second.0, third.0), (2, 3));
            assert_eq!(second.2, third.2);
            began.recv().unwrap();
            end.send(Ok(())).unwrap();
            assert_eq!(answered.recv().unwrap().0, 4);
        });
        assert!(began.is_empty());
    }

    /// An error reaches exactly those that the failed flush was for.
    #[test]
    fn an_error_reaches_its_round_only() {
        let (queue, began, end) = stepped();
        let (answers, answered) = unbounded();
        thread::scope(|scope| {
            scope.spawn(|| queue.submit(Probe(1, answers.clone())));
            began.recv().unwrap();
            queue.submit(Probe(2, answers.clone()));
            end.send(Err(Errno(libc::EIO))).unwrap();
            assert_eq!(answered.recv().unwrap().1, Err(Errno(libc::EIO)));
            began.recv().unwrap();
            end.send(Ok(())).unwrap();
            assert_eq!(answered.recv().unwrap().1, Ok(()));
        });
    }

    /// A flush that panics answers EIO, and the queue goes on.
    #[test]
    fn a_panic_in_a_flush_is_an_error() {
        guard::log_panics();
        let calls = AtomicU64::new(0);
        let queue = SyncQueue::start(move || {
            assert!(
                calls.fetch_add(1, Ordering::Relaxed) > 0,
                "the first flush panics"
            );
            Ok(())
        })
        .unwrap();
        let (answers, answered) = unbounded();
        queue.submit(Probe(1, answers.clone()));
        assert_eq!(answered.recv().unwrap().1, Err(Errno(libc::EIO)));
        queue.submit(Probe(2, answers));
        assert_eq!(answered.recv().unwrap().1, Ok(()));
    }

    /// Under load from many threads every request is answered once, and parked requests too when
    /// the queue is dropped right away.
    #[test]
    fn every_request_is_answered() {
        let (answers, answered) = unbounded();
        let queue = SyncQueue::start(|| {
            thread::yield_now();
            Ok(())
        })
        .unwrap();
        thread::scope(|scope| {
            for from in 0..8 {
                let (queue, answers) = (&queue, answers.clone());
                scope.spawn(move || {
                    for number in from * 200..(from + 1) * 200 {
                        queue.submit(Probe(number, answers.clone()));
                    }
                });
            }
        });
        drop(queue);
        drop(answers);
        let mut numbers: Vec<u64> = answered.iter().map(|answer| answer.0).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..1600).collect::<Vec<u64>>());
    }
}
