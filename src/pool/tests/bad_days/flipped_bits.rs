//! One bit flips at rest, in each kind of file at each kind of place: what can be read is right,
//! what cannot is named, and the pool opens or says why not.

use std::collections::BTreeSet;

use super::super::crash::{Costs, Survey, World, prepared, scene, survey};
use crate::base::{Lsn, Nature};
use crate::disk::{Disk, SimDisk};
use crate::pool::PoolError;

const SLOTS: [u64; 2] = [0, 1 << 20];
const SEGMENT_HEADER: u64 = 64;
const FRAME_HEADER: u64 = 64;
const TRAILER: u64 = 64;
const RECORD_HEADER: u64 = 72;

/// A closed pool with sealed files and snapshots.
fn closed() -> World {
    let mut world = prepared(scene("rollback"));
    world.close();
    world.replace_disk(world.disk.kill());
    world
}

fn flipped(world: &World, path: &str, at: u64) -> SimDisk {
    let medium = world.disk.kill();
    assert!(medium.flip(path, at, 0x10), "{path} has no byte {at}");
    medium
}

fn look(world: &World, path: &str, at: u64) -> Survey {
    let medium = flipped(world, path, at);
    survey(world, &medium, Costs::Nothing, is_corrupt)
}

fn is_corrupt(nature: Nature) -> bool {
    nature == Nature::Corrupt
}

/// Segments of a kind, with their lengths.
fn segments(world: &World, kind: &str) -> Vec<(String, u64)> {
    let files = world.disk.files().into_iter();
    files
        .filter(|(path, _)| path.starts_with("segments/") && path.ends_with(kind))
        .collect()
}

