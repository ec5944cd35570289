//! A pool on a disk that becomes full under a mounted volume, and gets room again.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fuse_tests::Fixture;
use fuse_tests::fixture::text;
use fuse_tests::run::{eventually, run};
use rustix::fs::statvfs;

/// Exit code of `df` while the disk is low.
const LOW: i32 = 8;
const PAGE: usize = 8192;
const MIB: u64 = 1 << 20;

/// A small disk under the fixture's pool; detached when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn below(fixture: &Fixture) -> SmallDisk {
        let pool = fixture.pool().to_owned();
        fs::create_dir(&pool).unwrap();
        let options = ["-t", "tmpfs", "-o", "size=160m,mode=700", "small"];
        run(Command::new("mount").args(options).arg(&pool)).ok();
        SmallDisk(pool)
    }

    fn free(&self) -> u64 {
        let stat = statvfs(&self.0).unwrap();
        stat.f_bavail * stat.f_frsize
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

/// Bytes that do not compress.
fn page(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..PAGE).map(step).collect()
}

/// Writes a page and syncs it, as a database commits.
fn commit(file: &File, number: u64) -> io::Result<()> {
    file.write_all_at(&page(number), number * PAGE as u64)?;
    file.sync_data()
}

fn assert_committed(path: &Path, pages: u64) {
    let content = fs::read(path).unwrap();
    for number in 0..pages {
        let at = number as usize * PAGE;
        assert!(content[at..at + PAGE] == page(number), "page {number}");
    }
}

/// On a full disk a database's commits end with "no space", all that were answered stay, files can
/// be removed and truncated and volumes removed; nothing is poisoned. Once there is room, commits
/// go on by themselves, and the pool is whole.
#[test]
fn commits_end_with_no_space_and_go_on_with_room() {
    let fixture = Fixture::with_limit(Duration::from_secs(300));
    let disk = SmallDisk::below(&fixture);
    fixture.ok(&["volume", "create", "data"]);
    fixture.ok(&["volume", "create", "other"]);
    let mount = fixture.mount("data");
    for name in ["removed", "truncated"] {
        fs::write(mount.join(name), page(7).repeat(100)).unwrap();
        File::open(mount.join(name)).unwrap().sync_all().unwrap();
    }
    let ballast = disk.0.join("ballast");
    let bytes = disk.free().saturating_sub(24 * MIB);
    fs::write(&ballast, vec![0; bytes as usize]).unwrap();

    let wal = mount.join("wal");
    let file = File::create(&wal).unwrap();
    let refused = (0..100_000).find_map(|number| Some((number, commit(&file, number).err()?)));
    let (committed, error) = refused.expect("the disk becomes full");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
    assert!(committed > 100, "{committed} commits");
    drop(file);
    fs::remove_file(mount.join("removed")).unwrap();
    let truncated = File::options().write(true).open(mount.join("truncated"));
    truncated.unwrap().set_len(10).unwrap();
    File::open(&mount).unwrap().sync_all().unwrap();
    fixture.ok(&["volume", "rm", "other"]);
    let inspected = fixture.inspect(&["volume", "inspect", "data"]);
    assert!(inspected["Poisoned"].is_null(), "{inspected}");
    let told = fixture.volfs(&["df"]).expect_code(LOW).stdout;
    assert!(told.contains("free") && told.contains("data"), "{told}");

    fs::remove_file(&ballast).unwrap();
    let file = File::options().write(true).open(&wal).unwrap();
    eventually("commits go on", Duration::from_secs(60), || {
        commit(&file, committed).is_ok()
    });
    for number in committed..committed + 200 {
        commit(&file, number).unwrap();
    }
    drop(file);
    assert_committed(&wal, committed + 200);
    fixture.ok(&["daemon", "stop"]);
    let mount = fixture.mount("data");
    assert_committed(&mount.join("wal"), committed + 200);
    assert_eq!(fs::metadata(mount.join("truncated")).unwrap().len(), 10);
    assert!(!mount.join("removed").exists(), "{}", text(&mount));
    fixture.ok(&["check"]);
    fixture.ok(&["daemon", "stop"]);
}
