//! `volfs mount` and `umount`.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fuse_tests::fixture::text;
use fuse_tests::mounts::{self, mount_at};
use fuse_tests::run::eventually;
use fuse_tests::{Fixture, run};
use rustix::process::Signal;

use crate::{BUSY, FAILED, NOT_FOUND, assert_says};

fn options(path: &Path) -> Vec<String> {
    let line = mount_at(path).expect("it is mounted");
    line.options.split(',').map(str::to_owned).collect()
}

/// A mount shows its volume's name and the type `fuse.volfs`, nosuid and nodev by default.
#[test]
fn mount_shows_in_the_mount_table() {
    let (fixture, path) = Fixture::mounted();
    let line = mount_at(&path).unwrap();
    assert_eq!(
        (line.source.as_str(), line.fs_type.as_str()),
        ("data", "fuse.volfs")
    );
    let table = fs::read_to_string("/proc/mounts").unwrap();
    assert_says(&table, &[&format!("data {} fuse.volfs ", path.display())]);
    let shown = options(&path);
    assert!(
        shown.contains(&"nosuid".into()) && shown.contains(&"nodev".into()),
        "{shown:?}"
    );

    fixture.umount("data");
    fixture.ok(&["mount", "-o", "suid,dev", "data", text(&path)]);
    let shown = options(&path);
    assert!(
        !shown.contains(&"nosuid".into()) && !shown.contains(&"nodev".into()),
        "{shown:?}"
    );
}

/// Mounting and unmounting can follow each other without waiting, by path and by name.
#[test]
fn mount_and_umount_follow_each_other() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    for round in 0..10 {
        let path = fixture.mount("data");
        fs::write(path.join(format!("round-{round}")), "x").unwrap();
        let target = if round % 2 == 0 { text(&path) } else { "data" };
        assert_eq!(fixture.ok(&["umount", target]), "");
        assert_eq!(mount_at(&path), None);
    }
    assert_eq!(fs::read_dir(fixture.mount("data")).unwrap().count(), 10);
}

/// Behind umount(8), which returns before the volume is synced, a volume can be mounted
/// and removed at once.
#[test]
fn commands_wait_for_what_umount_8_has_left() {
    let (fixture, path) = Fixture::mounted();
    // Enough that its sync takes longer than a command needs to ask.
    let content: Vec<u8> = (0..32 << 20_u32).flat_map(u32::to_le_bytes).collect();
    let unmount = |name: &str| {
        fs::write(path.join(name), &content).unwrap();
        eventually("umount(8) succeeds", Duration::from_secs(30), || {
            run(Command::new("umount").arg(&path)).code == 0
        });
    };
    unmount("first");
    fixture.ok(&["mount", "data", text(&path)]);
    assert!(fs::read(path.join("first")).unwrap() == content);
    unmount("second");
    fixture.ok(&["umount", "data"]);
    fixture.ok(&["mount", "data", text(&path)]);
    unmount("third");
    fixture.ok(&["volume", "rm", "data"]);
}

/// Without a path the mount point is POOL/mnt/NAME, and inspect says so.
#[test]
fn default_mount_point_is_in_the_pool() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let expected = fixture.inspect(&["volume", "inspect", "data"])["Mountpoint"].clone();
    assert_eq!(fixture.ok(&["mount", "data"]), "");
    let path = fixture.pool().join("mnt/data");
    assert_eq!(expected, text(&path));
    assert!(mount_at(&path).is_some());
    let volume = fixture.inspect(&["volume", "inspect", "data"]);
    assert_eq!(
        (&volume["Mountpoint"], &volume["Mounted"]),
        (&text(&path).into(), &true.into())
    );
    fixture.umount("data");
    assert_eq!(
        fixture.inspect(&["volume", "inspect", "data"])["Mounted"],
        false
    );
}

/// Mounting again at the same place does nothing; at a second place it is a bind mount.
#[test]
fn second_mount_is_a_bind_mount() {
    let (fixture, first) = Fixture::mounted();
    assert_eq!(fixture.ok(&["mount", "data", text(&first)]), "");
    assert_eq!(mounts::mounts_below(fixture.folder()).len(), 1);

    let second = fixture.mount_point("second");
    fixture.ok(&["mount", "data", text(&second)]);
    assert_eq!(
        mount_at(&first).unwrap().minor,
        mount_at(&second).unwrap().minor
    );
    fs::write(second.join("file"), "seen").unwrap();
    assert_eq!(fs::read(first.join("file")).unwrap(), b"seen");

    fixture.ok(&["umount", text(&first)]);
    assert_eq!(fs::read(second.join("file")).unwrap(), b"seen");
    fixture.umount("data");
    assert!(mounts::mounts_below(fixture.folder()).is_empty());
}

/// `--read-only` lets nobody write.
#[test]
fn read_only_mount_refuses_writes() {
    let (fixture, path) = Fixture::mounted();
    fs::write(path.join("file"), "content").unwrap();
    fixture.umount("data");
    fixture.ok(&["mount", "--read-only", "data", text(&path)]);
    assert_eq!(fs::read(path.join("file")).unwrap(), b"content");
    let kind = fs::write(path.join("file"), "x").unwrap_err().kind();
    assert_eq!(kind, std::io::ErrorKind::ReadOnlyFilesystem);
}

