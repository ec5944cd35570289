//! LMDB: a shared mapping that is read while files are written, or written itself.

use fuse_tests::databases::lmdb;

use crate::trials::{outlive_each_other, snapshot_and_clone, survive_kills};

/// Pages written with pwrite are read through the mapping, by three processes at once, also after
/// each kind of death.
#[test]
fn lmdb_survives_kills() {
    survive_kills(&lmdb::client("plain").with_processes(3));
}

/// The same with WRITEMAP: pages are written through the mapping, and synced by msync.
#[test]
fn lmdb_with_a_written_map_survives_kills() {
    survive_kills(&lmdb::client("writemap").with_processes(3));
}

/// Processes share a lock in a mapped file: one that dies with it leaves it to the others.
#[test]
fn lmdb_processes_outlive_each_other() {
    outlive_each_other(&lmdb::client("plain").with_processes(3));
}

/// A snapshot under load passes mdb_stat and mdb_copy; its clone works beside the origin.
#[test]
fn lmdb_snapshot_under_load_is_sound() {
    snapshot_and_clone(&lmdb::client("plain"));
}

/// The same with WRITEMAP.
#[test]
fn lmdb_snapshot_of_a_written_map_is_sound() {
    snapshot_and_clone(&lmdb::client("writemap"));
}
