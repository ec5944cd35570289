//! POSIX ACLs, by the tools of Debian's package acl and by their raw attributes.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use fuse_tests::{Beside, Difference, Seen, User, run};
use rustix::fs::{XattrFlags, setxattr};

const OWNER: User<'static> = User::new(1000);
const NAMED: User<'static> = User::new(1001);
const GROUPED: User<'static> = User {
    groups: &[7],
    ..User::new(1002)
};
const STRANGER: User<'static> = User::new(1003);

/// Runs a shell script in the folder and notes what it prints.
fn script(root: &Path, seen: &mut Seen, what: &str, text: &str) {
    let ran = run(Command::new("sh").args(["-c", text]).current_dir(root));
    seen.fact(what, (ran.code, ran.stdout, ran.stderr));
}

fn try_as(seen: &mut Seen, what: &str, path: &Path) {
    let users = [
        ("owner", OWNER),
        ("named", NAMED),
        ("grouped", GROUPED),
        ("stranger", STRANGER),
    ];
    for (who, user) in users {
        user.run(|| {
            seen.call(format!("{what}: {who} reads"), fs::read(path));
            let writes = fs::File::options().append(true).open(path);
            seen.call(format!("{what}: {who} writes"), writes);
        });
    }
}

/// Named users and groups, mask, chmod and removal do what acl(5) says, and are kept.
#[test]
fn access_acls_decide() {
    let beside = Beside::new();
    beside.compare(|root, seen| {
        let file = root.join("file");
        fs::write(&file, "content").unwrap();
        chown(&file, Some(OWNER.uid), Some(OWNER.gid)).unwrap();
        let steps = [
            "chmod 640 file",
            "setfacl -m u:1001:rw,g:7:r file",
            "chmod g-w file",
            "chmod 666 file",
            "setfacl -m m::r file",
            "setfacl -m o::-,g::rw file",
            "setfacl -n -m u:1001:rwx file",
            "setfacl -x u:1001 file",
            "setfacl -m u:1000:- file",
            "chmod 000 file",
            "setfacl -b file",
            "setfacl -m u::rw,g::r,o::- file",
        ];
        for step in steps {
            script(
                root,
                seen,
                step,
                &format!("{step} && getfacl -n file && stat -c %A file"),
            );
            try_as(seen, step, &file);
        }
        script(
            root,
            seen,
            "copies",
            "setfacl -m u:1001:rw file; cp -a file copy; getfacl -n copy",
        );
    });
    beside.remount();
    beside.compare(|root, seen| {
        script(
            root,
            seen,
            "kept",
            "getfacl -n file copy; stat -c %A file copy",
        );
        try_as(seen, "kept", &root.join("file"));
    });
}

/// A default ACL takes the umask's place in whatever is made in the folder, folders inherit it.
#[test]
fn default_acls_are_inherited() {
    let beside = Beside::new();
    let acls = [
        ("none", "true"),
        ("small", "setfacl -d -m u::rwx,g::rx,o::- ."),
        ("named", "setfacl -d -m u:1001:rwx,g:7:rwx ."),
        ("masked", "setfacl -d -m u:1001:rwx,m::rx ."),
        ("open", "setfacl -d -m u::rwx,g::rwx,o::rwx ."),
        (
            "setgid",
            "chgrp 7 . && chmod g+s . && setfacl -d -m u:1001:rwx,g::rx .",
        ),
        ("dropped", "setfacl -d -m u:1001:rwx . && setfacl -k ."),
    ];
    beside.compare(|root, seen| {
        for (name, acl) in acls {
            let folder = root.join(name);
            fs::create_dir(&folder).unwrap();
            script(&folder, seen, name, &format!("{acl} && getfacl -n ."));
            let make = "umask 027; touch file; mkdir sub; mkfifo pipe; ln -s file link; \
                        umask 000; touch wide; mkdir -m 700 private; mkdir -p a/b/c; \
                        umask 077; cp wide closed; install -m 664 wide installed";
            script(&folder, seen, "made", make);
            let show = "stat -c '%n %A %g' *; find . ! -type l | sort | xargs getfacl -n";
            script(&folder, seen, "shown", show);
        }
    });
    beside.remount();
    beside.compare(|root, seen| {
        script(
            root,
            seen,
            "kept",
            "find . ! -type l | sort | xargs getfacl -n",
        )
    });
}

