//! Who may do what, and what becomes of modes: on a volume as on ext4.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, lchown};
use std::path::Path;
use std::process::Command;

use fuse_tests::{Beside, Difference, Place, Seen, User, run};
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, StatxFlags, fallocate, mkdirat, mknodat,
    statx,
};
use rustix::mm::{MapFlags, MsyncFlags, ProtFlags, mmap, msync, munmap};

const GROUP: u32 = 7;
const OWNER: User<'static> = User::new(1000);
const MEMBER: User<'static> = User {
    groups: &[GROUP, 8],
    ..OWNER
};
const STRANGER: User<'static> = User::new(1001);
const ROOT: User<'static> = User::new(0);

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Mode, owner and group.
fn rights(path: &Path) -> io::Result<(String, u32, u32)> {
    let metadata = fs::symlink_metadata(path)?;
    let mode = format!("{:o}", metadata.mode());
    Ok((mode, metadata.uid(), metadata.gid()))
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true).mode(mode).open(path)
}

/// A new inode's mode, owner and group follow from what was asked for, the umask, the folder and
/// the groups of whoever makes it.
#[test]
fn new_inodes_take_mode_umask_and_group() {
    let beside = Beside::new();
    let make = |folder: &Path, user: User<'_>, seen: &mut Seen| {
        for mode in [0o666, 0o777, 0o1777, 0o2777, 0o2755, 0o6777] {
            let path = folder.join(format!("{}-{:o}-{mode:o}", user.groups.len(), user.umask));
            let (file, sub, pipe) = (
                path.with_extension("file"),
                path.with_extension("folder"),
                path.with_extension("pipe"),
            );
            user.run(|| {
                create(&file, mode).unwrap();
                mkdirat(CWD, &sub, Mode::from_raw_mode(mode)).unwrap();
                let mode = Mode::from_raw_mode(mode);
                mknodat(CWD, &pipe, FileType::Fifo, mode, 0).unwrap();
            });
            for path in [file, sub, pipe] {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                seen.value(name, rights(&path));
            }
        }
    };
    beside.compare(|root, seen| {
        for (name, mode) in [("plain", 0o777), ("setgid", 0o2777), ("sticky", 0o1777)] {
            for (number, user) in [ROOT, OWNER, MEMBER].into_iter().enumerate() {
                let folder = root.join(format!("{name}-{number}"));
                fs::create_dir(&folder).unwrap();
                chown(&folder, None, Some(GROUP)).unwrap();
                set_mode(&folder, mode);
                for umask in [0, 0o027, 0o777] {
                    make(&folder, User { umask, ..user }, seen);
                }
            }
        }
    });
}

/// In a sticky folder only the owner of a name or of the folder takes it away.
#[test]
fn sticky_folders_keep_strangers_off() {
    let beside = Beside::new();
    beside.compare(|root, seen| {
        let folder = root.join("sticky");
        fs::create_dir(&folder).unwrap();
        set_mode(&folder, 0o1777);
        let (his, mine) = (folder.join("his"), folder.join("mine"));
        OWNER.run(|| drop(create(&his, 0o666).unwrap()));
        STRANGER.run(|| {
            drop(create(&mine, 0o666).unwrap());
            seen.call("remove his", fs::remove_file(&his));
            seen.call("rename his", fs::rename(&his, folder.join("taken")));
            seen.call("rename mine over his", fs::rename(&mine, &his));
            seen.call("link his", fs::hard_link(&his, folder.join("linked")));
            seen.call("write his", fs::write(&his, "x"));
        });
        OWNER.run(|| seen.call("rename mine over his by its owner", fs::rename(&his, &mine)));
        seen.value("mine", rights(&mine));
        chown(&folder, Some(STRANGER.uid), None).unwrap();
        seen.value("folder", rights(&folder));
        let other = folder.join("other");
        OWNER.run(|| drop(create(&other, 0o600).unwrap()));
        STRANGER.run(|| seen.call("remove another's in my folder", fs::remove_file(&other)));
    });
}

