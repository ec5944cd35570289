//! Hard links, symbolic links, nodes, deep trees and odd names, on a volume as on ext4.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use fuse_tests::{Beside, Difference, User, run};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::fs::{linkat, mkdirat, mknodat, openat, renameat_with, statat, unlinkat};

/// A file has at most 65,000 names, as on ext4, whatever the C library thinks of FUSE.
#[test]
fn links_end_at_65000() {
    let differs = Difference {
        row: "`getconf LINK_MAX`",
        call: "getconf LINK_MAX",
        ext4: "\"65000\"",
        volfs: "\"127\"",
    };
    let beside = Beside::new();
    beside.compare_except(&[differs], |root, seen| {
        let told = run(Command::new("getconf").arg("LINK_MAX").arg(root));
        seen.fact("getconf LINK_MAX", told.ok());
        let first = root.join("first");
        fs::write(&first, "").unwrap();
        let names = root.join("names");
        fs::create_dir(&names).unwrap();
        let refused = (1..=65_010).find_map(|number| {
            let linked = fs::hard_link(&first, names.join(number.to_string()));
            linked.err().map(|refused| (number, refused))
        });
        let (number, refused) = refused.expect("an end");
        seen.fact("the first that is too many", number);
        seen.call::<(), _>("one more", Err(refused));
        let links = || fs::metadata(&first).map(|file| file.nlink());
        seen.value("links", links());
        let over = fs::rename(names.join("1"), names.join("2"));
        seen.call("rename one over another", over);
        seen.call("remove one", fs::remove_file(names.join("1")));
        seen.call("one more now", fs::hard_link(&first, names.join("again")));
        seen.value("links now", links());
    });
}

/// A folder with more folders than ext4 counts links.
#[test]
fn folders_of_a_folder_are_counted() {
    const FOLDERS: usize = 65_010;
    let differs = Difference {
        row: "a folder with more than 64998 folders in it",
        call: "links of the folder",
        ext4: "1",
        volfs: "65012",
    };
    let beside = Beside::new();
    beside.compare_except(&[differs], |root, seen| {
        let folders = root.join("folders");
        fs::create_dir(&folders).unwrap();
        let make = |number: usize| fs::create_dir(folders.join(number.to_string()));
        seen.call("folders", (0..FOLDERS).try_for_each(make));
        let links = fs::metadata(&folders).map(|folder| folder.nlink());
        seen.value("links of the folder", links);
    });
}