const VERSION: u32 = 2;
const NOBODY: u32 = u32::MAX;

/// An ACL's raw attribute.
fn raw(version: u32, entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut acl = version.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        acl.extend(tag.to_le_bytes());
        acl.extend(permissions.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    acl
}

/// Malformed ACLs, and those of what can have none, are refused with Linux's errors.
#[test]
fn malformed_acls_are_refused() {
    let owner = (1, 7, NOBODY);
    let (group, other, mask) = ((4, 5, NOBODY), (0x20, 5, NOBODY), (0x10, 7, NOBODY));
    let named = (2, 7, 1001);
    let values = [
        ("a minimal one", raw(VERSION, &[owner, group, other])),
        ("no entries", raw(VERSION, &[])),
        ("an old version", raw(1, &[owner, group, other])),
        ("no owner", raw(VERSION, &[group, other])),
        ("two owners", raw(VERSION, &[owner, owner, group, other])),
        ("no mask", raw(VERSION, &[owner, named, group, other])),
        ("a mask", raw(VERSION, &[owner, named, group, mask, other])),
        ("out of order", raw(VERSION, &[other, group, owner])),
        (
            "an unknown tag",
            raw(VERSION, &[owner, group, (0x40, 7, 0), other]),
        ),
        (
            "unknown bits",
            raw(VERSION, &[(1, 0o17, NOBODY), group, other]),
        ),
        (
            "half an entry",
            raw(VERSION, &[owner, group, other])[..26].to_vec(),
        ),
        ("three bytes", vec![2, 0, 0]),
        ("nothing", Vec::new()),
    ];
    let beside = Beside::new();
    beside.compare(|root, seen| {
        let (file, folder, link) = (root.join("file"), root.join("folder"), root.join("link"));
        fs::write(&file, "").unwrap();
        fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        for (what, value) in &values {
            for path in [&file, &folder] {
                for kind in ["access", "default"] {
                    let name = format!("system.posix_acl_{kind}");
                    let set = setxattr(path, &name, value, XattrFlags::empty());
                    seen.call(
                        format!("{what} as {kind} ACL of {:?}", path.file_name()),
                        set,
                    );
                }
            }
            let name = "system.posix_acl_access";
            let set = rustix::fs::lsetxattr(&link, name, value, XattrFlags::empty());
            seen.call(format!("{what} of a link"), set);
            STRANGER.run(|| {
                let set = setxattr(&file, name, value, XattrFlags::empty());
                seen.call(format!("{what} by a stranger"), set);
            });
        }
        script(
            root,
            seen,
            "left",
            "getfacl -n file folder; stat -c %A file folder",
        );
    });
}

/// An owner who is not in the file's group and gives it an ACL: ext4 takes the sgid bit, the
/// kernel does not tell a volume enough for that.
#[test]
fn sgid_stays_with_an_acl_of_an_outsider() {
    let beside = Beside::new();
    let differs = Difference {
        row: "setfacl by an owner outside of the file's group",
        call: "the outsider's",
        ext4: "\"-rwxrwx--x\"",
        volfs: "\"-rwxrws--x\"",
    };
    beside.compare_except(&[differs], |root, seen| {
        let file = root.join("file");
        for (what, user) in [
            ("the outsider's", OWNER),
            (
                "the member's",
                User {
                    groups: &[7],
                    ..OWNER
                },
            ),
        ] {
            fs::write(&file, "").unwrap();
            chown(&file, Some(OWNER.uid), Some(7)).unwrap();
            script(root, seen, "prepared", "setfacl -b file && chmod 2771 file");
            let acl = raw(
                VERSION,
                &[
                    (1, 7, NOBODY),
                    (2, 7, 1001),
                    (4, 7, NOBODY),
                    (0x10, 7, NOBODY),
                    (0x20, 1, NOBODY),
                ],
            );
            user.run(|| setxattr(&file, "system.posix_acl_access", &acl, XattrFlags::empty()))
                .unwrap();
            let shown = run(Command::new("stat").args(["-c", "%A"]).arg(&file)).ok();
            seen.fact(what, shown);
        }
    });
}
