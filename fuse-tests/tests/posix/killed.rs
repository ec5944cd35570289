//! What a killed process leaves for those after it.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::fixture::text;
use fuse_tests::run::eventually;
use fuse_tests::server::Server;
use rustix::process::Signal;

const ROUNDS: u64 = 40;

/// Until the kernel has been asked to let go of a file that nobody can be sent to again.
const LET_GO: Duration = Duration::from_millis(500);

/// Changes a file's inode in one way until it is killed at some moment; returns the file.
fn kill_amid(fixture: &Fixture, folder: &Path, way: &str, round: u64) -> PathBuf {
    let path = folder.join(format!("{way}-{round}"));
    fs::write(&path, "content").unwrap();
    let log = fixture.folder().join(format!("{way}-{round}.log"));
    let program = Path::new(env!("CARGO_BIN_EXE_volfs-test-scribbler"));
    let changing = Server::start(None, program, &[way, text(&path)], log);
    eventually("it changes the file", Duration::from_secs(30), || {
        changing.log().contains("writing")
    });
    sleep(Duration::from_micros(1000 + round * 370 % 5000));
    assert_eq!(changing.stop(Signal::KILL), None);
    let other = path.with_file_name(format!("{way}-{round}.other"));
    match path.exists() {
        true => path,
        false => other,
    }
}

/// What the next process that opens the file meets: it syncs, or only closes.
fn close_and_sync(path: &Path, round: u64) -> Option<String> {
    let file = File::options().read(true).write(true).open(path).unwrap();
    if round.is_multiple_of(2) {
        // Not through std, which asks again when it is interrupted.
        // SAFETY: the descriptor is open.
        if unsafe { libc::fsync(file.as_raw_fd()) } != 0 {
            return Some(format!("fsync: {}", std::io::Error::last_os_error()));
        }
    }
    // SAFETY: the descriptor is given up by its only owner.
    let closed = unsafe { rustix::io::try_close(file.into_raw_fd()) };
    closed.err().map(|error| format!("close: {error}"))
}

/// A process that dies between a change of a file and the kernel's word of the changed times leaves
/// nothing that the next one would take for a broken disk. Without docs/decisions/0008 a quarter of
/// these rounds fail.
fn killed_processes_leave_no_failure(way: &str, pause: Duration) {
    let (fixture, root) = Fixture::mounted();
    let met: Vec<String> = (0..ROUNDS)
        .filter_map(|round| {
            let path = kill_amid(&fixture, &root, way, round);
            sleep(pause);
            close_and_sync(&path, round).map(|error| format!("round {round}: {error}"))
        })
        .collect();
    assert!(met.is_empty(), "{met:#?}");
}

/// Also when the file is opened at once.
#[test]
fn a_rename_that_is_killed_leaves_no_failure() {
    killed_processes_leave_no_failure("rename", Duration::ZERO);
}

#[test]
fn a_link_that_is_killed_leaves_no_failure() {
    killed_processes_leave_no_failure("link", LET_GO);
}

#[test]
fn an_attribute_that_is_killed_leaves_no_failure() {
    killed_processes_leave_no_failure("attribute", LET_GO);
}
