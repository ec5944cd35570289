//! splice, tee, vmsplice and sendfile between files, pipes and sockets.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use fuse_tests::Place;
use rustix::fs::{OFlags, sendfile};
use rustix::pipe::{IoSliceRaw, PipeFlags, SpliceFlags, pipe_with, splice, tee, vmsplice};

use crate::files::{open, sample};

/// More than a pipe holds, and no multiple of a page.
const BYTES: usize = 300_001;

/// A pipe that no other test's child keeps open.
fn closing_pipe() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    pipe_with(PipeFlags::CLOEXEC)
}

/// Moves everything from one descriptor to another through a pipe of its own.
fn splice_all(from: &File, to: &File) {
    let (read_end, write_end) = closing_pipe().expect("a pipe");
    thread::scope(|scope| {
        scope.spawn(move || {
            while splice(from, None, &write_end, None, BYTES, SpliceFlags::MOVE).expect("in") > 0 {}
        });
        while splice(&read_end, None, to, None, BYTES, SpliceFlags::MOVE).expect("out") > 0 {}
    });
}

#[track_caller]
fn check(place: &Place, path: &Path, content: &[u8]) {
    assert!(fs::read(path).expect("it is there") == content);
    place.remount();
    assert!(fs::read(path).expect("it is there") == content);
}

/// File to file, cached and not, with O_DIRECT on either side.
#[test]
fn splice_copies_files() {
    let place = Place::new();
    let content = sample(1, BYTES);
    let source = place.file("source", &content);
    let target = place.path("target");
    for (from, to) in [
        (OFlags::empty(), OFlags::empty()),
        (OFlags::DIRECT, OFlags::empty()),
        (OFlags::empty(), OFlags::DIRECT),
    ] {
        if place.is_plain() && to == OFlags::DIRECT {
            continue;
        }
        place.remount();
        splice_all(&open(&source, from), &open(&target, to | OFlags::TRUNC));
        check(&place, &target, &content);
    }
}

/// What tee has copied and what it has left are both whole.
#[test]
fn tee_leaves_what_it_copies() {
    const SMALL: usize = 50_000;
    let place = Place::new();
    let content = sample(2, SMALL);
    let source = open(&place.file("source", &content), OFlags::empty());
    let (first_read, first_write) = closing_pipe().expect("a pipe");
    let (second_read, second_write) = closing_pipe().expect("a pipe");
    let mut filled = 0;
    while filled < SMALL {
        let flags = SpliceFlags::empty();
        filled += splice(&source, None, &first_write, None, SMALL, flags).expect("in");
    }
    let copied = tee(&first_read, &second_write, SMALL, SpliceFlags::empty()).expect("tee");
    assert_eq!(copied, SMALL);
    drop((first_write, second_write));
    for (name, end) in [("a", first_read), ("b", second_read)] {
        let path = place.path(name);
        let target = open(&path, OFlags::empty());
        while splice(&end, None, &target, None, SMALL, SpliceFlags::MOVE).expect("out") > 0 {}
        assert!(fs::read(&path).expect("it is there") == content, "{name}");
    }
}

/// Memory to pipe by vmsplice, pipe to file by splice.
#[test]
fn vmsplice_reaches_a_file() {
    let place = Place::new();
    let content = sample(3, BYTES);
    let path = place.path("f");
    let target = open(&path, OFlags::empty());
    let (read_end, write_end) = closing_pipe().expect("a pipe");
    thread::scope(|scope| {
        let content = &content;
        scope.spawn(move || give(&write_end, content));
        while splice(&read_end, None, &target, None, BYTES, SpliceFlags::MOVE).expect("out") > 0 {}
    });
    drop(target);
    check(&place, &path, &content);
}

fn give(write_end: &OwnedFd, content: &[u8]) {
    let mut at = 0;
    while at < content.len() {
        let slice = IoSliceRaw::from_slice(&content[at..]);
        // SAFETY: the write end of a pipe only reads the memory, which outlives the pipe.
        at += unsafe { vmsplice(write_end, &[slice], SpliceFlags::empty()) }.expect("vmsplice");
    }
}

/// sendfile to a socket, from a socket's side into a file, and from file to file.
#[test]
fn sendfile_sends_files() {
    let place = Place::new();
    let content = sample(4, BYTES);
    let source = open(&place.file("source", &content), OFlags::empty());
    let (mut near, far) = UnixStream::pair().expect("sockets");
    thread::scope(|scope| {
        scope.spawn(|| {
            let (far, mut at) = (far, 7);
            while sendfile(&far, &source, Some(&mut at), BYTES).expect("sendfile") > 0 {}
        });
        let mut received = Vec::new();
        near.read_to_end(&mut received).expect("all of it");
        assert!(received == content[7..]);
    });
    let path = place.path("target");
    let mut target = open(&path, OFlags::empty());
    target.write_all(b"head").expect("a write");
    let mut at = 0;
    while sendfile(&target, &source, Some(&mut at), BYTES).expect("sendfile") > 0 {}
    drop((source, target));
    check(&place, &path, &[b"head".as_slice(), &content].concat());
}
