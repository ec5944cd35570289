//! SIGKILL of the daemon under load: everything that was acknowledged is there.
//!
//! `VOLFS_TEST_ROUNDS` sets how often the daemon is killed, `VOLFS_TEST_SEED` what is written.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::Duration;

use fuse_tests::fixture::text;
use fuse_tests::promises::{PAGE_BYTES, Page, Promises};
use fuse_tests::run::exits_within;
use fuse_tests::server::Server;
use fuse_tests::writers::{Mode, Writers};
use fuse_tests::{Fixture, run};

/// Longer than any test: the writers end when the mount dies.
const WRITE_FOR: Duration = Duration::from_secs(120);

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// Kills the daemon under the writers of `modes`, several times, and checks every promise that
/// was ever made after each remount.
fn kill_under(modes: &[Mode]) {
    let fixture = Fixture::with_limit(Duration::from_secs(300));
    fixture.ok(&["volume", "create", "data"]);
    let mut promises = Promises::default();
    let seed = setting("VOLFS_TEST_SEED", 1);
    for round in 0..setting("VOLFS_TEST_ROUNDS", 3) {
        let folder = fixture.mount("data");
        let seed = seed.wrapping_mul(1000) + round;
        let writers = Writers::start(&folder, modes, seed, WRITE_FOR);
        writers.wait_for(100 + 200 * round as usize);
        fixture.kill_daemon();
        promises.extend(writers.finish());

        fixture.mount("data");
        let checked = promises.check(&folder);
        assert_eq!(checked, Ok(()), "seed {seed}, round {round}");
    }
}

/// Buffered writes that were synced survive, by fdatasync, O_DSYNC, msync and at the end of a
/// growing file.
#[test]
fn synced_writes_survive_sigkill() {
    kill_under(&[Mode::Fdatasync, Mode::Dsync, Mode::Append, Mode::Msync]);
}

/// An O_DIRECT write that has returned survives, synced or not: the daemon had it.
#[test]
fn direct_writes_survive_sigkill() {
    kill_under(&[Mode::Direct, Mode::DirectDsync]);
}

/// A file that was closed, and one that was renamed into place, survive with all their bytes.
#[test]
fn closed_and_renamed_files_survive_sigkill() {
    kill_under(&[Mode::Closed, Mode::Renamed]);
}

/// All of that at once, beside a stream of unsynced writes.
#[test]
fn everything_acknowledged_survives_sigkill_under_mixed_load() {
    kill_under(&[&Mode::PROMISING[..], &[Mode::Buffered]].concat());
}

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

/// The daemon is killed under a running fio, whose own verification then finds every write that
/// it had synced.
#[test]
fn fio_verifies_after_sigkill() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let directory = format!("--directory={}", text(&fixture.mount("data")));
    let job = |extra: &[&str]| {
        let common = [
            "--name=job",
            &directory,
            "--size=512m",
            "--bs=8k",
            "--rw=randwrite",
        ];
        let verify = [
            "--verify=crc32c",
            "--verify_fatal=1",
            "--randseed=7",
            "--ioengine=psync",
        ];
        let mut command = Command::new("fio");
        // fio keeps what it knows to be written in a file in its working folder.
        command
            .args([&common[..], &verify, extra].concat())
            .current_dir(fixture.folder());
        command
    };
    let pid = fixture.daemon_pid().expect("a daemon runs");
    let trigger = format!("--trigger=kill -9 {}", pid.as_raw_nonzero());
    let writing = [
        "--fsync=1",
        "--do_verify=0",
        "--verify_state_save=1",
        "--trigger-timeout=2",
    ];
    // fio fails when its files go; what counts is the state that it saved before the trigger.
    run(job(&writing).arg(trigger));
    assert!(
        exits_within(pid, Duration::from_secs(10)),
        "fio has not killed the daemon"
    );

    fixture.mount("data");
    let verified = run(&mut job(&["--verify_only", "--verify_state_load=1"])).ok();
    assert!(
        verified.contains("read: IOPS="),
        "nothing was verified: {verified}"
    );
}
