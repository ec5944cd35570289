//! A pool has one owner, however many want to be it at once.

use std::path::Path;
use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::chance::{Chance, rounds, seed};
use fuse_tests::fixture::{binary, text};
use fuse_tests::mounts::mounts_below;
use fuse_tests::run::eventually;
use fuse_tests::server::Server;
use rustix::process::Signal;

use crate::{BUSY, assert_says};

const LIMIT: Duration = Duration::from_secs(30);

fn start(fixture: &Fixture, name: &str, arguments: &[&str]) -> Server {
    let arguments = [&["--pool", text(fixture.pool())], arguments].concat();
    let log = fixture.folder().join(format!("{name}.log"));
    Server::start(None, &binary(), &arguments, log)
}

/// Of two servers that were started at once: the one that serves, after the other has ended as it
/// should.
#[track_caller]
fn survivor(fixture: &Fixture, mut first: Server, mut second: Server) -> Server {
    eventually("one of them ends", LIMIT, || {
        !(first.is_running() && second.is_running())
    });
    let (serving, ended) = match first.is_running() {
        true => (first, second),
        false => (second, first),
    };
    let log = ended.log();
    assert_eq!(ended.wait(LIMIT), Some(BUSY), "{log}");
    let pid = serving.pid();
    let who = format!("a daemon (pid {}) serves pool", pid.as_raw_nonzero());
    assert_says(&log, &[&who, text(fixture.pool())]);
    assert_eq!(fixture.daemon_pid(), Some(pid), "{}", serving.log());
    serving
}

/// Two daemons started on one pool at once: one serves, the other names it and ends with exit
/// code 4, also while the one has to recover from its predecessor's death. Nothing is lost.
#[test]
fn of_two_daemons_at_once_one_serves() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "v0"]);
    let (mut chance, mut names) = (Chance::new(seed()), vec!["v0".to_owned()]);
    for round in 1..=rounds(12) {
        let first = start(&fixture, &format!("{round}-a"), &["daemon", "run"]);
        chance.pause(Duration::from_millis(10));
        let second = start(&fixture, &format!("{round}-b"), &["daemon", "run"]);
        let serving = survivor(&fixture, first, second);
        names.push(format!("v{round}"));
        fixture.ok(&["volume", "create", &names[round as usize]]);
        match chance.below(2) {
            0 => assert_eq!(serving.stop(Signal::KILL), None),
            _ => assert_eq!(serving.stop(Signal::TERM), Some(0)),
        }
    }
    names.sort();
    assert_eq!(fixture.ok(&["volume", "ls", "-q"]), names.join("\n"));
    fixture.ok(&["check"]);
}

/// Two `volfs mount --foreground` at once are two daemons: one mounts, the other ends with exit
/// code 4 and leaves no mount.
#[test]
fn of_two_foreground_mounts_at_once_one_serves() {
    let fixture = Fixture::new();
    let volumes = ["one", "two"];
    for name in volumes {
        fixture.ok(&["volume", "create", name]);
    }
    for round in 0..rounds(6) {
        let begin = |name| {
            let path = fixture.mount_point(name);
            let arguments = ["mount", "--foreground", name, text(&path)];
            start(&fixture, &format!("{name}-{round}"), &arguments)
        };
        let serving = survivor(&fixture, begin("one"), begin("two"));
        assert_eq!(mounts_below(fixture.folder()).len(), 1);
        assert_eq!(serving.stop(Signal::TERM), Some(0));
    }
}

/// Two `volfs mount` at once of one volume, with no daemon running: at one place both succeed and
/// it is mounted once, at two places it is one filesystem at both.
#[test]
fn two_mounts_at_once_share_daemon_and_volume() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let (here, there) = (fixture.mount_point("here"), fixture.mount_point("there"));
    let mount_both = |first: &Path, second: &Path| {
        std::thread::scope(|scope| {
            for path in [first, second] {
                let fixture = &fixture;
                scope.spawn(move || fixture.ok(&["mount", "data", text(path)]));
            }
        });
        let mounts = mounts_below(fixture.folder());
        fixture.ok(&["daemon", "stop"]);
        mounts
    };
    for _ in 0..rounds(6) {
        assert_eq!(mount_both(&here, &here).len(), 1);
        let mounts = mount_both(&here, &there);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].minor, mounts[1].minor, "two filesystems");
    }
}
