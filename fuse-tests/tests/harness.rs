//! The tests' own safety net.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use fuse_tests::run::eventually;
use fuse_tests::server::Server;
use fuse_tests::{Fixture, mounts};
use rustix::process::{Pid, Signal, kill_process};

/// A call that waits for a daemon which does not answer fails when the watchdog bites, instead of
/// hanging for ever.
#[test]
fn hung_mount_is_broken() {
    let fixture = Fixture::with_limit(Duration::from_secs(3));
    fixture.ok(&["volume", "create", "data"]);
    let path = fixture.mount("data");
    let pid = fixture.daemon_pid().unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    // The signal is only on its way when kill returns.
    eventually("every thread is stopped", Duration::from_secs(2), || {
        threads_of(pid).iter().all(|stat| stat.contains(") T "))
    });

    let start = Instant::now();
    let error = fs::read(path.join("never looked up")).unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "it took {:?}",
        start.elapsed()
    );
    kill_process(pid, Signal::CONT).unwrap();
    assert_ne!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
}

/// The stat line of each thread of a process.
fn threads_of(pid: Pid) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).unwrap();
    tasks
        .map(|task| fs::read_to_string(task.unwrap().path().join("stat")).unwrap())
        .collect()
}

/// A test that fails leaves neither mount nor process nor file.
#[test]
fn failing_test_leaves_nothing() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let path = fixture.mount("data");
    let (folder, pid) = (fixture.folder().to_owned(), fixture.daemon_pid().unwrap());
    let open = fs::File::create(path.join("open")).unwrap();
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _fixture = fixture;
        panic!("as a failing test would");
    }));
    assert!(failed.is_err());
    assert!(
        fuse_tests::run::exits_within(pid, Duration::ZERO),
        "the daemon lives"
    );
    assert!(mounts::mounts_below(&folder).is_empty() && !folder.exists());
    drop(open);
}

/// A mount namespace that another test has made holds copies of this one's mounts; they are gone
/// before a test is told that its volume is in use.
#[test]
fn mount_namespaces_of_other_tests_are_waited_out() {
    let (fixture, _path) = Fixture::mounted();
    let log = fixture.folder().join("unshare.log");
    let arguments = ["--mount", "sleep", "2"];
    let mut other = Server::start(None, Path::new("/usr/bin/unshare"), &arguments, log);
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).unwrap();
    let pid = other.pid().as_raw_nonzero().to_string();
    eventually("a namespace is made", Duration::from_secs(10), || {
        namespace(&pid) != namespace("self")
    });
    fixture.umount("data");
    assert!(!other.is_running(), "the namespace was not in the way");
}
