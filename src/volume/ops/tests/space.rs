//! Tests of truncate, fallocate and lseek.

use super::super::{AllocateMode, Seek, SetAttr};
use super::*;
use AllocateMode::{Allocate, KeepSize, PunchHole, ZeroRange};

fn truncate(fs: &Fixture, ino: Ino, size: u64) {
    let set = SetAttr {
        size: Some(size),
        ..SetAttr::default()
    };
    fs.setattr(&ROOT, ino, &set).unwrap();
}

/// A file that is cut and grown again shows zeros where it was cut, whether the cut goes through a
/// block or between two.
#[test]
fn what_was_cut_is_zero() {
    for (size, blocks) in [(0, 0), (1, 1), (4096, 1), (5000, 2), (8192, 2)] {
        let fs = Fixture::new();
        let file = fs.file(Ino::ROOT, "f");
        fs.write(file, 0, &[1; 10_000]);
        if size % 2 == 0 {
            fs.checkpoint();
        }
        truncate(&fs, file, size);
        assert_eq!((fs.attr(file).size, fs.blocks(file)), (size, blocks));
        fs.assert_sound();

        truncate(&fs, file, 20_000);

        assert_eq!(fs.blocks(file), blocks);
        let content = fs.content(file);
        assert_eq!(content.len(), 20_000);
        assert!(content[..size as usize].iter().all(|byte| *byte == 1));
        assert!(content[size as usize..].iter().all(|byte| *byte == 0));
    }
}

/// The count of blocks stays exact when a file with holes is cut.
#[test]
fn cut_holes_are_not_counted() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    for index in [0, 1, 5, 9, 100] {
        fs.write(file, index * BLOCK, b"x");
    }
    fs.checkpoint();
    for (size, blocks) in [
        (100 * BLOCK, 4),
        (9 * BLOCK + 1, 4),
        (9 * BLOCK, 3),
        (2, 1),
        (0, 0),
    ] {
        truncate(&fs, file, size);
        assert_eq!(fs.blocks(file), blocks, "size {size}");
        fs.assert_sound();
    }
}

/// Punching frees whole blocks, zeroes edges, keeps the size and leaves holes alone.
#[test]
fn punching_frees_whole_blocks() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let cases = [
        (0, 4096, 3),
        (1, 4096, 4),
        (100, 200, 4),
        (4000, 8292, 2),
        (4096, 1 << 40, 1),
        (12_288, 3000, 3),
        (12_289, 3000, 4),
        (15_000, 100, 4),
        (20_000, 10, 4),
    ];
    for (offset, len, blocks) in cases {
        truncate(&fs, file, 0);
        fs.write(file, 0, &[1; 15_000]);
        fs.checkpoint();
        fs.allocate(&ROOT, file, offset, len, PunchHole).unwrap();
        assert_eq!(
            (fs.attr(file).size, fs.blocks(file)),
            (15_000, blocks),
            "{offset}+{len}"
        );
        let expected: Vec<u8> = (0..15_000)
            .map(|at| u8::from(at < offset || at >= offset + len))
            .collect();
        assert_eq!(fs.content(file), expected);
        fs.allocate(&ROOT, file, offset, len, PunchHole).unwrap();
        assert_eq!(fs.blocks(file), blocks);
        fs.assert_sound();
    }
}

/// Zeroing grows the file unless told not to; plain allocation only grows it.
#[test]
fn allocation_grows_files() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    fs.write(file, 0, &[1; 5000]);
    let before = fs.attr(file);
    let run = |offset, len, mode| {
        fs.allocate(&ROOT, file, offset, len, mode).unwrap();
        (fs.attr(file).size, fs.blocks(file))
    };
    assert_eq!(run(0, 10_000, KeepSize), (5000, 2));
    assert_eq!(run(3000, 3000, Allocate), (6000, 2));
    assert_eq!(
        fs.content(file),
        [[1; 5000].as_slice(), &[0; 1000]].concat()
    );
    assert_eq!(run(4096, 9000, ZeroRange { keep_size: true }), (6000, 1));
    assert_eq!(run(4000, 9000, ZeroRange { keep_size: false }), (13_000, 1));
    assert_eq!(
        fs.content(file),
        [[1; 4000].as_slice(), &[0; 9000]].concat()
    );
    assert!(fs.attr(file).mtime > before.mtime);
}

