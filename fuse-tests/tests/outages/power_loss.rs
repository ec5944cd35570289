//! Power loss of the disk that the pool lies on: everything that was synced is there, nothing
//! else was ever said to be, and databases start on it.

use std::time::Duration;

use fuse_tests::chance::{rounds, seed};
use fuse_tests::databases::sqlite::Journal;
use fuse_tests::databases::{graph_store, lmdb, qdrant, rocksdb, sqlite, wiredtiger};
use fuse_tests::writers::Mode;
use fuse_tests::{Fixture, HostFs};

use crate::loads::{Fio, Ledger, Load, Pages, Pgbench, Records, RedisKeys, SqliteRows};
use crate::scene::{Outage, Scene};

/// Modes whose promise is that it is on the medium.
const DURABLE: [Mode; 7] = [
    Mode::Large,
    Mode::Fdatasync,
    Mode::Dsync,
    Mode::DirectDsync,
    Mode::Append,
    Mode::Renamed,
    Mode::Msync,
];

fn suffer(fs: HostFs, default_rounds: u64, loads: Vec<Box<dyn Load>>) {
    let fixture = Fixture::on_disk(fs, Duration::from_secs(300));
    let scene = Scene::new(fixture, seed(), loads);
    scene.suffer(rounds(default_rounds), Outage::PowerLoss);
}

fn writes(fs: HostFs) {
    // Unsynced writes beside them are what makes the order matter.
    let unsynced = [Mode::Direct, Mode::Closed, Mode::Buffered];
    let loads: Vec<Box<dyn Load>> = vec![
        Box::new(Pages::new(&DURABLE)),
        Box::new(Pages::unsynced(&unsynced)),
        Box::new(Fio::default()),
    ];
    suffer(fs, 6, loads);
}

fn databases(fs: HostFs) {
    let loads: Vec<Box<dyn Load>> = vec![
        Box::new(Pgbench::default()),
        Box::new(SqliteRows::new(Journal::Wal)),
        Box::new(SqliteRows::new(Journal::Delete)),
        Box::new(RedisKeys::default()),
    ];
    suffer(fs, 5, loads);
}

fn engines(fs: HostFs) {
    let loads: Vec<Box<dyn Load>> = vec![
        Box::new(Records::new(sqlite::client("wal-mmap"))),
        Box::new(Records::new(lmdb::client("writemap"))),
        Box::new(Records::new(rocksdb::client("mmap"))),
        Box::new(Records::new(wiredtiger::client("direct"))),
        Box::new(Records::new(qdrant::client())),
        Box::new(Records::new(graph_store::client())),
    ];
    suffer(fs, 2, loads);
}

/// Every synced write survives power loss of an ext4 below the pool.
#[test]
fn synced_writes_survive_power_loss_of_ext4() {
    writes(HostFs::Ext4);
}

/// Every synced write survives power loss of an XFS below the pool.
#[test]
fn synced_writes_survive_power_loss_of_xfs() {
    writes(HostFs::Xfs);
}

/// Postgres, SQLite and Redis at once survive power loss of an ext4 below the pool.
#[test]
fn databases_survive_power_loss_of_ext4() {
    databases(HostFs::Ext4);
}

/// Postgres, SQLite and Redis at once survive power loss of an XFS below the pool.
#[test]
fn databases_survive_power_loss_of_xfs() {
    databases(HostFs::Xfs);
}

/// MariaDB survives power loss of an ext4 below the pool.
#[test]
fn mariadb_survives_power_loss_of_ext4() {
    suffer(HostFs::Ext4, 2, vec![Box::new(Ledger::default())]);
}

/// MariaDB survives power loss of an XFS below the pool.
#[test]
fn mariadb_survives_power_loss_of_xfs() {
    suffer(HostFs::Xfs, 2, vec![Box::new(Ledger::default())]);
}

/// Engines that map their files, or use O_DIRECT, survive power loss of an ext4 below the pool.
#[test]
fn engines_survive_power_loss_of_ext4() {
    engines(HostFs::Ext4);
}

/// Engines that map their files, or use O_DIRECT, survive power loss of an XFS below the pool.
#[test]
fn engines_survive_power_loss_of_xfs() {
    engines(HostFs::Xfs);
}
