//! What databases look at before they warn about a filesystem.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr::null_mut;

use fuse_tests::Fixture;
use rustix::fs::statfs;
use rustix::mm::{Advice, MapFlags, MsyncFlags, ProtFlags, madvise, mmap, msync, munmap};

/// What statfs(2) says of any FUSE filesystem: Qdrant calls it bad without a further look.
const FUSE_TYPE: u64 = 0x6573_5546;

/// As large as the file that Qdrant tries its filesystem with.
const LENGTH: usize = 32 << 10;
const MIDDLE: usize = LENGTH / 2;
const TEXT: &[u8] = b"written through a mapping";

/// A whole file, mapped shared.
struct Mapping(*mut std::ffi::c_void);

impl Mapping {
    fn new(file: &File, protection: ProtFlags) -> Mapping {
        // SAFETY: the kernel chooses the place, and nothing else is mapped there.
        let address = unsafe { mmap(null_mut(), LENGTH, protection, MapFlags::SHARED, file, 0) };
        Mapping(address.expect("a file of a volume can be mapped"))
    }

    fn write(&self, bytes: &[u8]) {
        // SAFETY: the range lies within the mapping, which is writable and ours.
        unsafe {
            let to = self.0.cast::<u8>().add(MIDDLE);
            to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }

    fn read(&self) -> Vec<u8> {
        let mut bytes = vec![0; TEXT.len()];
        // SAFETY: the range lies within the mapping.
        unsafe {
            let from = self.0.cast::<u8>().add(MIDDLE);
            from.copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len());
        }
        bytes
    }

    fn sync(&self) {
        // SAFETY: the range is the mapping.
        unsafe { msync(self.0, LENGTH, MsyncFlags::SYNC) }.expect("msync succeeds");
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody uses it after this.
        unsafe { munmap(self.0, LENGTH) }.expect("the range is mapped");
    }
}

fn open(path: &Path) -> File {
    let mut options = File::options();
    options.read(true).write(true).create(true);
    options
        .open(path)
        .expect("a file of a volume can be opened")
}

/// The type is FUSE's, and so not the one of ext4 (0xEF53) that MongoDB looks for.
#[test]
fn a_volume_says_that_it_is_fuse() {
    let (_fixture, folder) = Fixture::mounted();
    let found = statfs(&folder).expect("a volume can be asked").f_type as u64;
    assert_eq!(found, FUSE_TYPE);
}

/// What Qdrant writes through one mapping it finds through another that was there before, by
/// read(2), after the daemon was killed, and in a new mapping then.
#[test]
fn qdrants_trial_of_mappings_succeeds() {
    let (fixture, folder) = Fixture::mounted();
    let path = folder.join(".qdrant_fs_check");
    let file = open(&path);
    file.set_len(LENGTH as u64).expect("a file can grow");
    let written = Mapping::new(&file, ProtFlags::READ | ProtFlags::WRITE);
    let seen = Mapping::new(&open(&path), ProtFlags::READ);
    // SAFETY: advice changes no content.
    unsafe { madvise(seen.0, LENGTH, Advice::Sequential) }.expect("advice is taken");
    assert_eq!(seen.read(), vec![0; TEXT.len()]);
    written.write(TEXT);
    assert_eq!(seen.read(), TEXT, "another mapping shows something else");
    let mut read = vec![0; TEXT.len()];
    file.read_exact_at(&mut read, MIDDLE as u64).unwrap();
    assert_eq!(read, TEXT, "read(2) shows something else");
    written.sync();
    drop((written, seen, file));

    fixture.kill_daemon();
    fixture.mount("data");
    assert_eq!(fs::metadata(&path).unwrap().len(), LENGTH as u64);
    assert_eq!(Mapping::new(&open(&path), ProtFlags::READ).read(), TEXT);
    fs::remove_file(&path).unwrap();
}
