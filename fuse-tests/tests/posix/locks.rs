//! Locks between processes: flock, fcntl and OFD, on a volume as on ext4.

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use fuse_tests::Beside;
use fuse_tests::run::{eventually, exits_within, pid_of};
use rustix::fs::{FlockOperation, flock};

fn open(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

/// A lock of bytes by fcntl(2), of the process or of the open file.
fn lock(
    file: &File,
    command: libc::c_int,
    kind: libc::c_int,
    start: i64,
    length: i64,
) -> io::Result<libc::flock> {
    let mut wanted = libc::flock {
        l_type: kind as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: start,
        l_len: length,
        l_pid: 0,
    };
    // SAFETY: the structure is the one that these commands read and write.
    let outcome = unsafe { libc::fcntl(file.as_raw_fd(), command, &mut wanted) };
    match outcome {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(wanted),
    }
}

/// Another process that holds a lock until its standard input ends.
struct Holder(Child);

impl Holder {
    /// `how`: -x or -s, as flock(1) takes it.
    fn flock(path: &Path, how: &str) -> Holder {
        let mut child = Command::new("flock")
            .arg(how)
            .arg(path)
            .args(["sh", "-c", "echo held; cat >/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "held\n");
        Holder(child)
    }

    fn let_go(mut self) {
        drop(self.0.stdin.take());
        assert!(exits_within(pid_of(&self.0), Duration::from_secs(10)));
        self.0.wait().unwrap();
    }
}

/// flock(2) of another process keeps out and lets in as its kind says, and goes with it.
#[test]
fn flock_holds_between_processes() {
    let beside = Beside::new();
    beside.compare(|root, seen| {
        let path = root.join("lock");
        File::create(&path).unwrap();
        let file = open(&path);
        for how in ["-x", "-s"] {
            let holder = Holder::flock(&path, how);
            for (what, operation) in [
                ("exclusive", FlockOperation::NonBlockingLockExclusive),
                ("shared", FlockOperation::NonBlockingLockShared),
            ] {
                seen.call(format!("{what} beside {how}"), flock(&file, operation));
                let _ = flock(&file, FlockOperation::Unlock);
            }
            thread::scope(|scope| {
                let waiter = scope.spawn(|| flock(&file, FlockOperation::LockExclusive));
                holder.let_go();
                seen.call(format!("wait for {how}"), waiter.join().unwrap());
            });
            let _ = flock(&file, FlockOperation::Unlock);
        }
    });
}

/// Byte ranges: locks of open files exclude each other also within one process, those of the
/// process do not; the holder is told, and closing any handle drops the process's.
#[test]
fn byte_ranges_are_locked() {
    const WRITE: libc::c_int = libc::F_WRLCK;
    let beside = Beside::new();
    beside.compare(|root, seen| {
        let path = root.join("lock");
        File::create(&path).unwrap().write_all(&[0; 100]).unwrap();
        let (one, two) = (open(&path), open(&path));
        let ofd = libc::F_OFD_SETLK;
        seen.call("ofd 0..10", lock(&one, ofd, WRITE, 0, 10).map(drop));
        seen.call(
            "the same by another handle",
            lock(&two, ofd, WRITE, 5, 1).map(drop),
        );
        seen.call("shared", lock(&two, ofd, libc::F_RDLCK, 9, 1).map(drop));
        seen.call("beside it", lock(&two, ofd, WRITE, 10, 0).map(drop));
        let asked = lock(&two, libc::F_OFD_GETLK, WRITE, 0, 1);
        seen.value(
            "who holds it",
            asked.map(|it| (it.l_type, it.l_start, it.l_len, it.l_pid)),
        );
        seen.call(
            "by the process",
            lock(&two, libc::F_SETLK, WRITE, 0, 5).map(drop),
        );
        seen.call("split", lock(&one, ofd, libc::F_UNLCK, 3, 2).map(drop));
        seen.call("in the gap", lock(&two, ofd, WRITE, 3, 2).map(drop));
        let waited = thread::scope(|scope| {
            let waiter = scope.spawn(|| lock(&two, libc::F_OFD_SETLKW, WRITE, 0, 10).map(drop));
            drop(one);
            waiter.join().unwrap()
        });
        seen.call("wait for a close", waited);
        drop(two);

        let (one, two) = (open(&path), open(&path));
        // A process that a test beside this one has just started may have the file that was closed
        // still, and with it the lock.
        let after_close = lock(&one, libc::F_OFD_SETLKW, WRITE, 0, 0).map(drop);
        seen.call("wait for the other close", after_close);
        seen.call("all let go", lock(&one, ofd, libc::F_UNLCK, 0, 0).map(drop));
        seen.call(
            "process 0..10",
            lock(&one, libc::F_SETLK, WRITE, 0, 10).map(drop),
        );
        seen.call(
            "the same process",
            lock(&two, libc::F_SETLK, WRITE, 0, 10).map(drop),
        );
        let other = child_wants_lock(&path);
        seen.fact("another process", other);
        drop(two);
        seen.fact("after a close", child_wants_lock(&path));
        seen.call(
            "backwards",
            lock(&one, libc::F_SETLK, WRITE, 50, -60).map(drop),
        );
        seen.call("read lock without reading", {
            let write_only = File::options().write(true).open(&path).unwrap();
            lock(&write_only, libc::F_SETLK, libc::F_RDLCK, 0, 1).map(drop)
        });
    });
}

/// Another process. It makes system calls only, as is safe after a fork with other threads, and
/// dies with the thread that has started it.
struct Forked(libc::pid_t);

/// The descriptor behind stdin, stdout and stderr.
const FIRST_OF_FILES: libc::c_uint = 3;

impl Forked {
    /// The child ends with the number that `work` returns, which opens what it needs.
    fn start(work: impl FnOnce() -> libc::c_int) -> Forked {
        Forked::start_with(None, work)
    }

    /// As [`Forked::start`], and `work` may use this descriptor. No other stays open in the child:
    /// those of tests beside this one would keep their volumes in use.
    fn start_with(kept: Option<BorrowedFd>, work: impl FnOnce() -> libc::c_int) -> Forked {
        let kept = kept.map(|one| one.as_raw_fd().cast_unsigned());
        // SAFETY: the child runs `work` and ends; see above for what that may do.
        match unsafe { libc::fork() } {
            0 => unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                let behind = match kept {
                    Some(kept) => {
                        libc::close_range(FIRST_OF_FILES, kept - 1, 0);
                        kept + 1
                    }
                    None => FIRST_OF_FILES,
                };
                libc::close_range(behind, libc::c_uint::MAX, 0);
                libc::_exit(work())
            },
            pid => Forked(pid),
        }
    }

    fn wait(self) -> libc::c_int {
        let mut status = 0;
        // SAFETY: the child is ours and has not been waited for.
        assert_eq!(unsafe { libc::waitpid(self.0, &mut status, 0) }, self.0);
        match libc::WIFEXITED(status) {
            true => libc::WEXITSTATUS(status),
            false => -libc::WTERMSIG(status),
        }
    }

    fn kill(self) {
        // SAFETY: as above.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        assert_eq!(self.wait(), -libc::SIGKILL);
    }
}

/// A path for children, which may not allocate memory.
fn path_of(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// An open file of a child's own.
fn open_anew(path: &CStr) -> File {
    // SAFETY: the path ends with NUL, and the descriptor is nobody else's.
    unsafe { File::from_raw_fd(libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC)) }
}

/// 0, or the errno.
fn code(outcome: io::Result<libc::flock>) -> libc::c_int {
    outcome.map_or_else(|error| error.raw_os_error().unwrap_or(255), |_| 0)
}

/// Whether a child gets a lock of the process's kind: 0, or its errno.
fn child_wants_lock(path: &Path) -> libc::c_int {
    let path = path_of(path);
    Forked::start(|| code(lock(&open_anew(&path), libc::F_SETLK, libc::F_WRLCK, 0, 0))).wait()
}

/// Waits until somebody waits for a lock of the file, as the kernel's list of locks tells.
fn await_waiter(file: &File) {
    let file = file.metadata().unwrap();
    let (major, minor) = (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
    let of_it = format!(" {major:02x}:{minor:02x}:{} ", file.ino());
    eventually("somebody waits for a lock", Duration::from_secs(10), || {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        let mut waiting = locks.lines().filter(|line| line.contains("-> "));
        waiting.any(|line| line.contains(&of_it))
    });
}

/// Locks of open files between processes: a child's own open file is kept out, the one that it has
/// inherited is not; whoever waits gets the lock when it is let go, and when its holder dies.
#[test]
fn locks_of_open_files_hold_between_processes() {
    const WRITE: libc::c_int = libc::F_WRLCK;
    const TRY: libc::c_int = libc::F_OFD_SETLK;
    const WAIT: libc::c_int = libc::F_OFD_SETLKW;
    let beside = Beside::new();
    beside.compare(|root, seen| {
        let path = root.join("lock");
        fs::write(&path, [0; 100]).unwrap();
        let (held, for_child) = (open(&path), path_of(&path));
        seen.call("the parent", lock(&held, TRY, WRITE, 0, 10).map(drop));
        let tries = |command, kind, start| {
            Forked::start(|| code(lock(&open_anew(&for_child), command, kind, start, 5))).wait()
        };
        seen.fact("a child", tries(TRY, WRITE, 5));
        seen.fact("a child that reads", tries(TRY, libc::F_RDLCK, 5));
        seen.fact("a child beside it", tries(TRY, WRITE, 10));
        seen.fact("a child's own kind", tries(libc::F_SETLK, WRITE, 5));
        let by_inherited = || code(lock(&held, TRY, WRITE, 5, 5));
        let inherited = Forked::start_with(Some(held.as_fd()), by_inherited).wait();
        seen.fact("by the inherited file", inherited);
        let asked = Forked::start(|| {
            let asked = lock(&open_anew(&for_child), libc::F_OFD_GETLK, WRITE, 3, 1);
            asked.map_or(255, |it| {
                i32::from((it.l_start, it.l_len, it.l_pid) == (0, 10, -1))
            })
        });
        seen.fact("a child is told who holds it", asked.wait());

        let waiter = Forked::start(|| code(lock(&open_anew(&for_child), WAIT, WRITE, 0, 10)));
        await_waiter(&held);
        let let_go = lock(&held, TRY, libc::F_UNLCK, 0, 0);
        seen.call("let go", let_go.map(drop));
        seen.fact("a child that has waited", waiter.wait());

        let (mut told, tell) = io::pipe().unwrap();
        let holder = Forked::start_with(Some(tell.as_fd()), || {
            let file = open_anew(&for_child);
            let locked = lock(&file, TRY, WRITE, 0, 10).is_ok();
            let _ = (&tell).write_all(&[u8::from(locked)]);
            // SAFETY: it waits for its end.
            unsafe { libc::pause() }
        });
        let mut locked = [0];
        told.read_exact(&mut locked).unwrap();
        seen.fact("a child holds it", locked);
        seen.call("the parent now", lock(&held, TRY, WRITE, 5, 1).map(drop));
        let waited = thread::scope(|scope| {
            let waiter = scope.spawn(|| lock(&held, WAIT, WRITE, 5, 1).map(drop));
            await_waiter(&held);
            holder.kill();
            waiter.join().unwrap()
        });
        seen.call("the parent after the child's death", waited);
    });
}

/// Two processes, each of which waits for what the other has: the second is told EDEADLK, and the
/// first goes on once it lets go.
#[test]
fn processes_that_wait_for_each_other_are_told() {
    const WRITE: libc::c_int = libc::F_WRLCK;
    let beside = Beside::new();
    beside.compare(|root, seen| {
        let path = root.join("lock");
        fs::write(&path, [0; 100]).unwrap();
        let (file, for_child) = (open(&path), path_of(&path));
        let own = |command, kind, start| lock(&file, command, kind, start, 1).map(drop);
        seen.call("the parent's", own(libc::F_SETLK, WRITE, 0));
        let child = Forked::start(|| {
            let file = open_anew(&for_child);
            match code(lock(&file, libc::F_SETLK, WRITE, 1, 1)) {
                0 => code(lock(&file, libc::F_SETLKW, WRITE, 0, 1)),
                refused => refused,
            }
        });
        await_waiter(&file);
        seen.call("without waiting", own(libc::F_SETLK, WRITE, 1));
        let deadlock = seen.call::<(), _>("waiting", own(libc::F_SETLKW, WRITE, 1));
        assert_eq!(deadlock, None, "it has waited for the child");
        seen.call("let go", own(libc::F_SETLK, libc::F_UNLCK, 0));
        seen.fact("the child", child.wait());
        seen.call("the child's, after its end", own(libc::F_SETLKW, WRITE, 1));
    });
}