/// A file's own group, a supplementary one, and none decide about access and chgrp.
#[test]
fn supplementary_groups_count() {
    let beside = Beside::new();
    beside.compare(|root, seen| {
        let file = root.join("file");
        fs::write(&file, "content").unwrap();
        chown(&file, Some(OWNER.uid), Some(GROUP)).unwrap();
        set_mode(&file, 0o060);
        for (who, user) in [
            ("owner", MEMBER),
            (
                "member",
                User {
                    uid: 1002,
                    ..MEMBER
                },
            ),
            ("stranger", STRANGER),
        ] {
            user.run(|| {
                seen.call(format!("{who} reads"), fs::read(&file));
                seen.call(format!("{who} writes"), fs::write(&file, "x"));
                seen.call(format!("{who} gives away"), chown(&file, Some(1001), None));
                for group in [8, 9, GROUP] {
                    let call = format!("{who} gives to group {group}");
                    seen.call(call, chown(&file, None, Some(group)));
                }
                seen.call(
                    format!("{who} chmods"),
                    fs::set_permissions(&file, Permissions::from_mode(0o060)),
                );
            });
            seen.value(who, rights(&file));
        }
    });
}

/// Something that changes a file's content or owner.
type Change = fn(&Path) -> io::Result<()>;

fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let mut options = File::options();
    let flags = flags.bits() as i32;
    options
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)
}

fn write_directly(path: &Path) -> io::Result<()> {
    /// O_DIRECT wants its buffers aligned.
    #[repr(align(4096))]
    struct Page([u8; 4096]);
    open(path, OFlags::DIRECT)?.write_all_at(&Page([7; 4096]).0, 0)
}

fn write_mapped(path: &Path) -> io::Result<()> {
    let file = open(path, OFlags::empty())?;
    let (access, length) = (ProtFlags::READ | ProtFlags::WRITE, 4096);
    // SAFETY: the mapping lies where the kernel puts it and is used within its length.
    unsafe {
        let at = mmap(
            std::ptr::null_mut(),
            length,
            access,
            MapFlags::SHARED,
            &file,
            0,
        )?;
        at.cast::<u8>().write(9);
        msync(at, length, MsyncFlags::SYNC)?;
        munmap(at, length)?;
    }
    Ok(())
}

fn allocate(path: &Path, flags: FallocateFlags) -> io::Result<()> {
    Ok(fallocate(open(path, OFlags::empty())?, flags, 0, 4096)?)
}

fn copy_into(path: &Path) -> io::Result<()> {
    let source = File::open(path.with_file_name("source"))?;
    let target = open(path, OFlags::empty())?;
    rustix::fs::copy_file_range(&source, None, &target, None, 4096)?;
    Ok(())
}

const CHANGES: [(&str, Change); 13] = [
    ("write", |path| {
        open(path, OFlags::empty())?.write_all_at(b"x", 3)
    }),
    ("append", |path| {
        open(path, OFlags::APPEND)?.write_all_at(b"x", 0)
    }),
    ("sync", |path| {
        open(path, OFlags::SYNC)?.write_all_at(b"x", 3)
    }),
    ("direct", write_directly),
    ("mapped", write_mapped),
    ("truncate", |path| open(path, OFlags::empty())?.set_len(100)),
    ("open-trunc", |path| open(path, OFlags::TRUNC).map(drop)),
    ("allocate", |path| allocate(path, FallocateFlags::empty())),
    ("punch", |path| {
        allocate(path, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE)
    }),
    ("copy", copy_into),
    ("chgrp", |path| chown(path, None, Some(8))),
    ("chown", |path| chown(path, Some(1001), Some(9))),
    ("rename", |path| {
        fs::rename(path, path.with_extension("x"))?;
        fs::rename(path.with_extension("x"), path)
    }),
];

