//! fio, which verifies what it has written by its own checksums.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fuse_tests::fixture::text;
use fuse_tests::run::{eventually, run_for};
use fuse_tests::server::Server;

use super::{LIMIT, Load, Site};

const PROGRAM: &str = "/usr/bin/fio";
/// What fio saves of its only job.
const STATE: &str = "local-job-0-verify.state";

/// Bytes that are written before the outage may come.
const UNDER_WAY: u64 = 256 << 10;

/// Bytes that a program has given to write calls.
fn written(program: &Server) -> u64 {
    let pid = program.pid().as_raw_nonzero();
    let counters = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let count = counters
        .lines()
        .find_map(|line| line.strip_prefix("wchar: "));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Random writes with O_DSYNC: each that has returned is on the medium. Where it fails, fio saves
/// which writes those were, and verifies them after the outage.
#[derive(Default)]
pub struct Fio {
    round: u64,
    running: Option<Server>,
}

impl Fio {
    fn arguments(&self, site: &Site, more: &[&str]) -> Vec<String> {
        let common = [
            "--name=job",
            "--size=256m",
            "--bs=8k",
            "--rw=randwrite",
            "--ioengine=psync",
            "--thread",
            "--sync=dsync",
            "--verify=crc32c",
            "--verify_fatal=1",
        ];
        let mut arguments: Vec<String> = common.iter().chain(more).map(|a| a.to_string()).collect();
        arguments.push(format!("--directory={}", text(&site.data)));
        arguments.push(format!("--aux-path={}", text(&site.outside)));
        arguments.push(format!("--randseed={}", site.seed + self.round));
        arguments
    }
}

impl Load for Fio {
    fn name(&self) -> &'static str {
        "fio"
    }

    fn start(&mut self, site: &Site) {
        self.round += 1;
        let arguments = self.arguments(site, &["--do_verify=0", "--verify_state_save=1"]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // That of the round before proves nothing.
        let _ = fs::remove_file(site.outside.join(STATE));
        let log = site.outside.join("log");
        let fio = Server::start(None, Path::new(PROGRAM), &arguments, log);
        eventually("fio writes", LIMIT, || written(&fio) > UNDER_WAY);
        self.running = Some(fio);
    }

    fn end(&mut self, site: &Site) {
        let fio = self.running.take().expect("it was started");
        assert_ne!(fio.wait(LIMIT), Some(0), "fio has not noticed the outage");
        assert!(site.outside.join(STATE).exists(), "fio has saved no state");
    }

    fn verify(&mut self, site: &Site) {
        let arguments = self.arguments(site, &["--verify_only", "--verify_state_load=1"]);
        let ran = run_for(
            Command::new(PROGRAM).args(arguments),
            Duration::from_secs(60),
        );
        let verified = ran.ok();
        assert!(
            verified.contains("read: IOPS="),
            "nothing was verified: {verified}"
        );
    }
}
