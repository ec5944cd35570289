//! User namespaces and mounts that are not for everybody.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fuse_tests::fixture::{binary, text};
use fuse_tests::run::{exits_within, pid_of};
use fuse_tests::{Beside, Fixture, Place, User, run};
use rustix::io::Errno;

use crate::errno;

/// The host's number for root in a container.
const ROOT_OUTSIDE: u32 = 100_000;

/// Runs a script as root of a user namespace whose ids begin at [`ROOT_OUTSIDE`], as the root of a
/// rootless container is; returns what it prints.
fn in_container(folder: &Path, script: &str) -> String {
    // It waits for its maps, which only the outside may write.
    let begin = "read go && exec setpriv --reuid=0 --regid=0 --clear-groups sh -c \"$0\" 2>&1";
    let mut child = Command::new("unshare")
        .args(["--user", "sh", "-c", begin, script])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let own = fs::read_link("/proc/self/ns/user").unwrap();
    let process = Path::new("/proc").join(child.id().to_string());
    fuse_tests::run::eventually("it has a namespace", Duration::from_secs(10), || {
        fs::read_link(process.join("ns/user")).is_ok_and(|namespace| namespace != own)
    });
    for map in ["uid_map", "gid_map"] {
        fs::write(process.join(map), format!("0 {ROOT_OUTSIDE} 65536")).unwrap();
    }
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let mut printed = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut printed)
        .unwrap();
    assert!(exits_within(pid_of(&child), Duration::from_secs(30)));
    child.wait().unwrap();
    printed
}

/// Root of a container in a user namespace has its rights over what is its own, and those of a
/// stranger over the rest; ids that it has no word for are nobody's.
#[test]
fn a_containers_root_has_its_own_ids() {
    let script = "id -u; touch made; mkdir sub; chown 999:999 made; chown 70000 made; \
        chmod 4711 made; stat -c '%n %u %g %a' made sub foreign secret; cat foreign secret; \
        echo x >foreign; chown 0 foreign; rm foreign; mknod device c 1 3; ln -s made link; \
        chown -h 5 link; setfacl -m u:7:rw made; getfacl -n made; \
        setfattr -n user.a -v 1 made; getfattr --only-values -n user.a made; echo; \
        setfattr -n trusted.a -v 1 made; setpriv --reuid=999 --regid=999 --clear-groups sh -c \
        'id -u; echo y >>made; touch own; touch sub/x; cat secret'; ls -n | cut -d' ' -f1-4 | sort";
    let beside = Beside::new();
    beside.compare(|root, seen| {
        chown(root, Some(ROOT_OUTSIDE), Some(ROOT_OUTSIDE)).unwrap();
        fs::set_permissions(root, Permissions::from_mode(0o777)).unwrap();
        for (name, mode) in [("foreign", 0o644), ("secret", 0o600)] {
            fs::write(root.join(name), format!("{name}\n")).unwrap();
            fs::set_permissions(root.join(name), Permissions::from_mode(mode)).unwrap();
        }
        let printed = in_container(root, script);
        seen.fact("printed", printed.lines().collect::<Vec<_>>());
        for name in ["made", "sub", "link", "own", "sub/x", "secret"] {
            let file = fs::symlink_metadata(root.join(name));
            let rights = file.map(|file| (file.uid(), file.gid(), file.mode()));
            seen.value(format!("{name} outside"), rights);
        }
    });
}

/// A normal user who is root of a user namespace mounts without any helper, and sees the files as
/// its own.
#[test]
fn root_of_a_namespace_mounts() {
    const USER: u32 = 65534;
    let fixture = Fixture::new();
    let home = fixture.folder().join("home");
    for folder in [home.clone(), home.join("mnt")] {
        fs::create_dir(&folder).unwrap();
        chown(&folder, Some(USER), Some(USER)).unwrap();
    }
    let program = fixture.folder().join("volfs");
    fs::copy(binary(), &program).unwrap();
    let device = fixture.folder().join("fuse");
    run(Command::new("mknod").args(["-m", "666", text(&device), "c", "10", "229"])).ok();
    // The device as udev would give it, then a user without rights, then root of a namespace.
    let become_root = "mount --bind \"$0/fuse\" /dev/fuse && \
        exec setpriv --reuid=65534 --regid=65534 --clear-groups \
        unshare --user --map-root-user --mount sh -e -c \"$1\"";
    let script = "trap 'volfs daemon stop --force >/dev/null 2>&1 || true' EXIT; id -u; \
        volfs volume create data; volfs mount data ~/mnt -o noatime; \
        grep -c \" $HOME/mnt fuse.volfs .*noatime\" /proc/mounts; \
        echo mine >~/mnt/file; stat -c '%u %g' ~/mnt/file; chmod 2750 ~/mnt/file; \
        chown 5 ~/mnt/file 2>/dev/null || echo refused; \
        volfs umount data; volfs mount data ~/mnt; cat ~/mnt/file; stat -c %a ~/mnt/file; \
        volfs umount data";
    let path = format!(
        "{}:/usr/sbin:/usr/bin:/sbin:/bin",
        fixture.folder().display()
    );
    let ran = run(Command::new("unshare")
        .args([
            "--mount",
            "sh",
            "-c",
            become_root,
            text(fixture.folder()),
            script,
        ])
        .env("PATH", path)
        .env("HOME", &home)
        .env("VOLFS_POOL", home.join("pool"))
        .env_remove("XDG_DATA_HOME")
        .current_dir("/"));
    let printed = ran.clone().ok();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(
        lines,
        ["0", "data", "1", "0 0", "refused", "mine", "2750"],
        "{ran:?}"
    );
}

/// Without allow_other a mount is for who has mounted it, whatever its modes say; with it uid 999
/// gets what they say.
#[test]
fn a_mount_may_be_for_one_user() {
    let server = User::new(999);
    let place = Place::with_options(&["--no-allow-other"]);
    if place.is_plain() {
        return;
    }
    let path = place.file("file", "content");
    fs::set_permissions(place.root(), Permissions::from_mode(0o777)).unwrap();
    server.run(|| {
        assert_eq!(errno(fs::read(&path)), Errno::ACCESS);
        assert_eq!(errno(File::create(place.path("new"))), Errno::ACCESS);
    });
    place.remount();
    server.run(|| {
        assert_eq!(fs::read(&path).unwrap(), b"content");
        File::create(place.path("new")).unwrap();
    });
    assert_eq!(fs::metadata(place.path("new")).unwrap().uid(), 999);
}
