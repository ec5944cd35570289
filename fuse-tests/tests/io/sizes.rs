//! Large files, and the largest.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;

use fuse_tests::fixture::text;
use fuse_tests::run::run;
use fuse_tests::{Fixture, HostDisk, HostFs, Place};
use rustix::fs::{FallocateFlags, OFlags, SeekFrom, fallocate, ftruncate, seek};
use rustix::io::{Errno, pwrite};

use crate::files::{MIB, is_zero, open, read_at, sample};
use crate::mapping::{Mapping, Share};

const TIB: u64 = 1 << 40;
const MOST: u64 = i64::MAX as u64;

/// A file of 16 TiB is written at its end by every way, sought through, punched, copied sparsely
/// and cut, and takes the space of what was written.
#[test]
fn files_of_16_tib_work() {
    let place = Place::new();
    let path = place.path("f");
    let file = open(&path, OFlags::empty());
    let end = 16 * TIB;
    file.set_len(end).expect("16 TiB");
    let bytes = sample(1, MIB as usize);
    for part in [0, TIB, 4 * TIB + 12_345, 8 * TIB] {
        file.write_all_at(&bytes, part).expect("a write");
    }
    let direct = open(&path, OFlags::DIRECT);
    direct
        .write_all_at(&bytes, end - MIB)
        .expect("a direct write");
    let mapping = Mapping::new(&file, Share::Shared, 12 * TIB, MIB as usize).expect("a mapping");
    mapping.write(0, &bytes);
    drop((direct, mapping, file));
    place.remount();

    let file = open(&path, OFlags::empty());
    let found = file.metadata().expect("open");
    assert_eq!(found.len(), end);
    assert!(found.blocks() * 512 < 7 * MIB, "{} blocks", found.blocks());
    for part in [0, TIB, 4 * TIB + 12_345, 8 * TIB, 12 * TIB, end - MIB] {
        assert!(read_at(&file, part, MIB as usize) == bytes, "at {part}");
    }
    let mut starts = Vec::new();
    let mut at = 0;
    while let Ok(start) = seek(&file, SeekFrom::Data(at)) {
        starts.push(start / TIB);
        at = seek(&file, SeekFrom::Hole(start)).expect("the end at least");
    }
    assert_eq!(starts, [0, 1, 4, 8, 12, 15]);
    let copy = place.path("copy");
    run(Command::new("cp").args(["--sparse=always", text(&path), text(&copy)])).ok();
    let copy = open(&copy, OFlags::empty());
    assert!(read_at(&copy, 8 * TIB, MIB as usize) == bytes);
    assert_eq!(copy.metadata().expect("open").len(), end);

    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&file, punch, TIB, 14 * TIB).expect("punch");
    assert!(is_zero(&file, 8 * TIB, MIB as usize));
    file.set_len(MIB).expect("cut");
    assert!(read_at(&file, 0, MIB as usize) == bytes);
}

/// Offsets up to the largest that there is work. Behind it no offset can be named: that is EINVAL,
/// and EFBIG for a range that begins before it. XFS, whose files may be as large, does the same.
#[test]
fn files_end_at_the_largest_offset() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let disk = HostDisk::new(fixture.folder(), HostFs::Xfs);
    for folder in [fixture.mount("data"), disk.path().to_owned()] {
        for flags in [OFlags::empty(), OFlags::DSYNC] {
            let file = open(&folder.join(format!("f{}", flags.bits())), flags);
            assert_eq!(pwrite(&file, b"xy", MOST - 2), Ok(2));
            assert_eq!(pwrite(&file, b"x", MOST), Err(Errno::INVAL));
            assert_eq!(pwrite(&file, b"xy", MOST - 1), Err(Errno::INVAL));
            file.sync_all().expect("what was accepted is written");
            assert_eq!(file.metadata().expect("open").len(), MOST);
            assert_eq!(read_at(&file, MOST - 3, 3), b"\0xy");
            assert_eq!(seek(&file, SeekFrom::Hole(MOST - 1)), Ok(MOST));
            ftruncate(&file, 10).expect("cut");
            ftruncate(&file, MOST).expect("grow");
            assert!(is_zero(&file, MOST - 100, 100));
            assert_eq!(ftruncate(&file, MOST + 1), Err(Errno::INVAL));
            let none = FallocateFlags::empty();
            assert_eq!(fallocate(&file, none, MOST - 5, 100), Err(Errno::FBIG));
        }
    }
    let direct = open(&fixture.mount_point("data").join("direct"), OFlags::DIRECT);
    assert_eq!(pwrite(&direct, b"xy", MOST - 2), Ok(2));
    assert_eq!(read_at(&direct, MOST - 3, 3), b"\0xy");
}

/// A file size limit (ulimit -f) is heeded: EFBIG at the call, and what fits is written.
#[test]
fn a_file_size_limit_is_heeded() {
    let place = Place::new();
    let script = format!(
        "ulimit -f 8; trap '' XFSZ; head -c 20000 /dev/zero | tr '\\0' x >'{}'",
        place.path("f").display()
    );
    let ran = run(Command::new("bash").args(["-c", &script]));
    assert!(ran.stderr.contains("File too large"), "{ran:#?}");
    let found = std::fs::read(place.path("f")).expect("it is there");
    assert_eq!((found.len(), found[8191]), (8192, b'x'));
}
