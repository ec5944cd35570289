//! mount(8) and /etc/fstab.

use std::fs;

use fuse_tests::fixture::{text, with_mount_helper};
use fuse_tests::run::eventually;
use fuse_tests::{Fixture, Ran, run};

use std::time::Duration;

/// Runs a script in which mount(8) knows the type `fuse.volfs`. Its mounts are seen there only.
fn shell(fixture: &Fixture, script: &str, place: &str) -> Ran {
    let arguments = ["sh", "-ec", script, text(fixture.pool()), place];
    run(with_mount_helper(fixture.folder())
        .args(arguments)
        .current_dir("/"))
}

/// A volume is mounted, made read-only and writable again, and unmounted by mount(8) and
/// umount(8) alone, with the flags that were asked for.
#[test]
fn mount_command_mounts_and_remounts() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let place = fixture.mount_point("data");
    let script = r#"
        mount -t fuse.volfs -o "nosuid,noatime,noauto,x-any=1,pool=$0" data "$1"
        flags() { sed -n "s|^data $1 fuse.volfs \(r[ow][^ ]*atime\).*|\1|p" /proc/mounts; }
        flags "$1"; echo one > "$1/file"
        mount -o remount,ro "$1"; flags "$1"
        ! echo two > "$1/file"; cat "$1/file"
        mount -o remount,rw,nodev,noexec "$1"; flags "$1"; echo three > "$1/file"
        umount "$1"
    "#;
    let ran = shell(&fixture, script, text(&place)).expect_code(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let expected = [
        "rw,nosuid,noatime",
        "ro,nosuid,noatime",
        "one",
        "rw,nosuid,nodev,noexec,noatime",
    ];
    assert_eq!(lines, expected, "{ran:#?}");
    assert!(ran.stderr.contains("Read-only file system"), "{ran:#?}");
    eventually(
        "the daemon ends with its mount",
        Duration::from_secs(30),
        || fixture.daemon_pid().is_none(),
    );
    assert_eq!(
        fs::read_to_string(fixture.mount("data").join("file")).unwrap(),
        "three\n"
    );
}

/// An option that volfs does not know, and a volume that is not there, fail as they do in
/// `volfs mount`.
#[test]
fn mount_command_is_told_what_is_wrong() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let place = fixture.mount_point("data");
    for (options, source, problem) in [
        (
            "data=journal",
            "data",
            "mount option 'data=journal' is not known",
        ),
        ("rw", "none", "none"),
    ] {
        let script = format!("mount -t fuse.volfs -o '{options}',pool=\"$0\" {source} \"$1\"");
        let ran = shell(&fixture, &script, text(&place));
        assert!(ran.code != 0, "{ran:#?}");
        assert!(ran.stderr.contains(problem), "{ran:#?}");
    }
}
