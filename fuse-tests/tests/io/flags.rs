//! Flags of preadv2 and pwritev2, beside those of ext4.

use std::io::{IoSlice, IoSliceMut};
use std::path::Path;

use fuse_tests::{Fixture, HostDisk, HostFs};
use rustix::fs::OFlags;
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2};

use crate::files::{open, read_at};

const NOAPPEND: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x20);
const ATOMIC: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x40);
const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);
const UNKNOWN: ReadWriteFlags = ReadWriteFlags::from_bits_retain(1 << 30);

/// What a call returned: bytes, or the error.
type Outcome = Result<usize, Errno>;

const ALL: [(&str, ReadWriteFlags); 10] = [
    ("none", ReadWriteFlags::empty()),
    ("HIPRI", ReadWriteFlags::HIPRI),
    ("DSYNC", ReadWriteFlags::DSYNC),
    ("SYNC", ReadWriteFlags::SYNC),
    ("NOWAIT", ReadWriteFlags::NOWAIT),
    ("APPEND", ReadWriteFlags::APPEND),
    ("NOAPPEND", NOAPPEND),
    ("ATOMIC", ATOMIC),
    ("DONTCACHE", DONTCACHE),
    ("unknown", UNKNOWN),
];

fn write(folder: &Path, flags: ReadWriteFlags) -> Outcome {
    let file = open(&folder.join("f"), OFlags::empty());
    file.set_len(16_384).expect("a file can be cut");
    let (front, back) = ([b'a'; 4096], [b'b'; 4096]);
    pwritev2(
        &file,
        &[IoSlice::new(&front), IoSlice::new(&back)],
        0,
        flags,
    )
}

fn read(folder: &Path, flags: ReadWriteFlags) -> Outcome {
    let file = open(&folder.join("f"), OFlags::empty());
    // In the page cache, so that RWF_NOWAIT has no reason to refuse.
    read_at(&file, 0, 16_384);
    let (mut front, mut back) = ([0; 4096], [0; 4096]);
    let mut buffers = [IoSliceMut::new(&mut front), IoSliceMut::new(&mut back)];
    preadv2(&file, &mut buffers, 0, flags)
}

/// Each flag does on a volume what it does on ext4, but for those that ask for what FUSE in this
/// kernel has not: NOWAIT and DONTCACHE are EOPNOTSUPP, which programs must expect.
#[test]
fn flags_are_those_of_ext4() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let volume = fixture.mount("data");
    let disk = HostDisk::new(fixture.folder(), HostFs::Ext4);
    println!("{:>10} {:>24} {:>24}", "flag", "volume", "ext4");
    let refused = Err(Errno::OPNOTSUPP);
    for (name, flags) in ALL {
        let lacks = flags == ReadWriteFlags::NOWAIT || flags == DONTCACHE;
        let check = |call: &str, ours: Outcome, theirs: Outcome| {
            println!("{name:>10} {call:>8} {ours:?} {theirs:?}");
            if lacks {
                assert_eq!(ours, refused, "{call} {name}");
            } else {
                assert_eq!(ours, theirs, "{call} {name}");
            }
        };
        check("write", write(&volume, flags), write(disk.path(), flags));
        check("read", read(&volume, flags), read(disk.path(), flags));
    }
}

/// RWF_APPEND ignores the offset, and RWF_NOAPPEND the O_APPEND of the file.
#[test]
fn append_flags_choose_the_place() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data"]);
    let path = fixture.mount("data").join("f");
    std::fs::write(&path, "0123456789").expect("a new file");
    let file = open(&path, OFlags::empty());
    let put = |file, bytes: &[u8], at, flags| pwritev2(file, &[IoSlice::new(bytes)], at, flags);
    assert_eq!(put(&file, b"end", 0, ReadWriteFlags::APPEND), Ok(3));
    let appending = open(&path, OFlags::APPEND);
    assert_eq!(put(&appending, b"more", 0, ReadWriteFlags::empty()), Ok(4));
    assert_eq!(put(&appending, b"AB", 0, NOAPPEND), Ok(2));
    assert_eq!(read_at(&file, 0, 17), b"AB23456789endmore");
}
