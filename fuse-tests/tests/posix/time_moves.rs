//! Which call moves mtime and ctime, of what: as on ext4.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use fuse_tests::Beside;
use rustix::fs::{
    CWD, FallocateFlags, FileType, Mode, RenameFlags, UTIME_NOW, UTIME_OMIT, XattrFlags, fallocate,
    lremovexattr, lsetxattr, mknodat, renameat_with,
};

use crate::times::{TICK, open, set, times};

/// Which of a path's times a change moves, told as "mtime", "ctime", both or none.
fn moved(path: &Path, before: [(i64, i64); 2]) -> String {
    let after = times(path).unwrap();
    let moved = ["mtime", "ctime"].iter().zip(before.iter().zip(after));
    let told = moved.map(|(name, (before, after))| match before.cmp(&after) {
        std::cmp::Ordering::Less => format!("{name} "),
        std::cmp::Ordering::Equal => String::new(),
        std::cmp::Ordering::Greater => format!("{name} BACKWARDS "),
    });
    told.collect()
}

type Change = Box<dyn Fn(&Path) -> io::Result<()>>;

/// Changes of `file`, which lies in the folder that is given, beside `other` and `folder`.
fn changes() -> Vec<(&'static str, Change)> {
    fn change(change: impl Fn(&Path) -> io::Result<()> + 'static) -> Change {
        Box::new(change)
    }
    let file = |root: &Path| root.join("file");
    let allocate = |flags: FallocateFlags| {
        change(move |root| Ok(fallocate(open(&file(root))?, flags, 0, 100)?))
    };
    vec![
        ("nothing", change(|_| Ok(()))),
        ("read", change(move |root| fs::read(file(root)).map(drop))),
        (
            "open for writing",
            change(move |root| open(&file(root)).map(drop)),
        ),
        (
            "write",
            change(move |root| open(&file(root))?.write_all_at(b"x", 1)),
        ),
        (
            "write nothing",
            change(move |root| open(&file(root))?.write_at(b"", 1).map(drop)),
        ),
        (
            "write over",
            change(move |root| fs::write(file(root), "new")),
        ),
        (
            "truncate",
            change(move |root| open(&file(root))?.set_len(2)),
        ),
        (
            "truncate to the same",
            change(move |root| {
                let file = open(&file(root))?;
                file.set_len(file.metadata()?.len())
            }),
        ),
        (
            "truncate by path to the same",
            change(move |root| {
                Ok(rustix::fs::ftruncate(
                    open(&file(root))?,
                    fs::metadata(file(root))?.len(),
                )?)
            }),
        ),
        (
            "open O_TRUNC",
            change(move |root| {
                File::options()
                    .write(true)
                    .truncate(true)
                    .open(file(root))
                    .map(drop)
            }),
        ),
        ("allocate", allocate(FallocateFlags::empty())),
        ("allocate beyond", allocate(FallocateFlags::KEEP_SIZE)),
        (
            "punch",
            allocate(FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE),
        ),
        (
            "copy into",
            change(move |root| {
                let (source, target) = (File::open(root.join("other"))?, open(&file(root))?);
                Ok(rustix::fs::copy_file_range(source, None, target, None, 5).map(drop)?)
            }),
        ),
        (
            "chmod",
            change(move |root| fs::set_permissions(file(root), Permissions::from_mode(0o600))),
        ),
        (
            "chmod to the same",
            change(move |root| {
                let same = fs::metadata(file(root))?.permissions();
                fs::set_permissions(file(root), same)
            }),
        ),
        (
            "chown",
            change(move |root| chown(file(root), Some(5), None)),
        ),
        (
            "chown nothing",
            change(move |root| chown(file(root), None, None)),
        ),
        (
            "set an attribute",
            change(move |root| Ok(lsetxattr(file(root), "user.a", b"1", XattrFlags::empty())?)),
        ),
        (
            "remove an attribute",
            change(move |root| Ok(lremovexattr(file(root), "user.a")?)),
        ),
        (
            "link",
            change(move |root| fs::hard_link(file(root), root.join("second"))),
        ),
        (
            "unlink the second",
            change(|root| fs::remove_file(root.join("second"))),
        ),
        (
            "rename",
            change(move |root| {
                fs::rename(file(root), root.join("moved"))?;
                fs::rename(root.join("moved"), file(root))
            }),
        ),
        (
            "rename into a folder",
            change(move |root| fs::rename(file(root), root.join("folder/file"))),
        ),
        (
            "rename back",
            change(move |root| fs::rename(root.join("folder/file"), file(root))),
        ),
        (
            "exchange",
            change(move |root| {
                Ok(renameat_with(
                    CWD,
                    file(root),
                    CWD,
                    root.join("other"),
                    RenameFlags::EXCHANGE,
                )?)
            }),
        ),
        (
            "create beside",
            change(|root| File::create(root.join("beside")).map(drop)),
        ),
        (
            "mkdir beside",
            change(|root| fs::create_dir(root.join("sub"))),
        ),
        (
            "create in it",
            change(|root| File::create(root.join("sub/x")).map(drop)),
        ),
        (
            "unlink in it",
            change(|root| fs::remove_file(root.join("sub/x"))),
        ),
        ("rmdir", change(|root| fs::remove_dir(root.join("sub")))),
        ("symlink", change(|root| symlink("file", root.join("link")))),
        (
            "a call that fails",
            change(|root| fs::create_dir(root.join("folder"))),
        ),
        (
            "utimes now",
            change(move |root| set(&file(root), UTIME_NOW, UTIME_NOW)),
        ),
        (
            "utimes omit",
            change(move |root| set(&file(root), UTIME_OMIT, UTIME_OMIT)),
        ),
        (
            "utimes atime only",
            change(move |root| set(&file(root), 7, UTIME_OMIT)),
        ),
    ]
}

