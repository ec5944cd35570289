//! Sparse files, allocation, and what is said about free space.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

use fuse_tests::Place;
use fuse_tests::run::eventually;
use rustix::fs::{FallocateFlags, fallocate, seek, statvfs};
use rustix::io::Errno;

const MIB: u64 = 1 << 20;

fn create(place: &Place, name: &str) -> File {
    File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(place.path(name))
        .unwrap()
}

fn zeros(file: &File, from: u64, length: usize) -> bool {
    let mut bytes = vec![1; length];
    file.read_exact_at(&mut bytes, from).unwrap();
    bytes.iter().all(|byte| *byte == 0)
}

/// A file may end beyond 16 TiB; what was never written takes no space and reads as zeros.
#[test]
fn sparse_file_of_16_tib_works() {
    let place = Place::new();
    // ext4 itself ends one page before.
    let end = if place.is_plain() {
        15 << 40
    } else {
        16_u64 << 40
    };
    let file = create(&place, "sparse");
    file.write_all_at(b"front", 0).unwrap();
    file.write_all_at(b"back", end).unwrap();
    file.sync_all().unwrap();
    drop(file);
    place.remount();

    let file = File::options()
        .read(true)
        .write(true)
        .open(place.path("sparse"))
        .unwrap();
    let metadata = file.metadata().unwrap();
    assert_eq!(metadata.len(), end + 4);
    assert!(
        metadata.blocks() * 512 < MIB,
        "{} bytes are allocated",
        metadata.blocks() * 512
    );
    let mut back = [0; 4];
    file.read_exact_at(&mut back, end).unwrap();
    assert_eq!(&back, b"back");
    assert!(zeros(&file, end / 2, 4096));
    file.set_len(5).unwrap();
    assert_eq!(fs::read(place.path("sparse")).unwrap(), b"front");
}

/// On a read-only mount SEEK_DATA and SEEK_HOLE find what was written, and the end.
#[test]
fn seek_finds_data_and_holes() {
    let place = Place::new();
    let file = create(&place, "f");
    file.write_all_at(&vec![1; MIB as usize], 2 * MIB).unwrap();
    file.set_len(8 * MIB).unwrap();
    drop(file);
    place.remount_with(&["--read-only"]);
    let file = File::open(place.path("f")).unwrap();
    let find = |position| seek(&file, position);
    assert_eq!(find(rustix::fs::SeekFrom::Data(0)), Ok(2 * MIB));
    assert_eq!(find(rustix::fs::SeekFrom::Hole(2 * MIB)), Ok(3 * MIB));
    assert_eq!(find(rustix::fs::SeekFrom::Hole(0)), Ok(0));
    assert_eq!(find(rustix::fs::SeekFrom::Data(3 * MIB)), Err(Errno::NXIO));
    assert_eq!(find(rustix::fs::SeekFrom::Hole(8 * MIB)), Err(Errno::NXIO));
    assert_eq!((&file).seek(SeekFrom::End(0)).unwrap(), 8 * MIB);
}

/// fallocate extends or not, punches and zeroes as its flags say, and refuses the rest.
#[test]
fn fallocate_modes_do_what_they_say() {
    let place = Place::new();
    let file = create(&place, "f");
    let allocate = |flags, from, length| fallocate(&file, flags, from, length);
    allocate(FallocateFlags::empty(), 0, 3 * MIB).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 3 * MIB);
    allocate(FallocateFlags::KEEP_SIZE, 0, 9 * MIB).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 3 * MIB);
    assert!(zeros(&file, 0, 3 * MIB as usize));

    file.write_all_at(&vec![7; 3 * MIB as usize], 0).unwrap();
    file.sync_all().unwrap();
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    allocate(punch, MIB + 100, MIB).unwrap();
    allocate(FallocateFlags::ZERO_RANGE, 10, 100).unwrap();
    allocate(FallocateFlags::ZERO_RANGE, 3 * MIB - 5, 10).unwrap();
    if !place.is_plain() {
        let collapse = allocate(FallocateFlags::COLLAPSE_RANGE, 0, MIB);
        assert_eq!(collapse, Err(Errno::OPNOTSUPP));
    }

    let mut expected = vec![7; 3 * MIB as usize];
    expected.resize(3 * MIB as usize + 5, 0);
    expected[MIB as usize + 100..2 * MIB as usize + 100].fill(0);
    expected[10..110].fill(0);
    expected[3 * MIB as usize - 5..].fill(0);
    drop(file);
    place.remount();
    assert!(fs::read(place.path("f")).unwrap() == expected);
}

/// What one program has written and not synced is no hole to another, which would copy zeros.
#[test]
fn unsynced_data_is_no_hole() {
    let place = Place::new();
    let file = create(&place, "f");
    file.set_len(8 * MIB).unwrap();
    file.write_all_at(&vec![1; MIB as usize], 0).unwrap();
    file.sync_all().unwrap();
    file.write_all_at(&vec![2; MIB as usize], 4 * MIB).unwrap();
    let reader = File::open(place.path("f")).unwrap();
    let data = seek(&reader, rustix::fs::SeekFrom::Data(2 * MIB)).unwrap();
    assert!(data <= 4 * MIB, "the data at 4 MiB was skipped: {data}");
    let hole = seek(&reader, rustix::fs::SeekFrom::Hole(4 * MIB)).unwrap();
    assert!(hole >= 5 * MIB, "the data at 4 MiB ends at {hole}");
}

/// The block count follows what was written while the file is open: programs take a file of few
/// blocks for a sparse one.
#[test]
fn block_count_follows_writes() {
    let place = Place::new();
    let file = create(&place, "f");
    let blocks = || fs::metadata(place.path("f")).unwrap().blocks();
    for mib in 1..4 {
        file.write_all_at(&vec![7; MIB as usize], (mib - 1) * MIB)
            .unwrap();
        file.sync_all().unwrap();
        eventually("the block count follows", Duration::from_secs(10), || {
            blocks() >= mib * 2048
        });
    }
    drop(file);
    assert!(
        (3 * 2048..4 * 2048).contains(&blocks()),
        "{} blocks after the close",
        blocks()
    );
}

/// Punching a hole gives space back: the file's block count falls.
#[test]
fn punched_space_is_given_back() {
    let place = Place::new();
    let file = create(&place, "f");
    file.write_all_at(&vec![7; 4 * MIB as usize], 0).unwrap();
    drop(file);
    place.remount();
    let file = File::options().write(true).open(place.path("f")).unwrap();
    let before = file.metadata().unwrap().blocks();
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&file, punch, 0, 3 * MIB).unwrap();
    drop(file);
    place.remount();
    let after = fs::metadata(place.path("f")).unwrap().blocks();
    assert!(
        before >= 8192 && after <= before / 4 + 16,
        "{before} blocks became {after}"
    );
}

/// statfs tells of a filesystem with room and names of 255 bytes.
#[test]
fn statfs_is_plausible() {
    let place = Place::new();
    let host = statvfs(place.fixture().folder()).unwrap();
    let volume = statvfs(place.root()).unwrap();
    assert_eq!(volume.f_namemax, 255);
    assert!(volume.f_bsize.is_power_of_two() && volume.f_frsize.is_power_of_two());
    let bytes = |free: u64, unit: u64| free * unit;
    let free = bytes(volume.f_bavail, volume.f_frsize);
    assert!(
        free > 0 && free <= bytes(host.f_bfree, host.f_frsize),
        "{free} bytes free"
    );
    assert!(volume.f_blocks >= volume.f_bfree && volume.f_ffree > 0);
}
