//! Redis: an append-only file, rewritten beside the load, and snapshots.

use fuse_tests::databases::redis::{Sync, Workload};

use crate::trials::{snapshot_and_clone, survive_kills, survive_some_kills};

/// Every acknowledged key is there after each kind of death, while logs are rewritten and
/// snapshots written; redis-check-aof and redis-check-rdb find the files sound.
#[test]
fn redis_survives_kills() {
    survive_kills(&Workload(Sync::Always));
}

/// With `everysec` no more is lost than Redis says, with itself or with the daemon.
#[test]
fn redis_synced_every_second_survives_kills() {
    survive_some_kills(&Workload(Sync::EverySecond), 2);
}

/// A snapshot under load passes Redis' checkers; its clone works beside the origin.
#[test]
fn redis_snapshot_under_load_is_sound() {
    snapshot_and_clone(&Workload(Sync::Always));
}
