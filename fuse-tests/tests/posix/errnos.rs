//! Bad input: every call's error is ext4's, or stands in the table of docs/semantics.md.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt, symlink};
use std::path::Path;

use fuse_tests::{Beside, Difference};
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, IFlags, Mode, OFlags, RenameFlags, StatxFlags, copy_file_range,
    fallocate, ftruncate, ioctl_getflags, ioctl_setflags, mkdirat, openat, renameat_with, seek,
    statx, unlinkat,
};
use rustix::mm::{MapFlags, ProtFlags, mmap};

fn fill(root: &Path) {
    fs::write(root.join("file"), "content").unwrap();
    fs::create_dir(root.join("folder")).unwrap();
    fs::write(root.join("folder/inner"), "").unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("missing", root.join("dangling")).unwrap();
}

fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    Ok(openat(CWD, path, flags | OFlags::CLOEXEC, Mode::RWXU)?.into())
}

/// Every call that takes a name, with every name that is wrong.
#[test]
fn wrong_names_are_refused() {
    let long = |length: usize| "n".repeat(length);
    let names = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "file/".to_owned(),
        "file/x".to_owned(),
        "file/..".to_owned(),
        "folder/".to_owned(),
        "folder/.".to_owned(),
        "loop".to_owned(),
        "loop/x".to_owned(),
        "dangling".to_owned(),
        "dangling/".to_owned(),
        "missing".to_owned(),
        "missing/x".to_owned(),
        long(255),
        long(256),
        long(1024),
        long(1025),
        format!("folder/{}", long(256)),
        format!("{}x", "./".repeat(2040)),
        format!("{}x", "./".repeat(2048)),
    ];
    let beside = Beside::new();
    beside.compare(|root, seen| {
        for (number, name) in names.iter().enumerate() {
            let root = root.join(number.to_string());
            fs::create_dir(&root).unwrap();
            fill(&root);
            // The root is as long on both sides only as a descriptor.
            let at = open(&root, OFlags::PATH).unwrap();
            let tag = |call: &str| match name.len() {
                0..30 => format!("{call} '{name}'"),
                length => format!("{call} {length} bytes"),
            };
            let at_name = |flags| openat(&at, name, flags | OFlags::CLOEXEC, Mode::RWXU);
            seen.call(tag("stat"), rustix::fs::statat(&at, name, AtFlags::empty()));
            seen.call(
                tag("lstat"),
                rustix::fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW),
            );
            seen.call(tag("open"), at_name(OFlags::RDONLY));
            seen.call(tag("open to write"), at_name(OFlags::WRONLY));
            seen.call(tag("open a folder"), at_name(OFlags::DIRECTORY));
            seen.call(tag("open O_NOFOLLOW"), at_name(OFlags::NOFOLLOW));
            seen.call(
                tag("readlink"),
                rustix::fs::readlinkat(&at, name, Vec::new()).map(drop),
            );
            seen.call(
                tag("chmod"),
                rustix::fs::chmodat(&at, name, Mode::RWXU, AtFlags::empty()),
            );
            seen.call(
                tag("rename to x"),
                renameat_with(&at, name, &at, "x", RenameFlags::empty()),
            );
            seen.call(
                tag("rename to it"),
                renameat_with(&at, "file", &at, name, RenameFlags::NOREPLACE),
            );
            seen.call(
                tag("link from it"),
                rustix::fs::linkat(&at, name, &at, "y", AtFlags::empty()),
            );
            seen.call(
                tag("link to it"),
                rustix::fs::linkat(&at, "folder/inner", &at, name, AtFlags::empty()),
            );
            seen.call(tag("unlink"), unlinkat(&at, name, AtFlags::empty()));
            seen.call(tag("rmdir"), unlinkat(&at, name, AtFlags::REMOVEDIR));
            seen.call(tag("mkdir"), mkdirat(&at, name, Mode::RWXU));
            seen.call(tag("symlink"), rustix::fs::symlinkat("to", &at, name));
            seen.call(
                tag("create"),
                at_name(OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY),
            );
            seen.call(
                tag("mknod"),
                rustix::fs::mknodat(&at, name, rustix::fs::FileType::Fifo, Mode::RWXU, 0),
            );
        }
    });
}

