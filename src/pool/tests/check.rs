//! Check, scrub and repair: damage of each kind, made on purpose, and what becomes of it.

mod damage;
mod kinds;
pub(in crate::pool::tests) mod outage;
mod repair;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Fixture, WHO, name, new_volume, noise, put, read, snap};
use crate::base::progress::Silent;
use crate::base::{BlockId, Ino, SegmentId};
use crate::block::block_id;
use crate::disk::FileDisk;
use crate::pool::recovery::{ground_in, take_lock};
use crate::pool::settings::PoolFile;
use crate::pool::{
    CheckOptions, CheckReport, LostRecords, Pool, PoolOptions, RepairOptions, StateName, Violation,
};

/// Bytes of a block.
const BLOCK: usize = 4096;
/// A repair that gives nothing up.
const NO_CUT: RepairOptions = RepairOptions { cut_journal: false };

/// A frame on disk.
#[derive(Clone, Copy, PartialEq, Debug)]
struct At {
    segment: SegmentId,
    offset: u32,
}

/// Everything, read to the last byte.
fn deep() -> CheckOptions {
    CheckOptions {
        read_data: true,
        ..CheckOptions::default()
    }
}

fn inspect(fixture: &Fixture) -> CheckReport {
    Pool::inspect(&fixture.path(), &deep(), &Silent).unwrap()
}

/// What is wrong with a pool at rest.
fn violations(fixture: &Fixture) -> Vec<Violation> {
    inspect(fixture).violations
}

fn live(volume: &str) -> StateName {
    StateName {
        volume: volume.to_owned(),
        snapshot: None,
    }
}

fn of_snapshot(volume: &str, snapshot: &str) -> StateName {
    StateName {
        snapshot: Some(snapshot.to_owned()),
        ..live(volume)
    }
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|end| end == extension))
        .collect();
    files.sort();
    files
}

fn segment_path(fixture: &Fixture, segment: SegmentId, kind: &str) -> PathBuf {
    let folder = fixture.path().join("segments");
    folder.join(format!("{:016x}.{kind}", segment.0))
}

fn number_of(path: &Path) -> SegmentId {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    SegmentId(u64::from_str_radix(stem, 16).unwrap())
}

/// Where the frames lie that hold this content, which does not compress.
fn frames_of(fixture: &Fixture, content: &[u8]) -> Vec<At> {
    let mut found = Vec::new();
    for path in files(&fixture.path().join("segments"), "data") {
        let bytes = fs::read(&path).unwrap();
        let hits = bytes
            .windows(32)
            .enumerate()
            .filter(|(_, window)| *window == &content[..32]);
        found.extend(hits.map(|(at, _)| At {
            segment: number_of(&path),
            offset: at as u32 - 64,
        }));
    }
    found
}

#[track_caller]
fn frame_of(fixture: &Fixture, content: &[u8]) -> At {
    let found = frames_of(fixture, content);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

/// Flips a byte of a file.
fn flip(path: &Path, at: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at as usize] ^= 0x55;
    fs::write(path, bytes).unwrap();
}

/// Damages the payload of a data frame.
fn hurt(fixture: &Fixture, at: At) {
    let path = segment_path(fixture, at.segment, "data");
    flip(&path, u64::from(at.offset) + 64 + 1000);
}

fn close(fixture: &mut Fixture) {
    fixture.pool().close().unwrap();
    fixture.pool = None;
}

/// Opens the pool without a content index, so that what is stored already is stored again.
fn open_without_index(fixture: &Fixture) -> Arc<Pool> {
    let path = fixture.path();
    let disk = Arc::new(FileDisk::new(&path));
    let file = PoolFile::read(&*disk, &path).unwrap();
    let mut ground = ground_in(&path, disk, Some(take_lock(&path).unwrap()));
    ground.index_dir = None;
    Pool::open_on(ground, &file, &PoolOptions::default()).unwrap()
}

/// Volume `a` with `good` and `bad`, each of 5 blocks and a half, and a snapshot `s` of it; closed.
fn sample() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.pool().create_volume(&new_volume("a")).unwrap();
    let volume = fixture.pool().open_volume(&name("a")).unwrap();
    put(&volume, "good", &noise(1, LENGTH));
    put(&volume, "bad", &noise(2, LENGTH));
    drop(volume);
    let cut = [(name("a"), snap("s"))];
    fixture.pool().create_snapshots(&cut).unwrap();
    close(&mut fixture);
    fixture
}

/// Bytes of a file in [`sample`].
const LENGTH: usize = 5 * BLOCK + BLOCK / 2;

/// A block of the file `bad`.
fn bad_block(index: usize) -> Vec<u8> {
    let content = noise(2, LENGTH);
    content[index * BLOCK..LENGTH.min((index + 1) * BLOCK)].to_vec()
}

fn ino_of(fixture: &mut Fixture, file: &str) -> Ino {
    let pool = fixture.open();
    let volume = pool.open_volume(&name("a")).unwrap();
    let ino = volume.lookup(&WHO, Ino::ROOT, file.as_bytes()).unwrap().ino;
    drop((volume, pool));
    close(fixture);
    ino
}

fn id_of(content: &[u8]) -> BlockId {
    block_id(content)
}