/// Writing, truncating, allocating and giving away take suid and sgid from a file, unless who
/// does it is root and only writes.
#[test]
fn suid_and_sgid_go_with_changes() {
    let beside = Beside::new();
    let writer = User {
        uid: 1002,
        ..MEMBER
    };
    let users = [("owner", MEMBER), ("writer", writer), ("root", ROOT)];
    let name = |who: &str, change: &str, mode: u32| format!("{who}-{change}-{mode:o}");
    let modes = [0o6777, 0o4766, 0o2777, 0o2767, 0o6666];
    beside.compare(|root, seen| {
        fs::write(root.join("source"), [1; 4096]).unwrap();
        set_mode(&root.join("source"), 0o644);
        set_mode(root, 0o777);
        for (who, user) in users {
            for (change, make) in CHANGES {
                for mode in modes {
                    let name = name(who, change, mode);
                    let path = root.join(&name);
                    fs::write(&path, [1; 4096]).unwrap();
                    chown(&path, Some(OWNER.uid), Some(GROUP)).unwrap();
                    set_mode(&path, mode);
                    user.run(|| seen.call(format!("{name}, the call"), make(&path)));
                    seen.value(name, rights(&path));
                }
            }
        }
    });
    beside.remount();
    beside.compare(|root, seen| {
        for (who, _) in users {
            for (change, _) in CHANGES {
                for mode in modes {
                    let name = name(who, change, mode);
                    seen.value(&name, rights(&root.join(&name)));
                }
            }
        }
    });
}

/// The mode alone, which the kernel tells without asking a FUSE daemon if it thinks that it knows.
fn known_mode(path: &Path) -> io::Result<String> {
    let known = statx(CWD, path, AtFlags::empty(), StatxFlags::MODE)?;
    Ok(format!("{:o}", known.stx_mode))
}

/// Where suid is taken away the kernel knows at once, as it must before it runs the file.
#[test]
fn suid_goes_from_what_the_kernel_knows() {
    let beside = Beside::new();
    for root in beside.roots() {
        fs::write(root.join("source"), [1; 4096]).unwrap();
        set_mode(&root, 0o777);
        for (change, _) in CHANGES {
            let path = root.join(change);
            fs::write(&path, [1; 4096]).unwrap();
            chown(&path, Some(OWNER.uid), Some(GROUP)).unwrap();
            set_mode(&path, 0o6777);
        }
    }
    beside.remount();
    beside.compare(|root, seen| {
        for (change, make) in CHANGES {
            let path = root.join(change);
            seen.value(format!("{change}: before"), known_mode(&path));
            MEMBER.run(|| seen.call(format!("{change}: the call"), make(&path)));
            seen.value(format!("{change}: after"), known_mode(&path));
        }
    });
}

/// Whom a program with suid or sgid runs as: its owner where the mount says `-o suid`, and by
/// default, as with `nosuid`, whoever runs it.
#[test]
fn suid_acts_where_the_mount_allows_it() {
    let place = Place::with_options(&["-o", "suid"]);
    let path = place.path("id");
    fs::copy("/usr/bin/id", &path).unwrap();
    chown(&path, Some(7), Some(8)).unwrap();
    let becomes = |mode| {
        set_mode(&path, mode);
        let ids = ["-u", "-g"].map(|which| {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=1000", "--regid=1000", "--clear-groups"]);
            run(command.arg(&path).arg(which)).ok()
        });
        ids.join(" ")
    };
    let modes = [0o755, 0o4755, 0o2755, 0o6755];
    assert_eq!(modes.map(becomes), ["1000 1000", "7 1000", "1000 8", "7 8"]);
    chown(&path, Some(0), Some(0)).unwrap();
    assert_eq!(becomes(0o4755), "0 1000");
    if place.is_plain() {
        return;
    }
    for options in [&[][..], &["-o", "nosuid"]] {
        place.remount_with(options);
        assert_eq!(modes.map(becomes), ["1000 1000"; 4], "{options:?}");
    }
    place.remount_with(&["-o", "suid"]);
    assert_eq!(becomes(0o4755), "0 1000");
}