fn content(world: &World, path: &str) -> Vec<u8> {
    let file = world.disk.open(path).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Byte offsets of a magic number in a file.
fn places(world: &World, path: &str, magic: &[u8; 4]) -> Vec<u64> {
    let bytes = content(world, path);
    let at = (0..bytes.len().saturating_sub(4)).filter(|at| &bytes[*at..*at + 4] == magic);
    at.map(|at| at as u64).collect()
}

/// Everything can be read, and nothing was lost.
fn is_whole(survey: &Survey) -> bool {
    survey.refused.is_none() && survey.unread.is_empty()
}

/// In one slot of the superblock: the other one gives the same state. In both: the pool says so.
#[test]
fn a_flipped_bit_in_the_superblock() {
    let world = closed();
    for slot in SLOTS {
        for at in [0, 9, 20, 40, 100, 4090] {
            assert!(is_whole(&look(&world, "superblock", slot + at)));
        }
    }
    let medium = flipped(&world, "superblock", SLOTS[0]);
    assert!(medium.flip("superblock", SLOTS[1], 1));
    let error = world.open_copy(&medium).err().unwrap();
    assert!(matches!(error, PoolError::Superblock { .. }), "{error:?}");
}

/// In the header and in the body of each journal record: below what was durable the pool says
/// that it is damaged, or has everything durable all the same, because the record is no longer
/// needed. The last records look like a torn end, and what was found is a prefix.
#[test]
fn a_flipped_bit_in_a_journal_record() {
    let world = prepared(scene("a long journal"));
    let durable = world.pool().shared.journal.get().unwrap().durable();
    let needed_from = world.pool().published.lock().newest.replay_from;
    let (mut refused, mut needed, mut last) = ([0, 0], 0, 0);
    for path in ["journal/0000.journal", "journal/0001.journal"] {
        let bytes = content(&world, path);
        for record in places(&world, path, b"VFJR") {
            let start = bytes[record as usize + 8..][..8].try_into().unwrap();
            let start = Lsn(u64::from_le_bytes(start));
            let is_needed = start >= needed_from.lsn && start < durable;
            needed += u64::from(is_needed);
            last += u64::from(start >= durable);
            for (part, at) in [10, RECORD_HEADER + 3].into_iter().enumerate() {
                let medium = flipped(&world, path, record + at);
                let found = survey(&world, &medium, Costs::Unsynced, is_corrupt);
                assert!(found.unread.is_empty(), "{found:?}");
                assert!(
                    found.refused.is_some() || !is_needed,
                    "the record at {start} is needed, and its damage is not told: {found:?}"
                );
                refused[part] += u64::from(found.refused.is_some());
            }
        }
    }
    assert!(needed > 10 && last > 1, "{needed} {last}");
    assert!(refused.iter().all(|count| *count >= needed), "{refused:?}");
}

/// In a data segment's header, table of contents and trailer: everything can be read.
#[test]
fn a_flipped_bit_beside_the_frames_of_a_segment() {
    let world = closed();
    for kind in [".data", ".node"] {
        for (path, len) in segments(&world, kind) {
            for at in [3, 20, 60, len - 3, len - TRAILER + 20, len - TRAILER - 30] {
                let survey = look(&world, &path, at);
                assert!(is_whole(&survey), "{path} at {at}: {survey:?}");
            }
        }
    }
}

/// In the header and in the payload of a block's frame: the files with it cannot be read, and a
/// check names them, or the frame that is nobody's any more.
#[test]
fn a_flipped_bit_in_a_block() {
    let world = closed();
    let (mut unread, mut frames) = (0, 0);
    for (path, _) in segments(&world, ".data") {
        for frame in places(&world, &path, b"VFRM") {
            frames += 1;
            for at in [1, 20, FRAME_HEADER - 2, FRAME_HEADER + 9] {
                let survey = look(&world, &path, frame + at);
                assert!(survey.refused.is_none(), "{survey:?}");
                assert!(survey.violations > 0, "{path} at {}", frame + at);
                unread += u64::from(!survey.unread.is_empty());
            }
        }
    }
    assert!(frames > 10 && unread > 20, "{frames} {unread}");
}

/// In a block that one volume has, or that two share: the other volumes are whole.
#[test]
fn a_flipped_bit_harms_only_the_volumes_that_have_it() {
    let mut world = prepared(scene("snapshot of three volumes"));
    world.close();
    world.replace_disk(world.disk.kill());
    let mut harmed = BTreeSet::new();
    for (path, _) in segments(&world, ".data") {
        for frame in places(&world, &path, b"VFRM") {
            let survey = look(&world, &path, frame + FRAME_HEADER);
            let of = |what: &String| what.split(':').next().unwrap_or("").to_owned();
            harmed.insert(survey.unread.iter().map(of).collect::<BTreeSet<String>>());
        }
    }
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    // Blocks of older states are nobody's any more.
    let expected: BTreeSet<BTreeSet<String>> = [set(&[]), set(&["a"]), set(&["b", "c"])].into();
    assert_eq!(harmed, expected);
}

/// In the header and in the payload of a tree node's frame: the pool says that its catalog is
/// damaged, or opens, and what lies below the node cannot be read and is named.
#[test]
fn a_flipped_bit_in_a_tree_node() {
    let world = closed();
    let (mut refused, mut unread) = (0, 0);
    for (path, _) in segments(&world, ".node") {
        for frame in places(&world, &path, b"VFRM") {
            for at in [1, 20, FRAME_HEADER - 2, FRAME_HEADER + 9] {
                let survey = look(&world, &path, frame + at);
                assert!(
                    survey.unread.is_empty() || survey.violations > 0,
                    "{survey:?}"
                );
                refused += u64::from(survey.refused.is_some());
                unread += u64::from(!survey.unread.is_empty());
            }
        }
    }
    assert!(refused > 0 && unread > 0, "{refused} {unread}");
    assert!(
        segments(&world, ".node")
            .iter()
            .all(|(_, len)| *len > SEGMENT_HEADER)
    );
}

/// In any byte of `pool.toml`: the pool is the same, or it says what is wrong with it.
#[test]
fn a_flipped_bit_in_pool_toml() {
    let world = closed();
    let len = content(&world, "pool.toml").len() as u64;
    let mut refused = 0;
    for at in 0..len {
        let medium = flipped(&world, "pool.toml", at);
        let survey = survey(&world, &medium, Costs::Nothing, |_| true);
        assert!(survey.unread.is_empty(), "{survey:?}");
        refused += u64::from(survey.refused.is_some());
    }
    assert!(refused > len / 2, "{refused} of {len}");
}

/// In the files that hold nothing, the reserve and the lock: nobody notices.
#[test]
fn a_flipped_bit_in_a_file_that_holds_nothing() {
    let world = closed();
    let files: Vec<(String, u64)> = world.disk.files();
    for path in ["reserve", "lock"] {
        let known = files.iter().find(|(known, _)| known == path);
        let bytes = vec![0; known.map_or(0, |(_, len)| *len as usize).max(64)];
        let medium = world.disk.kill();
        let file = match known {
            Some(_) => medium.open(path).unwrap(),
            None => medium.create(path).unwrap(),
        };
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x10;
            file.write_at(&[&bytes], 0).unwrap();
            let survey = survey(&world, &medium, Costs::Nothing, is_corrupt);
            assert!(is_whole(&survey), "{path}: {survey:?}");
        }
    }
}
