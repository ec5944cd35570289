//! Databases on a volume whose pool fills its disk to the last block, and gets room again.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::databases::mariadb::sysbench::{self, Sysbench};
use fuse_tests::databases::mariadb::{self, MariaDb};
use fuse_tests::databases::postgres::{self, Postgres, check_pages};
use fuse_tests::host_disk::HostFs;
use fuse_tests::run::eventually;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::common::LIMIT;

const MIB: u64 = 1 << 20;
/// Exit code of `df` while the disk is low.
const LOW: i32 = 8;
/// Statements of 8 MiB and more that are tried until one fails.
const STATEMENTS_MAX: u32 = 200;
/// What a snapshot keeps of a table that is gone.
const OLD_BYTES: u64 = 64 * MIB;

/// A pool with a mounted volume `db` on a disk of its own.
fn on_small_disk() -> (Fixture, std::path::PathBuf) {
    let fixture = Fixture::on_disk(HostFs::Ext4, Duration::from_secs(400));
    fixture.ok(&["volume", "create", "db"]);
    let volume = fixture.mount("db");
    (fixture, volume)
}

fn free(path: &Path) -> u64 {
    let stat = statvfs(path).unwrap();
    stat.f_bavail * stat.f_frsize
}

/// Takes room away until so much is left for the volume.
fn leave_room(fixture: &Fixture, volume: &Path, bytes: u64) {
    let ballast = File::create(fixture.disk().path().join("ballast")).unwrap();
    let taken = free(volume) - bytes;
    fallocate(&ballast, FallocateFlags::empty(), 0, taken).unwrap();
}

/// Repeats a statement until it fails; returns what it said.
fn until_it_fails(mut statement: impl FnMut() -> fuse_tests::run::Ran) -> String {
    for _ in 0..STATEMENTS_MAX {
        let ran = statement();
        if ran.code != 0 {
            return ran.stderr;
        }
    }
    panic!("the disk does not become full");
}

/// On a full disk: it is told, and what a snapshot has kept is given back.
fn make_room(fixture: &Fixture) {
    let told = fixture
        .volfs(&["df", "--snapshots"])
        .expect_code(LOW)
        .stdout;
    assert!(told.contains("db@old"), "{told}");
    let free_before = free(fixture.disk().path());
    fixture.ok(&["snapshot", "rm", "db@old"]);
    fixture.ok(&["gc"]);
    let free_after = free(fixture.disk().path());
    assert!(
        free_after > free_before + OLD_BYTES / 2,
        "{free_before} bytes free, {free_after} after the collection"
    );
}

/// Postgres fills the disk, and may give up when a checkpoint of its own finds no room. What was
/// committed is there once a snapshot is removed, and it works on.
#[test]
fn postgres_fills_the_disk_and_goes_on_with_room() {
    let (fixture, data) = on_small_disk();
    postgres::initdb(&data);
    let server = Postgres::start(&data, fixture.folder(), "first");
    server.fill(2);
    // 5 MiB of text in which nothing comes again, so that LZ4 leaves it as it is.
    let fill = |table: &str| {
        format!(
            "insert into {table} select string_agg(encode(sha512(random()::text::bytea), \
             'base64'), '') from generate_series(1, 65536) i group by i / 16"
        )
    };
    server.query("create table old (t text); create table filler (t text)");
    for _ in 0..OLD_BYTES / (5 * MIB) {
        server.query(&fill("old"));
    }
    fixture.ok(&["snapshot", "create", "db@old"]);
    server.query("drop table old; checkpoint");
    leave_room(&fixture, &data, 32 * MIB);

    let said = until_it_fails(|| server.try_query(&fill("filler")));
    make_room(&fixture);
    let is_alive = server.try_query("select 1").code == 0;
    let server = match is_alive {
        true => server,
        false => {
            server.kill();
            Postgres::start(&data, fixture.folder(), "first")
        }
    };
    assert!(said.contains("space") || !is_alive, "{said}");
    server.check();
    server.query("drop table filler; checkpoint");
    fixture.ok(&["gc"]);
    server.work(2);
    server.check();
    fixture.ok(&["snapshot", "create", "db@new"]);
    server.stop();
    check_pages(&data);
    assert!(fixture.inspect(&["volume", "inspect", "db"])["Poisoned"].is_null());
    fixture.ok(&["check"]);
}

/// MariaDB fills the disk, with direct writes, which are refused where they grow.
#[test]
fn mariadb_fills_the_disk_and_goes_on_with_room() {
    let (fixture, volume) = on_small_disk();
    mariadb::install(&volume);
    let server = MariaDb::start(&volume, fixture.folder(), "first");
    Sysbench::prepare(&server);
    let columns = "a blob, b blob, c blob, d blob, e blob, f blob, g blob, h blob";
    let bytes = ["random_bytes(1024)"; 8].join(", ");
    let fill = |table: &str| format!("insert into {table} select {bytes} from test.digits");
    server.query("create database test; use test; create table digits (n int)");
    server.query("use test; insert into digits select seq from seq_1_to_1024");
    for table in ["test.old", "test.filler"] {
        server.query(&format!("create table {table} ({columns})"));
    }
    for _ in 0..OLD_BYTES / (8 * MIB) {
        server.query(&fill("test.old"));
    }
    server.query("flush tables test.old for export; unlock tables");
    fixture.ok(&["snapshot", "create", "db@old"]);
    server.query("drop table test.old");
    leave_room(&fixture, &volume, 32 * MIB);

    let said = until_it_fails(|| server.try_query(&fill("test.filler")));
    make_room(&fixture);
    let is_alive = server.try_query("select 1").code == 0;
    let server = match is_alive {
        true => server,
        false => {
            server.kill();
            MariaDb::start(&volume, fixture.folder(), "first")
        }
    };
    assert!(said.contains("full") || !is_alive, "{said}");
    sysbench::check(&server);
    server.query("drop table test.filler");
    fixture.ok(&["gc"]);
    eventually("work goes on", LIMIT, || {
        server.try_query("insert into test.digits values (7)").code == 0
    });
    Sysbench::on(&server).work(2);
    sysbench::check(&server);
    server.check_tables();
    fixture.ok(&["snapshot", "create", "db@new"]);
    server.stop();
    assert!(fixture.inspect(&["volume", "inspect", "db"])["Poisoned"].is_null());
    fixture.ok(&["check"]);
}