/// A mount point that is missing, a file, or taken is refused with its own words.
#[test]
fn wrong_mount_points_are_refused() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    fixture.ok(&["volume", "create", "other"]);
    let missing = fixture.folder().join("missing");
    assert_says(
        &fixture.fails(NOT_FOUND, &["mount", "data", text(&missing)]),
        &[text(&missing)],
    );
    let file = fixture.folder().join("file");
    fs::write(&file, "").unwrap();
    let stderr = fixture.fails(FAILED, &["mount", "data", text(&file)]);
    assert_says(&stderr, &[text(&file), "not a folder"]);

    let taken = fixture.mount("data");
    let stderr = fixture.fails(BUSY, &["mount", "other", text(&taken)]);
    assert_says(&stderr, &[text(&taken), "data"]);
    fixture.umount("data");
    assert_says(&fixture.fails(NOT_FOUND, &["umount", "data"]), &["data"]);
    fixture.fails(NOT_FOUND, &["umount", text(&taken)]);
}

/// A folder with something in it is not covered unless `--over` asks for it; what lies there is
/// named, and is back after the unmount.
#[test]
fn full_mount_point_is_covered_only_on_request() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let path = fixture.mount_point("data");
    fs::write(path.join("PG_VERSION"), "15").unwrap();
    let stderr = fixture.fails(FAILED, &["mount", "data", text(&path)]);
    assert_says(&stderr, &["not empty", "PG_VERSION", "--over"]);

    fixture.ok(&["mount", "--over", "data", text(&path)]);
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    fixture.umount("data");
    assert_eq!(fs::read(path.join("PG_VERSION")).unwrap(), b"15");
}

/// The bare folder below a mount is immutable, so that nothing is written there by mistake while
/// the volume is away; the final unmount undoes it.
#[test]
fn bare_mount_point_is_immutable() {
    let (fixture, path) = Fixture::mounted();
    fixture.kill_daemon();
    // Only the dead mount is taken away, as a reboot would.
    mounts::detach_below(fixture.folder());
    assert!(mounts::is_immutable(&path));
    let refused = fs::write(path.join("PG_VERSION"), "15").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);

    fixture.mount("data");
    fixture.umount("data");
    assert!(!mounts::is_immutable(&path));
    fs::write(path.join("file"), "writable again").unwrap();
}

/// A busy volume is not unmounted, and who holds it is named: open files and working folders.
#[test]
fn busy_umount_names_the_holders() {
    let (fixture, path) = Fixture::mounted();
    let open = File::create(path.join("held")).unwrap();
    let stderr = fixture.fails(BUSY, &["umount", "data"]);
    assert_says(
        &stderr,
        &["in use by", &std::process::id().to_string(), "held"],
    );
    assert!(mount_at(&path).is_some());
    drop(open);

    let arguments = ["-c", "cd \"$0\" && exec sleep 600", text(&path)];
    let log = fixture.folder().join("holder.log");
    let shell = fuse_tests::server::Server::start(None, Path::new("/bin/sh"), &arguments, log);
    let standing = format!("/proc/{}/cwd", shell.pid().as_raw_nonzero());
    fuse_tests::run::eventually("the shell stands in it", fuse_tests::run::LIMIT, || {
        fs::read_link(&standing).is_ok_and(|folder| folder == path)
    });
    let stderr = fixture.fails(BUSY, &["umount", "data"]);
    assert_says(&stderr, &[&shell.pid().as_raw_nonzero().to_string()]);
    shell.stop(Signal::KILL);
    fixture.umount("data");
}

/// A dead mount is taken away by the next mount, and everything acknowledged is there.
#[test]
fn stale_mount_is_replaced() {
    let (fixture, path) = Fixture::mounted();
    fs::write(path.join("file"), "closed before the crash").unwrap();
    for _ in 0..2 {
        fixture.kill_daemon();
        let error = fs::read(path.join("file")).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotConnected, "{error}");
        fixture.mount("data");
        assert_eq!(
            fs::read(path.join("file")).unwrap(),
            b"closed before the crash"
        );
    }
    assert_eq!(mounts::mounts_below(fixture.folder()).len(), 1);
}

/// A dead mount can also just be unmounted.
#[test]
fn stale_mount_is_unmounted() {
    let (fixture, path) = Fixture::mounted();
    fixture.kill_daemon();
    fixture.ok(&["umount", text(&path)]);
    assert_eq!(mount_at(&path), None);
    assert!(!mounts::is_immutable(&path));
}

/// `mount --all` brings back what was mounted when the pool was last in use.
#[test]
fn mount_all_brings_the_mounts_back() {
    let fixture = Fixture::new();
    for name in ["a", "b", "c"] {
        fixture.ok(&["volume", "create", name]);
        fixture.mount(name);
    }
    fixture.ok(&["snapshot", "create", "a@s"]);
    fixture.mount("a@s");
    fixture.umount("c");
    fixture.kill_daemon();
    fixture.ok(&["mount", "--all"]);
    let sources = |fixture: &Fixture| {
        let lines = mounts::mounts_below(fixture.folder());
        let mut sources: Vec<String> = lines.into_iter().map(|line| line.source).collect();
        sources.sort();
        sources
    };
    assert_eq!(sources(&fixture), ["a", "a@s", "b"]);

    fixture.ok(&["daemon", "stop"]);
    assert!(sources(&fixture).is_empty());
    fixture.ok(&["mount", "--all"]);
    assert_eq!(sources(&fixture), ["a", "a@s", "b"]);
}
