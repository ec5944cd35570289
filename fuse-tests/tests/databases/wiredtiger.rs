//! WiredTiger, the engine of MongoDB, set up as MongoDB does it.

use fuse_tests::databases::wiredtiger;

use crate::trials::{snapshot_and_clone, survive_kills};

/// Every transaction whose log was flushed is there after each kind of death; `wt verify` finds
/// every table sound.
#[test]
fn wiredtiger_survives_kills() {
    survive_kills(&wiredtiger::client("buffered"));
}

/// The same with data files read and written with O_DIRECT.
#[test]
fn wiredtiger_with_direct_io_survives_kills() {
    survive_kills(&wiredtiger::client("direct"));
}

/// A snapshot under load passes `wt verify`; its clone works beside the origin.
#[test]
fn wiredtiger_snapshot_under_load_is_sound() {
    snapshot_and_clone(&wiredtiger::client("buffered"));
}
