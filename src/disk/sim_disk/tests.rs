//! The medium loses what it may lose, and nothing else.

use std::collections::BTreeSet;

use super::*;
use crate::disk::{Disk, Step};

fn content(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    let file = disk.open(path).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    Some(bytes)
}

/// Over many power losses: synced sectors always stay; unsynced ones are each old, new or
/// zero, in any combination; the length is one of those there were.
#[test]
fn power_loss_tears_at_sectors_and_never_touches_what_was_synced() {
    let disk = SimDisk::new();
    let file = disk.create("f").unwrap();
    file.write_at(&[&[1; 1024]], 0).unwrap();
    file.sync(Step::JournalBeforeReply).unwrap();
    disk.sync_dir("", Step::PoolFilesNamed).unwrap();
    file.write_at(&[&[2; 1024]], 512).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let bytes = content(&disk.crash(seed), "f").unwrap();
        assert!(bytes[..512].iter().all(|byte| *byte == 1));
        for sector in bytes.chunks(512) {
            assert!(sector.iter().all(|byte| *byte == sector[0]));
        }
        seen.insert(
            bytes
                .chunks(512)
                .map(|sector| sector[0])
                .collect::<Vec<_>>(),
        );
    }
    let all = [
        [1, 1].as_slice(),
        &[1, 1, 0],
        &[1, 1, 2],
        &[1, 2],
        &[1, 2, 0],
        &[1, 2, 2],
    ];
    assert_eq!(seen.iter().map(Vec::as_slice).collect::<Vec<_>>(), all);
    let same = |seed| disk.crash(seed).fingerprint();
    assert_eq!(same(7), same(7));
}

/// A name needs the sync of its folder, data that of its file, and neither brings the other.
#[test]
fn names_and_data_are_made_durable_apart() {
    let disk = SimDisk::new();
    disk.create_dir("d").unwrap();
    disk.sync_dir("", Step::PoolFilesNamed).unwrap();
    let synced = disk.create("d/data").unwrap();
    synced.write_at(&[b"data"], 0).unwrap();
    synced.sync(Step::JournalBeforeReply).unwrap();
    let named = SimDisk::new();
    named.create("name").unwrap().write_at(&[b"x"], 0).unwrap();
    named.sync_dir("", Step::PoolFilesNamed).unwrap();
    let (mut with, mut without, mut empty) = (0, 0, 0);
    for seed in 0..100 {
        match content(&disk.crash(seed), "d/data") {
            Some(bytes) => {
                assert_eq!(bytes, b"data");
                with += 1;
            }
            None => without += 1,
        }
        empty += u32::from(content(&named.crash(seed), "name").unwrap().is_empty());
    }
    assert!(
        with > 20 && without > 20 && empty > 20,
        "{with} {without} {empty}"
    );
    assert_eq!(content(&disk.kill(), "d/data").unwrap(), b"data");
}

/// After a failed sync the bytes are readable, no later sync saves them, and they are gone
/// once the cache is dropped. After its death the medium answers nothing.
#[test]
fn failed_syncs_lose_pages_and_the_dead_do_not_answer() {
    let disk = SimDisk::new();
    let file = disk.create("f").unwrap();
    disk.sync_dir("", Step::PoolFilesNamed).unwrap();
    disk.arm(Fault::FailSync(0));
    file.write_at(&[b"lost"], 0).unwrap();
    assert!(file.sync(Step::JournalBeforeReply).is_err());
    file.sync(Step::JournalBeforeReply).unwrap();
    assert_eq!(content(&disk, "f").unwrap(), b"lost");
    assert_eq!(content(&disk.crash(1), "f").unwrap(), [0; 4]);
    file.drop_cache(Step::JournalReread);
    assert_eq!(content(&disk, "f").unwrap(), [0; 4]);

    disk.arm(Fault::Die(1));
    file.write_at(&[b"last"], 0).unwrap();
    assert!(
        file.sync(Step::JournalBeforeReply).is_err()
            && file.len().is_err()
            && disk.list("").is_err()
    );
    assert_eq!(content(&disk.kill(), "f").unwrap(), b"last");
}
