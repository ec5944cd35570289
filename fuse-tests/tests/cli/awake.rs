//! Idle cores of a guest poll while requests come fast, and halt again.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::open_files::open_files;
use fuse_tests::run::eventually;
use rustix::fs::statfs;

const LIMIT: Duration = Duration::from_secs(30);
const DEVICE: &str = "/dev/cpu_dma_latency";

/// Whether cores of this machine can be kept from halting.
fn can_poll() -> bool {
    let driver = fs::read_to_string("/sys/devices/system/cpu/cpuidle/current_driver");
    let device = File::options().write(true).open(DEVICE);
    driver.is_ok_and(|driver| driver.trim() == "haltpoll") && device.is_ok()
}

fn keeps_awake(fixture: &Fixture) -> bool {
    let daemon = fixture.daemon_pid().expect("a daemon");
    let files = open_files(daemon);
    files.iter().any(|file| file.path == Path::new(DEVICE))
}

/// Many requests, as fast as they are answered.
fn ask(mount: &Path) {
    for _ in 0..200 {
        statfs(mount).unwrap();
    }
}

/// Cores are kept awake only while requests come fast, on machines whose cores halt.
#[test]
fn cores_stay_awake_while_requests_come() {
    let (fixture, mount) = Fixture::mounted();
    for _ in 0..2 {
        if can_poll() {
            eventually("cores are kept awake", LIMIT, || {
                ask(&mount);
                keeps_awake(&fixture)
            });
        } else {
            ask(&mount);
        }
        eventually("cores may halt", LIMIT, || !keeps_awake(&fixture));
    }
}

/// A setting of the pool leaves the cores alone.
#[test]
fn cores_may_halt_where_the_pool_says_so() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    fixture.set("poll_idle_cores", false);
    let mount = fixture.mount("data");
    for _ in 0..10 {
        ask(&mount);
        assert!(!keeps_awake(&fixture));
    }
}
