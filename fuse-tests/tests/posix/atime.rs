//! Access times: relatime for the reads that reach the daemon, and `noatime`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::Path;
use std::thread;
use std::time::Duration;

use fuse_tests::fixture::text;
use fuse_tests::mounts::mount_at;
use fuse_tests::{Beside, Difference, Fixture, Place, Seen};
use rustix::fs::{AtFlags, CWD, OFlags, Timespec, Timestamps, UTIME_OMIT, utimensat};

/// Longer than a tick, within which nothing counts.
const TICK: Duration = Duration::from_millis(25);
const OLD: (i64, i64) = (1_000_000_000, 5);

fn atime(path: &Path) -> (i64, i64) {
    let file = fs::symlink_metadata(path).unwrap();
    (file.atime(), file.atime_nsec())
}

/// Sets the access time, of a link itself.
fn set_atime(path: &Path, (tv_sec, tv_nsec): (i64, i64)) {
    let times = Timestamps {
        last_access: Timespec { tv_sec, tv_nsec },
        last_modification: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Does something and notes whether the access time moved.
fn watch(seen: &mut Seen, what: &str, path: &Path, act: impl FnOnce() -> io::Result<()>) {
    let before = atime(path);
    thread::sleep(TICK);
    act().unwrap();
    seen.fact(
        what,
        match atime(path).cmp(&before) {
            std::cmp::Ordering::Greater => "moved",
            std::cmp::Ordering::Equal => "stays",
            std::cmp::Ordering::Less => "BACKWARDS",
        },
    );
}

fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)
}

/// Reads a page past the page cache.
fn read_directly(file: &File) -> io::Result<()> {
    #[repr(align(4096))]
    struct Page([u8; 4096]);
    file.read_at(&mut Page([0; 4096]).0, 0).map(drop)
}

fn fill(root: &Path) {
    for name in ["file", "direct", "noatime", "written", "fresh"] {
        fs::write(root.join(name), [1; 8192]).unwrap();
    }
    fs::create_dir(root.join("folder")).unwrap();
    fs::write(root.join("folder/x"), "").unwrap();
    symlink("file", root.join("link")).unwrap();
    for name in ["file", "direct", "noatime", "written", "folder", "link"] {
        set_atime(&root.join(name), OLD);
    }
}

/// After a remount nothing is cached: the first read of anything moves its access time, a second
/// one does not; O_NOATIME does not; a read after a change does, if it reaches the daemon.
#[test]
fn the_first_read_after_a_change_counts() {
    let beside = Beside::new();
    for root in beside.roots() {
        fill(&root);
    }
    beside.remount();
    let differs = |row, call| Difference {
        row,
        call,
        ext4: "\"moved\"",
        volfs: "\"stays\"",
    };
    let differences = [
        differs(
            "atime of reads that the page cache serves",
            "read what was just written",
        ),
        differs(
            "atime of links that the kernel has cached",
            "follow again after a change",
        ),
    ];
    beside.compare_except(&differences, |root, seen| {
        let path = |name: &str| root.join(name);
        let list = |name: &str| fs::read_dir(path(name)).map(|it| it.for_each(drop));
        watch(seen, "stat", &path("file"), || {
            fs::metadata(path("file")).map(drop)
        });
        watch(seen, "open", &path("file"), || {
            File::open(path("file")).map(drop)
        });
        watch(seen, "read", &path("file"), || {
            fs::read(path("file")).map(drop)
        });
        watch(seen, "read again", &path("file"), || {
            fs::read(path("file")).map(drop)
        });
        watch(seen, "O_NOATIME", &path("noatime"), || {
            open(&path("noatime"), OFlags::NOATIME)?
                .read(&mut [0; 10])
                .map(drop)
        });
        let direct = open(&path("direct"), OFlags::DIRECT).unwrap();
        watch(seen, "O_DIRECT", &path("direct"), || read_directly(&direct));
        watch(seen, "O_DIRECT again", &path("direct"), || {
            read_directly(&direct)
        });
        let written = File::options().write(true).open(path("direct")).unwrap();
        written.write_all_at(b"new", 0).unwrap();
        drop(written);
        watch(seen, "O_DIRECT after a change", &path("direct"), || {
            read_directly(&direct)
        });
        watch(seen, "write", &path("written"), || {
            File::options()
                .write(true)
                .open(path("written"))?
                .write_all_at(b"x", 5)
        });
        watch(seen, "follow", &path("link"), || {
            fs::read_link(path("link")).map(drop)
        });
        watch(seen, "follow again", &path("link"), || {
            fs::read_link(path("link")).map(drop)
        });
        set_atime(&path("link"), OLD);
        watch(seen, "follow again after a change", &path("link"), || {
            fs::read_link(path("link")).map(drop)
        });
        watch(seen, "list", &path("folder"), || list("folder"));
        watch(seen, "list again", &path("folder"), || list("folder"));
        fs::write(path("folder/new"), "").unwrap();
        watch(seen, "list after a change", &path("folder"), || {
            list("folder")
        });
        watch(seen, "read new", &path("fresh"), || {
            fs::read(path("fresh")).map(drop)
        });
        fs::write(path("fresh"), "again").unwrap();
        watch(seen, "read what was just written", &path("fresh"), || {
            fs::read(path("fresh")).map(drop)
        });
    });
    let kept = beside.roots()[0].join("file");
    let moved = atime(&kept);
    assert!(moved > OLD);
    beside.remount();
    assert_eq!(atime(&kept), moved, "it is stored");
}

