//! Extended attributes: namespaces, limits, and who may have them.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use fuse_tests::{Beside, Difference, Seen, User, run};
use rustix::fs::{
    CWD, FileType, Mode, OFlags, XattrFlags, lgetxattr, listxattr, llistxattr, lremovexattr,
    lsetxattr, mknodat,
};

const USER: User<'static> = User::new(1000);
/// Linux's limit for values, and for the list of names.
const LIMIT: usize = 65536;

fn set(path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
    Ok(lsetxattr(path, name, value, XattrFlags::empty())?)
}

fn get(path: &Path, name: &str) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; LIMIT];
    let length = lgetxattr(path, name, &mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut buffer = vec![0; LIMIT];
    let length = llistxattr(path, &mut buffer)?;
    let list = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let mut names: Vec<String> = list.split_terminator('\0').map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

/// One inode of every kind.
fn kinds(root: &Path) -> [(&'static str, PathBuf); 6] {
    let paths = ["file", "folder", "sticky", "link", "pipe", "device"];
    let kinds = paths.map(|name| (name, root.join(name)));
    fs::write(root.join("file"), "").unwrap();
    fs::create_dir(root.join("folder")).unwrap();
    fs::create_dir(root.join("sticky")).unwrap();
    fs::set_permissions(root.join("sticky"), Permissions::from_mode(0o1777)).unwrap();
    symlink("nowhere", root.join("link")).unwrap();
    let node =
        |name, kind, device| mknodat(CWD, root.join(name), kind, Mode::RUSR, device).unwrap();
    node("pipe", FileType::Fifo, 0);
    node(
        "device",
        FileType::CharacterDevice,
        rustix::fs::makedev(1, 3),
    );
    kinds
}

/// Each namespace on each kind of inode, as root and as somebody else: set, get, list, remove.
#[test]
fn namespaces_have_their_rules() {
    let names_tried = [
        "user.a",
        "trusted.a",
        "security.a",
        "system.a",
        "user.",
        "user",
        "other.a",
        "a",
        "",
    ];
    let beside = Beside::new();
    beside.compare(|root, seen| {
        for (kind, path) in kinds(root) {
            for name in names_tried {
                let tag = format!("'{name}' of {kind}");
                USER.run(|| seen.call(format!("{tag}: a stranger sets"), set(&path, name, b"v")));
                seen.call(format!("{tag}: root sets"), set(&path, name, b"value"));
                seen.value(format!("{tag}: root gets"), get(&path, name));
                USER.run(|| {
                    seen.value(format!("{tag}: a stranger gets"), get(&path, name));
                    seen.value(format!("{tag}: a stranger lists"), names(&path));
                    let removed = lremovexattr(&path, name);
                    seen.call(format!("{tag}: a stranger removes"), removed);
                });
                seen.value(format!("{tag}: root lists"), names(&path));
                seen.call(format!("{tag}: root removes"), lremovexattr(&path, name));
                seen.call(format!("{tag}: again"), lremovexattr(&path, name));
            }
        }
    });
}

/// Names of `trusted.` are listed to CAP_SYS_ADMIN on ext4, to root on a volume; read they are by
/// the former on both.
#[test]
fn trusted_names_are_listed_to_root() {
    let differs = Difference {
        row: "listxattr by root without CAP_SYS_ADMIN",
        call: "names for root without CAP_SYS_ADMIN",
        ext4: "[\"user.u\"]",
        volfs: "[\"trusted.t\", \"user.u\"]",
    };
    let beside = Beside::new();
    beside.compare_except(&[differs], |root, seen| {
        fs::write(root.join("file"), "").unwrap();
        for name in ["trusted.t", "user.u"] {
            set(&root.join("file"), name, b"v").unwrap();
        }
        let tell = |what: &[&str]| {
            let less = [
                "--bounding-set=-sys_admin",
                "--inh-caps=-sys_admin",
                "getfattr",
            ];
            let ran = run(Command::new("setpriv")
                .args(less)
                .args(what)
                .arg("file")
                .current_dir(root));
            let mut names: Vec<String> = ran
                .stdout
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(str::to_owned)
                .collect();
            names.sort();
            names
        };
        seen.fact("names for root without CAP_SYS_ADMIN", tell(&["-m", "-"]));
        seen.fact("the value", tell(&["-n", "trusted.t"]));
    });
}

/// Flags, names of 255 and 256 bytes, values up to a few kilobytes, buffers that are too small.
#[test]
fn flags_and_small_limits_are_linux_own() {
    let beside = Beside::new();
    beside.compare(|root, seen| {
        let path = root.join("file");
        fs::write(&path, "").unwrap();
        let flags = [
            ("none", XattrFlags::empty()),
            ("replace", XattrFlags::REPLACE),
            ("create", XattrFlags::CREATE),
            ("both", XattrFlags::CREATE | XattrFlags::REPLACE),
            ("unknown", XattrFlags::from_bits_retain(8)),
        ];
        for (what, flags) in flags {
            for name in ["user.there", "user.missing"] {
                set(&path, "user.there", b"x").unwrap();
                let _ = lremovexattr(&path, "user.missing");
                seen.call(
                    format!("{what} {name}"),
                    lsetxattr(&path, name, b"y", flags),
                );
            }
        }
        for length in [255, 256, 1000] {
            let name = format!("user.{}", "n".repeat(length - 5));
            seen.call(format!("a name of {length}"), set(&path, &name, b"value"));
            seen.value(format!("get a name of {length}"), get(&path, &name));
            seen.call(
                format!("remove a name of {length}"),
                lremovexattr(&path, &name),
            );
        }
        for length in [0, 1, 255, 1000, 3000] {
            let value = vec![7; length];
            seen.call(format!("a value of {length}"), set(&path, "user.v", &value));
            seen.value(format!("get a value of {length}"), get(&path, "user.v"));
        }
        let small = &mut [0; 10][..];
        seen.call(
            "a small buffer",
            lgetxattr(&path, "user.v", &mut small[..5]),
        );
        seen.call("a small list", listxattr(&path, &mut small[..5]));
        seen.value("how long", lgetxattr(&path, "user.v", &mut small[..0]));
        seen.value("how long a list", listxattr(&path, &mut small[..0]));
    });
}

/// Values are kept up to the kernel's 64 KiB, and names up to a list of 64 KiB; ext4 ends at a
/// block. What is too large for Linux is too large for both.
#[test]
fn large_attributes_end_at_the_kernels_limits() {
    let row = "extended attributes of more than 4 KiB";
    let larger = |call, ext4| Difference {
        row,
        call,
        ext4,
        volfs: "ok",
    };
    let differences = [
        larger("a value of 5000", "ENOSPC"),
        larger("a value of 65536", "ENOSPC"),
        larger("that value of 65536 again", "ENODATA"),
        larger("50 values of 5000", "ENOSPC"),
        Difference {
            row,
            call: "names of 250 bytes that fit",
            ext4: "15",
            volfs: "262",
        },
    ];
    let beside = Beside::new();
    beside.compare_except(&differences, |root, seen| {
        let path = root.join("file");
        fs::write(&path, "").unwrap();
        for length in [5000, LIMIT, LIMIT + 1] {
            let value = vec![length as u8 | 1; length];
            seen.call(format!("a value of {length}"), set(&path, "user.v", &value));
        }
        let value = get(&path, "user.v");
        seen.call(
            "that value of 65536 again",
            value.inspect(|value| assert!(value.len() == LIMIT)),
        );
        let _ = lremovexattr(&path, "user.v");
        let fifty = (0..50).try_for_each(|n| set(&path, &format!("user.{n}"), &vec![n; 5000]));
        seen.call("50 values of 5000", fifty);

        let path = root.join("other");
        fs::write(&path, "").unwrap();
        let add = |number: usize| set(&path, &format!("user.{number:0>244}"), b"");
        let (count, refused) = (0..)
            .find_map(|number| add(number).err().map(|refused| (number, refused)))
            .expect("an end");
        seen.fact("names of 250 bytes that fit", count);
        seen.call::<(), _>("one more", Err(refused));
        seen.fact("listed", names(&path).unwrap().len() == count);
        seen.call(
            "in the place of another",
            lremovexattr(&path, format!("user.{:0>244}", 3)),
        );
        seen.call("it goes", add(1000));
    });
    beside.place().remount();
    let path = beside.roots()[0].join("other");
    assert_eq!(names(&path).unwrap().len(), 262);
    assert_eq!(
        get(&beside.roots()[0].join("file"), "user.7").unwrap(),
        [7; 5000]
    );
}

/// A file's capabilities, as setcap writes them: they make a program privileged, and go when its
/// content or its owner changes.
#[test]
fn capabilities_work_and_go_with_changes() {
    let beside = Beside::new();
    let change =
        |root: &Path, seen: &mut Seen, what: &str, change: &dyn Fn(&Path) -> io::Result<()>| {
            let path = root.join(what.replace(' ', "-"));
            fs::copy("/bin/cat", &path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
            run(Command::new("setcap")
                .arg("cap_dac_read_search+ep")
                .arg(&path))
            .ok();
            let secret = root.join("secret");
            let reads = || {
                let user = ["--reuid=1000", "--regid=1000", "--clear-groups"];
                run(Command::new("setpriv").args(user).arg(&path).arg(&secret)).code
            };
            seen.fact(format!("{what}: before"), reads());
            seen.call(what, change(&path));
            seen.fact(format!("{what}: after"), reads());
            let shown = run(Command::new("getcap").arg(&path).current_dir(root)).ok();
            seen.fact(
                format!("{what}: getcap"),
                shown.contains("cap_dac_read_search"),
            );
        };
    let open = |path: &Path, flags: OFlags| {
        let mut options = fs::File::options();
        options
            .write(true)
            .custom_flags(flags.bits() as i32)
            .open(path)
    };
    beside.compare(|root, seen| {
        fs::write(root.join("secret"), "secret").unwrap();
        fs::set_permissions(root.join("secret"), Permissions::from_mode(0o600)).unwrap();
        let length = fs::metadata("/bin/cat").unwrap().len();
        change(root, seen, "nothing", &|_| Ok(()));
        change(root, seen, "chmod", &|path| {
            fs::set_permissions(path, Permissions::from_mode(0o755))
        });
        change(root, seen, "chown", &|path| chown(path, Some(5), None));
        change(root, seen, "write", &|path| {
            open(path, OFlags::empty())?.write_all_at(b"x", length)
        });
        change(root, seen, "write by others", &|path| {
            USER.run(|| open(path, OFlags::empty())?.write_all_at(b"x", length))
        });
        change(root, seen, "truncate", &|path| {
            open(path, OFlags::empty())?.set_len(length)
        });
        change(root, seen, "rename", &|path| {
            fs::rename(path, path.with_extension("x"))?;
            fs::rename(path.with_extension("x"), path)
        });
    });
    beside.remount();
    beside.compare(|root, seen| {
        for name in ["nothing", "chmod", "chown", "write", "truncate"] {
            let kept = get(&root.join(name), "security.capability").map(|value| value.len());
            seen.value(name, kept);
        }
    });
}
