//! Snapshots seen through the mount of their volume: `.volfs/snapshots/NAME`.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use fuse_tests::fixture::text;
use fuse_tests::tree::{assert_same, summarize};
use fuse_tests::{Fixture, User, run};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags, lgetxattr, lsetxattr,
    utimensat,
};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::{errno, forget_caches};

const LARGE: usize = 40 << 20;

fn snapshots(root: &Path) -> PathBuf {
    root.join(".volfs/snapshots")
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Bytes that do not repeat.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Files of many kinds, in deep folders too.
fn fill(root: &Path) {
    let deep = (0..60).fold(root.join("folder"), |path, number| {
        path.join(format!("deep-{number}"))
    });
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), "far down").unwrap();
    fs::write(root.join("file"), "as it was").unwrap();
    fs::set_permissions(root.join("file"), Permissions::from_mode(0o641)).unwrap();
    lsetxattr(root.join("file"), "user.a", b"value", XattrFlags::empty()).unwrap();
    let time = Timespec {
        tv_sec: 1_000_000_000,
        tv_nsec: 123_456_789,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, root.join("file"), &times, AtFlags::empty()).unwrap();
    fs::write(root.join("folder/large"), noise(LARGE)).unwrap();
    let sparse = File::create(root.join("folder/sparse")).unwrap();
    sparse.write_all_at(b"end", 10 << 20).unwrap();
    symlink("../file", root.join("folder/link")).unwrap();
    fs::hard_link(root.join("file"), root.join("folder/second name")).unwrap();
    rustix::fs::mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
}

/// A volume with files, a snapshot `then` of it, and what has become of them since.
fn changed() -> (Fixture, PathBuf) {
    let (fixture, root) = Fixture::mounted();
    fill(&root);
    fixture.ok(&["snapshot", "create", "data@then"]);
    fs::write(root.join("file"), "changed").unwrap();
    fs::remove_dir_all(root.join("folder")).unwrap();
    (fixture, root)
}

