//! Files that belong to another pool.

use super::super::crash::{World, prepared, scene};
use crate::base::{Nature, PoolId, Timestamp};
use crate::disk::{Disk, SimDisk, Step};
use crate::pool::settings::PoolFile;

fn content(disk: &SimDisk, path: &str) -> Vec<u8> {
    let file = disk.open(path).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Another pool, with as many records in its journal.
fn stranger() -> World {
    let mut world = World::started(1);
    world.clear();
    world.setting.file = PoolFile::new(PoolId([0x52; 16]), Timestamp::default());
    world.create().unwrap();
    world.open().unwrap();
    let volume = super::super::new_volume("a");
    world.pool().create_volume(&volume).unwrap();
    world
}

/// A journal file from another pool in place of one that replay needs: the pool does not open and
/// says so; nothing of the other pool is ever replayed.
#[test]
fn a_journal_file_of_another_pool_is_refused() {
    let world = prepared(scene("a long journal"));
    let stranger = stranger();
    for path in ["journal/0000.journal", "journal/0001.journal"] {
        let medium = world.disk.kill();
        let file = medium.open(path).unwrap();
        file.write_at(&[&content(&stranger.disk, path)], 0).unwrap();
        file.sync(Step::JournalBeforeReply).unwrap();
        match world.open_copy(&medium) {
            Err(error) => assert_eq!(error.nature(), Nature::Corrupt, "{error:?}"),
            // This one held no record that is needed.
            Ok(_) => assert_eq!(path, "journal/0001.journal"),
        }
    }
}
