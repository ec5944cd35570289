//! Tests of reading and writing.

use super::super::{FILE_BYTES_MAX, SetAttr};
use super::*;

/// Bytes come back wherever they were written, across block borders, and holes read as zeros.
#[test]
fn written_bytes_come_back() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    fs.write(file, 10_000, b"far");
    fs.write(file, 4090, b"over the border");
    for round in 0..2 {
        assert_eq!(fs.attr(file).size, 10_003);
        assert_eq!(fs.blocks(file), 3, "round {round}");
        let content = fs.content(file);
        assert_eq!(content.len(), 10_003);
        assert_eq!(&content[4090..4105], b"over the border");
        assert_eq!(&content[10_000..], b"far");
        assert!(
            content[..4090]
                .iter()
                .chain(&content[4105..10_000])
                .all(|byte| *byte == 0)
        );
        fs.checkpoint();
    }
    assert_eq!(fs.read_file(&ROOT, file, 10_001, 100).unwrap(), b"ar");
    assert_eq!(fs.read_file(&ROOT, file, 10_003, 100).unwrap(), b"");
    assert_eq!(fs.read_file(&ROOT, file, u64::MAX, 100).unwrap(), b"");
}

/// Whatever the memory held before, a read into it shows the file: holes, stored blocks, written
/// pieces above them, of short and of long reads, within and across blocks.
#[test]
fn reads_overwrite_all_of_the_memory() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let data: Vec<u8> = (0..700_000u32).map(|at| (at / 5) as u8 | 1).collect();
    fs.write(file, 100_000, &data);
    fs.write(file, 1_000_000, b"short last block");
    fs.checkpoint();
    fs.write(file, 300_000, b"piece of a frozen layer");
    fs.bench.freeze();
    fs.write(file, 300_010, b"written piece");
    let content = fs.content(file);
    assert_eq!(&content[300_000..300_023], b"piece of awritten piece");
    for offset in [0, 1, 8192, 90_000, 299_990, 700_000, 999_999, 1_000_015] {
        for len in [1, 5000, 20_000, 200_000, 1 << 20] {
            let mut memory = vec![0xaa; len];
            let read = fs.read_file_into(&ROOT, file, offset as u64, &mut memory, false);
            let read = read.unwrap();
            let expected = &content[offset..content.len().min(offset + len)];
            assert!(memory[..read] == *expected, "{len} bytes at {offset}");
            assert!(memory[read..].iter().all(|&byte| byte == 0xaa));
        }
    }
}

/// Small and large writes agree on the content and on the number of blocks, aligned or not.
#[test]
fn large_writes_equal_small_ones() {
    let fs = Fixture::new();
    let data: Vec<u8> = (0..300_000u32).map(|at| (at / 7) as u8 | 1).collect();
    for offset in [0, 1, 4095, 4096, 70_000] {
        let large = fs.file(Ino::ROOT, &format!("large{offset}"));
        let small = fs.file(Ino::ROOT, &format!("small{offset}"));
        fs.write(large, offset, &data);
        for (number, part) in data.chunks(5000).enumerate() {
            fs.write(small, offset + number as u64 * 5000, part);
        }
        assert_eq!(fs.content(large), fs.content(small));
        assert_eq!(fs.blocks(large), fs.blocks(small));
        let first = offset / BLOCK;
        assert_eq!(fs.blocks(large), (offset + 300_000).div_ceil(BLOCK) - first);
    }
}

/// Whole blocks of zeros take no room, in small and large writes, and give back what was there.
#[test]
fn zeros_take_no_room() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    fs.write(file, 0, &[0; 8192]);
    fs.write(file, 8192, &[0; 200_000]);
    assert_eq!((fs.attr(file).size, fs.blocks(file)), (208_192, 1));
    fs.write(file, 0, &[7; 200_000]);
    assert_eq!(fs.blocks(file), 50);
    fs.checkpoint();
    fs.write(file, 4096, &[0; 4096]);
    assert_eq!(fs.blocks(file), 49);
    fs.write(file, 8192, &[0; 80_000]);
    assert_eq!(fs.blocks(file), 30);
    let content = fs.content(file);
    assert!(content[..4096].iter().all(|byte| *byte == 7));
    assert!(content[4096..88_192].iter().all(|byte| *byte == 0));
}

/// A write beyond the largest file is refused, at its border it is not.
#[test]
fn files_end_at_their_limit() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let write = |offset| name_of(fs.write_file(&ROOT, file, offset, b"xy", WriteMode::default()));
    assert_eq!(write(FILE_BYTES_MAX - 1), "FileTooBig");
    assert_eq!(write(u64::MAX), "FileTooBig");
    assert_eq!(write(FILE_BYTES_MAX - 2), "Ok(())");
    assert_eq!(
        fs.read_file(&ROOT, file, FILE_BYTES_MAX - 3, 9).unwrap(),
        b"\0xy"
    );
    let other = |ino| name_of(fs.write_file(&ROOT, ino, 0, b"x", WriteMode::default()));
    assert_eq!(other(Ino::ROOT), "IsDirectory");
    assert_eq!(other(Ino(999)), "NotFound");
}

/// Times move with a write, not with one from the kernel's writeback, which sets them itself.
#[test]
fn times_move_with_writes() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let before = fs.attr(file);
    let writeback = WriteMode {
        writeback: true,
        ..WriteMode::default()
    };
    fs.write_file(&ROOT, file, 0, b"x", writeback).unwrap();
    let after = fs.attr(file);
    assert_eq!(
        (after.mtime, after.ctime, after.size),
        (before.mtime, before.ctime, 1)
    );
    fs.write(file, 0, b"x");
    let after = fs.attr(file);
    assert!(after.mtime > before.mtime && after.ctime == after.mtime);
    assert_eq!(after.atime, before.atime);
}

/// A write that must end privileges clears suid, sgid and capabilities; another does not.
#[test]
fn flagged_writes_end_privileges() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    let suid = SetAttr {
        perm: Some(0o6755),
        ..SetAttr::default()
    };
    fs.setattr(&ROOT, file, &suid).unwrap();
    let mode = super::super::XattrMode::Any;
    fs.setxattr(&ROOT, file, b"security.capability", b"caps", mode)
        .unwrap();
    let write = |kill_priv| {
        let mode = WriteMode {
            writeback: true,
            kill_priv,
            ..WriteMode::default()
        };
        fs.write_file(&ROOT, file, 0, b"x", mode).unwrap();
        fs.attr(file).perm
    };
    assert_eq!(write(false), 0o6755);
    assert_eq!(write(true), 0o755);
    assert_eq!(fs.listxattr(&ROOT, file).unwrap(), b"");
}

/// The kernel's write of a page that is there is one record of its bytes and little more.
#[test]
fn a_small_overwrite_is_one_change() {
    let fs = Fixture::new();
    let file = fs.file(Ino::ROOT, "f");
    fs.write(file, 0, &[1; 8192]);
    let before = fs.attr(file);
    fs.checkpoint();
    let writeback = WriteMode {
        writeback: true,
        ..WriteMode::default()
    };
    fs.write_file(&ROOT, file, 4096, &[2; 4096], writeback)
        .unwrap();
    assert_eq!(fs.attr(file), before);
    let layer = fs.bench.freeze();
    let (changes, _) = layer.unsealed().unwrap();
    let keys: Vec<_> = changes.points().map(|(key, _)| *key).collect();
    assert_eq!(keys, [crate::volume::keys::block(file, 1)]);
}
