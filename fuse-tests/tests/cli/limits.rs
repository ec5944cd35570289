//! Volumes with a limit.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::chance::random;
use fuse_tests::run::eventually;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::{USAGE, assert_says};

const MIB: u64 = 1 << 20;

fn assert_full<T: std::fmt::Debug>(result: io::Result<T>) {
    let error = result.expect_err("the volume is at its limit");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
}

/// Total and free bytes as `df` shows them.
fn sizes(folder: &Path) -> (u64, u64) {
    let stat = statvfs(folder).unwrap();
    (stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize)
}

/// The limit is the size that `df` shows. At it direct writes, fallocate, new files and growing
/// files are refused at once; overwrites, fsync and removals go on. A higher limit takes effect
/// while the volume is mounted; one below what is there is refused with the numbers.
#[test]
fn a_limit_is_kept_and_can_be_raised() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data", "--size", "16M"]);
    let folder = fixture.mount("data");
    let (total, free) = sizes(&folder);
    assert_eq!(total, 16 * MIB);
    assert!(free > 15 * MIB);
    let path = folder.join("file");
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    let direct = options
        .clone()
        .custom_flags(libc::O_DIRECT)
        .open(&path)
        .unwrap();
    let page = Aligned(random(1, 4096).try_into().unwrap());
    for number in 0..4096 {
        direct.write_all_at(&page.0, number * 4096).unwrap();
    }
    assert_eq!(sizes(&folder).1, 0);
    assert_full(direct.write_all_at(&page.0, 16 * MIB));
    direct.write_all_at(&page.0, 0).unwrap();
    direct.sync_all().unwrap();
    assert_full(fallocate(&direct, FallocateFlags::empty(), 16 * MIB, MIB).map_err(Into::into));
    assert_full(direct.set_len(32 * MIB));
    assert_full(File::create(folder.join("new")));
    assert_full(fs::create_dir(folder.join("folder")));
    drop(direct);

    let below = fixture.fails(USAGE, &["volume", "set", "data", "size=8M"]);
    assert_says(&below, &["16777216 bytes already", "8388608"]);
    fixture.ok(&["volume", "set", "data", "size=24M"]);
    assert_eq!(sizes(&folder).0, 24 * MIB);
    fs::write(folder.join("new"), random(2, MIB)).unwrap();
    fs::remove_file(&path).unwrap();
    // The kernel lets go of a removed file at its own time.
    eventually("its room is back", Duration::from_secs(20), || {
        sizes(&folder).1 > 22 * MIB
    });
    fixture.ok(&["volume", "set", "data", "size=none"]);
    assert!(sizes(&folder).0 > 24 * MIB);
    fixture.fails(USAGE, &["volume", "set", "data", "size=much"]);
    fixture.fails(USAGE, &["volume", "set", "data"]);
}

#[repr(align(4096))]
struct Aligned([u8; 4096]);

/// Pages that the kernel has accepted before the limit was reached are not lost: they are written
/// out beyond it, and fsync succeeds.
#[test]
fn accepted_pages_are_not_lost_at_the_limit() {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data", "--size", "8M"]);
    let folder = fixture.mount("data");
    let content = random(3, 12 * MIB);
    let mut file = File::create(folder.join("file")).unwrap();
    file.write_all(&content).unwrap();
    file.sync_all().unwrap();
    assert_full(File::create(folder.join("new")));
    drop(file);
    fixture.umount("data");
    let folder = fixture.mount("data");
    assert!(fs::read(folder.join("file")).unwrap() == content);
    assert_full(File::create(folder.join("new")));
    fs::remove_file(folder.join("file")).unwrap();
    eventually("its room is back", Duration::from_secs(20), || {
        File::create(folder.join("new")).is_ok()
    });
    fixture.ok(&["check"]);
}
