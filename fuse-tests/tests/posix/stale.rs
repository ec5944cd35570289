//! Calls through what belongs to a state before a rollback: ESTALE, whatever the call.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt, symlink};
use std::path::Path;

use fuse_tests::Place;
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, Mode, OFlags, RawDir, RenameFlags, Timestamps, XattrFlags,
    copy_file_range,
};
use rustix::io::Errno;

use crate::errno;

/// Whatever a process may hold of the state that goes.
struct Held {
    reader: File,
    writer: File,
    direct: File,
    folder: File,
    path: File,
    link: File,
    second: File,
}

impl Held {
    fn open(root: &Path) -> Held {
        let file = root.join("file");
        let open = |flags: OFlags| {
            let mut options = File::options();
            options
                .read(true)
                .write(true)
                .custom_flags(flags.bits() as i32)
                .open(&file)
        };
        let second = File::options().write(true).open(root.join("second"));
        Held {
            second: second.unwrap(),
            reader: File::open(&file).unwrap(),
            writer: open(OFlags::empty()).unwrap(),
            direct: open(OFlags::DIRECT).unwrap(),
            folder: File::open(root.join("folder")).unwrap(),
            path: rustix::fs::open(
                root.join("folder"),
                OFlags::PATH | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .unwrap()
            .into(),
            link: rustix::fs::open(
                root.join("folder/link"),
                OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .unwrap()
            .into(),
        }
    }
}

/// A call that reaches the daemon through an old inode.
type Call<'a> = (&'static str, Box<dyn Fn() -> io::Result<()> + 'a>);

fn calls(held: &Held) -> Vec<Call<'_>> {
    #[repr(align(4096))]
    struct Page([u8; 4096]);
    fn call<'a>(name: &'static str, call: impl Fn() -> io::Result<()> + 'a) -> Call<'a> {
        (name, Box::new(call))
    }
    let Held {
        reader,
        writer,
        direct,
        folder,
        path,
        link,
        second,
    } = held;
    let make = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    vec![
        // Before anything is written, and to a file of its own: the kernel answers EIO to the first
        // copy of a range, or access past its cache, after what it could not write back.
        call("copy a range", move || {
            let (mut from, mut to) = (0, 65_536);
            Ok(copy_file_range(reader, Some(&mut from), second, Some(&mut to), 8192).map(drop)?)
        }),
        call("read", move || reader.read_at(&mut [0; 10], 0).map(drop)),
        call("read O_DIRECT", move || {
            direct.read_at(&mut Page([0; 4096]).0, 0).map(drop)
        }),
        call("write and fsync", move || {
            writer.write_all_at(b"x", 0)?;
            writer.sync_all()
        }),
        call("write O_DIRECT", move || {
            direct.write_all_at(&Page([1; 4096]).0, 0)
        }),
        call("fsync", move || reader.sync_all()),
        call("fsync of a folder", move || folder.sync_all()),
        call("truncate", move || writer.set_len(1)),
        call("allocate", move || {
            Ok(rustix::fs::fallocate(
                writer,
                FallocateFlags::empty(),
                0,
                4096,
            )?)
        }),
        call("chmod", move || Ok(rustix::fs::fchmod(reader, Mode::RWXU)?)),
        call("chown", move || {
            Ok(rustix::fs::fchown(
                reader,
                None,
                Some(rustix::fs::Gid::from_raw(5)),
            )?)
        }),
        call("utimes", move || {
            let now = rustix::fs::Timespec {
                tv_sec: 5,
                tv_nsec: 5,
            };
            let times = Timestamps {
                last_access: now,
                last_modification: now,
            };
            Ok(rustix::fs::futimens(reader.as_fd(), &times)?)
        }),
        call("setxattr", move || {
            Ok(rustix::fs::fsetxattr(
                reader,
                "user.a",
                b"v",
                XattrFlags::empty(),
            )?)
        }),
        call("getxattr", move || {
            Ok(rustix::fs::fgetxattr(reader, "user.a", &mut [0; 9]).map(drop)?)
        }),
        call("listxattr", move || {
            Ok(rustix::fs::flistxattr(reader, &mut [0; 9]).map(drop)?)
        }),
        call("removexattr", move || {
            Ok(rustix::fs::fremovexattr(reader, "user.a")?)
        }),
        call("seek data", move || {
            Ok(rustix::fs::seek(reader, rustix::fs::SeekFrom::Data(0)).map(drop)?)
        }),
        call("seek a hole", move || {
            Ok(rustix::fs::seek(writer, rustix::fs::SeekFrom::Hole(0)).map(drop)?)
        }),
        call("read a link", move || {
            Ok(rustix::fs::readlinkat(link, "", Vec::new()).map(drop)?)
        }),
        call("stat", move || Ok(rustix::fs::fstat(folder).map(drop)?)),
        call("list", move || {
            let mut buffer = [std::mem::MaybeUninit::uninit(); 1024];
            rustix::fs::seek(folder, rustix::fs::SeekFrom::Start(0))?;
            RawDir::new(folder, &mut buffer).next().transpose()?;
            Ok(())
        }),
        call("look up", move || {
            Ok(rustix::fs::statat(folder, "inner", AtFlags::empty()).map(drop)?)
        }),
        call("look up below a path", move || {
            Ok(rustix::fs::statat(path, "inner", AtFlags::empty()).map(drop)?)
        }),
        call("open", move || {
            Ok(rustix::fs::openat(folder, "inner", OFlags::CLOEXEC, Mode::empty()).map(drop)?)
        }),
        call("open again", move || {
            File::open(format!("/proc/self/fd/{}", reader.as_raw_fd())).map(drop)
        }),
        call("create", move || {
            Ok(rustix::fs::openat(folder, "new", make, Mode::RWXU).map(drop)?)
        }),
        call("mkdir", move || {
            Ok(rustix::fs::mkdirat(folder, "new", Mode::RWXU)?)
        }),
        call("unlink", move || {
            Ok(rustix::fs::unlinkat(folder, "inner", AtFlags::empty())?)
        }),
        call("rmdir", move || {
            Ok(rustix::fs::unlinkat(folder, "sub", AtFlags::REMOVEDIR)?)
        }),
        call("link", move || {
            let at = AtFlags::empty();
            Ok(rustix::fs::linkat(folder, "inner", folder, "y", at)?)
        }),
        call("link an open file", move || {
            let own = format!("/proc/self/fd/{}", reader.as_raw_fd());
            let at = AtFlags::SYMLINK_FOLLOW;
            Ok(rustix::fs::linkat(CWD, own, folder, "y", at)?)
        }),
        call("symlink", move || {
            Ok(rustix::fs::symlinkat("to", folder, "new")?)
        }),
        call("mknod", move || {
            let kind = rustix::fs::FileType::Fifo;
            Ok(rustix::fs::mknodat(folder, "new", kind, Mode::RWXU, 0)?)
        }),
        call("rename", move || {
            Ok(rustix::fs::renameat_with(
                folder,
                "inner",
                folder,
                "x",
                RenameFlags::empty(),
            )?)
        }),
    ]
}

/// Each call through an old handle answers ESTALE, and the new state is as the snapshot was; new
/// handles of the same names work.
#[test]
fn calls_on_old_nodes_are_stale() {
    let place = Place::new();
    if place.is_plain() {
        return;
    }
    fs::create_dir(place.path("folder")).unwrap();
    fs::create_dir(place.path("folder/sub")).unwrap();
    symlink("inner", place.path("folder/link")).unwrap();
    place.file("folder/inner", "inner");
    for name in ["file", "second"] {
        place.file(name, vec![7; 100_000]);
    }
    place.fixture().ok(&["snapshot", "create", "data", "then"]);
    fs::write(place.path("file"), "changed").unwrap();
    let held = Held::open(place.root());
    place.fixture().ok(&["rollback", "--force", "data@then"]);

    let calls = calls(&held);
    let wrong: Vec<String> = calls
        .iter()
        .map(|(name, call)| (name, call()))
        .filter(|(_, outcome)| {
            let code = outcome.as_ref().err().and_then(io::Error::raw_os_error);
            code != Some(libc::ESTALE)
        })
        .map(|(name, outcome)| format!("{name}: {outcome:?}"))
        .collect();
    assert_eq!(wrong, [""; 0]);
    // This one is about the volume, which is still there.
    for file in [&held.reader, &held.folder] {
        assert_eq!(rustix::fs::fstatfs(file).unwrap().f_namelen, 255);
    }
    assert_eq!(fs::read(place.path("file")).unwrap(), vec![7; 100_000]);
    let mut names: Vec<_> = fs::read_dir(place.path("folder"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["inner", "link", "sub"]);
    let new = Held::open(place.root());
    new.writer.write_all_at(b"new", 0).unwrap();
    new.writer.sync_all().unwrap();
    assert_eq!(errno(held.writer.sync_all()), Errno::STALE);
    assert_eq!(&fs::read(place.path("file")).unwrap()[..4], b"new\x07");
}
