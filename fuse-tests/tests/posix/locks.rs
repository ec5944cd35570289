//! Locks between processes: flock, fcntl and OFD, on a volume as on ext4.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use fuse_tests::Beside;
use fuse_tests::run::{exits_within, pid_of};
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

/// Whether a child gets a lock of the process's kind: 0, or its errno.
fn child_wants_lock(path: &Path) -> libc::c_int {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the child makes system calls only, which is safe after a fork with other threads.
    unsafe {
        match libc::fork() {
            0 => {
                let file = libc::open(path.as_ptr(), libc::O_RDWR);
                let mut wanted: libc::flock = std::mem::zeroed();
                wanted.l_type = libc::F_WRLCK as i16;
                let got = libc::fcntl(file, libc::F_SETLK, &wanted);
                libc::_exit(if got == 0 {
                    0
                } else {
                    *libc::__errno_location()
                });
            }
            pid => {
                let mut status = 0;
                assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
                libc::WEXITSTATUS(status)
            }
        }
    }
}