/// Who keeps suid through a truncation is decided by the capability CAP_FSETID on ext4, and on a
/// volume by the user, since the kernel's word for it does not come through.
#[test]
fn truncation_asks_for_the_user() {
    let root_without = ["--bounding-set=-fsetid", "--inh-caps=-fsetid"];
    let user_with = [
        "--reuid=1000",
        "--clear-groups",
        "--inh-caps=+fsetid",
        "--ambient-caps=+fsetid",
    ];
    let callers = [
        ("root without", &root_without[..]),
        ("user with", &user_with[..]),
    ];
    let calls = [
        ("write", "printf x >>file"),
        ("truncate", "truncate -s 5 file"),
        ("allocate", "fallocate -l 100 file"),
    ];
    let differs = |call, ext4, volfs| Difference {
        row: "suid at truncation and fallocate, by root without CAP_FSETID or a user with it",
        call,
        ext4,
        volfs,
    };
    let (kept, cleared) = ("\"6777\"", "\"777\"");
    let differences = [
        differs("root without: truncate", cleared, kept),
        differs("root without: allocate", cleared, kept),
        differs("user with: truncate", kept, cleared),
        differs("user with: allocate", kept, cleared),
    ];
    let beside = Beside::new();
    beside.compare_except(&differences, |root, seen| {
        for (who, options) in callers {
            for (what, call) in calls {
                let file = root.join("file");
                fs::write(&file, "content").unwrap();
                chown(&file, Some(1000), Some(1000)).unwrap();
                set_mode(&file, 0o6777);
                let mut caller = Command::new("setpriv");
                let caller = caller.args(options).args(["sh", "-c", call]);
                run(caller.current_dir(root)).ok();
                let mode = run(Command::new("stat").args(["-c", "%a"]).arg(&file)).ok();
                seen.fact(format!("{who}: {what}"), mode);
            }
        }
    });
}

/// What an image's entry point does: takes the folder over as root, then works in it as uid 999.
#[test]
fn a_container_start_takes_the_folder_over() {
    let beside = Beside::new();
    let server = User {
        umask: 0o077,
        ..User::new(999)
    };
    beside.compare(|root, seen| {
        let data = root.join("data");
        fs::create_dir_all(data.join("base/1")).unwrap();
        for name in ["PG_VERSION", "base/1/112", "base/1/113"] {
            fs::write(data.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("base/1", data.join("link")).unwrap();
        lchown(data.join("link"), Some(5), Some(5)).unwrap();
        server.run(|| {
            seen.call("read before", fs::read(data.join("PG_VERSION")));
            seen.call("create before", create(&data.join("new"), 0o600));
        });
        let chown = ["-R", "999:999"];
        run(Command::new("chown").args(chown).arg(&data)).ok();
        set_mode(&data, 0o700);
        server.run(|| {
            seen.call("create", create(&data.join("new"), 0o666));
            seen.call("mkdir", fs::create_dir(data.join("pg_wal")));
            seen.call("write", fs::write(data.join("base/1/112"), "x"));
            seen.call(
                "rename",
                fs::rename(data.join("new"), data.join("pg_wal/0")),
            );
            seen.call(
                "utimes",
                File::open(data.join("PG_VERSION"))
                    .unwrap()
                    .set_modified(std::time::UNIX_EPOCH),
            );
            seen.call("unlink", fs::remove_file(data.join("base/1/113")));
            seen.call(
                "chmod",
                fs::set_permissions(&data, Permissions::from_mode(0o750)),
            );
        });
        STRANGER.run(|| seen.call("a stranger", fs::read_dir(&data)));
        for name in [
            "",
            "PG_VERSION",
            "base",
            "base/1/112",
            "link",
            "pg_wal",
            "pg_wal/0",
        ] {
            seen.value(name, rights(&data.join(name)));
        }
    });
    beside.remount();
    beside.compare(|root, seen| seen.value("kept", rights(&root.join("data/pg_wal/0"))));
}
