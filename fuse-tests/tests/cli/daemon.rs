//! The daemon: how it starts, what it says, how it ends.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::fixture::{binary, text};
use fuse_tests::mounts::{self, mount_at};
use fuse_tests::run::{self, eventually, exits_within};
use fuse_tests::server::Server;
use rustix::process::{Signal, kill_process};

use crate::{UNREACHABLE, assert_says};

const LIMIT: Duration = Duration::from_secs(30);

/// start, status and stop: the daemon says who it is; without one, status is exit code 7.
#[test]
fn daemon_starts_answers_and_stops() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    assert_says(
        &fixture.fails(UNREACHABLE, &["daemon", "status"]),
        &["daemon"],
    );
    fixture.ok(&["daemon", "start"]);
    fixture.ok(&["daemon", "start"]);
    let path = fixture.mount("data");

    let status = fixture.json(&["daemon", "status"]);
    let pid = fixture.daemon_pid().unwrap();
    assert_eq!(status["pid"], pid.as_raw_nonzero().get());
    assert_eq!(
        format!("volfs {}", status["version"].as_str().unwrap()),
        fixture.ok(&["--version"])
    );
    assert_eq!(status["pool"], text(fixture.pool()));
    assert_says(&status["mounts"].to_string(), &["data", text(&path)]);
    assert_says(
        &fixture.ok(&["daemon", "status"]),
        &[&pid.as_raw_nonzero().to_string(), "data"],
    );

    fixture.umount("data");
    assert!(
        fixture.daemon_pid().is_some(),
        "a started daemon stays without mounts"
    );
    fixture.ok(&["daemon", "stop"]);
    assert!(
        exits_within(pid, Duration::ZERO),
        "stop returns when the daemon has ended"
    );
    fixture.fails(UNREACHABLE, &["daemon", "status"]);
}

/// A daemon that a mount started ends with its last mount; commands work all the time.
#[test]
fn daemon_ends_with_its_last_mount() {
    let (fixture, _) = Fixture::mounted();
    fixture.ok(&["volume", "create", "other"]);
    fixture.mount("other");
    let pid = fixture.daemon_pid().unwrap();
    fixture.umount("other");
    assert_eq!(fixture.daemon_pid(), Some(pid));
    fixture.umount("data");
    assert_eq!(fixture.ok(&["volume", "ls", "-q"]), "data\nother");
    assert!(exits_within(pid, LIMIT), "it has no mount any more");
}

/// The daemon is detached: a session of its own, and a log file in the pool.
#[test]
fn daemon_is_detached_and_logs() {
    let (fixture, _) = Fixture::mounted();
    let pid = fixture.daemon_pid().unwrap().as_raw_nonzero();
    assert_ne!(
        session_of(&pid.to_string()),
        session_of("self"),
        "the daemon is in the session of its caller"
    );
    assert_eq!(
        fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(),
        Some("/")
    );
    assert!(!fixture.log_tail().is_empty());
}

/// The session of a process, 0 when its leader lies outside this PID namespace (getsid(2) as
/// rustix wraps it has no answer for that one).
fn session_of(process: &str) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    after_name.split(' ').nth(3).unwrap().parse().unwrap()
}

/// SIGTERM flushes, unmounts and ends with exit code 0.
#[test]
fn sigterm_unmounts_and_keeps_everything() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let path = fixture.mount_point("data");
    let arguments = [
        "--pool",
        text(fixture.pool()),
        "mount",
        "--foreground",
        "data",
        text(&path),
    ];
    let log = fixture.folder().join("foreground.log");
    let server = Server::start(None, &binary(), &arguments, log);
    eventually("it mounts", LIMIT, || mount_at(&path).is_some());
    fs::write(path.join("file"), "content").unwrap();

    assert_eq!(server.stop(Signal::TERM), Some(0));
    assert_eq!(mount_at(&path), None);
    fixture.mount("data");
    assert_eq!(fs::read(path.join("file")).unwrap(), b"content");

    let pid = fixture.daemon_pid().unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert!(exits_within(pid, LIMIT));
    assert!(mounts::mounts_below(fixture.folder()).is_empty());
}

/// `mount --foreground` ends when the volume is unmounted by somebody else.
#[test]
fn foreground_ends_with_its_mount() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let path = fixture.mount_point("data");
    let arguments = [
        "--pool",
        text(fixture.pool()),
        "mount",
        "--foreground",
        "data",
        text(&path),
    ];
    let log = fixture.folder().join("foreground.log");
    let server = Server::start(None, &binary(), &arguments, log);
    eventually("it mounts", LIMIT, || mount_at(&path).is_some());
    // The daemon may still be looking whether its mount answers.
    eventually("umount(8) succeeds", LIMIT, || {
        run::run(std::process::Command::new("umount").arg(&path)).code == 0
    });
    assert_eq!(server.wait(LIMIT), Some(0));
}

/// The pool's folder is for its owner only, and so is everything in it that holds data.
#[test]
fn pool_is_private() {
    let (fixture, path) = Fixture::mounted();
    fs::write(path.join("file"), "content").unwrap();
    assert_eq!(fs::metadata(fixture.pool()).unwrap().mode() & 0o7777, 0o700);
    let mut folders = vec![fixture.pool().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                let mode = metadata.mode() & 0o7777;
                assert_eq!(mode, 0o600, "{}", entry.path().display());
                files += 1;
            }
        }
    }
    assert!(files > 3, "only {files} files");
    let socket = fs::metadata(fixture.pool().join("control.sock")).unwrap();
    assert!(socket.file_type().is_socket());
}

/// A command that comes while many others start a daemon finds one daemon.
#[test]
fn many_mounts_at_once_share_one_daemon() {
    let fixture = Fixture::new();
    let names = ["a", "b", "c", "d"];
    for name in names {
        fixture.ok(&["volume", "create", name]);
        fixture.mount_point(name);
    }
    std::thread::scope(|scope| {
        for name in names {
            let fixture = &fixture;
            scope.spawn(move || fixture.mount(name));
        }
    });
    assert_eq!(mounts::mounts_below(fixture.folder()).len(), 4);
    let status = fixture.json(&["daemon", "status"]);
    assert_eq!(status["mounts"].as_array().unwrap().len(), 4);
}
