//! mtime and ctime, on a volume as on ext4.

use std::fs::{self, File, FileTimes, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuse_tests::promises::Page;
use fuse_tests::run::eventually;
use fuse_tests::{Beside, Place, Seen, User};
use rustix::fd::AsFd;
use rustix::fs::{
    AtFlags, CWD, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens, utimensat,
};
use rustix::time::{ClockId, clock_gettime};

/// Longer than a tick of the clock that filesystems keep times with.
pub(crate) const TICK: Duration = Duration::from_millis(12);

/// mtime and ctime.
pub(crate) fn times(path: &Path) -> io::Result<[(i64, i64); 2]> {
    let file = fs::symlink_metadata(path)?;
    Ok([
        (file.mtime(), file.mtime_nsec()),
        (file.ctime(), file.ctime_nsec()),
    ])
}

/// Opens a file to read and write.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(path)
}

/// utimensat with special nanoseconds, or with those of 1970.
pub(crate) fn set(path: &Path, access: i64, modification: i64) -> io::Result<()> {
    let special = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let times = Timestamps {
        last_access: special(access),
        last_modification: special(modification),
    };
    Ok(utimensat(CWD, path, &times, AtFlags::empty())?)
}

/// Times that are set come back to the nanosecond, before 1970 and beyond 2038 too, also after a
/// remount; ext4 ends in 2446.
#[test]
fn set_times_are_exact() {
    let stamps: [(i64, i64); 11] = [
        (0, 0),
        (0, 1),
        (1, 999_999_999),
        (-1, 0),
        (-1, 1),
        (-2, 999_999_999),
        (-2_147_483_648, 0),
        (2_147_483_647, 999_999_999),
        (2_147_483_648, 5),
        (4_294_967_296, 7),
        (15_032_385_535, 0),
    ];
    let beside = Beside::new();
    let path = |root: &Path, number: usize| root.join(format!("f{number}"));
    let look = |root: &Path, seen: &mut Seen| {
        for (number, stamp) in stamps.iter().enumerate() {
            let file = fs::metadata(path(root, number)).unwrap();
            let (atime, mtime) = (
                (file.atime(), file.atime_nsec()),
                (file.mtime(), file.mtime_nsec()),
            );
            seen.fact(format!("{stamp:?}"), (atime, mtime));
            seen.fact("as it was set", atime == *stamp && mtime == *stamp);
        }
    };
    beside.compare(|root, seen| {
        for (number, (tv_sec, tv_nsec)) in stamps.into_iter().enumerate() {
            let stamp = Timespec { tv_sec, tv_nsec };
            let times = Timestamps {
                last_access: stamp,
                last_modification: stamp,
            };
            let path = path(root, number);
            fs::write(&path, "").unwrap();
            seen.call("set", utimensat(CWD, &path, &times, AtFlags::empty()));
        }
        look(root, seen);
    });
    beside.remount();
    beside.compare(look);
    let far = beside.roots().map(|root| {
        let path = root.join("far");
        fs::write(&path, "").unwrap();
        let year_5000 = UNIX_EPOCH + Duration::from_secs(95_617_584_000);
        open(&path).unwrap().set_modified(year_5000).unwrap();
        fs::metadata(&path).unwrap().mtime()
    });
    assert_eq!(far, [95_617_584_000, 15_032_385_535]);
}

/// Who may set times: to now whoever may write, to anything else the owner.
#[test]
fn setting_times_needs_the_right() {
    let beside = Beside::new();
    beside.compare(|root, seen| {
        let path = root.join("file");
        fs::write(&path, "").unwrap();
        chown(&path, Some(1000), Some(1000)).unwrap();
        for mode in [0o666, 0o644, 0o000] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            for (who, user) in [("owner", User::new(1000)), ("stranger", User::new(1001))] {
                user.run(|| {
                    let tag = format!("{who}, {mode:o}");
                    seen.call(format!("{tag}: both now"), set(&path, UTIME_NOW, UTIME_NOW));
                    seen.call(format!("{tag}: one now"), set(&path, UTIME_OMIT, UTIME_NOW));
                    seen.call(format!("{tag}: set"), set(&path, 5, 5));
                    seen.call(format!("{tag}: omit"), set(&path, UTIME_OMIT, UTIME_OMIT));
                    seen.call(format!("{tag}: impossible"), set(&path, 1_000_000_000, 0));
                });
            }
        }
    });
}

