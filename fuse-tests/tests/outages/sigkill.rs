//! SIGKILL of the daemon: everything that it had acknowledged is there, synced or not.

use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::chance::{rounds, seed};
use fuse_tests::databases::sqlite::Journal;
use fuse_tests::writers::Mode;

use crate::loads::{Fio, Ledger, Load, Pages, Pgbench, RedisKeys, SqliteRows};
use crate::scene::{Outage, Scene};

fn suffer(default_rounds: u64, load: impl Load + 'static) {
    let fixture = Fixture::with_limit(Duration::from_secs(300));
    let scene = Scene::new(fixture, seed(), vec![Box::new(load)]);
    scene.suffer(rounds(default_rounds), Outage::Kill);
}

/// Buffered writes that were synced survive, by fdatasync, O_DSYNC, msync and at the end of a
/// growing file.
#[test]
fn synced_writes_survive_sigkill() {
    let modes = [
        Mode::Fdatasync,
        Mode::Large,
        Mode::Dsync,
        Mode::Append,
        Mode::Msync,
    ];
    suffer(6, Pages::new(&modes));
}

/// An O_DIRECT write that has returned survives, synced or not: the daemon had it.
#[test]
fn direct_writes_survive_sigkill() {
    suffer(6, Pages::new(&[Mode::Direct, Mode::DirectDsync]));
}

/// A file that was closed, and one that was renamed into place, survive with all their bytes.
#[test]
fn closed_and_renamed_files_survive_sigkill() {
    suffer(6, Pages::new(&[Mode::Closed, Mode::Renamed]));
}

/// All of that at once, beside a stream of unsynced writes.
#[test]
fn everything_acknowledged_survives_sigkill_under_mixed_load() {
    let modes = [&Mode::PROMISING[..], &[Mode::Buffered]].concat();
    suffer(6, Pages::new(&modes));
}

/// fio's own verification finds every write that it had synced.
#[test]
fn fio_verifies_after_sigkill() {
    suffer(6, Fio::default());
}

/// Postgres loses no acknowledged transaction under pgbench, the sums of its balances agree, and
/// in the end pg_amcheck finds every table and index sound.
#[test]
fn postgres_survives_sigkill() {
    suffer(6, Pgbench::default());
}

/// MariaDB loses no acknowledged entry under sysbench, all rows are there, and in the end every
/// table passes its check and every page has its checksum.
#[test]
fn mariadb_survives_sigkill() {
    suffer(3, Ledger::default());
}

/// SQLite with a write-ahead log keeps every acknowledged row, and its two tables agree.
#[test]
fn sqlite_with_a_log_survives_sigkill() {
    suffer(6, SqliteRows::new(Journal::Wal));
}

/// SQLite with a rollback journal does.
#[test]
fn sqlite_with_a_rollback_journal_survives_sigkill() {
    suffer(6, SqliteRows::new(Journal::Delete));
}

/// Redis with `appendfsync always` has every key that it acknowledged.
#[test]
fn redis_survives_sigkill() {
    suffer(6, RedisKeys::default());
}
