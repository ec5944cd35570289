//! Pipes, sockets, devices, locks, notifications, programs.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use fuse_tests::{Beside, Place, Seen, run};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{
    CWD, FileType, FlockOperation, Mode, XattrFlags, flock, lsetxattr, makedev, mknodat,
};
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

/// Watches of paths, each with every event that inotify knows.
struct Watcher {
    events: OwnedFd,
    watches: Vec<(i32, String)>,
}

impl Watcher {
    fn new() -> Watcher {
        Watcher {
            events: inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap(),
            watches: Vec::new(),
        }
    }

    fn watch(&mut self, root: &Path, name: &str) {
        let number = inotify::add_watch(&self.events, root.join(name), WatchFlags::ALL_EVENTS);
        self.watches.push((number.unwrap(), name.to_owned()));
    }

    /// Notes what a step was told by: the watched path, the events, the name in a folder, and
    /// whether the event is one of a pair.
    fn note(&self, seen: &mut Seen, step: &str) {
        let quiet = Timespec::try_from(Duration::from_millis(50)).unwrap();
        let mut told = Vec::new();
        while poll(
            &mut [PollFd::new(&self.events, PollFlags::IN)],
            Some(&quiet),
        )
        .unwrap()
            > 0
        {
            let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
            let mut reader = inotify::Reader::new(&self.events, &mut buffer);
            while let Ok(event) = reader.next() {
                let of = self
                    .watches
                    .iter()
                    .find(|(number, _)| *number == event.wd());
                let name = event.file_name().map(|name| name.to_owned());
                let (what, pair) = (event.events(), event.cookie() != 0);
                told.push((of.expect("a watch").1.clone(), what, name, pair));
            }
        }
        seen.fact(step, told);
    }
}

/// inotify tells of a folder, of a file and of a folder in it what it tells on ext4, in that order.
#[test]
fn changes_are_notified() {
    type Step = (&'static str, fn(&Path) -> io::Result<()>);
    let steps: [Step; 17] = [
        ("create and write", |root| fs::write(root.join("new"), "x")),
        ("write", |root| open(root, "file")?.write_all(b"more")),
        ("write through O_SYNC", |root| {
            let mut options = File::options();
            options.write(true).custom_flags(libc::O_SYNC);
            options.open(root.join("file"))?.write_all(b"more")
        }),
        ("truncate", |root| open(root, "file")?.set_len(2)),
        ("read", |root| fs::read(root.join("file")).map(drop)),
        ("chmod", |root| {
            fs::set_permissions(root.join("file"), Permissions::from_mode(0o600))
        }),
        ("utimes", |root| {
            open(root, "file")?.set_modified(UNIX_EPOCH)
        }),
        ("set an attribute", |root| {
            let none = XattrFlags::empty();
            Ok(lsetxattr(root.join("file"), "user.a", b"1", none)?)
        }),
        ("link", |root| {
            fs::hard_link(root.join("file"), root.join("link"))
        }),
        ("list", |root| {
            fs::read_dir(root)?.try_for_each(|entry| entry.map(drop))
        }),
        ("rename", |root| {
            fs::rename(root.join("file"), root.join("file2"))
        }),
        ("move in", |root| {
            fs::rename(root.join("file2"), root.join("sub/moved"))
        }),
        ("move a folder", |root| {
            fs::rename(root.join("sub"), root.join("sub2"))
        }),
        ("rename over", |root| {
            fs::rename(root.join("new"), root.join("victim"))
        }),
        ("unlink what has two names", |root| {
            fs::remove_file(root.join("link"))
        }),
        ("unlink the last name", |root| {
            fs::remove_file(root.join("sub2/moved"))
        }),
        ("rmdir", |root| fs::remove_dir(root.join("sub2"))),
    ];
    fn open(root: &Path, name: &str) -> io::Result<File> {
        File::options().write(true).open(root.join(name))
    }
    let beside = Beside::new();
    beside.compare(|root, seen| {
        let mut watcher = Watcher::new();
        fs::create_dir(root.join("sub")).unwrap();
        for name in ["file", "victim"] {
            fs::write(root.join(name), "content").unwrap();
        }
        for name in ["", "sub", "file", "victim"] {
            watcher.watch(root, name);
        }
        for (step, change) in &steps {
            seen.call(format!("{step}: the call"), change(root));
            watcher.note(seen, step);
        }
        // Each kind of event, so that two empty lists are not taken for agreement.
        let all = format!("{seen:?}");
        for kind in [
            "CREATE",
            "MODIFY",
            "ATTRIB",
            "MOVED_FROM",
            "MOVED_TO",
            "MOVE_SELF",
        ] {
            assert!(all.contains(kind), "no {kind} in {all}");
        }
        for kind in ["CLOSE_WRITE", "DELETE", "DELETE_SELF", "IGNORED", "ISDIR"] {
            assert!(all.contains(kind), "no {kind} in {all}");
        }
    });
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