/// A shell that runs one command after the other.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn start(folder: &Path) -> Shell {
        let mut child = Command::new("sh")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Shell {
            child,
            input,
            output: BufReader::new(output),
        }
    }

    /// What a command writes, in one line.
    fn run(&mut self, command: &str) -> String {
        writeln!(self.input, "echo $({command} 2>&1)").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whoever walks through the volume does not meet it; whoever asks for it by name does.
#[test]
fn the_way_in_is_in_no_listing() {
    let (_fixture, root) = changed();
    let listed = |command: &str| {
        let ran = run(Command::new("sh").arg("-c").arg(command).current_dir(&root));
        ran.ok()
    };
    for _ in 0..2 {
        assert_eq!(
            names(&root),
            BTreeSet::from(["file", "pipe"].map(str::to_owned))
        );
        assert_eq!(listed("ls -a"), ".\n..\nfile\npipe");
        assert_eq!(listed("find . | sort"), ".\n./file\n./pipe");
        assert_eq!(listed("tar -cf - . | tar -t | sort"), "./\n./file\n./pipe");
        assert_eq!(
            listed("rsync -an --out-format=%n . /nowhere | sort"),
            "./\nfile\npipe"
        );
        assert_eq!(
            listed("ls -a .volfs .volfs/snapshots"),
            ".volfs:\n.\n..\nsnapshots\n\n.volfs/snapshots:\n.\n..\nthen"
        );
    }
    assert_eq!(fs::metadata(&root).unwrap().nlink(), 2);
    let stat = fs::metadata(snapshots(&root)).unwrap();
    assert_eq!(
        (stat.mode() & 0o7777, stat.uid(), stat.nlink()),
        (0o555, 0, 3)
    );
    assert!(!root.join(".volfs/other").exists() && !root.join(".Volfs").exists());
    assert!(!snapshots(&root).join("no").exists());
}

/// All that a mount of the snapshot shows is there, from the disk too, and comes back with cp.
#[test]
fn files_come_back_with_cp() {
    let (fixture, root) = changed();
    let then = snapshots(&root).join("then");
    let mut expected = summarize(&fixture.mount("data@then")).unwrap();
    fixture.umount("data@then");
    let mut seen = summarize(&then).unwrap();
    // The root's own time is when the snapshot was taken.
    let taken = fixture.inspect(&["snapshot", "inspect", "data@then"])["CreatedAt"]
        .as_str()
        .map(str::to_owned);
    for summary in [&mut expected, &mut seen] {
        summary.remove(Path::new(""));
    }
    assert_same(&expected, &seen);
    let mtime = run(Command::new("date")
        .args(["-u", "+%Y-%m-%dT%H:%M", "-r"])
        .arg(&then))
    .ok();
    assert!(
        taken.is_some_and(|taken| taken.starts_with(&mtime)),
        "{mtime}"
    );

    let copy = |from: &str, to: &str| {
        run(Command::new("cp")
            .arg("-a")
            .arg(then.join(from))
            .arg(root.join(to)))
        .ok();
    };
    copy("file", "file");
    copy("folder", "folder");
    for name in ["file", "folder/large", "folder/sparse"] {
        let (old, new) = (then.join(name), root.join(name));
        assert!(fs::read(&old).unwrap() == fs::read(&new).unwrap(), "{name}");
        let [old, new] = [old, new].map(|path| fs::metadata(path).unwrap());
        assert_eq!(
            (new.mode(), new.uid(), new.mtime(), new.mtime_nsec()),
            (old.mode(), old.uid(), old.mtime(), old.mtime_nsec()),
        );
    }
    let mut value = [0; 9];
    let len = lgetxattr(root.join("file"), "user.a", &mut value).unwrap();
    assert_eq!(&value[..len], b"value");
    assert_eq!(fs::read(then.join("folder/large")).unwrap(), noise(LARGE));
    assert!(fs::metadata(root.join("folder/sparse")).unwrap().blocks() < 1000);

    let elsewhere = fixture.folder().join("elsewhere");
    run(Command::new("rsync")
        // By itself it takes times within one second for equal.
        .args(["-aHAX", "--modify-window=-1"])
        .arg(then.join(""))
        .arg(&elsewhere))
    .ok();
    let mut copied = summarize(&elsewhere).unwrap();
    copied.remove(Path::new(""));
    assert_same(&expected, &copied);
}

/// Inode numbers of the live volume and of its snapshots are apart, on one device.
#[test]
fn inode_numbers_tell_states_apart() {
    let (fixture, root) = changed();
    fixture.ok(&["snapshot", "create", "data@later"]);
    let of = |path: &Path| {
        let stat = fs::symlink_metadata(path).unwrap();
        (stat.dev(), stat.ino())
    };
    let folders = ["then", "later"].map(|name| snapshots(&root).join(name));
    let mut seen = BTreeSet::new();
    let mut paths: Vec<PathBuf> = vec![root.clone(), root.join(".volfs"), snapshots(&root)];
    for folder in [&root, &folders[0], &folders[1]] {
        paths.extend([folder.join("file"), folder.join("pipe")]);
    }
    paths.extend(folders.clone());
    for path in &paths {
        assert_eq!(of(path).0, of(&root).0);
        assert!(of(path).1 < 1 << 63);
        assert!(seen.insert(of(path).1), "{} is two", path.display());
    }
    // They are the same next time, and as a listing has them.
    forget_caches();
    let again: Vec<u64> = paths.iter().map(|path| of(path).1).collect();
    assert_eq!(seen, again.into_iter().collect());
    for folder in [&snapshots(&root), &folders[0]] {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let listed = std::os::unix::fs::DirEntryExt::ino(&entry);
            assert_eq!(listed, of(&entry.path()).1, "{:?}", entry.path());
        }
    }
    let same = run(Command::new("cp")
        .arg(folders[0].join("file"))
        .arg(root.join("file")));
    assert_eq!(same.ok(), "");
}

