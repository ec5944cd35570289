//! Modes, owners, times, extended attributes.

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuse_tests::promises::Page;
use fuse_tests::{Place, Ran, run};
use rustix::fs::{
    AtFlags, CWD, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, XattrFlags, getxattr,
    listxattr, removexattr, setxattr, utimensat,
};
use rustix::io::Errno;

use crate::errno;

const NOBODY: u32 = 65534;

/// Runs a shell command as a user without rights.
fn as_nobody(command: &str) -> Ran {
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    run(Command::new("setpriv")
        .args(user)
        .args(["sh", "-c", command])
        .current_dir("/"))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Modes and owners are kept, over a remount too, and decide who may do what.
#[test]
fn modes_and_owners_are_enforced() {
    let place = Place::new();
    let path = place.file("secret", "content");
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    chown(&path, Some(0), Some(7)).unwrap();
    place.remount();

    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777),
        (0, 7, 0o640)
    );
    let read = as_nobody(&format!("cat {}", path.display()));
    assert!(
        read.code != 0 && read.stderr.contains("Permission denied"),
        "{read:?}"
    );
    chown(&path, Some(NOBODY), None).unwrap();
    assert_eq!(
        as_nobody(&format!("cat {}", path.display())).ok(),
        "content"
    );
    let foreign = as_nobody(&format!("touch {}/new", place.root().display()));
    assert!(
        foreign.code != 0 && foreign.stderr.contains("Permission denied"),
        "{foreign:?}"
    );
}

/// A new file gets the mode asked for minus the umask, and in a setgid folder its group.
#[test]
fn umask_and_setgid_shape_new_files() {
    let place = Place::new();
    let folder = place.path("group");
    fs::create_dir(&folder).unwrap();
    chown(&folder, None, Some(7)).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o2775)).unwrap();
    let create = "umask 027; cd \"$1\" && touch file && mkdir sub";
    run(Command::new("sh").args(["-c", create, "sh"]).arg(&folder)).ok();

    assert_eq!(mode(&folder.join("file")), 0o640);
    assert_eq!(mode(&folder.join("sub")), 0o2750);
    let group = |name| fs::metadata(folder.join(name)).unwrap().gid();
    assert_eq!((group("file"), group("sub")), (7, 7));
}

/// Whoever lacks privilege and writes to or gives away a file takes its suid bit away.
#[test]
fn suid_goes_with_a_write() {
    let place = Place::new();
    let (written, given) = (place.file("written", "x"), place.file("given", "x"));
    for path in [&written, &given] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o6777)).unwrap();
    }
    as_nobody(&format!("echo more >> {}", written.display())).ok();
    assert_eq!(mode(&written), 0o777);
    chown(&given, Some(0), Some(0)).unwrap();
    assert_eq!(mode(&given), 0o777);
    place.remount();
    assert_eq!((mode(&written), mode(&given)), (0o777, 0o777));
}

/// Times are set to the nanosecond; UTIME_NOW and UTIME_OMIT do what they say.
#[test]
fn times_are_set_exactly() {
    let place = Place::new();
    let path = place.file("f", "x");
    let stamp = UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    let later = UNIX_EPOCH + Duration::new(4_102_444_800, 1);
    let times = FileTimes::new().set_modified(stamp).set_accessed(later);
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_times(times)
        .unwrap();
    place.remount();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(
        (metadata.modified().unwrap(), metadata.accessed().unwrap()),
        (stamp, later)
    );

    let special = |nanoseconds| Timespec {
        tv_sec: 0,
        tv_nsec: nanoseconds,
    };
    let now = Timestamps {
        last_access: special(UTIME_OMIT),
        last_modification: special(UTIME_NOW),
    };
    utimensat(CWD, &path, &now, AtFlags::empty()).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    let age = metadata.modified().unwrap().duration_since(stamp).unwrap();
    assert!(age > Duration::from_secs(1_000_000));
    assert_eq!(metadata.accessed().unwrap(), later);
}

