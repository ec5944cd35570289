//! User namespaces: containers whose root is a normal user of the host.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use fuse_tests::containers::bind;
use fuse_tests::fixture::{binary, text};
use fuse_tests::image::Image;
use fuse_tests::namespace::with_own_mounts;
use fuse_tests::run::{Ran, run};
use fuse_tests::{Fixture, mounts};

use crate::with_podman;

/// Runs a script as uid 999 in a user namespace where that user is root (`unshare -Ur`), with
/// mounts of its own.
fn in_namespace(fixture: &Fixture, script: &str, arguments: &[&Path]) -> Ran {
    let become_user = [
        "setpriv",
        "--reuid=999",
        "--regid=999",
        "--clear-groups",
        "--",
    ];
    let namespace = ["unshare", "--user", "--map-root-user", "--mount"];
    let shell = ["/bin/sh", "-e", "-c", script, "sh"];
    run(with_own_mounts(fixture.folder())
        .args(become_user)
        .args(namespace)
        .args(shell)
        .args(arguments)
        .current_dir("/"))
}

/// A volume that root has mounted, as it does by default for all users, is an ordinary filesystem
/// in a user namespace: the owner is root there, strangers' files belong to nobody and stay closed,
/// and owners that have no id there cannot be given. It can be bound to another place, as rootless
/// containers do.
#[test]
fn a_shared_mount_serves_a_user_namespace() {
    let fixture = Fixture::new();
    fixture.ok(&[
        "volume", "create", "data", "--owner", "999:999", "--mode", "0755",
    ]);
    let data = fixture.mount("data");
    fs::write(data.join("secret"), "root's").unwrap();
    fs::set_permissions(data.join("secret"), Permissions::from_mode(0o600)).unwrap();
    let script = r#"
        cd "$1"
        echo mine > file; chmod 0700 .; mkdir sub; mv file sub/; cat sub/file
        stat -c %u:%g . sub/file secret
        chown -R 0:0 sub; ! chown 5 sub/file 2>/dev/null; ! cat secret 2>/dev/null
        mkdir "/tmp/bound.$$"; mount --bind . "/tmp/bound.$$"; cat "/tmp/bound.$$/sub/file"
        umount "/tmp/bound.$$"; rmdir "/tmp/bound.$$"
    "#;
    let seen = in_namespace(&fixture, script, &[&data]).ok();
    assert_eq!(seen, "mine\n0:0\n0:0\n65534:65534\nmine");
    let file = fs::metadata(data.join("sub/file")).unwrap();
    assert_eq!((file.uid(), file.gid()), (999, 999));
}

/// A mount for its owner only is closed to user namespaces too, even to their root.
#[test]
fn a_private_mount_is_closed() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data", "--owner", "999:999"]);
    let data = fixture.mount_point("data");
    fixture.ok(&["mount", "--no-allow-other", "data", text(&data)]);
    let refused = in_namespace(&fixture, "ls \"$1\"", &[&data]);
    assert!(refused.code != 0, "{refused:#?}");
    assert!(refused.stderr.contains("Permission denied"), "{refused:#?}");
}

/// The whole of volfs in a user namespace, where the user is root: volume, mount, snapshot, death
/// and return. The host needs only to let the user open /dev/fuse.
#[test]
fn a_daemon_lives_in_a_user_namespace() {
    let fixture = Fixture::new();
    let home = fixture.folder().join("home");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(999), Some(999)).unwrap();
    let program = fixture.folder().join("volfs");
    fs::copy(binary(), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let device = fixture.folder().join("fuse");
    run(Command::new("mknod").args(["-m", "666", text(&device), "c", "10", "229"])).ok();
    let script = r#"
        mount --bind "$3" /dev/fuse
        export VOLFS_POOL="$1/pool"; program=$2
        trap '"$program" daemon stop --force >/dev/null 2>&1 || true' EXIT
        mkdir "$1/mnt" "$1/old"
        "$program" volume create data; "$program" mount data "$1/mnt"
        echo one > "$1/mnt/file"; sync "$1/mnt/file"; stat -c %u "$1/mnt/file"
        "$program" snapshot create data@first
        echo two > "$1/mnt/file"
        pid=$("$program" daemon status --format json | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')
        kill -9 "$pid"; tail -s 0.05 --pid="$pid" -f /dev/null
        "$program" mount data "$1/mnt"; cat "$1/mnt/file"
        "$program" mount data@first "$1/old"; cat "$1/old/file"
        "$program" umount data@first; "$program" umount data; "$program" check >/dev/null
    "#;
    let seen = in_namespace(&fixture, script, &[&home, &program, &device]).ok();
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines, ["data", "0", "first", "two", "one"]);
    assert_eq!(fs::metadata(home.join("pool")).unwrap().uid(), 999);
    assert_eq!(mounts::mounts_below(&home), []);
}

/// A container whose users are other ids on the host (`--uidmap`, as rootless Podman and Docker's
/// userns-remap map them): `chown -R` at its start reaches the volume as the host's ids.
#[test]
fn podman_maps_users() {
    with_podman(|fixture, engine| {
        let tools = ["/bin/sh", "/bin/chown", "/bin/stat", "/bin/chmod"];
        engine.import(&Image::new(fixture.folder(), "tools").programs(&tools));
        let owner = ["--owner", "100000:100000"];
        fixture.ok(&[&["volume", "create", "data"][..], &owner].concat());
        let data = fixture.mount("data");
        let map = ["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"];
        let volume = bind(&data, "/data");
        let options = [&map[..], &["-v", &volume]].concat();
        let script = "echo x > /data/file; chown -R 999:999 /data; chmod 0700 /data; \
                      stat -c %u:%g:%a /data /data/file";
        let seen = engine.once(&options, "tools", &["/bin/sh", "-ec", script]);
        assert_eq!(seen.ok(), "999:999:700\n999:999:644");
        let file = fs::metadata(data.join("file")).unwrap();
        assert_eq!((file.uid(), file.gid()), (100_999, 100_999));
    });
}
