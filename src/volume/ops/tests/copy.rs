//! Tests of copy_range.

use super::super::FILE_BYTES_MAX;
use super::*;

const MIB: u64 = 1 << 20;

fn sample(len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| (at / 5 % 251) as u8 + 1).collect()
}

/// Aligned copies of what is in the tree share its blocks, tail included; of what is in memory
/// they copy the bytes. Both give the same content and count.
#[test]
fn aligned_copies_equal_their_source() {
    let fs = Fixture::new();
    let data = sample(3 * MIB as usize + 1000);
    let source = fs.file(Ino::ROOT, "source");
    fs.write(source, 0, &data);
    fs.write(source, 8192, &[9; 100]);
    for round in 0..2 {
        let target = fs.file(Ino::ROOT, &format!("target{round}"));
        let copied = fs
            .copy_range(&ROOT, (source, 0), (target, 0), u64::MAX)
            .unwrap();
        assert_eq!(copied, 3 * MIB + 1000);
        assert_eq!(fs.content(target), fs.content(source));
        assert_eq!(fs.blocks(target), fs.blocks(source));
        fs.checkpoint();
    }
    fs.write(source, 0, b"changed");
    let target = fs.find(Ino::ROOT, "target1").unwrap();
    assert_eq!(fs.content(target)[..10], data[..10]);
}

/// Any alignment gives the bytes that a read and a write would.
#[test]
fn unaligned_copies_equal_read_and_write() {
    let fs = Fixture::new();
    let data = sample(50_000);
    let source = fs.file(Ino::ROOT, "source");
    fs.write(source, 0, &data);
    fs.checkpoint();
    let cases = [
        (0, 0, 50_000),
        (0, 1, 50_000),
        (5, 5, 30_000),
        (4095, 8191, 9000),
        (100, 200, 1),
        (0, 0, 4097),
    ];
    for (number, (from, to, len)) in cases.into_iter().enumerate() {
        let target = fs.file(Ino::ROOT, &format!("target{number}"));
        fs.write(target, 0, &[7; 60_000]);
        let mut expected = vec![7; 60_000];
        let copied = fs
            .copy_range(&ROOT, (source, from), (target, to), len)
            .unwrap();
        assert_eq!(copied, len);
        expected[to as usize..(to + len) as usize]
            .copy_from_slice(&data[from as usize..(from + len) as usize]);
        assert!(fs.content(target) == expected, "case {number}");
        fs.assert_sound();
    }
}

/// Holes are copied as holes, also over data.
#[test]
fn holes_stay_holes() {
    let fs = Fixture::new();
    let (source, target) = (fs.file(Ino::ROOT, "s"), fs.file(Ino::ROOT, "t"));
    fs.write(source, 40 * BLOCK, b"end");
    fs.write(target, 0, &[7; 81_920]);
    fs.checkpoint();
    fs.copy_range(&ROOT, (source, 0), (target, 0), 10 * BLOCK)
        .unwrap();
    assert_eq!(fs.blocks(target), 10);
    assert!(fs.content(target)[..40_960].iter().all(|byte| *byte == 0));
    fs.copy_range(&ROOT, (source, 0), (target, 0), u64::MAX)
        .unwrap();
    assert_eq!(fs.blocks(target), 1);
    assert_eq!(fs.attr(target).size, 40 * BLOCK + 3);
}

/// A hole is one step however long it is, and its end is found: what lies behind it is copied, what
/// the target had there is gone.
#[test]
fn long_holes_are_copied_at_once() {
    let fs = Fixture::new();
    let (source, target) = (fs.file(Ino::ROOT, "s"), fs.file(Ino::ROOT, "t"));
    let (hole, after) = (16 << 40, (16 << 40) + 3 * BLOCK);
    fs.write(source, 0, b"front");
    fs.write(source, hole, &sample(3 * BLOCK as usize));
    fs.write(source, 2 * hole, b"back");
    for at in [BLOCK, 5000 * BLOCK, hole - BLOCK, after] {
        fs.write(target, at, &[7; BLOCK as usize]);
    }
    fs.checkpoint();
    let copied = fs.copy_range(&ROOT, (source, 0), (target, 0), u64::MAX);
    assert_eq!(copied.unwrap(), 2 * hole + 4);
    assert_eq!(fs.blocks(target), fs.blocks(source));
    for (at, len) in [(0, 20_000), (hole - BLOCK, 20_000), (2 * hole - 100, 200)] {
        let read = |ino| fs.read_file(&ROOT, ino, at, len).unwrap();
        assert!(read(target) == read(source), "at {at}");
    }
}

/// A hole that ends within the target's last block leaves what lies behind it.
#[test]
fn a_hole_within_the_target_ends_where_it_should() {
    let fs = Fixture::new();
    let (source, target) = (fs.file(Ino::ROOT, "s"), fs.file(Ino::ROOT, "t"));
    fs.write(source, 2000 * BLOCK + 100, b"x");
    fs.write(target, 0, &[7; 3 * BLOCK as usize]);
    fs.checkpoint();
    let len = 2 * BLOCK + 50;
    assert_eq!(
        fs.copy_range(&ROOT, (source, 0), (target, 0), len).unwrap(),
        len
    );
    let mut expected = vec![0; len as usize];
    expected.resize(3 * BLOCK as usize, 7);
    assert_eq!(fs.content(target), expected);
}

/// Within a file ranges may not overlap; apart they may be copied. Nothing is copied from behind
/// the end.
#[test]
fn a_file_is_copied_within_itself() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let data = sample(10_000);
    fs.write(file, 0, &data);
    fs.checkpoint();
    let copy = |from, to, len| fs.copy_range(&ROOT, (file, from), (file, to), len);
    assert_eq!(name_of(copy(0, 4096, 8192)), "Invalid");
    assert_eq!(name_of(copy(4096, 0, 8192)), "Invalid");
    assert_eq!(copy(10_000, 0, 5).unwrap(), 0);
    assert_eq!(copy(0, 12_288, 10_000).unwrap(), 10_000);
    let expected = [&data, [0; 2288].as_slice(), &data].concat();
    assert!(fs.content(file) == expected);
}

/// Folders and files too large are refused.
#[test]
fn impossible_copies_are_refused() {
    let fs = Fixture::new();
    let (source, target) = (fs.file(Ino::ROOT, "s"), fs.file(Ino::ROOT, "t"));
    fs.write(source, 0, b"xyz");
    let copy = |from, to| name_of(fs.copy_range(&ROOT, from, to, 3));
    assert_eq!(copy((source, 0), (Ino::ROOT, 0)), "IsDirectory");
    assert_eq!(copy((Ino::ROOT, 0), (target, 0)), "IsDirectory");
    let most = FILE_BYTES_MAX;
    assert_eq!(copy((source, 0), (target, most)), "FileTooBig");
    assert_eq!(copy((source, 0), (target, most - 2)), "Ok(2)");
    assert_eq!(fs.attr(target).size, most);
}
