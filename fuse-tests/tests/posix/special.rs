//! Pipes, sockets, devices, locks, notifications, programs.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::thread;

use fuse_tests::{Place, run};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{CWD, FileType, FlockOperation, Mode, flock, makedev, mknodat};
use rustix::io::Errno;

use crate::errno;

fn make_node(place: &Place, name: &str, kind: FileType, device: u64) {
    mknodat(CWD, place.path(name), kind, Mode::RUSR | Mode::WUSR, device).unwrap();
}

/// A named pipe and a socket connect programs, and stay what they are.
#[test]
fn pipes_and_sockets_connect() {
    let place = Place::new();
    make_node(&place, "pipe", FileType::Fifo, 0);
    let path = place.path("pipe");
    let writer = thread::spawn(move || fs::write(path, "through the pipe"));
    assert_eq!(fs::read(place.path("pipe")).unwrap(), b"through the pipe");
    writer.join().unwrap().unwrap();

    let listener = UnixListener::bind(place.path("socket")).unwrap();
    let mut client = UnixStream::connect(place.path("socket")).unwrap();
    client.write_all(b"hello").unwrap();
    let mut received = [0; 5];
    listener
        .accept()
        .unwrap()
        .0
        .read_exact(&mut received)
        .unwrap();
    assert_eq!(&received, b"hello");
    drop(listener);

    place.remount();
    let kind = |name| fs::symlink_metadata(place.path(name)).unwrap().file_type();
    assert!(kind("pipe").is_fifo() && kind("socket").is_socket());
}

/// Device nodes work where `-o dev` allows them, and only there.
#[test]
fn devices_work_when_allowed() {
    let zero = makedev(1, 5);
    let place = Place::with_options(&["-o", "dev"]);
    make_node(&place, "zero", FileType::CharacterDevice, zero);
    let mut bytes = [1; 10];
    File::open(place.path("zero"))
        .unwrap()
        .read_exact(&mut bytes)
        .unwrap();
    assert_eq!(bytes, [0; 10]);

    if !place.is_plain() {
        place.remount();
        let kind = fs::metadata(place.path("zero")).unwrap().file_type();
        assert!(kind.is_char_device());
        assert_eq!(errno(File::open(place.path("zero"))), Errno::ACCESS);
    }
}

/// flock excludes between open files and lets go when one closes.
#[test]
fn flock_excludes() {
    let place = Place::new();
    let path = place.file("f", "");
    let (first, second) = (File::open(&path).unwrap(), File::open(&path).unwrap());
    flock(&first, FlockOperation::NonBlockingLockExclusive).unwrap();
    let refused = flock(&second, FlockOperation::NonBlockingLockShared);
    assert_eq!(refused, Err(Errno::WOULDBLOCK));
    drop(first);
    flock(&second, FlockOperation::NonBlockingLockShared).unwrap();
}

/// inotify reports what happens in a folder.
#[test]
fn changes_are_notified() {
    let place = Place::new();
    let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    let watched = WatchFlags::CREATE | WatchFlags::CLOSE_WRITE | WatchFlags::DELETE;
    inotify::add_watch(&events, place.root(), watched).unwrap();
    let path = place.file("f", "x");
    fs::remove_file(path).unwrap();

    let mut buffer = [std::mem::MaybeUninit::uninit(); 1024];
    let mut reader = inotify::Reader::new(&events, &mut buffer);
    let mut seen = Vec::new();
    while let Ok(event) = reader.next() {
        assert_eq!(
            event.file_name().map(|name| name.to_bytes()),
            Some(&b"f"[..])
        );
        seen.push(event.events());
    }
    assert_eq!(
        seen,
        [ReadFlags::CREATE, ReadFlags::CLOSE_WRITE, ReadFlags::DELETE]
    );
}

/// A program stored on the volume runs.
#[test]
fn programs_run_from_the_volume() {
    let place = Place::new();
    let path = place.path("sh");
    fs::copy("/bin/sh", &path).unwrap();
    assert!(fs::metadata(&path).unwrap().permissions().mode() & 0o111 != 0);
    place.remount();
    assert_eq!(
        run(Command::new(&path).args(["-c", "echo it runs"])).ok(),
        "it runs"
    );
    assert_eq!(
        errno(File::options().write(true).open("/proc/self/exe")),
        Errno::TXTBSY
    );
}