/// relatime leaves an access time alone that is newer than every change and not a day old.
#[test]
fn an_access_newer_than_every_change_stays() {
    let place = Place::new();
    let path = place.file("file", [1; 100]);
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    // The change time is now, and what is newer than that is not a day old. Of that rule there is a
    // unit test in `volume/ops/access.rs`.
    set_atime(&path, (4_102_444_800, 0));
    place.remount();
    fs::read(&path).unwrap();
    assert_eq!(atime(&path), (4_102_444_800, 0), "newer than every change");
}

/// `-o noatime` is shown, keeps every access time, and is remembered: by `mount --all` after the
/// daemon was killed too. A second place of the volume follows the first and says so.
#[test]
fn noatime_keeps_access_times() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let path = fixture.mount("data");
    fill(&path);
    fixture.umount("data");
    let read_all = || {
        fs::read(path.join("file")).unwrap();
        fs::read_dir(path.join("folder")).unwrap().for_each(drop);
        fs::read_link(path.join("link")).unwrap();
        ["file", "folder", "link"].map(|name| atime(&path.join(name)))
    };
    let options = |path: &Path| mount_at(path).unwrap().options;

    fixture.ok(&["mount", "data", text(&path), "-o", "noatime"]);
    assert!(options(&path).contains("noatime"), "{}", options(&path));
    assert_eq!(read_all(), [OLD; 3]);
    let second = fixture.mount_point("second");
    let ran = fixture
        .volfs(&["mount", "data", text(&second)])
        .expect_code(0);
    assert!(ran.stderr.contains("noatime"), "{ran:?}");
    assert!(options(&second).contains("noatime"));
    assert_eq!(atime(&second.join("file")), OLD);
    fixture.ok(&["umount", text(&second)]);

    fixture.kill_daemon();
    fixture.ok(&["mount", "--all"]);
    assert!(options(&path).contains("noatime"), "{}", options(&path));
    assert_eq!(read_all(), [OLD; 3]);
    fixture.umount("data");
    fixture.ok(&["mount", "data", text(&path)]);
    assert!(options(&path).contains("relatime"), "{}", options(&path));
    assert!(read_all().into_iter().all(|atime| atime > OLD));
}

/// A snapshot's access times stay as they were, also on the second look.
#[test]
fn snapshots_keep_access_times() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let path = fixture.mount("data");
    fill(&path);
    fixture.ok(&["snapshot", "create", "data", "then"]);
    let old = fixture.mount("data@then");
    for _ in 0..2 {
        fs::read(old.join("file")).unwrap();
        fs::read_dir(old.join("folder")).unwrap().for_each(drop);
        assert_eq!(atime(&old.join("file")), OLD);
        assert_eq!(atime(&old.join("folder")), OLD);
    }
}
