//! RocksDB through a client of our own; ldb and sst_dump check it.

use std::process::Command;

use super::client::{Client, built};
use super::engine::{Site, version_of};
use crate::fixture::text;
use crate::run::run;

/// Mode `buffered`, `direct` or `mmap`.
pub fn client(mode: &'static str) -> Client {
    let version = || version_of("ldb", &["--version"]);
    Client::new(
        "rocksdb",
        version,
        vec![built("rocksdb-client")],
        mode,
        check,
    )
}

/// The manifest names exactly the files that are there, and each block has its checksum.
#[track_caller]
fn check(_: &Client, site: &Site, _: u64) {
    let folder = site.data.join("rocksdb");
    let database = format!("--db={}", text(&folder));
    let consistent = run(Command::new("ldb").args([&database, "checkconsistency"])).ok();
    assert_eq!(consistent.lines().last(), Some("OK"), "{consistent}");
    let files = format!("--file={}", text(&folder));
    let verified = run(Command::new("sst_dump").args([&files, "--command=verify"]));
    let problem = verified.stdout.contains("corrupt") || verified.stderr.contains("orrupt");
    assert!(!problem, "{verified:#?}");
    verified.ok();
}
