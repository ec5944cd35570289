//! The host's disk is full.

use std::sync::Arc;
use std::time::Duration;

use super::rig::Rig;
use super::{WHO, name, new_volume, noise, put, read, snap};
use crate::base::Ino;
use crate::journal::JournalOptions;
use crate::pool::Pool;
use crate::volume::ops::{SetAttr, WriteMode};
use crate::volume::{FsError, Volume};

/// A pool whose disk takes nothing more, a volume that wants to write, and one with files.
fn full_pool(rig: &Rig) -> (Arc<Pool>, Arc<Volume>) {
    let pool = rig.open();
    pool.create_volume(&new_volume("a")).unwrap();
    let volume = pool.open_volume(&name("a")).unwrap();
    for file in ["f", "g", "h"] {
        put(&volume, file, &noise(1, 200_000));
    }
    pool.create_snapshots(&[(name("a"), snap("s"))]).unwrap();
    pool.checkpoint().unwrap();
    (pool, volume)
}

/// More than the slack of a pool with this cap of changed bytes.
const PLENTY: u64 = 1 << 30;

fn write(volume: &Volume, file: &str, at: u64, content: &[u8]) -> Result<(), FsError> {
    write_as(volume, file, at, content, WriteMode::default())
}

fn write_as(
    volume: &Volume,
    file: &str,
    at: u64,
    content: &[u8],
    mode: WriteMode,
) -> Result<(), FsError> {
    let ino = volume.lookup(&WHO, Ino::ROOT, file.as_bytes())?.ino;
    volume.write_file(&WHO, ino, at, content, mode)
}

/// Writes small pieces and syncs each, as a database does, until there is no more room.
fn write_until_full(volume: &Volume) -> (u64, FsError) {
    let mut written = 0;
    loop {
        match write(volume, "f", written * 8192, &noise(written, 8192)) {
            Ok(()) => volume.sync().unwrap(),
            Err(error) => return (written, error),
        }
        written += 1;
        assert!(written < 100_000, "the disk is not full");
    }
}

/// With no room left at all: writes are refused with "no space", and nothing is poisoned; what was
/// acknowledged is synced; files are truncated, renamed and removed, snapshots and volumes are
/// removed; checkpoints go on in the reserve. With room again writing goes on by itself, and all
/// that was acknowledged is there after a power loss.
#[test]
fn a_full_disk_refuses_what_grows_and_does_the_rest() {
    let mut rig = Rig::small();
    let (pool, volume) = full_pool(&rig);
    pool.create_volume(&new_volume("b")).unwrap();
    write(&volume, "f", 0, b"acknowledged").unwrap();
    rig.disk.leave_room(50_000);
    let error = write(&volume, "g", 0, &noise(2, 500_000)).unwrap_err();
    assert!(error.is_no_space(), "{error}");
    rig.disk.leave_room(0);
    volume.sync().unwrap();
    pool.checkpoint().unwrap();

    // The reserve is in use: nothing else may take it.
    for content in [&b"x"[..], &noise(3, 100_000)] {
        let error = write(&volume, "g", 0, content).unwrap_err();
        assert!(matches!(error, FsError::NoSpace), "{error}");
    }
    let ino = volume.lookup(&WHO, Ino::ROOT, b"g").unwrap().ino;
    let set = |size| SetAttr {
        size: Some(size),
        ..SetAttr::default()
    };
    let grown = volume.setattr(&WHO, ino, &set(1 << 30));
    assert!(matches!(grown, Err(FsError::NoSpace)));
    volume.setattr(&WHO, ino, &set(10)).unwrap();
    volume
        .rename(
            &WHO,
            (Ino::ROOT, b"g"),
            (Ino::ROOT, b"renamed"),
            crate::volume::ops::RenameMode::Replace,
        )
        .unwrap();
    volume.unlink(&WHO, Ino::ROOT, b"h").unwrap();
    pool.remove_snapshot(&name("a"), &snap("s")).unwrap();
    pool.remove_volume(&name("b")).unwrap();
    volume.sync().unwrap();
    pool.checkpoint().unwrap();
    assert_eq!(pool.volume_info(&name("a")).unwrap().poisoned, None);

    rig.disk.leave_room(PLENTY);
    pool.checkpoint().unwrap();
    put(&volume, "renamed", &noise(4, 300_000));
    volume.sync().unwrap();
    drop((pool, volume));
    rig.crash(1);
    let pool = rig.open();
    let volume = pool.open_volume(&name("a")).unwrap();
    assert_eq!(read(&volume, "f").unwrap()[..12], *b"acknowledged");
    assert_eq!(read(&volume, "renamed").unwrap(), noise(4, 300_000));
    assert_eq!((read(&volume, "g"), read(&volume, "h")), (None, None));
    assert_eq!(pool.volumes().len(), 1);
    let report = pool.check(&crate::base::progress::Silent).unwrap();
    assert_eq!(report.violations, Vec::new());
}

