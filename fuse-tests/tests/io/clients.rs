//! Asynchronous clients: fio with libaio and io_uring, which verifies what it has written.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fuse_tests::Place;
use fuse_tests::chance::number;
use fuse_tests::fixture::text;
use fuse_tests::run::run_for;

const PROGRAM: &str = "/usr/bin/fio";
const LIMIT: Duration = Duration::from_secs(600);
/// What each job writes in CI, in MiB.
const MIB: u64 = 24;

/// One job: random writes of several sizes with a queue, verified by checksums meanwhile and in the
/// end.
fn verify(folder: &Path, name: &str, more: &[&str]) {
    let size = format!("--size={}m", number("VOLFS_TEST_MIB").unwrap_or(MIB));
    let mut command = Command::new(PROGRAM);
    command.args([&format!("--name={name}"), &size]);
    command.arg(format!("--directory={}", text(folder)));
    command.args([
        "--rw=randrw",
        "--rwmixread=30",
        "--iodepth=16",
        "--verify=crc32c",
    ]);
    command.args([
        "--bsrange=4k-64k",
        "--verify_fatal=1",
        "--verify_backlog=64",
        "--fallocate=none",
    ]);
    // The state for a later run is of no use here.
    command.args(["--verify_state_save=0"]).args(more);
    let ran = run_for(&mut command, LIMIT).ok();
    assert!(ran.contains("err= 0"), "{ran}");
    assert!(ran.contains("write: IOPS="), "nothing was written: {ran}");
}

/// Both engines, cached and not, also where blocks are larger than what is written.
#[test]
fn asynchronous_clients_verify() {
    let place = Place::new();
    let engines = ["--ioengine=libaio", "--ioengine=io_uring"];
    for (number, engine) in engines.into_iter().enumerate() {
        for direct in ["--direct=1", "--direct=0"] {
            let name = format!("job-{number}{direct}");
            verify(place.root(), &name, &[engine, direct, "--end_fsync=1"]);
        }
    }
}

/// io_uring with its own thread, registered buffers and files, and syncs between the writes.
#[test]
fn io_uring_features_verify() {
    let place = Place::new();
    let engine = "--ioengine=io_uring";
    verify(
        place.root(),
        "polled",
        &[engine, "--direct=1", "--sqthread_poll=1"],
    );
    let fixed = ["--direct=1", "--fixedbufs=1", "--registerfiles=1"];
    verify(
        place.root(),
        "fixed",
        &[&[engine], fixed.as_slice()].concat(),
    );
    verify(
        place.root(),
        "synced",
        &[engine, "--direct=0", "--fdatasync=8"],
    );
    verify(
        place.root(),
        "dsync",
        &[
            "--ioengine=libaio",
            "--direct=1",
            "--sync=dsync",
            "--size=8m",
        ],
    );
}