/// Each kind of write moves the modification time, and a remount shows it moved.
#[test]
fn every_write_moves_the_mtime() {
    let place = Place::new();
    let old = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let write = |name: &str, change: &dyn Fn(&File)| {
        let path = place.file(name, vec![1; 8192]);
        let flags = if name == "direct" {
            OFlags::DIRECT.bits()
        } else {
            0
        };
        let file = File::options()
            .write(true)
            .custom_flags(flags as i32)
            .open(&path)
            .unwrap();
        file.set_times(FileTimes::new().set_modified(old)).unwrap();
        change(&file);
        drop(file);
    };
    let before = SystemTime::now() - Duration::from_secs(1);
    write("buffered", &|file| file.write_all_at(b"new", 5).unwrap());
    write("direct", &|file| {
        file.write_all_at(&Page::new("f", 0, 1).0, 0).unwrap()
    });
    write("truncated", &|file| file.set_len(100).unwrap());
    write("synced", &|file| {
        file.write_all_at(b"new", 5).unwrap();
        file.sync_all().unwrap();
    });
    place.remount();
    for name in ["buffered", "direct", "truncated", "synced"] {
        let modified = fs::metadata(place.path(name)).unwrap().modified().unwrap();
        assert!(modified >= before, "the mtime of '{name}' did not move");
    }
}

/// A change of a folder's entries moves its mtime and ctime; of a file's mode only its ctime.
#[test]
fn metadata_changes_move_the_right_times() {
    let place = Place::new();
    let path = place.file("f", "x");
    let times = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        (modified, (metadata.ctime(), metadata.ctime_nsec()))
    };
    let (folder_before, file_before) = (times(place.root()), times(&path));
    // Longer than a tick of the clock that filesystems read.
    std::thread::sleep(Duration::from_millis(20));
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    place.file("new", "x");

    let (folder, file) = (times(place.root()), times(&path));
    assert!(
        folder.0 > folder_before.0 && folder.1 > folder_before.1,
        "the folder's times"
    );
    assert!(file.1 > file_before.1, "the file's ctime");
    assert_eq!(file.0, file_before.0, "the file's mtime");
}

/// Extended attributes keep their bytes over a remount; flags and absence give their errors.
#[test]
fn extended_attributes_are_kept() {
    let place = Place::new();
    let path = place.file("f", "x");
    let set = |name: &str, value: &[u8], flags| Ok(setxattr(&path, name, value, flags)?);
    let value = vec![7; 3000];
    set("user.large", &value, XattrFlags::CREATE).unwrap();
    set("user.empty", b"", XattrFlags::empty()).unwrap();
    set("trusted.t", b"\0\xff", XattrFlags::empty()).unwrap();
    assert_eq!(
        errno(set("user.large", b"", XattrFlags::CREATE)),
        Errno::EXIST
    );
    assert_eq!(
        errno(set("user.none", b"", XattrFlags::REPLACE)),
        Errno::NODATA
    );
    place.remount();

    let mut buffer = [0; 4096];
    let length = getxattr(&path, "user.large", &mut buffer).unwrap();
    assert_eq!(buffer[..length], value);
    assert_eq!(getxattr(&path, "user.empty", &mut buffer).unwrap(), 0);
    assert_eq!(
        getxattr(&path, "user.large", &mut buffer[..10]).err(),
        Some(Errno::RANGE)
    );
    let length = listxattr(&path, &mut buffer).unwrap();
    let list = String::from_utf8(buffer[..length].to_vec()).unwrap();
    let mut names: Vec<&str> = list.split_terminator('\0').collect();
    names.sort_unstable();
    assert_eq!(names, ["trusted.t", "user.empty", "user.large"]);
    removexattr(&path, "user.large").unwrap();
    assert_eq!(
        getxattr(&path, "user.large", &mut buffer).err(),
        Some(Errno::NODATA)
    );
    assert_eq!(removexattr(&path, "user.large").err(), Some(Errno::NODATA));
}

/// Under a default ACL the umask does not count: a new file gets what the ACL grants.
#[test]
fn default_acl_overrides_the_umask() {
    const ACL_VERSION: u32 = 2;
    // Owner, owning group and others may do everything: tags 1, 4 and 0x20, without ids.
    let entries = [1_u16, 4, 0x20].map(|tag| (tag, 7_u16, u32::MAX));
    let mut acl = ACL_VERSION.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        acl.extend(tag.to_le_bytes());
        acl.extend(permissions.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    let place = Place::new();
    let folder = place.path("shared");
    fs::create_dir(&folder).unwrap();
    setxattr(
        &folder,
        "system.posix_acl_default",
        &acl,
        XattrFlags::empty(),
    )
    .unwrap();
    let create = "umask 077; cd \"$1\" && touch file && mkdir sub";
    run(Command::new("sh").args(["-c", create, "sh"]).arg(&folder)).ok();

    place.remount();
    assert_eq!(mode(&folder.join("file")), 0o666);
    assert_eq!(mode(&folder.join("sub")), 0o777);
    let mut inherited = [0; 64];
    let name = "system.posix_acl_default";
    let length = getxattr(folder.join("sub"), name, &mut inherited).unwrap();
    assert_eq!(inherited[..length], acl);
}
