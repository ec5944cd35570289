//! Where reading, writing and allocating differ from ext4: each has a row in docs/semantics.md.

use std::fs::{self, File};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use fuse_tests::promises::Page;
use fuse_tests::{Beside, Difference};
use rustix::fs::{FallocateFlags, OFlags, SeekFrom, fallocate, seek};
use rustix::io::{ReadWriteFlags, preadv2};

use crate::files::{MIB, open, sample};

const TIB: u64 = 1 << 40;
const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

/// A file of a name with this content, which is stored.
fn stored(path: &Path, content: &[u8], flags: OFlags) -> File {
    fs::write(path, content).expect("a new file");
    File::open(path).expect("it").sync_all().expect("fsync");
    open(path, flags)
}

/// Reads what lies in the page cache.
fn read_with(file: &File, flags: ReadWriteFlags) -> io::Result<usize> {
    let mut bytes = [0; 4096];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(preadv2(file, &mut [IoSliceMut::new(&mut bytes)], 0, flags)?)
}

/// All that docs/semantics.md tells of them, and nothing else of what is asked here.
#[test]
fn data_differs_from_ext4_where_it_is_told() {
    let row = |row, call, ext4, volfs| Difference {
        row,
        call,
        ext4,
        volfs,
    };
    let flags = "RWF_NOWAIT, RWF_DONTCACHE";
    let direct = "O_DIRECT at odd offsets, lengths and addresses";
    let largest = "the largest file";
    let allocated = "`st_blocks` after fallocate";
    let zeros = "SEEK_DATA in a whole block of zeros that was written";
    let differences = [
        row(flags, "RWF_NOWAIT", "4096", "EOPNOTSUPP"),
        row(flags, "RWF_DONTCACHE", "4096", "EOPNOTSUPP"),
        row(direct, "write at an odd offset", "EINVAL", "4096"),
        row(direct, "write an odd length", "EINVAL", "511"),
        row(direct, "write from an odd address", "EINVAL", "4095"),
        row(direct, "read at an odd offset", "EINVAL", "4096"),
        row(direct, "read an odd length", "EINVAL", "511"),
        row(direct, "read to an odd address", "EINVAL", "4095"),
        row(largest, "grow to 16 TiB", "EFBIG", "ok"),
        row(largest, "write at 16 TiB", "EFBIG", "1"),
        row(largest, "grow to the largest offset", "EFBIG", "ok"),
        row("fallocate of 2^62 bytes", "2^62 bytes", "EFBIG", "ENOSPC"),
        row(allocated, "blocks that fallocate adds", "2048", "0"),
        row(zeros, "SEEK_DATA in zeros", "0", "ENXIO"),
        row(zeros, "blocks of zeros", "true", "false"),
        row(
            "mtime shown of a file that is written with O_DIRECT",
            "mtime while it is open",
            "true",
            "false",
        ),
        row(
            "times after 2446",
            "the year 5000",
            "15032385535",
            "95617584000",
        ),
    ];
    let beside = Beside::new();
    beside.compare_except(&differences, |root, seen| {
        let path = |name: &str| root.join(name);
        let page = Page([1; 4096]);
        let file = stored(&path("flags"), &page.0, OFlags::empty());
        seen.value("no flag", read_with(&file, ReadWriteFlags::empty()));
        seen.value("RWF_NOWAIT", read_with(&file, ReadWriteFlags::NOWAIT));
        seen.value("RWF_DONTCACHE", read_with(&file, DONTCACHE));

        let file = stored(&path("direct"), &[2; 16_384], OFlags::DIRECT);
        let mut page = page;
        seen.value("write in pages", file.write_at(&page.0, 4096));
        seen.value("write at an odd offset", file.write_at(&page.0, 1));
        seen.value("write an odd length", file.write_at(&page.0[..511], 0));
        seen.value("write from an odd address", file.write_at(&page.0[1..], 0));
        seen.value("read in pages", file.read_at(&mut page.0, 4096));
        seen.value("read at an odd offset", file.read_at(&mut page.0, 1));
        seen.value("read an odd length", file.read_at(&mut page.0[..511], 0));
        seen.value("read to an odd address", file.read_at(&mut page.0[1..], 0));

        let file = open(&path("large"), OFlags::empty());
        seen.call("grow to 8 TiB", file.set_len(8 * TIB));
        seen.call("grow to 16 TiB", file.set_len(16 * TIB));
        seen.value("write at 16 TiB", file.write_at(b"x", 16 * TIB));
        let largest = file.set_len(i64::MAX as u64);
        seen.call("grow to the largest offset", largest);
        let empty = FallocateFlags::empty();
        seen.call("2^62 bytes", fallocate(&file, empty, 0, 1 << 62));
        seen.call("cut", file.set_len(0));

        let file = stored(&path("allocated"), &sample(1, 65_536), OFlags::empty());
        let blocks = || file.metadata().expect("it is open").blocks();
        let before = blocks();
        seen.call("allocate", fallocate(&file, empty, 65_536, MIB));
        file.sync_all().expect("fsync");
        seen.fact("blocks that fallocate adds", blocks() - before);
        let data = seek(&file, SeekFrom::Data(65_536));
        seen.value("SEEK_DATA in what was allocated", data);

        let file = stored(&path("zeros"), &[0; 65_536], OFlags::empty());
        seen.value("SEEK_DATA in zeros", seek(&file, SeekFrom::Data(0)));
        drop(file);
        let zeros = fs::metadata(path("zeros")).map(|it| it.blocks() >= 128);
        seen.value("blocks of zeros", zeros);

        let file = stored(&path("time"), &[2; 4096], OFlags::DIRECT);
        file.set_modified(UNIX_EPOCH).expect("it is ours");
        let mtime = || fs::metadata(path("time")).expect("it is there").mtime();
        seen.value("write O_DIRECT", file.write_at(&page.0, 0));
        seen.fact("mtime while it is open", mtime() > 0);

        let year_5000 = UNIX_EPOCH + Duration::from_secs(95_617_584_000);
        file.set_modified(year_5000).expect("it is ours");
        seen.fact("the year 5000", mtime());
    });
}