/// Each way to change something there is refused, and nothing has changed.
#[test]
fn nothing_there_can_be_changed() {
    let (_fixture, root) = changed();
    let then = snapshots(&root).join("then");
    let before = summarize(&then).unwrap();
    let file = then.join("file");
    let write = |flags: i32| File::options().write(true).custom_flags(flags).open(&file);
    for folder in [then.clone(), snapshots(&root), root.join(".volfs")] {
        let new = folder.join("new");
        let fifo = || rustix::fs::mknodat(CWD, &new, FileType::Fifo, Mode::RUSR, 0);
        let tried: [(&str, io::Result<()>); 7] = [
            ("create", File::create(&new).map(drop)),
            ("mkdir", fs::create_dir(&new)),
            ("symlink", symlink("to", &new)),
            ("mknod", fifo().map_err(io::Error::from)),
            (
                "chmod",
                fs::set_permissions(&folder, Permissions::from_mode(0o700)),
            ),
            ("chown", std::os::unix::fs::chown(&folder, Some(7), None)),
            (
                "setxattr",
                lsetxattr(&folder, "user.b", b"v", XattrFlags::empty()).map_err(io::Error::from),
            ),
        ];
        for (call, outcome) in tried {
            assert_eq!(
                errno(outcome),
                Errno::ROFS,
                "{call} in {}",
                folder.display()
            );
        }
    }
    let touch = || {
        utimensat(
            CWD,
            &file,
            &Timestamps {
                last_access: Timespec {
                    tv_sec: 1,
                    tv_nsec: 1,
                },
                last_modification: Timespec {
                    tv_sec: 1,
                    tv_nsec: 1,
                },
            },
            AtFlags::empty(),
        )
    };
    let tried: [(&str, io::Result<()>); 12] = [
        ("open to write", write(0).map(drop)),
        ("open to truncate", write(libc::O_TRUNC).map(drop)),
        ("open O_DIRECT", write(libc::O_DIRECT).map(drop)),
        ("append", File::options().append(true).open(&file).map(drop)),
        ("truncate", truncate(&file)),
        ("unlink", fs::remove_file(&file)),
        ("rmdir", fs::remove_dir(then.join("folder"))),
        ("remove a snapshot", fs::remove_dir(&then)),
        ("rename", fs::rename(&file, then.join("new"))),
        (
            "rename a snapshot",
            fs::rename(&then, snapshots(&root).join("new")),
        ),
        ("link", fs::hard_link(&file, then.join("new"))),
        ("utimes", touch().map_err(io::Error::from)),
    ];
    for (call, outcome) in tried {
        assert_eq!(errno(outcome), Errno::ROFS, "{call}");
    }
    let live = root.join("file");
    for (call, outcome) in [
        ("rename out", fs::rename(&file, root.join("new"))),
        ("rename in", fs::rename(&live, then.join("new"))),
        ("link out", fs::hard_link(&file, root.join("new"))),
        ("link in", fs::hard_link(&live, then.join("new"))),
    ] {
        assert_eq!(errno(outcome), Errno::XDEV, "{call}");
    }
    assert_eq!(fs::read(&live).unwrap(), b"changed");
    forget_caches();
    assert_same(&before, &summarize(&then).unwrap());
    assert!(rustix::fs::statfs(&then).unwrap().f_blocks > 0);
    // mv copies instead, and finds then that the original stays.
    let moved = run(Command::new("mv").arg(&file).arg(root.join("moved")));
    assert_eq!(moved.code, 1, "{moved:?}");
    assert!(moved.stderr.contains("Read-only file system"), "{moved:?}");
    assert_eq!(fs::read(root.join("moved")).unwrap(), b"as it was");
}

