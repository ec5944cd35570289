//! Overwrites a page of two kernel pages and has the kernel send only the first of them.
//!
//! `volfs-test-half-page FILE`. Prints `half` then, and keeps the file open until it is killed. A
//! program of its own, because a close of any copy of the handle sends everything, and a test
//! whose process starts other programs hands them copies.

use std::fs::File;
use std::io::Result;
use std::os::unix::fs::FileExt;

use rustix::mm::{MapFlags, MsyncFlags, ProtFlags, mmap, msync};

const KERNEL_PAGE: usize = 4096;

fn main() -> Result<()> {
    let path = std::env::args()
        .nth(1)
        .expect("usage: volfs-test-half-page FILE");
    let mut options = File::options();
    let file = options.read(true).write(true).create_new(true).open(path)?;
    file.write_all_at(&[1; 2 * KERNEL_PAGE], 0)?;
    file.sync_all()?;
    file.write_all_at(&[2; 2 * KERNEL_PAGE], 0)?;
    // Stands for what writeback does by itself, at moments that nobody chooses.
    sync_first_half(&file)?;
    println!("half");
    loop {
        std::thread::park();
    }
}

fn sync_first_half(file: &File) -> Result<()> {
    let (access, sharing) = (ProtFlags::READ, MapFlags::SHARED);
    // SAFETY: a new mapping of a file that is long enough, never unmapped.
    unsafe {
        let half = mmap(std::ptr::null_mut(), KERNEL_PAGE, access, sharing, file, 0)?;
        msync(half, KERNEL_PAGE, MsyncFlags::SYNC)?;
    }
    Ok(())
}