/// What is made, what is written and what is set to now bear times in the order of the calls,
/// whoever of kernel and daemon stamps them. Within a tick the kernel's clock may be ahead of the one
/// that can be read: when somebody writes to an ext4, which has finer stamps, no later one of any
/// filesystem may be less. Then there is nothing that the daemon could go by.
#[test]
fn times_follow_the_order_of_the_calls() {
    let beside = Beside::new();
    beside.compare(|root, seen| {
        let [made, written, folder, touched] =
            ["made", "written", "folder", "touched"].map(|name| root.join(name));
        fs::write(&touched, "").unwrap();
        let writer = File::create(&written).unwrap();
        for _ in 0..300 {
            fs::write(&made, "").unwrap();
            writer.write_all_at(b"x", 0).unwrap();
            let clock = clock_gettime(ClockId::RealtimeCoarse);
            fs::create_dir(&folder).unwrap();
            set(&touched, UTIME_OMIT, UTIME_NOW).unwrap();
            let order = [&made, &written, &folder, &touched].map(|path| times(path).unwrap()[0]);
            let is_ahead = order[1] > (clock.tv_sec, clock.tv_nsec);
            seen.fact("in order", order.is_sorted() || is_ahead);
            let fresh = times(&made).unwrap();
            seen.fact("a new file's", fresh[0] == fresh[1]);
            fs::remove_file(&made).unwrap();
            fs::remove_dir(&folder).unwrap();
        }
    });
}

/// A handle that has written keeps its own order of times, whatever the kernel writes back later:
/// set times stay set, later writes move on.
#[test]
fn dirty_pages_do_not_undo_set_times() {
    let beside = Beside::new();
    let old = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let mtime =
        |root: &Path, name: &str| fs::metadata(root.join(name)).unwrap().modified().unwrap();
    beside.compare(|root, seen| {
        for (name, sync) in [("kept", false), ("synced", true)] {
            let file = File::create(root.join(name)).unwrap();
            file.write_all_at(&[7; 100_000], 0).unwrap();
            file.set_times(FileTimes::new().set_modified(old)).unwrap();
            if sync {
                file.sync_all().unwrap();
            }
            drop(file);
            seen.fact(name, mtime(root, name) == old);
        }
        let file = File::create(root.join("later")).unwrap();
        file.set_times(FileTimes::new().set_modified(old)).unwrap();
        file.write_all_at(b"x", 0).unwrap();
        seen.fact("later", mtime(root, "later") > old);
    });
    beside.remount();
    beside.compare(|root, seen| {
        for name in ["kept", "synced", "later"] {
            seen.fact(name, mtime(root, name) == old);
        }
    });
}

/// A file that was written with O_DIRECT: what is stored moves with each write; the mount shows it
/// once nobody has the file open any more.
#[test]
fn direct_writes_show_their_time_when_closed() {
    let place = Place::new();
    if place.is_plain() {
        return;
    }
    let path = place.file("direct", [0; 8192]);
    let mtime = || fs::metadata(&path).unwrap().modified().unwrap();
    let old = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    open(&path).unwrap().set_modified(old).unwrap();
    place.remount();
    let began = SystemTime::now() - Duration::from_secs(1);
    let flags = OFlags::DIRECT.bits() as i32;
    let file = File::options()
        .write(true)
        .custom_flags(flags)
        .open(&path)
        .unwrap();
    file.write_all_at(&Page::new("f", 0, 1).0, 0).unwrap();
    assert_eq!(
        mtime(),
        old,
        "shown while it is open, as docs/semantics.md says"
    );
    drop(file);
    eventually("the mount shows the time", Duration::from_secs(10), || {
        mtime() >= began
    });
    let shown = mtime();
    place.remount();
    assert_eq!(mtime(), shown);
}

/// The folder's own times, and those of an open file by its descriptor, can be set.
#[test]
fn times_are_set_by_descriptor() {
    let beside = Beside::new();
    beside.compare(|root, seen| {
        let path: PathBuf = root.join("file");
        fs::write(&path, "x").unwrap();
        symlink("nowhere", root.join("link")).unwrap();
        let stamp = Timespec {
            tv_sec: 77,
            tv_nsec: 5,
        };
        let times = Timestamps {
            last_access: stamp,
            last_modification: stamp,
        };
        for (what, file) in [("file", File::open(&path)), ("folder", File::open(root))] {
            let file = file.unwrap();
            seen.call(what, futimens(file.as_fd(), &times));
            let set = file.metadata().unwrap();
            seen.fact(
                what,
                (set.mtime(), set.mtime_nsec(), set.atime(), set.atime_nsec()),
            );
        }
        let link = root.join("link");
        seen.call(
            "link",
            utimensat(CWD, &link, &times, AtFlags::SYMLINK_NOFOLLOW),
        );
        let set = fs::symlink_metadata(&link).unwrap();
        seen.fact("link", (set.mtime(), set.mtime_nsec(), set.atime()));
        seen.call(
            "through the link",
            utimensat(CWD, &link, &times, AtFlags::empty()),
        );
    });
}
