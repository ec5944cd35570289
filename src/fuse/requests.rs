//! What the kernel asks of a mount: how often, how long the answers take, how many are errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::awake::Awake;
use super::errno::Errno;
use super::handles::Handle;
use super::operations::Answer;
use crate::base::histogram::AtomicHistogram;
use crate::base::{Clock, Histogram, SystemClock, Timestamp};
use crate::volume::ops::{Attr, StatFs};

macro_rules! opcodes {
    ($($opcode:ident $name:literal,)*) => {
        /// What a request asks for, by FUSE's own names.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Opcode {
            $($opcode),*
        }

        impl Opcode {
            const ALL: &[Opcode] = &[$(Opcode::$opcode),*];

            /// As messages and `volfs stats` call it.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Opcode::$opcode => $name),*
                }
            }
        }
    };
}

opcodes! {
    Lookup "lookup",
    Forget "forget",
    Getattr "getattr",
    Setattr "setattr",
    Readlink "readlink",
    Symlink "symlink",
    Mknod "mknod",
    Mkdir "mkdir",
    Unlink "unlink",
    Rmdir "rmdir",
    Rename "rename",
    Link "link",
    Open "open",
    Create "create",
    Read "read",
    Write "write",
    Flush "flush",
    Release "release",
    Fsync "fsync",
    Opendir "opendir",
    Readdir "readdir",
    Readdirplus "readdirplus",
    Fsyncdir "fsyncdir",
    Statfs "statfs",
    Setxattr "setxattr",
    Getxattr "getxattr",
    Listxattr "listxattr",
    Removexattr "removexattr",
    Access "access",
    Bmap "bmap",
    Ioctl "ioctl",
    Poll "poll",
    Fallocate "fallocate",
    Lseek "lseek",
    CopyFileRange "copy_file_range",
}

/// Counts the requests of one session, from all of its threads.
pub(crate) struct Requests {
    since: Timestamp,
    started: Instant,
    /// Is told of each.
    awake: Arc<Awake>,
    /// By opcode.
    counters: Vec<Counters>,
}

struct Counters {
    /// Nanoseconds from the request's arrival until its answer has been sent.
    latencies: AtomicHistogram,
    errors: AtomicU64,
    bytes: AtomicU64,
}

/// What was asked of a mount.
#[derive(Clone, Debug)]
pub struct RequestReport {
    /// When it was mounted.
    pub since: Timestamp,
    /// How long ago that was.
    pub age: Duration,
    /// Kinds of requests that have come at all.
    pub kinds: Vec<RequestCounts>,
}

/// The requests of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestCounts {
    /// FUSE's name for it.
    pub opcode: &'static str,
    /// Those answered with an error that tells of more than that there is nothing of that kind.
    pub errors: u64,
    /// Content that was read, written or copied, in bytes.
    pub bytes: u64,
    /// Nanoseconds from the request's arrival until its answer has been sent.
    pub latencies: Histogram,
}

