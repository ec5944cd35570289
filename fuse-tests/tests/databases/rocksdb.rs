//! RocksDB: many files that come and go, buffered, with O_DIRECT and through mappings.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fuse_tests::databases::rocksdb;
use fuse_tests::fixture::text;
use fuse_tests::run::run_for;

use crate::common::fixture;
use crate::trials::{records, snapshot_and_clone, survive_kills};

/// Every synced batch is there after each kind of death, and every block has its checksum.
#[test]
fn rocksdb_survives_kills() {
    survive_kills(&rocksdb::client("buffered"));
}

/// The same where flushes, compactions and reads use O_DIRECT.
#[test]
fn rocksdb_with_direct_io_survives_kills() {
    survive_kills(&rocksdb::client("direct"));
}

/// The same where files are read and written through mappings.
#[test]
fn rocksdb_with_mappings_survives_kills() {
    survive_kills(&rocksdb::client("mmap"));
}

/// A snapshot under load passes ldb and sst_dump; its clone works beside the origin.
#[test]
fn rocksdb_snapshot_under_load_is_sound() {
    snapshot_and_clone(&rocksdb::client("buffered"));
}

/// RocksDB's own benchmark fills, overwrites, compacts and deletes with two threads, and then
/// finds the checksum of every block, in each way to read and write files.
#[test]
fn rocksdbs_benchmark_verifies_its_checksums() {
    let fixture = fixture();
    let volume = fixture.mount("db");
    let ways = [
        ("buffered", &[][..]),
        (
            "direct",
            &[
                "--use_direct_reads=1",
                "--use_direct_io_for_flush_and_compaction=1",
            ][..],
        ),
        ("mmap", &["--mmap_read=1", "--mmap_write=1"][..]),
    ];
    for (name, options) in ways {
        let folder = volume.join(name);
        db_bench(
            &folder,
            "fillrandom,overwrite,deleterandom,compact,readwhilewriting",
            options,
        );
        let again = ["--use_existing_db=1"];
        let verified = db_bench(
            &folder,
            "verifychecksum,readseq",
            &[options, &again].concat(),
        );
        assert!(verified.contains("verifychecksum"), "{verified}");
        fixture.umount("db");
        fixture.mount("db");
        db_bench(&folder, "verifychecksum", &[options, &again].concat());
    }
}

/// Runs benchmarks of RocksDB on a folder; a damaged block or a failed call fails the test.
#[track_caller]
fn db_bench(folder: &Path, benchmarks: &str, options: &[&str]) -> String {
    let keys = records() * 50;
    let own = [
        format!("--benchmarks={benchmarks}"),
        format!("--db={}", text(folder)),
        format!("--num={keys}"),
        format!("--reads={}", keys / 4),
        "--threads=2".to_owned(),
        "--value_size=400".to_owned(),
        "--write_buffer_size=1048576".to_owned(),
        "--target_file_size_base=1048576".to_owned(),
        "--verify_checksum=1".to_owned(),
        "--paranoid_checks=1".to_owned(),
        "--compression_type=none".to_owned(),
    ];
    let mut command = Command::new("db_bench");
    command.args(own).args(options);
    let ran = run_for(&mut command, Duration::from_secs(600)).expect_code(0);
    let output = format!("{}\n{}", ran.stdout, ran.stderr);
    for problem in ["orruption", "error:", "failed"] {
        assert!(!output.contains(problem), "{output}");
    }
    output
}
