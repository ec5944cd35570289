//! The file system exerciser of the crate `fsx`, which `scripts/setup.sh` builds.
//!
//! `VOLFS_TEST_OPERATIONS` sets how many operations a run makes, `VOLFS_TEST_SEED` which: one run
//! then, else one for each of a few seeds.

use std::fs;
use std::process::Command;
use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::chance::seeds;
use fuse_tests::fixture::text;
use fuse_tests::report::Suite;
use fuse_tests::run::run_for;
use fuse_tests::tools::tool;

use crate::exercise::operations;

/// What `scripts/setup.sh` builds.
const VERSION: &str = "0.3.2";
/// Operations of a run in CI.
const OPERATIONS: u64 = 50_000;
/// Operations of one run of the program: it gives the mappings that it reads through never back, and
/// a process may have 65,530 of them (`vm.max_map_count`).
const RUN_OPERATIONS_MAX: u64 = 200_000;
/// Runs in CI, each of other operations.
const SEEDS: u64 = 3;
/// A soak makes a million operations.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

/// All that it can do on Linux. Each store into the mapping is followed by msync with half of the
/// seeds only. No operation is of no bytes: posix_fallocate refuses that on every filesystem, and fsx
/// ends there (on ext4 too: seed 17, files of 2.5 MiB, the 17,027th operation).
fn configuration(block: u64, msync: bool) -> String {
    format!(
        "flen = {}\nnomsyncafterwrite = {}\n\
         [opsize]\nmax = {}\nmin = 1\nalign = 1\n\
         [weights]\nclose_open = 1\nread = 10\nwrite = 10\nmapread = 10\nmapwrite = 10\n\
         invalidate = 1\ntruncate = 5\nfsync = 1\nfdatasync = 1\nposix_fallocate = 3\n\
         punch_hole = 5\nsendfile = 3\nposix_fadvise = 2\ncopy_file_range = 8\n",
        (block * 40).max(256 << 10),
        !msync,
        (block * 5).max(64 << 10),
    )
}

/// Runs fsx on a volume of its own for each seed.
fn fsx(block_size: &str, bytes: u64) {
    let mut suite = Suite::new(&format!("fsx, blocks of {block_size}, operations"), VERSION);
    let runs = seeds(SEEDS).flat_map(runs_of);
    for (seed, count) in runs {
        let outcome = run_fsx(block_size, bytes, seed, count);
        suite = match &outcome {
            Ok(()) => suite.passed(count),
            Err(_) => suite.failed(1),
        };
        if let Err(problem) = outcome {
            suite.record();
            panic!("VOLFS_TEST_SEED={seed}, blocks of {block_size}: {problem}");
        }
    }
    suite.record();
}

/// A seed's operations in runs of bounded length, each with a seed of its own.
fn runs_of(seed: u64) -> Vec<(u64, u64)> {
    let mut left = operations(OPERATIONS);
    let mut runs = Vec::new();
    while left > 0 {
        let count = left.min(RUN_OPERATIONS_MAX);
        runs.push((seed + 1000 * runs.len() as u64, count));
        left -= count;
    }
    runs
}

/// It compares after every read, and the file is compared once more after a remount.
fn run_fsx(block_size: &str, bytes: u64, seed: u64, count: u64) -> Result<(), String> {
    let fixture = Fixture::with_limit(LIMIT);
    fixture.ok(&["volume", "create", "data", "--block-size", block_size]);
    let file = fixture.mount("data").join("file");
    let settings = fixture.folder().join("fsx.toml");
    let seed = seed + bytes / 4096;
    let configuration = configuration(bytes, seed.is_multiple_of(2));
    fs::write(&settings, configuration).expect("the folder is ours");
    let mut command = Command::new(tool("bin/fsx"));
    command.args(["-N", &count.to_string()]);
    command.args(["-S", &seed.to_string(), "-f", text(&settings)]);
    command.args(["-P", text(fixture.folder())]).arg(&file);
    let ran = run_for(&mut command, LIMIT);
    if ran.code != 0 {
        return Err(format!("{ran:#?}"));
    }

    let before = fs::read(&file).expect("fsx leaves its file");
    fixture.umount("data");
    fixture.mount("data");
    let after = fs::read(&file).expect("the file is there");
    match before == after {
        true => Ok(()),
        false => Err("the file changed with a remount".to_owned()),
    }
}

/// Blocks of 4 KiB.
#[test]
fn fsx_blocks_of_4_kib() {
    fsx("4K", 4 << 10);
}

/// Blocks of 16 KiB.
#[test]
fn fsx_blocks_of_16_kib() {
    fsx("16K", 16 << 10);
}

/// Blocks of 64 KiB.
#[test]
fn fsx_blocks_of_64_kib() {
    fsx("64K", 64 << 10);
}