/// Open files used for what they are not.
#[test]
fn wrong_files_are_refused() {
    let beside = Beside::new();
    beside.compare(|root, seen| {
        fill(root);
        let file = root.join("file");
        let reader = open(&file, OFlags::RDONLY).unwrap();
        let writer = open(&file, OFlags::WRONLY).unwrap();
        let folder = open(&root.join("folder"), OFlags::RDONLY).unwrap();
        let path = open(&file, OFlags::PATH).unwrap();
        let both = open(&file, OFlags::RDWR).unwrap();
        let mut buffer = [0; 4];
        for (what, file) in [
            ("reader", &reader),
            ("writer", &writer),
            ("folder", &folder),
            ("path", &path),
        ] {
            seen.call(format!("{what}: read"), file.read_at(&mut buffer, 0));
            seen.call(format!("{what}: write"), file.write_at(b"x", 0));
            seen.call(format!("{what}: truncate"), ftruncate(file, 3));
            seen.call(
                format!("{what}: allocate"),
                fallocate(file, FallocateFlags::empty(), 0, 10),
            );
            seen.call(
                format!("{what}: seek"),
                seek(file, rustix::fs::SeekFrom::Start(5)),
            );
            seen.call(format!("{what}: fsync"), file.sync_all());
            seen.call(format!("{what}: fdatasync"), file.sync_data());
            seen.call(format!("{what}: list"), list(file));
            seen.call(
                format!("{what}: chmod"),
                rustix::fs::fchmod(file, Mode::RWXU),
            );
            seen.call(
                format!("{what}: copy from"),
                copy_file_range(file, None, &both, None, 1),
            );
            seen.call(
                format!("{what}: copy to"),
                copy_file_range(&both, None, file, None, 1),
            );
            seen.call(
                format!("{what}: map"),
                map(file, ProtFlags::READ | ProtFlags::WRITE),
            );
            let exclusive = rustix::fs::FlockOperation::NonBlockingLockExclusive;
            seen.call(format!("{what}: lock"), rustix::fs::flock(file, exclusive));
        }
        let truncate =
            |path: &Path, length| File::options().write(true).open(path)?.set_len(length);
        seen.call("truncate a folder", truncate(&root.join("folder"), 0));
        seen.call(
            "truncate what is missing",
            truncate(&root.join("missing"), 0),
        );
        for length in [-1, i64::MIN] {
            seen.call(format!("truncate to {length}"), truncate_to(&both, length));
        }
        for (offset, length) in [(-1, 5), (0, 0), (0, -1), (i64::MAX, 1), (1, i64::MAX)] {
            let allocated = allocate(&both, 0, offset, length);
            seen.call(format!("allocate {offset} {length}"), allocated);
        }
        for position in [i64::MIN, -1] {
            // SAFETY: a number is all that goes in.
            let found = unsafe { libc::lseek(both.as_raw_fd(), position, libc::SEEK_SET) };
            seen.call(format!("seek to {position}"), outcome(found));
        }
        // SAFETY: as above.
        let found = unsafe { libc::lseek(both.as_raw_fd(), 0, 99) };
        seen.call("seek from nowhere", outcome(found));
        seen.call(
            "overlapping copy",
            copy_file_range(&both, Some(&mut 0), &both, Some(&mut 2), 5),
        );
        seen.call(
            "execute",
            File::options()
                .read(true)
                .custom_flags(libc::O_DIRECTORY)
                .open(&file),
        );
    });
}

fn outcome(returned: i64) -> io::Result<()> {
    if returned < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn truncate_to(file: &File, length: i64) -> io::Result<()> {
    // SAFETY: a descriptor and a number are all that goes in.
    outcome(unsafe { libc::ftruncate(file.as_raw_fd(), length) }.into())
}

fn allocate(file: &File, mode: i32, offset: i64, length: i64) -> io::Result<()> {
    // SAFETY: a descriptor and numbers are all that goes in.
    outcome(unsafe { libc::fallocate(file.as_raw_fd(), mode, offset, length) }.into())
}

fn list(file: &File) -> io::Result<()> {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 1024];
    rustix::fs::RawDir::new(file, &mut buffer)
        .next()
        .transpose()?;
    Ok(())
}

fn map(file: &File, access: ProtFlags) -> io::Result<()> {
    // SAFETY: the mapping lies where the kernel puts it, and is not used.
    unsafe {
        let at = mmap(
            std::ptr::null_mut(),
            4096,
            access,
            MapFlags::SHARED,
            file,
            0,
        )?;
        rustix::mm::munmap(at, 4096)?;
    }
    Ok(())
}

