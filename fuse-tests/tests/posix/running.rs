//! Files of programs that run.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::process::Command;
use std::time::Duration;

use fuse_tests::Place;
use fuse_tests::run::eventually;
use rustix::io::Errno;

use crate::errno;

/// The file of a running program can be neither written nor truncated, also not by an open that
/// only reads; afterwards it can.
#[test]
fn running_programs_stay_as_they_are() {
    let place = Place::new();
    let path = place.path("sleep");
    fs::copy("/bin/sleep", &path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    let content = fs::read(&path).unwrap();
    let mut program = Command::new(&path).arg("60").spawn().unwrap();
    // It has been executed when its name is its own.
    let name = format!("/proc/{}/comm", program.id());
    eventually("the program runs", Duration::from_secs(20), || {
        fs::read_to_string(&name).is_ok_and(|name| name == "sleep\n")
    });

    let truncating = |options: &mut OpenOptions| {
        options.custom_flags(rustix::fs::OFlags::TRUNC.bits() as i32);
        options.open(&path)
    };
    for refused in [
        OpenOptions::new().write(true).open(&path),
        truncating(OpenOptions::new().read(true).write(true)),
        truncating(OpenOptions::new().read(true)),
    ] {
        assert_eq!(errno(refused), Errno::TXTBSY);
    }
    assert!(
        fs::read(&path).unwrap() == content,
        "its content has changed"
    );
    assert_eq!(program.try_wait().unwrap(), None, "it still runs");

    program.kill().unwrap();
    program.wait().unwrap();
    drop(truncating(OpenOptions::new().read(true)).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}
