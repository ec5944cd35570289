//! fallocate in every mode, and whether what it gives back is given back.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

use fuse_tests::Place;
use fuse_tests::run::eventually;
use rustix::fs::{FallocateFlags, OFlags, fallocate, statvfs};
use rustix::io::Errno;

use crate::files::{MIB, is_zero, open, read_at, sample};

const PUNCH: FallocateFlags = FallocateFlags::PUNCH_HOLE.union(FallocateFlags::KEEP_SIZE);
const ZERO: FallocateFlags = FallocateFlags::ZERO_RANGE;
const ZERO_KEEP: FallocateFlags = ZERO.union(FallocateFlags::KEEP_SIZE);

fn allocated(file: &File) -> u64 {
    file.metadata().expect("it is open").blocks() * 512
}

/// Bytes of blocks that the volume's present state has, as the pool's statistics tell.
fn volume_bytes(place: &Place) -> u64 {
    let list = place.fixture().json(&["volume", "ls"]);
    let found = list[0]["Size"].as_u64();
    found.unwrap_or_else(|| panic!("no size in {list}"))
}

/// Each mode sets the size and the bytes as ext4 does, at borders of pages and blocks and across.
#[test]
fn modes_set_size_and_bytes() {
    let place = Place::new();
    let ranges = [
        (0, 1),
        (0, 4096),
        (4095, 2),
        (8192, 8192),
        (8191, 8194),
        (5000, 20_000),
        (49_999, 1),
        (49_000, 3000),
        (60_000, 5000),
    ];
    let empty = FallocateFlags::empty();
    let modes = [empty, FallocateFlags::KEEP_SIZE, PUNCH, ZERO, ZERO_KEEP];
    for (number, flags) in modes.into_iter().enumerate() {
        for (at, len) in ranges {
            let name = format!("{number}-{at}");
            let mut expected = sample(at, 50_000);
            let file = open(&place.file(&name, &expected), OFlags::empty());
            fallocate(&file, flags, at, len).unwrap_or_else(|error| panic!("{name}: {error}"));
            let end = (at + len) as usize;
            if flags == empty || flags == ZERO {
                expected.resize(expected.len().max(end), 0);
            }
            if flags.intersects(ZERO | FallocateFlags::PUNCH_HOLE) {
                let (from, to) = (expected.len().min(at as usize), expected.len().min(end));
                expected[from..to].fill(0);
            }
            assert!(
                fs::read(place.path(&name)).expect("a file") == expected,
                "{name}"
            );
            assert_eq!(file.metadata().expect("open").len(), expected.len() as u64);
        }
    }
}

/// What cannot be is refused as ext4 refuses it.
#[test]
fn impossible_calls_are_refused() {
    let place = Place::new();
    let path = place.file("f", "content");
    let file = open(&path, OFlags::empty());
    let call = |file: &File, flags, at, len| fallocate(file, flags, at, len);
    let empty = FallocateFlags::empty();
    assert_eq!(call(&file, empty, 0, 0), Err(Errno::INVAL));
    assert_eq!(
        call(&file, FallocateFlags::PUNCH_HOLE, 0, 5),
        Err(Errno::OPNOTSUPP)
    );
    assert_eq!(call(&file, empty, i64::MAX as u64, 5), Err(Errno::FBIG));
    assert_eq!(call(&file, empty, 0, 1 << 62), Err(too_much(&place)));
    let read_only = File::open(&path).expect("it is there");
    assert_eq!(call(&read_only, empty, 0, 5), Err(Errno::BADF));
    let folder = File::open(place.root()).expect("the root");
    assert_eq!(call(&folder, empty, 0, 5), Err(Errno::BADF));
    assert_eq!(fs::read(&path).expect("a file"), b"content");
}

/// ext4 has no such large files.
fn too_much(place: &Place) -> Errno {
    match place.is_plain() {
        true => Errno::FBIG,
        false => Errno::NOSPC,
    }
}

/// Punching, zeroing and cutting give blocks back at once: in st_blocks, in the volume's size and in
/// what statfs says is used.
#[test]
fn given_back_blocks_are_counted_at_once() {
    let place = Place::new();
    let file = open(&place.path("f"), OFlags::empty());
    let used = || {
        let found = statvfs(place.root()).expect("a mount");
        (found.f_blocks - found.f_bfree) * found.f_frsize
    };
    let before = used();
    file.write_all_at(&sample(1, 8 * MIB as usize), 0)
        .expect("a write");
    file.sync_all().expect("fsync");
    let check = |mib: u64, what: &str| {
        let is_right = || allocated(&file) == mib * MIB;
        eventually(what, Duration::from_secs(10), is_right);
        if !place.is_plain() {
            assert_eq!(volume_bytes(&place), mib * MIB, "{what}");
            assert_eq!(used() - before, mib * MIB, "{what}");
        }
    };
    check(8, "written");
    fallocate(&file, PUNCH, MIB, 3 * MIB).expect("punch");
    check(5, "punched");
    fallocate(&file, ZERO, 6 * MIB, MIB).expect("zero");
    if !place.is_plain() {
        check(4, "zeroed");
        file.write_all_at(&vec![0; MIB as usize], 0)
            .expect("a write");
        file.sync_all().expect("fsync");
        check(3, "written with zeros");
    }
    file.set_len(5 * MIB).expect("cut");
    check(1, "cut");
    assert!(is_zero(&file, 0, 4 * MIB as usize));
    assert_eq!(
        read_at(&file, 4 * MIB, MIB as usize),
        sample(1, 8 * MIB as usize)[4 << 20..5 << 20]
    );
    file.set_len(0).expect("cut");
    if !place.is_plain() {
        assert_eq!((volume_bytes(&place), used()), (0, before));
    }
    // A file that is open for writing shows a block at least.
    drop(file);
    let path = place.path("f");
    let blocks = || fs::metadata(&path).expect("it is there").blocks();
    eventually("emptied", Duration::from_secs(10), || blocks() == 0);
}

/// A hole punched through a dirty page of a mapping, and through one that another descriptor reads,
/// shows as zeros everywhere.
#[test]
fn holes_show_everywhere() {
    let place = Place::new();
    let path = place.file("f", sample(2, MIB as usize));
    let file = open(&path, OFlags::empty());
    let direct = open(&path, OFlags::DIRECT);
    let shared = crate::mapping::Share::Shared;
    let mapping = crate::mapping::Mapping::new(&file, shared, 0, MIB as usize).expect("a mapping");
    mapping.write(100_000, &[9; 100_000]);
    fallocate(&file, PUNCH, 98_304, 65_536).expect("punch");
    let mut seen = vec![1; MIB as usize];
    mapping.read(&mut seen);
    assert!(seen[98_304..163_840].iter().all(|byte| *byte == 0));
    assert!(seen[163_840..200_000].iter().all(|byte| *byte == 9));
    assert!(is_zero(&file, 98_304, 65_536));
    let mut page = fuse_tests::promises::Page([1; 4096]);
    direct.read_exact_at(&mut page.0, 98_304).expect("a read");
    assert!(page.0 == [0; 4096]);
}