/// Flags that make no sense, and those for what a volume does not offer.
#[test]
fn wrong_flags_are_refused() {
    let row = |row, call, ext4, volfs| Difference {
        row,
        call,
        ext4,
        volfs,
    };
    let differences = [
        row("`O_TMPFILE`", "open O_TMPFILE", "ok", "EOPNOTSUPP"),
        row("birth time", "birth time", "true", "false"),
        row("`lsattr`, `chattr`", "lsattr", "ok", "ENOTTY"),
        row("`lsattr`, `chattr`", "chattr", "ok", "ENOTTY"),
    ];
    let beside = Beside::new();
    beside.compare_except(&differences, |root, seen| {
        fill(root);
        let (file, folder) = (root.join("file"), root.join("folder"));
        let unnamed = open(&folder, OFlags::TMPFILE | OFlags::WRONLY);
        seen.call("open O_TMPFILE", unnamed);
        seen.call(
            "O_TMPFILE to read",
            open(&folder, OFlags::TMPFILE | OFlags::RDONLY),
        );
        let flags = [
            ("O_CREAT O_DIRECTORY", OFlags::CREATE | OFlags::DIRECTORY),
            ("O_EXCL of a link", OFlags::CREATE | OFlags::EXCL),
            ("O_DIRECT of a folder", OFlags::DIRECT | OFlags::DIRECTORY),
            ("O_TRUNC to read", OFlags::TRUNC),
            ("both modes", OFlags::from_bits_retain(3)),
            ("O_PATH O_CREAT", OFlags::PATH | OFlags::CREATE),
            (
                "O_APPEND O_DIRECT",
                OFlags::APPEND | OFlags::DIRECT | OFlags::WRONLY,
            ),
            ("unknown", OFlags::from_bits_retain(0x4000_0000)),
        ];
        for (what, flags) in flags {
            for name in ["file", "folder", "dangling", "new"] {
                seen.call(format!("open {name} {what}"), open(&root.join(name), flags));
            }
            let _ = fs::remove_file(root.join("new"));
            let _ = fs::remove_file(root.join("missing"));
        }
        let known = |what: StatxFlags| {
            statx(CWD, &file, AtFlags::empty(), what).map(|it| it.stx_mask & what.bits() != 0)
        };
        seen.value("birth time", known(StatxFlags::BTIME));
        seen.value("basic stats", known(StatxFlags::BASIC_STATS));
        let opened = open(&file, OFlags::RDWR).unwrap();
        seen.call("lsattr", ioctl_getflags(&opened));
        seen.call("chattr", ioctl_setflags(&opened, IFlags::NODUMP));
        for mode in [2, 8 | 1, 16 | 2, 0x80, 0x4000_0000] {
            seen.call(
                format!("fallocate {mode:#x}"),
                allocate(&opened, mode, 0, 4096),
            );
        }
        let path = CString::new(file.as_os_str().as_bytes()).unwrap();
        for (what, flags) in [("statx", 0x8000_0000_u32 as i32), ("statx sync", 0x6000)] {
            let mut buffer = [0_u8; 256];
            // SAFETY: the buffer is as long as `struct statx`.
            let returned = unsafe {
                libc::syscall(
                    libc::SYS_statx,
                    libc::AT_FDCWD,
                    path.as_ptr(),
                    flags,
                    0,
                    buffer.as_mut_ptr(),
                )
            };
            seen.call(what, outcome(returned));
        }
        let clone = 0x4004_9409_u64;
        let other = open(&folder.join("inner"), OFlags::RDONLY).unwrap();
        // SAFETY: FICLONE takes a descriptor by value.
        let returned = unsafe { libc::ioctl(opened.as_raw_fd(), clone, other.as_raw_fd()) };
        seen.call("FICLONE", outcome(returned.into()));
        // SAFETY: an unknown request reads nothing.
        let returned = unsafe { libc::ioctl(opened.as_raw_fd(), 0x1234_5678, 0) };
        seen.call("an unknown ioctl", outcome(returned.into()));
    });
    // Of a file that they do not empty, so that the others have one to try.
    let ranges = |call| {
        row(
            "`FALLOC_FL_COLLAPSE_RANGE`, `INSERT_RANGE`",
            call,
            "ok",
            "EOPNOTSUPP",
        )
    };
    beside.compare_except(&[ranges("collapse"), ranges("insert")], |root, seen| {
        let path = root.join("ranges");
        fs::write(&path, vec![7; 64 << 10]).unwrap();
        let opened = open(&path, OFlags::RDWR).unwrap();
        let block = 16 << 10;
        let collapse = allocate(&opened, libc::FALLOC_FL_COLLAPSE_RANGE, 0, block);
        seen.call("collapse", collapse);
        seen.call(
            "insert",
            allocate(&opened, libc::FALLOC_FL_INSERT_RANGE, 0, block),
        );
    });
}