/// What can have a second name, and what cannot.
#[test]
fn hard_links_have_their_rules() {
    let beside = Beside::new();
    beside.compare(|root, seen| {
        let path = |name: &str| root.join(name);
        fs::write(path("file"), "file").unwrap();
        fs::create_dir(path("folder")).unwrap();
        symlink("file", path("link")).unwrap();
        mknodat(CWD, path("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        for name in ["file", "folder", "link", "pipe", "missing"] {
            let two = path(&format!("{name}-2"));
            seen.call(format!("link {name}"), fs::hard_link(path(name), &two));
            let links = fs::symlink_metadata(path(name)).map(|it| it.nlink());
            seen.value(format!("links of {name}"), links);
            seen.call(
                format!("over {name}"),
                fs::hard_link(path("file"), path(name)),
            );
        }
        let followed = linkat(
            CWD,
            path("link"),
            CWD,
            path("by-link"),
            AtFlags::SYMLINK_FOLLOW,
        );
        seen.call("through a link", followed);
        let open = File::open(path("file-2")).unwrap();
        let proc = |file: &File| format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
        let by_fd =
            |file: &File, to: &str| linkat(CWD, proc(file), CWD, path(to), AtFlags::SYMLINK_FOLLOW);
        seen.call("an open file", by_fd(&open, "by-fd"));
        for name in ["file", "file-2", "by-link", "by-fd"] {
            fs::remove_file(path(name)).unwrap();
        }
        seen.call("an open file without names", by_fd(&open, "back"));
        seen.value("its links", open.metadata().map(|file| file.nlink()));
        let long = |length: usize| "n".repeat(length);
        fs::write(path("file"), "").unwrap();
        seen.call(
            "a name of 255",
            fs::hard_link(path("file"), path(&long(255))),
        );
        seen.call(
            "a name of 256",
            fs::hard_link(path("file"), path(&long(256))),
        );
        seen.call(
            "a name of 2000",
            fs::hard_link(path("file"), path(&long(2000))),
        );
        fs::remove_dir(path("folder")).unwrap();
    });
}

/// Symbolic links: targets of every length, by whom they may be followed, and what they are not.
#[test]
fn symbolic_links_have_their_rules() {
    let beside = Beside::new();
    beside.compare(|root, seen| {
        for length in [1, 59, 60, 61, 255, 4094, 4095, 4096, 5000] {
            let (target, path) = ("t".repeat(length), root.join(format!("to-{length}")));
            seen.call(format!("a target of {length}"), symlink(&target, &path));
            seen.value(
                format!("read {length}"),
                fs::read_link(&path).map(|it| it.as_os_str().len()),
            );
            seen.value(
                format!("size {length}"),
                fs::symlink_metadata(&path).map(|it| it.len()),
            );
            seen.call(format!("follow {length}"), fs::read(&path));
        }
        seen.call("an empty target", symlink("", root.join("empty")));
        let odd = OsStr::from_bytes(b"\xff//../\n ");
        symlink(odd, root.join("odd")).unwrap();
        seen.value("an odd target", fs::read_link(root.join("odd")));
        seen.call("read no link", fs::read_link(root));
        for number in 0..45 {
            let target = match number {
                0 => "end".to_owned(),
                _ => format!("chain-{}", number - 1),
            };
            symlink(target, root.join(format!("chain-{number}"))).unwrap();
        }
        fs::write(root.join("end"), "end").unwrap();
        seen.call("forty links", fs::read(root.join("chain-39")));
        seen.call("forty-one links", fs::read(root.join("chain-40")));
        let mode = fs::symlink_metadata(root.join("odd")).map(|link| link.mode());
        seen.value("the mode of a link", mode);
        let nofollow = openat(
            CWD,
            root.join("odd"),
            OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        );
        seen.call("open a link itself", nofollow);
        let path = openat(
            CWD,
            root.join("odd"),
            OFlags::NOFOLLOW | OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        );
        seen.call("open a link as a path", path);
    });
    beside.remount();
    beside.compare(|root, seen| {
        for length in [59, 60, 4095] {
            let target = fs::read_link(root.join(format!("to-{length}"))).unwrap();
            seen.fact(
                "kept",
                target.as_os_str() == OsStr::new(&"t".repeat(length)),
            );
        }
    });
}

/// Every byte but slash and NUL may be in a name, alone and beside others; listings give the same
/// bytes back.
#[test]
fn names_are_any_bytes() {
    let beside = Beside::new();
    let names = |root: &std::path::Path| -> Vec<OsString> {
        let mut names: Vec<OsString> = fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    beside.compare(|root, seen| {
        for byte in (1..=255_u8).filter(|byte| *byte != b'/') {
            for name in [vec![byte], vec![b'x', byte, b'y'], vec![byte; 255]] {
                let path = root.join(OsString::from_vec(name));
                seen.call(format!("byte {byte}"), fs::write(&path, [byte]));
                seen.value(format!("byte {byte}"), fs::read(&path));
            }
        }
        seen.fact("listed", names(root));
    });
    beside.remount();
    beside.compare(|root, seen| seen.fact("kept", names(root)));
}

/// Folders far below PATH_MAX: made, renamed, looked at from below and removed through `openat`.
#[test]
fn trees_are_deeper_than_paths() {
    const DEPTH: usize = 600;
    let beside = Beside::new();
    let name = "deep-".repeat(8);
    let folder_flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let step = |folder: &OwnedFd| openat(folder, &*name, folder_flags, Mode::empty()).unwrap();
    let root_of = |root: &std::path::Path| openat(CWD, root, folder_flags, Mode::empty()).unwrap();
    let bottom = |root: &std::path::Path| (0..DEPTH).fold(root_of(root), |at, _| step(&at));
    beside.compare(|root, seen| {
        let mut folder = root_of(root);
        for _ in 0..DEPTH {
            mkdirat(&folder, &*name, Mode::RWXU).unwrap();
            folder = step(&folder);
        }
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(&folder, "file", flags, Mode::RWXU);
        seen.call("a file at the bottom", file);
        let up = statat(root_of(root), &*name, AtFlags::empty())
            .unwrap()
            .st_ino;
        let into = renameat_with(root_of(root), &*name, &folder, "x", RenameFlags::empty());
        seen.call("the top below the bottom", into);
        let above = (0..DEPTH - 1).fold(folder, |at, _| {
            openat(&at, "..", folder_flags, Mode::empty()).unwrap()
        });
        seen.fact(
            "the way up",
            rustix::fs::fstat(above.as_fd()).unwrap().st_ino == up,
        );
    });
    beside.remount();
    beside.compare(|root, seen| {
        let folder = bottom(root);
        seen.call("found again", statat(&folder, "file", AtFlags::empty()));
        seen.call("remove it", unlinkat(&folder, "file", AtFlags::empty()));
        let depth = (0..).scan(Some(folder), |at, number| {
            let above = openat(at.as_ref()?, "..", folder_flags, Mode::empty()).unwrap();
            let removed = unlinkat(&above, &*name, AtFlags::REMOVEDIR);
            *at = removed.is_ok().then_some(above);
            Some(number)
        });
        seen.fact("removed upwards", depth.count());
        seen.fact("left", fs::read_dir(root).unwrap().count());
    });
}

/// Pipes, sockets and devices keep kind and number; each is opened, or refused, as on ext4.
#[test]
fn special_files_are_kept() {
    let beside = Beside::new();
    let devices = [("null", 1, 3), ("large", 4095, 1_048_575), ("zero", 1, 5)];
    beside.compare(|root, seen| {
        for (name, major, minor) in devices {
            let device = rustix::fs::makedev(major, minor);
            for (kind, tag) in [
                (FileType::CharacterDevice, "c"),
                (FileType::BlockDevice, "b"),
            ] {
                let path = root.join(format!("{name}-{tag}"));
                let mode = Mode::RUSR | Mode::WUSR;
                seen.call(
                    format!("make {name}-{tag}"),
                    mknodat(CWD, &path, kind, mode, device),
                );
                let number = fs::metadata(&path).map(|node| (node.rdev(), node.mode(), node.len()));
                seen.value(format!("{name}-{tag}"), number);
            }
        }
        seen.call("write to null", fs::write(root.join("null-c"), "x"));
        seen.call(
            "open a device that is not there",
            File::open(root.join("large-c")),
        );
        let other = mknodat(CWD, root.join("folder"), FileType::Directory, Mode::RWXU, 0);
        seen.call("a folder by mknod", other);
        let socket = root.join("socket");
        let listener = UnixListener::bind(&socket);
        let listener = seen.call("bind", listener).unwrap();
        seen.call("bind again", UnixListener::bind(&socket));
        seen.call("connect", UnixStream::connect(&socket));
        seen.call("open a socket", File::open(&socket));
        User::new(1000).run(|| seen.call("connect as a stranger", UnixStream::connect(&socket)));
        fs::rename(&socket, root.join("moved")).unwrap();
        seen.call("connect where it was", UnixStream::connect(&socket));
        seen.call(
            "connect where it is",
            UnixStream::connect(root.join("moved")),
        );
        drop(listener);
        seen.call("connect to nobody", UnixStream::connect(root.join("moved")));
        mknodat(
            CWD,
            root.join("pipe"),
            FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        let alone = openat(
            CWD,
            root.join("pipe"),
            OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        );
        seen.call("write to a pipe that nobody reads", alone);
    });
    beside.remount();
    beside.compare(|root, seen| {
        let mut nodes: Vec<_> = fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap())
            .collect();
        nodes.sort_by_key(fs::DirEntry::file_name);
        for node in nodes {
            let kind = |kind: io::Result<fs::FileType>| {
                kind.map(|it| (it.is_fifo(), it.is_socket(), it.is_char_device()))
            };
            let metadata = node.metadata().unwrap();
            seen.value("listed", kind(node.file_type()));
            seen.fact("kept", (node.file_name(), metadata.mode(), metadata.rdev()));
        }
    });
}