/// Ranges that cannot be are refused: empty ones, beyond the largest file, more than the pool has.
#[test]
fn impossible_ranges_are_refused() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let run = |ino, offset, len, mode| name_of(fs.allocate(&ROOT, ino, offset, len, mode));
    assert_eq!(run(file, 0, 0, Allocate), "Invalid");
    assert_eq!(run(file, u64::MAX, 1, PunchHole), "FileTooBig");
    assert_eq!(run(file, 1, i64::MAX as u64, PunchHole), "FileTooBig");
    assert_eq!(run(file, 0, 1 << 60, Allocate), "NoSpace");
    assert_eq!(run(file, 0, 1 << 60, KeepSize), "NoSpace");
    assert_eq!(run(Ino::ROOT, 0, 1, Allocate), "IsDirectory");
    assert_eq!(fs.attr(file).size, 0);
}

/// A file may end at the largest offset that there is: writing, cutting, seeking and punching work
/// there, and nothing goes beyond.
#[test]
fn the_largest_file_works() {
    const MOST: u64 = i64::MAX as u64;
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    fs.write(file, MOST - 5000, &[7; 5000]);
    let beyond = fs.write_file(&ROOT, file, MOST - 1, b"xy", WriteMode::default());
    assert_eq!(name_of(beyond), "FileTooBig");
    for _ in 0..2 {
        assert_eq!((fs.attr(file).size, fs.blocks(file)), (MOST, 2));
        let tail = fs.read_file(&ROOT, file, MOST - 5001, 8192).unwrap();
        assert_eq!(tail, [[0].as_slice(), &[7; 5000]].concat());
        assert_eq!(fs.seek(&ROOT, file, 0, Seek::Data).unwrap(), MOST - 8191);
        assert_eq!(fs.seek(&ROOT, file, MOST - 1, Seek::Hole).unwrap(), MOST);
        fs.checkpoint();
    }
    fs.allocate(&ROOT, file, MOST - 4096, 4096, PunchHole)
        .unwrap();
    assert_eq!(fs.blocks(file), 1);
    truncate(&fs, file, MOST - 4096);
    assert_eq!(fs.blocks(file), 1);
    truncate(&fs, file, MOST);
    truncate(&fs, file, 1);
    assert_eq!(fs.blocks(file), 0);
}

/// A caller without privileges ends suid by changing what a file holds.
#[test]
fn allocation_ends_privileges_for_users() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    fs.setattr(
        &ROOT,
        file,
        &SetAttr {
            perm: Some(0o4755),
            ..SetAttr::default()
        },
    )
    .unwrap();
    fs.allocate(&USER, file, 0, 10, Allocate).unwrap();
    assert_eq!(fs.attr(file).perm, 0o755);
}

/// Data and holes are found to the block; the end of the file is a hole, and nothing lies behind.
#[test]
fn data_and_holes_are_found() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    fs.write(file, 2 * BLOCK, &[1; 8192]);
    fs.write(file, 9 * BLOCK + 5, b"x");
    truncate(&fs, file, 20 * BLOCK);
    for _ in 0..2 {
        let seek = |offset, what| fs.seek(&ROOT, file, offset, what);
        assert_eq!(seek(0, Seek::Data).unwrap(), 2 * BLOCK);
        assert_eq!(seek(2 * BLOCK + 3, Seek::Data).unwrap(), 2 * BLOCK + 3);
        assert_eq!(seek(4 * BLOCK, Seek::Data).unwrap(), 9 * BLOCK);
        assert_eq!(name_of(seek(10 * BLOCK, Seek::Data)), "NoSuchOffset");
        assert_eq!(seek(7, Seek::Hole).unwrap(), 7);
        assert_eq!(seek(2 * BLOCK + 3, Seek::Hole).unwrap(), 4 * BLOCK);
        assert_eq!(seek(19 * BLOCK, Seek::Hole).unwrap(), 19 * BLOCK);
        assert_eq!(name_of(seek(20 * BLOCK, Seek::Hole)), "NoSuchOffset");
        assert_eq!(name_of(seek(20 * BLOCK, Seek::Data)), "NoSuchOffset");
        fs.checkpoint();
    }
    let full = fs.file(Ino::ROOT, "full");
    fs.write(full, 0, &[1; 10_000]);
    assert_eq!(fs.seek(&ROOT, full, 5, Seek::Hole).unwrap(), 10_000);
}

/// statfs tells the pool's room in the volume's blocks.
#[test]
fn statfs_counts_blocks() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    fs.write(file, 0, &[1; 10_000]);
    let stat = fs.statfs().unwrap();
    assert_eq!((stat.block_size, stat.name_max), (4096, 255));
    assert_eq!(stat.blocks - stat.blocks_free, 3);
    assert_eq!(stat.inodes - stat.inodes_free, 2);
}
