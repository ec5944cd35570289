//! Files that belong to another pool.

use super::super::crash::{Floor, World, prepare, prepared, scene};
use crate::base::{Nature, PoolId, Timestamp};
use crate::disk::{Disk, SimDisk, Step};
use crate::pool::settings::PoolFile;

fn content(disk: &SimDisk, path: &str) -> Vec<u8> {
    let file = disk.open(path).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Another pool with the same records in its journal, at the same places.
fn stranger() -> World {
    let mut world = World::started(0);
    world.clear();
    world.setting.file = PoolFile::new(PoolId([0x52; 16]), Timestamp::default());
    world.create().unwrap();
    world.open().unwrap();
    prepare(&mut world, scene("a long journal"));
    world
}

/// How many records there are at all in these bytes.
fn records(bytes: &[u8]) -> usize {
    let places = bytes.chunks_exact(8);
    places.filter(|place| place.starts_with(b"VFJR")).count()
}

/// A journal file from another pool in place of one that replay needs: the pool does not open and
/// says so; nothing of the other pool is ever replayed.
#[test]
fn a_journal_file_of_another_pool_is_refused() {
    let world = prepared(scene("a long journal"));
    let stranger = stranger();
    let mut refused = 0;
    for path in ["journal/0000.journal", "journal/0001.journal"] {
        let medium = world.disk.kill();
        let file = medium.open(path).unwrap();
        let (own, strange) = (content(&world.disk, path), content(&stranger.disk, path));
        assert_eq!(records(&own), records(&strange));
        assert!(own.len() == strange.len() && own != strange);
        file.write_at(&[&strange], 0).unwrap();
        file.sync(Step::JournalBeforeReply).unwrap();
        match world.open_copy(&medium) {
            Err(error) => {
                assert_eq!(error.nature(), Nature::Corrupt, "{error:?}");
                refused += 1;
            }
            // This one held no record that is needed: then everything durable is there.
            Ok(pool) => {
                drop(pool);
                world.try_medium(&medium.kill(), Floor::Durable);
            }
        }
    }
    assert!(refused > 0);
}
