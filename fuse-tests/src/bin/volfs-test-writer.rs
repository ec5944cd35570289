//! Writes pages until it fails, and prints a promise after each write that was acknowledged.
//!
//! `volfs-test-writer MODE FOLDER SEED SECONDS`. A program of its own because the writer must
//! survive nothing: a page fault on a dead mount kills it with SIGBUS.

use std::path::Path;
use std::time::{Duration, Instant};

use fuse_tests::writers::Mode;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, folder, seed, seconds] = &arguments[..] else {
        eprintln!("usage: volfs-test-writer MODE FOLDER SEED SECONDS");
        std::process::exit(2);
    };
    let mode: Mode = mode.parse().expect("a mode");
    let seed = seed.parse().expect("SEED is a number");
    let seconds = Duration::from_secs(seconds.parse().expect("SECONDS is a number"));
    let deadline = Instant::now() + seconds;
    // Line-buffered: a promise is out before the next write can kill the process.
    let mut stdout = std::io::stdout().lock();
    // That it fails when its mount dies is what it is for; the promises tell the rest.
    let _ = mode.write(Path::new(folder), seed, deadline, &mut stdout);
}
