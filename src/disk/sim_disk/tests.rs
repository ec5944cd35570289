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

/// A full medium takes what fits, overwrites for nothing, tells what is free, and has room again
/// once a file is removed.
#[test]
fn a_full_medium_takes_what_fits_and_nothing_for_overwriting() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(1000));
    let file = disk.create("f").unwrap();
    file.write_at(&[&[1; 600]], 0).unwrap();
    assert_eq!(disk.space().unwrap().free, 400);
    let error = file.write_at(&[&[2; 600]], 600).unwrap_err();
    assert!(error.is_no_space());
    assert_eq!(file.len().unwrap(), 1000);
    assert_eq!(disk.space().unwrap().free, 0);
    file.write_at(&[&[3; 1000]], 0).unwrap();
    assert!(disk.create("g").err().unwrap().is_no_space());
    assert!(file.set_len(1001).unwrap_err().is_no_space());
    disk.remove("f").unwrap();
    disk.create("g").unwrap().set_len(1000).unwrap();

    let disk = SimDisk::new();
    disk.arm(Fault::Full(1));
    let file = disk.create("f").unwrap();
    assert!(file.write_at(&[&[1]], 0).unwrap_err().is_no_space());
    assert!(file.write_at(&[&[1]], 0).unwrap_err().is_no_space());
    disk.disarm();
    file.write_at(&[&[1]], 0).unwrap();
}

/// Rot is there for readers and on the medium; a misdirected write is right until the cache is
/// dropped, and then some other sector of the medium has it; a read that ends early does so once.
#[test]
fn lies_of_the_medium_are_told_where_they_must_be() {
    let disk = SimDisk::new();
    let file = disk.create("f").unwrap();
    disk.sync_dir("", Step::PoolFilesNamed).unwrap();
    file.write_at(&[&[7; 4096]], 0).unwrap();
    file.sync(Step::JournalBeforeReply).unwrap();
    assert!(disk.flip("f", 5, 0x10) && !disk.flip("f", 4096, 1) && !disk.flip("g", 0, 1));
    assert_eq!(content(&disk, "f").unwrap()[5], 0x17);
    assert_eq!(content(&disk.crash(0), "f").unwrap()[5], 0x17);
    assert!(disk.flip("f", 5, 0x10));

    disk.arm(Fault::Misdirect(0, 3));
    file.write_at(&[&[9; 512]], 512).unwrap();
    file.sync(Step::JournalBeforeReply).unwrap();
    assert_eq!(content(&disk, "f").unwrap()[512..1024], [9; 512]);
    file.drop_cache(Step::JournalReread);
    let bytes = content(&disk, "f").unwrap();
    let astray: Vec<usize> = (0..8).filter(|at| bytes[at * 512] == 9).collect();
    assert_eq!(astray.len(), 1);
    assert_ne!(astray, [1]);

    disk.arm(Fault::ShortRead(0));
    let mut buf = [0; 100];
    let error = file.read_exact_at(&mut buf, 0).unwrap_err();
    assert_eq!(error.source.kind(), std::io::ErrorKind::UnexpectedEof);
    file.read_exact_at(&mut buf, 0).unwrap();
    disk.arm(Fault::FailRead(1));
    file.read_exact_at(&mut buf, 0).unwrap();
    assert!(file.read_at(&mut buf, 0).is_err());
}

/// Rates decide repeatably from their seed, and interruptions are never seen from outside.
#[test]
fn rates_repeat_and_interruptions_are_not_seen() {
    let failures = |rates| {
        let disk = SimDisk::new();
        let file = disk.create("f").unwrap();
        disk.set_rates(rates, 5);
        let write = |_: &u64| {
            file.write_at(&[b"x"], 0).is_err() || file.sync(Step::JournalBeforeReply).is_err()
        };
        (0..1000).filter(write).collect::<Vec<u64>>()
    };
    let rates = Rates {
        write_error: 20,
        sync_error: 10,
        ..Rates::default()
    };
    let failed = failures(rates);
    assert!((10..60).contains(&failed.len()), "{failed:?}");
    assert_eq!(failures(rates), failed);
    let interrupted = Rates {
        interrupted: 500,
        ..Rates::default()
    };
    assert_eq!(failures(interrupted), [0; 0]);
}
