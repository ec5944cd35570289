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

/// `mount -a` mounts what an fstab has, once. A volume that is missing hinders no other, and is told
/// of, with `nofail` too: mount.fuse keeps that to itself.
#[test]
fn an_fstab_is_mounted() {
    let fixture = Fixture::new();
    for volume in ["data", "test"] {
        fixture.ok(&["volume", "create", volume]);
    }
    let places = ["data", "test", "none"].map(|name| fixture.mount_point(name));
    let table = fixture.folder().join("fstab");
    let write = |names: &[&str]| {
        let options = ["defaults,nosuid,nodev", "nofail", "nofail"];
        let lines: String = names
            .iter()
            .zip(&places)
            .zip(options)
            .map(|((name, place), options)| {
                let (place, pool) = (place.display(), fixture.pool().display());
                format!("{name}  {place}  fuse.volfs  {options},pool={pool}  0 0\n")
            })
            .collect();
        fs::write(&table, lines).unwrap();
    };
    let script = r#"
        line="\([a-z]*\) ${1%/*}/[a-z]* fuse.volfs \([^ ]*atime\)"
        mounts() { sed -n "s|^$line.*|\1 \2|p" /proc/mounts; }
        mount -a -T "$2"; mounts "$1"
        mount -a -T "$2"; mounts "$1" | wc -l
        echo kept > "$1/file"; umount "$1"
        mount -T "$2" "$1"; cat "$1/file"
        umount "$1" "${1%/*}/test"
    "#;
    let run_script = |script: &str| {
        let arguments = ["sh", "-ec", script, "sh", text(&places[0]), text(&table)];
        run(with_mount_helper(fixture.folder())
            .args(arguments)
            .current_dir("/"))
    };
    write(&["data", "test"]);
    let ran = run_script(script).expect_code(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let expected = [
        "data rw,nosuid,nodev,relatime",
        "test rw,relatime",
        "2",
        "kept",
    ];
    assert_eq!(lines, expected, "{ran:#?}");
    assert_eq!(ran.stderr, "");

    write(&["data", "test", "none"]);
    let script = r#"
        code=0; mount -a -T "$2" || code=$?
        umount "$1" "${1%/*}/test"
        exit $code
    "#;
    // "Some succeeded", in mount(8).
    let ran = run_script(script).expect_code(64);
    assert!(ran.stderr.contains("no such volume: 'none'"), "{ran:#?}");
}

/// The access times of a mount by mount(8) are those that `volfs mount` keeps: with `noatime` none
/// moves, with `strictatime` they move as without. A remount changes nothing of that.
#[test]
fn access_times_follow_the_options() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let place = fixture.mount_point("data");
    // Two reads past the page cache: relatime counts the first only.
    let script = r#"
        look() { dd if="$1/file" iflag=direct of=/dev/null status=none; stat -c %x "$1/file"; }
        for options in relatime noatime strictatime "relatime remount,noatime"; do
            set -- "$1" $options
            mount -t fuse.volfs -o "$2,pool=$0" data "$1"
            [ -z "$3" ] || mount -o "$3" "$1"
            echo content > "$1/file"; sync "$1/file"
            stat -c %x "$1/file"; sleep 0.1; look "$1"; sleep 0.1; look "$1"
            umount "$1"
        done
    "#;
    let ran = shell(&fixture, script, text(&place)).expect_code(0);
    let seen: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(seen.len(), 12, "{ran:#?}");
    let moved: Vec<[bool; 2]> = seen
        .chunks(3)
        .map(|it| [it[0] != it[1], it[1] != it[2]])
        .collect();
    let as_usual = [true, false];
    let expected = [as_usual, [false, false], as_usual, as_usual];
    assert_eq!(moved, expected, "{ran:#?}");
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