/// A tree whose times come from the kernel (buffered writes, a mapping), from the daemon and from
/// whoever set them. What is returned stays open, with pages that only the kernel has.
fn stamped(root: &Path) -> io::Result<Vec<File>> {
    let path = |name: &str| root.join(name);
    for name in ["folder", "from", "to", "from/sub"] {
        fs::create_dir(path(name))?;
    }
    for name in [
        "write",
        "append",
        "truncate",
        "grow",
        "punch",
        "chmod",
        "chown",
        "link",
        "rename",
        "over",
        "xattr",
        "set",
        "unlink",
        "from/move",
        "open",
        "open-truncated",
        "open-renamed",
    ] {
        fs::write(path(name), vec![1; 20_000])?;
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(TICK);
    open(&path("write"))?.write_all_at(&[2; 9000], 100)?;
    File::options()
        .append(true)
        .open(path("append"))?
        .write_all(b"x")?;
    open(&path("truncate"))?.set_len(5)?;
    open(&path("grow"))?.set_len(50_000)?;
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(open(&path("punch"))?, punch, 0, 16_384)?;
    thread::sleep(TICK);
    fs::set_permissions(path("chmod"), Permissions::from_mode(0o600))?;
    fs::set_permissions(path("folder"), Permissions::from_mode(0o700))?;
    chown(path("chown"), Some(5), Some(5))?;
    fs::hard_link(path("link"), path("folder/second"))?;
    thread::sleep(TICK);
    fs::rename(path("rename"), path("over"))?;
    fs::rename(path("from/move"), path("to/moved"))?;
    fs::rename(path("from/sub"), path("to/sub"))?;
    lsetxattr(path("xattr"), "user.a", b"1", XattrFlags::empty())?;
    open(&path("set"))?.set_modified(UNIX_EPOCH + Duration::from_nanos(1_234_567_891))?;
    fs::remove_file(path("unlink"))?;
    symlink("write", path("symlink"))?;
    mknodat(CWD, path("pipe"), FileType::Fifo, Mode::RWXU, 0)?;
    thread::sleep(TICK);
    let kept = ["open", "open-truncated", "open-renamed"].map(|name| open(&path(name)));
    let kept = kept.into_iter().collect::<io::Result<Vec<File>>>()?;
    for file in &kept {
        file.write_all_at(&[3; 10_000], 5000)?;
    }
    kept[1].set_len(12_000)?;
    fs::rename(path("open-renamed"), path("to/open-renamed"))?;
    Ok(kept)
}

/// A path with all digits of its times, and its size.
type Stamp = (PathBuf, [(i64, i64); 2], u64);

/// Every path below a folder.
fn stamps(root: &Path, below: &Path, found: &mut Vec<Stamp>) {
    let length = fs::symlink_metadata(below).unwrap().len();
    let name = below.strip_prefix(root).unwrap().to_owned();
    found.push((name, times(below).unwrap(), length));
    if fs::symlink_metadata(below).unwrap().is_dir() {
        for entry in fs::read_dir(below).unwrap() {
            stamps(root, &entry.unwrap().path(), found);
        }
    }
    found.sort();
}

/// Times are stored as they were shown, to the nanosecond, whoever took them: a remount moves none.
#[test]
fn a_remount_moves_no_time() {
    let beside = Beside::new();
    let look = || {
        beside.roots().map(|root| {
            let mut found = Vec::new();
            stamps(&root, &root, &mut found);
            found
        })
    };
    let kept = beside.roots().map(|root| stamped(&root).unwrap());
    let shown = look();
    drop(kept);
    let closed = look();
    beside.remount();
    let stored = look();
    for (place, ((shown, closed), stored)) in ["volfs", "ext4"]
        .iter()
        .zip(shown.iter().zip(&closed).zip(&stored))
    {
        assert!(shown.len() >= 20, "{place}: {} paths", shown.len());
        assert_eq!(shown, closed, "{place}: moved by closing");
        assert_eq!(closed, stored, "{place}: moved by the remount");
    }
    let fine = shown[0].iter().filter(|(_, times, _)| times[0].1 != 0);
    assert!(fine.count() >= 20, "hardly any stamp has nanoseconds");
}

/// Which call moves which time of the file, of its folder, and of what lies beside it.
#[test]
fn changes_move_the_times_that_ext4_moves() {
    let beside = Beside::new();
    let changes = changes();
    beside.compare(|root, seen| {
        fs::write(root.join("file"), "content").unwrap();
        fs::write(root.join("other"), "other").unwrap();
        fs::create_dir(root.join("folder")).unwrap();
        for (what, change) in &changes {
            let watched = ["", "file", "other", "folder"].map(|name| root.join(name));
            let before = watched.each_ref().map(|path| times(path).ok());
            thread::sleep(TICK);
            seen.call(*what, change(root));
            for (path, before) in watched.iter().zip(before) {
                let Some(before) = before.filter(|_| path.exists()) else {
                    continue;
                };
                let name = path.strip_prefix(root).unwrap().display();
                seen.fact(format!("{what}: of '{name}'"), moved(path, before));
            }
        }
    });
}