fn truncate(path: &Path) -> io::Result<()> {
    let path = CString::new(text(path)).unwrap();
    // SAFETY: the path ends with a NUL and lives across the call.
    match unsafe { libc::truncate(path.as_ptr(), 1) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Nothing else can get the name in the root; elsewhere it is a name like any other.
#[test]
fn the_name_is_taken_in_the_root() {
    let (_fixture, root) = changed();
    let name = root.join(".volfs");
    fs::create_dir(root.join("empty")).unwrap();
    let fifo = rustix::fs::mknodat(CWD, &name, FileType::Fifo, Mode::RUSR, 0);
    for _ in 0..2 {
        let exclusive = File::options().write(true).create_new(true).open(&name);
        let tried: [(&str, io::Result<()>, Errno); 10] = [
            ("mkdir", fs::create_dir(&name), Errno::EXIST),
            ("symlink", symlink("to", &name), Errno::EXIST),
            ("mknod", fifo.map_err(io::Error::from), Errno::EXIST),
            (
                "link",
                fs::hard_link(root.join("file"), &name),
                Errno::EXIST,
            ),
            ("create", exclusive.map(drop), Errno::EXIST),
            ("open", File::create(&name).map(drop), Errno::ISDIR),
            (
                "rename a file onto it",
                fs::rename(root.join("file"), &name),
                Errno::ISDIR,
            ),
            (
                "rename a folder onto it",
                fs::rename(root.join("empty"), &name),
                Errno::EXIST,
            ),
            (
                "rename it",
                fs::rename(&name, root.join("other")),
                Errno::PERM,
            ),
            ("remove it", fs::remove_dir(&name), Errno::PERM),
        ];
        for (call, outcome, expected) in tried {
            assert_eq!(errno(outcome), expected, "{call}");
        }
        forget_caches();
    }
    fs::write(root.join("empty/.volfs"), "mine").unwrap();
    assert_eq!(names(&root.join("empty")).len(), 1);
    assert_eq!(names(&snapshots(&root)).len(), 1);
}

/// A snapshot is there when the command that makes it has ended, and gone when the one that removes
/// it has: for paths, for listings, for who stands in the folder, under a used name too.
#[test]
fn snapshots_come_and_go_at_once() {
    let (fixture, root) = Fixture::mounted();
    let folder = snapshots(&root);
    let mut shell = Shell::start(&folder);
    for round in 0..3 {
        let name = folder.join("s");
        assert!(!name.exists() && names(&folder).is_empty());
        assert_eq!(
            shell.run("ls; ls s/file"),
            "ls: cannot access 's/file': No such file or directory"
        );
        fs::write(root.join("file"), format!("round {round}")).unwrap();
        fixture.ok(&["snapshot", "create", "data@s"]);
        assert_eq!(shell.run("ls; cat s/file"), format!("s round {round}"));
        assert_eq!(
            fs::read_to_string(name.join("file")).unwrap(),
            format!("round {round}")
        );
        assert_eq!(names(&folder), BTreeSet::from(["s".to_owned()]));

        fixture.ok(&["snapshot", "rm", "data@s"]);
        assert_eq!(shell.run("ls"), "");
        assert_eq!(errno(File::open(name.join("file"))), Errno::NOENT);
        assert!(names(&folder).is_empty());
    }
    for number in 0..150 {
        fixture.ok(&["snapshot", "create", &format!("data@s{number}")]);
        if number == 20 {
            fs::write(root.join("file"), "later").unwrap();
        }
    }
    let listed = names(&folder);
    assert_eq!(listed.len(), 150);
    let contents = listed
        .iter()
        .map(|name| fs::read(folder.join(name).join("file")).unwrap());
    assert_eq!(contents.filter(|content| content == b"round 2").count(), 21);
    // Each has a folder's attributes, from a listing or from the snapshot itself.
    let long = run(Command::new("ls").arg("-l").arg(&folder)).ok();
    assert_eq!(
        long.lines()
            .filter(|line| line.starts_with("drwxr-xr-x"))
            .count(),
        150,
        "{long}"
    );
}

/// A snapshot that somebody looks into is not removed; by force it is, and answers ESTALE.
#[test]
fn a_snapshot_in_use_is_removed_by_force_only() {
    let (fixture, root) = changed();
    let then = snapshots(&root).join("then");
    let small = File::open(then.join("file")).unwrap();
    let large = File::options()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(then.join("folder/large"))
        .unwrap();
    let mut shell = Shell::start(&then.join("folder"));
    assert_eq!(shell.run("ls"), "deep-0 large link second name sparse");
    let own = std::process::id();
    for user in [own, shell.child.id()] {
        let refused = fixture.fails(4, &["snapshot", "rm", "data@then"]);
        assert!(refused.contains("'data@then' is in use by"), "{refused}");
        assert!(refused.contains(&format!("pid {user}")), "{refused}");
    }
    let mut content = String::new();
    (&small).read_to_string(&mut content).unwrap();
    assert_eq!(content, "as it was");

    fixture.ok(&["snapshot", "rm", "--force", "data@then"]);
    fixture.ok(&["gc"]);
    assert_eq!(errno(large.read_at(&mut [0; 4096], 1 << 20)), Errno::STALE);
    assert_eq!(errno(File::open(then.join("file"))), Errno::NOENT);
    let inside = shell.run("cat large");
    assert!(
        inside.contains("Stale file handle") || inside.contains("No such file"),
        "{inside}"
    );
    drop((small, large, shell));

    // What only the kernel remembers is in nobody's way.
    fixture.ok(&["snapshot", "create", "data@then"]);
    assert_eq!(fs::read(then.join("file")).unwrap(), b"changed");
    fixture.ok(&["snapshot", "rm", "data@then"]);
    assert!(!then.exists());
}

/// A rollback goes on under who looks into a snapshot, and he goes on, too.
#[test]
fn a_rollback_does_not_disturb_who_looks_on() {
    let (fixture, root) = changed();
    let then = snapshots(&root).join("then");
    let mut shell = Shell::start(&then.join("folder"));
    let large = File::open(then.join("folder/large")).unwrap();
    for round in 0..2 {
        fs::write(root.join("file"), format!("round {round}")).unwrap();
        fixture.ok(&["rollback", "data@then"]);
        assert_eq!(fs::read(root.join("file")).unwrap(), b"as it was");
        assert_eq!(shell.run("cat ../file"), "as it was");
        assert_eq!(
            shell.run("cat deep-0/deep-1/deep-2/../../../link"),
            "as it was"
        );
        let mut last = [0; 5000];
        large
            .read_exact_at(&mut last, (LARGE - 5000) as u64)
            .unwrap();
        assert_eq!(last[..], noise(LARGE)[LARGE - 5000..]);
        assert_eq!(names(&snapshots(&root)).len(), 2 + round);
        forget_caches();
    }
    // Who holds something of the live state is in the way, as ever.
    let _held = File::open(root.join("file")).unwrap();
    let refused = fixture.fails(4, &["rollback", "data@then"]);
    assert!(
        refused.contains(&format!("pid {}", std::process::id())),
        "{refused}"
    );
    assert!(
        !refused.contains(&format!("pid {}", shell.child.id())),
        "{refused}"
    );
}

/// Programs run from there, maps show it, and only reading it moves no time.
#[test]
fn programs_and_maps_work() {
    let (fixture, root) = Fixture::mounted();
    fs::copy("/bin/true", root.join("true")).unwrap();
    fs::write(root.join("file"), noise(100_000)).unwrap();
    fixture.ok(&["snapshot", "create", "data@then"]);
    fs::remove_file(root.join("true")).unwrap();
    let then = snapshots(&root).join("then");
    let before = fs::metadata(then.join("file")).unwrap();
    run(&mut Command::new(then.join("true"))).ok();
    let file = File::open(then.join("file")).unwrap();
    // SAFETY: a new map of a file that nobody can change, read within its length.
    unsafe {
        let flags = MapFlags::SHARED;
        let map = mmap(
            std::ptr::null_mut(),
            100_000,
            ProtFlags::READ,
            flags,
            &file,
            0,
        )
        .unwrap();
        let bytes = std::slice::from_raw_parts(map.cast::<u8>(), 100_000);
        assert!(bytes == noise(100_000));
        munmap(map, 100_000).unwrap();
    }
    file.sync_all().unwrap();
    let hole = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(0)).unwrap();
    assert_eq!(hole, 100_000);
    drop(file);
    forget_caches();
    let after = fs::metadata(then.join("file")).unwrap();
    assert_eq!(
        (before.atime(), before.atime_nsec()),
        (after.atime(), after.atime_nsec())
    );
    assert_eq!((before.ctime(), before.ino()), (after.ctime(), after.ino()));
}

/// Modes are the snapshot's: who could not read a file then cannot now.
#[test]
fn permissions_are_those_of_the_snapshot() {
    const OTHER: User<'static> = User::new(1000);
    let (fixture, root) = Fixture::mounted();
    for (name, mode) in [("open", 0o644), ("closed", 0o600)] {
        fs::write(root.join(name), name).unwrap();
        fs::set_permissions(root.join(name), Permissions::from_mode(mode)).unwrap();
    }
    fixture.ok(&["snapshot", "create", "data@then"]);
    fs::set_permissions(root.join("closed"), Permissions::from_mode(0o644)).unwrap();
    let then = snapshots(&root).join("then");
    let read = |name: &str| fs::read_to_string(then.join(name));
    let (open, closed) = OTHER.run(|| (read("open"), read("closed")));
    assert_eq!(open.unwrap(), "open");
    assert_eq!(errno(closed), Errno::ACCESS);
    fs::set_permissions(&root, Permissions::from_mode(0o700)).unwrap();
    assert_eq!(errno(OTHER.run(|| read("open"))), Errno::ACCESS);
}

/// A bind mount of the mount point has the way in, too, and so has a read-only mount; one of a
/// folder below has not, and neither has a mount of a snapshot.
#[test]
fn bind_mounts_have_it_too() {
    let (fixture, root) = changed();
    let [whole, below] = ["whole", "below"].map(|name| fixture.folder().join(name));
    fs::create_dir(root.join("sub")).unwrap();
    let script = "mount --bind \"$1\" \"$2\"; mount --bind \"$1/sub\" \"$3\"; \
                  cat \"$2/.volfs/snapshots/then/file\"; ls -a \"$2\" \"$3\"; \
                  test -e \"$3/.volfs\" || echo not there";
    for folder in [&whole, &below] {
        fs::create_dir(folder).unwrap();
    }
    let mut command = fuse_tests::namespace::with_own_mounts(fixture.folder());
    command
        .args(["sh", "-ec", script, "sh"])
        .args([&root, &whole, &below]);
    let ran = run(&mut command).ok();
    assert!(ran.starts_with("as it was"), "{ran}");
    assert!(
        ran.ends_with("not there") && !ran.contains(".volfs"),
        "{ran}"
    );

    assert!(!fixture.mount("data@then").join(".volfs").exists());
    fixture.umount("data@then");
    fixture.umount("data");
    fixture.ok(&["mount", "--read-only", "data", text(&root)]);
    assert_eq!(
        fs::read(snapshots(&root).join("then/file")).unwrap(),
        b"as it was"
    );
    assert_eq!(errno(fs::create_dir(root.join(".volfs"))), Errno::EXIST);
}

/// An open file of a snapshot keeps the volume from being unmounted like any other.
#[test]
fn who_looks_on_holds_the_mount() {
    let (fixture, root) = changed();
    let held = File::open(snapshots(&root).join("then/file")).unwrap();
    let refused = fixture.fails(4, &["umount", "data"]);
    assert!(
        refused.contains(&format!("pid {}", std::process::id())),
        "{refused}"
    );
    drop(held);
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let path = rustix::fs::open(snapshots(&root), flags, Mode::empty()).unwrap();
    fixture.fails(4, &["umount", "data"]);
    drop(path);
    fixture.umount("data");
}