/// A writer that fills journal and memory on a full disk is refused, and does not wait for ever;
/// it goes on by itself once there is room, without anybody's help.
#[test]
fn a_waiting_writer_is_answered_and_goes_on_with_room() {
    let mut rig = Rig::new(JournalOptions {
        file_bytes: 1 << 20,
        files_max: 8,
    });
    rig.options.dirty_bytes_max = 1 << 20;
    let (pool, volume) = full_pool(&rig);
    pool.start_worker(Duration::from_secs(3600)).unwrap();
    rig.disk.leave_room(0);
    let (written, error) = write_until_full(&volume);
    assert!(error.is_no_space(), "{error}");
    assert!(written > 10, "{written} writes");
    volume.sync().unwrap();
    volume.unlink(&WHO, Ino::ROOT, b"h").unwrap();

    rig.disk.leave_room(PLENTY);
    let mut refused = 0;
    while let Err(error) = write(&volume, "g", 0, b"again") {
        assert!(error.is_no_space(), "{error}");
        refused += 1;
        assert!(refused < 1200, "it does not go on");
        std::thread::sleep(Duration::from_millis(50));
    }
    volume.sync().unwrap();
    assert_eq!(pool.volume_info(&name("a")).unwrap().poisoned, None);
    pool.close().unwrap();
    drop((pool, volume));
    let pool = rig.open();
    let volume = pool.open_volume(&name("a")).unwrap();
    let content = read(&volume, "f").unwrap();
    for piece in 0..written {
        let at = piece as usize * 8192;
        assert_eq!(content[at..at + 8192], noise(piece, 8192), "piece {piece}");
    }
    assert_eq!(read(&volume, "g").unwrap()[..5], *b"again");
}

/// Where only the slack is left, what grows is refused and no room is told, while pages that the
/// kernel has accepted, and those that replace others, are taken and published, without the
/// reserve; with room all goes on.
#[test]
fn accepted_pages_have_the_slack() {
    let rig = Rig::small();
    let (pool, volume) = full_pool(&rig);
    let accepted = WriteMode {
        writeback: true,
        ..WriteMode::default()
    };
    rig.disk.leave_room(40 << 20);
    pool.checkpoint().unwrap();
    assert!(pool.status().is_full && pool.reserve.is_held());
    assert_eq!(volume.usage().unwrap().free_bytes, 0);
    let (grown, over) = (noise(80, 100_000), noise(81, 100_000));
    for (at, content) in [(196_608, &grown[..]), (204_800, b"new")] {
        let error = write(&volume, "f", at, content).unwrap_err();
        assert!(matches!(error, FsError::NoSpace), "{error}");
    }
    write(&volume, "f", 8192, &over).unwrap();
    write(&volume, "f", 4096, b"new").unwrap();
    for piece in 0..16 {
        write_as(&volume, "g", piece << 20, &noise(piece, 1 << 20), accepted).unwrap();
    }
    volume.sync().unwrap();
    pool.checkpoint().unwrap();
    assert!(pool.reserve.is_held(), "the reserve was taken");

    rig.disk.leave_room(PLENTY);
    pool.checkpoint().unwrap();
    write(&volume, "f", 196_608, &grown).unwrap();
    let f = read(&volume, "f").unwrap();
    assert!(f[8192..108_192] == over && f[196_608..] == grown && f[4096..4099] == *b"new");
    let found = read(&volume, "g").unwrap();
    assert_eq!(found.len(), 16 << 20);
    for (piece, found) in (0..).zip(found.chunks(1 << 20)) {
        assert!(found == noise(piece, 1 << 20), "MiB {piece}");
    }
}

/// A pool with records to be sealed opens on a full disk, in the room of its reserve.
#[test]
fn a_full_disk_is_no_reason_not_to_open() {
    let mut rig = Rig::small();
    let (pool, volume) = full_pool(&rig);
    write(&volume, "f", 0, &noise(9, 40_000)).unwrap();
    volume.sync().unwrap();
    drop((pool, volume));
    rig.kill();
    rig.disk.leave_room(0);
    let pool = rig.open();
    let volume = pool.open_volume(&name("a")).unwrap();
    assert_eq!(read(&volume, "f").unwrap()[..40_000], noise(9, 40_000));
    assert!(write(&volume, "f", 0, b"x").unwrap_err().is_no_space());
    volume.unlink(&WHO, Ino::ROOT, b"h").unwrap();
    volume.sync().unwrap();
}