impl Requests {
    /// None yet.
    pub(crate) fn new(awake: Arc<Awake>) -> Requests {
        let counters = Opcode::ALL.iter().map(|_| Counters {
            latencies: AtomicHistogram::new(),
            errors: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        Requests {
            since: SystemClock::new().now(),
            started: Instant::now(),
            awake,
            counters: counters.collect(),
        }
    }

    /// What was asked until now.
    pub(crate) fn report(&self) -> RequestReport {
        RequestReport {
            since: self.since,
            age: self.started.elapsed(),
            kinds: self.counts(),
        }
    }

    fn counts(&self) -> Vec<RequestCounts> {
        let counts = Opcode::ALL.iter().zip(&self.counters);
        let counts = counts.map(|(opcode, counters)| RequestCounts {
            opcode: opcode.name(),
            errors: counters.errors.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            latencies: counters.latencies.counted(),
        });
        counts.filter(|one| one.latencies.count() > 0).collect()
    }
}

/// A request that is being served. When it is dropped it counts as answered; as an error, unless
/// it was told otherwise.
pub(crate) struct Timer {
    requests: Arc<Requests>,
    opcode: Opcode,
    arrived: Instant,
    is_error: bool,
    bytes: u64,
}

impl Timer {
    /// A request has arrived.
    pub(crate) fn start(requests: &Arc<Requests>, opcode: Opcode) -> Timer {
        Timer {
            requests: requests.clone(),
            opcode,
            arrived: Instant::now(),
            is_error: true,
            bytes: 0,
        }
    }

    /// This is, or will be, the answer.
    pub(crate) fn note<T: Payload>(&mut self, outcome: &Result<T, Errno>) {
        match outcome {
            Ok(value) => {
                self.is_error = false;
                self.bytes = value.payload_bytes();
            }
            Err(errno) => self.is_error = is_error(*errno),
        }
    }
}

/// Programs ask for attributes and data that may not be there, and the kernel for operations that
/// it then does by itself: to say so is no failure.
fn is_error(errno: Errno) -> bool {
    !matches!(
        errno.0,
        libc::ENODATA | libc::ENXIO | libc::ENOSYS | libc::ENOTTY
    )
}

impl Drop for Timer {
    fn drop(&mut self) {
        let now = Instant::now();
        self.requests.awake.answered(now, self.bytes);
        let took = now.saturating_duration_since(self.arrived).as_nanos();
        let took = u64::try_from(took).unwrap_or(u64::MAX);
        let Some(counters) = self.requests.counters.get(self.opcode as usize) else {
            return;
        };
        counters.latencies.record(took);
        if self.bytes > 0 {
            counters.bytes.fetch_add(self.bytes, Ordering::Relaxed);
        }
        if self.is_error {
            counters.errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A reply that counts its request when it has been sent, from whatever thread, or is dropped.
pub(crate) struct Timed<R> {
    // Dropped in this order: a reply that was not sent answers EIO first.
    pub(crate) reply: R,
    pub(crate) timer: Timer,
}

impl<T: Payload, R: Answer<T>> Answer<T> for Timed<R> {
    fn send(self, outcome: Result<T, Errno>) {
        let Timed { reply, mut timer } = self;
        timer.note(&outcome);
        reply.send(outcome);
    }
}

/// What an answer carries.
pub(crate) trait Payload {
    /// Bytes of files' content that went one way or the other for it.
    fn payload_bytes(&self) -> u64 {
        0
    }
}

impl Payload for () {}
impl Payload for u64 {}
impl Payload for Vec<u8> {}
impl Payload for Attr {}
impl Payload for Option<Attr> {}
impl Payload for Handle {}
impl Payload for (Attr, Handle) {}
impl Payload for StatFs {}

/// Content that was read.
impl Payload for &[u8] {
    fn payload_bytes(&self) -> u64 {
        self.len() as u64
    }
}

/// Content that was written or copied.
impl Payload for u32 {
    fn payload_bytes(&self) -> u64 {
        u64::from(*self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::thread;

    use super::*;

    /// A reply that tells what it was sent.
    struct Told(Sender<Result<u32, Errno>>);

    impl Answer<u32> for Told {
        fn send(self, outcome: Result<u32, Errno>) {
            // An error is a test that does not look.
            let _ = self.0.send(outcome);
        }
    }

    fn new_requests() -> Arc<Requests> {
        Arc::new(Requests::new(Arc::new(Awake::new(false))))
    }

    fn timed(requests: &Arc<Requests>, opcode: Opcode) -> Timed<Told> {
        Timed {
            reply: Told(channel().0),
            timer: Timer::start(requests, opcode),
        }
    }

    fn of(requests: &Requests, opcode: Opcode) -> RequestCounts {
        let counts = requests.counts();
        let found = counts.into_iter().find(|one| one.opcode == opcode.name());
        found.unwrap_or_else(|| panic!("no {} was counted", opcode.name()))
    }

    /// Opcodes lie in the table where their number says, each under a name of its own.
    #[test]
    fn opcodes_have_places_and_names() {
        let mut names: Vec<&str> = Opcode::ALL.iter().map(|opcode| opcode.name()).collect();
        for (place, opcode) in Opcode::ALL.iter().enumerate() {
            assert_eq!(*opcode as usize, place);
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    /// Answers are passed on, and counted with their bytes and errors under their opcode.
    #[test]
    fn answers_are_counted() {
        let requests = new_requests();
        let (told, seen) = channel();
        let reply = Timed {
            reply: Told(told),
            timer: Timer::start(&requests, Opcode::Write),
        };
        reply.send(Ok(4096));
        assert_eq!(seen.recv().unwrap(), Ok(4096));
        timed(&requests, Opcode::Write).send(Err(Errno(libc::ENOSPC)));
        timed(&requests, Opcode::CopyFileRange).send(Ok(7));
        let write = of(&requests, Opcode::Write);
        let counts = (write.latencies.count(), write.errors, write.bytes);
        assert_eq!(counts, (2, 1, 4096));
        assert_eq!(of(&requests, Opcode::CopyFileRange).bytes, 7);
        assert_eq!(requests.counts().len(), 2, "others have not come");
    }

    /// That there is nothing of the kind is an answer, and no error.
    #[test]
    fn absence_is_no_error() {
        let requests = new_requests();
        let errnos = [libc::ENODATA, libc::ENXIO, libc::ENOSYS, libc::ENOTTY];
        for errno in errnos {
            timed(&requests, Opcode::Getxattr).send(Err(Errno(errno)));
        }
        assert_eq!(of(&requests, Opcode::Getxattr).errors, 0);
        for errno in [libc::EEXIST, libc::ENOENT, libc::EIO] {
            timed(&requests, Opcode::Getxattr).send(Err(Errno(errno)));
        }
        let counts = of(&requests, Opcode::Getxattr);
        assert_eq!((counts.latencies.count(), counts.errors), (7, 3));
    }

    /// A request whose reply is dropped was answered with EIO, and counts so.
    #[test]
    fn a_dropped_reply_is_an_error() {
        let requests = new_requests();
        drop(timed(&requests, Opcode::Fsync));
        let fsync = of(&requests, Opcode::Fsync);
        assert_eq!((fsync.latencies.count(), fsync.errors), (1, 1));
    }

    /// An answer from another thread counts when it is sent, with all of the time until then.
    #[test]
    fn late_answers_are_timed_to_their_end() {
        const WAIT: Duration = Duration::from_millis(50);
        let requests = new_requests();
        let reply = timed(&requests, Opcode::Fsync);
        assert_eq!(requests.counts(), [], "it is not answered yet");
        let answering = thread::spawn(move || {
            thread::sleep(WAIT);
            reply.send(Ok(0));
        });
        answering.join().unwrap();
        let fsync = of(&requests, Opcode::Fsync);
        assert_eq!(fsync.errors, 0);
        assert!(fsync.latencies.max() >= WAIT.as_nanos() as u64);
    }
}
