//! SIGKILL of the daemon at chosen moments: everything that was acknowledged is there. Random
//! moments under load are in `outages/`.

use std::fs::{self, File};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::fixture::text;
use fuse_tests::promises::{PAGE_BYTES, Page};
use fuse_tests::server::Server;
use fuse_tests::writers::{Mode, Writers};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

/// Longer than any test: the writers end when the mount dies.
const WRITE_FOR: Duration = Duration::from_secs(120);

/// Names, links, attributes and removals that returned before SIGKILL are as they were left.
#[test]
fn acknowledged_metadata_survives_sigkill() {
    let (fixture, root) = Fixture::mounted();
    for number in 0..300 {
        let (folder, file) = (
            root.join(format!("d{number}")),
            root.join(format!("f{number}")),
        );
        fs::create_dir(&folder).unwrap();
        fs::write(&file, format!("{number}")).unwrap();
        match number % 5 {
            0 => fs::rename(&file, folder.join("moved")).unwrap(),
            1 => fs::hard_link(&file, folder.join("link")).unwrap(),
            2 => fs::remove_file(&file).unwrap(),
            3 => std::os::unix::fs::symlink(&file, folder.join("symlink")).unwrap(),
            _ => fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o640))
                .unwrap(),
        }
    }
    let before = fuse_tests::tree::summarize(&root).unwrap();
    fixture.kill_daemon();
    fixture.mount("data");
    fuse_tests::tree::assert_same(&before, &fuse_tests::tree::summarize(&root).unwrap());
}

/// Returns when the clock that files get their times from has just gone on.
fn await_tick() {
    let now = || rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    let before = now();
    while now() == before {}
}

/// What only the kernel has of a file when the connection breaks is lost, and close(2) says so; also
/// within the tick of the file's creation, when writing changes none of its times, which the kernel
/// would otherwise ask the daemon to store.
#[test]
fn a_close_behind_a_broken_connection_fails() {
    let (fixture, root) = Fixture::mounted();
    // The kernel learns at the first close whether there is an answer to FLUSH.
    fs::write(root.join("first"), "closed").unwrap();
    // With another mount the daemon lives on.
    fixture.ok(&["volume", "create", "other"]);
    fixture.mount("other");
    let (path, page) = (root.join("file"), Page::new("file", 0, 1));
    await_tick();
    let file = File::create(&path).unwrap();
    file.write_all_at(&page.0, 0).unwrap();
    // The mount is busy, but its connection is broken.
    let broken = unmount(&root, UnmountFlags::FORCE);
    // SAFETY: the descriptor is given up by its only owner.
    let closed = unsafe { rustix::io::try_close(file.into_raw_fd()) };
    fixture.kill_daemon();
    fixture.mount("other");
    fixture.mount("data");
    let is_whole = fs::read(&path).unwrap() == page.0;
    assert_eq!(broken, Err(Errno::BUSY));
    assert!(closed.is_err() || is_whole, "closed, and lost");
    assert_eq!(fs::read(root.join("first")).unwrap(), b"closed");
}

/// A file that was unlinked while open is gone after SIGKILL, and its space with it.
#[test]
fn orphans_are_reaped_after_sigkill() {
    let (fixture, root) = Fixture::mounted();
    let path = root.join("orphan");
    let file = File::create(&path).unwrap();
    for number in 0..4096 {
        let page = Page::new("orphan", number, 1);
        file.write_all_at(&page.0, number * PAGE_BYTES as u64)
            .unwrap();
    }
    file.sync_all().unwrap();
    fs::remove_file(&path).unwrap();
    fixture.kill_daemon();
    drop(file);

    fixture.mount("data");
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    fixture.umount("data");
    let size = fixture.inspect(&["volume", "inspect", "data"])["Size"]
        .as_u64()
        .unwrap();
    assert!(
        size < 1 << 20,
        "the removed file still counts: {size} bytes"
    );
}

/// The daemon is killed again while the next one recovers; nothing is lost.
#[test]
fn recovery_survives_its_own_death() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let folder = fixture.mount("data");
    let writers = Writers::start(&folder, &[Mode::Fdatasync, Mode::Direct], 5, WRITE_FOR);
    writers.wait_for(500);
    fixture.kill_daemon();
    let promises = writers.finish();

    for delay_ms in [5, 20, 50, 100] {
        let log = fixture.folder().join("recovering.log");
        let path = fixture.mount_point("data");
        let arguments = [
            "--pool",
            text(fixture.pool()),
            "mount",
            "--foreground",
            "data",
        ];
        let arguments = [&arguments[..], &[text(&path)]].concat();
        let program = fuse_tests::fixture::binary();
        let daemon = Server::start(None, &program, &arguments, log);
        // Not a wait for something: the moment of the kill is what varies.
        std::thread::sleep(Duration::from_millis(delay_ms));
        daemon.stop(rustix::process::Signal::KILL);
    }
    fixture.mount("data");
    assert_eq!(promises.check(&folder), Ok(()));
}
