//! A file's bytes in memory.

use std::ffi::c_void;
use std::fs::File;
use std::io;

use rustix::mm::{MapFlags, MsyncFlags, ProtFlags, mmap, msync, munmap};

const PAGE: u64 = 4096;

/// Whether stores reach the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// MAP_SHARED.
    Shared,
    /// MAP_PRIVATE.
    Private,
}

/// A mapped range; unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    start: *mut c_void,
    length: usize,
    /// Bytes before the range asked for: mappings begin at pages.
    lead: usize,
}

impl Mapping {
    /// Maps `len` bytes at `at`, to be read and written.
    pub fn new(file: &File, share: Share, at: u64, len: usize) -> io::Result<Mapping> {
        let lead = (at % PAGE) as usize;
        let flags = match share {
            Share::Shared => MapFlags::SHARED,
            Share::Private => MapFlags::PRIVATE,
        };
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let (length, offset) = (len + lead, at - lead as u64);
        // SAFETY: a new mapping at a place of the kernel's choice, which only this value unmaps.
        let start = unsafe { mmap(std::ptr::null_mut(), length, access, flags, file, offset)? };
        Ok(Mapping {
            start,
            length,
            lead,
        })
    }

    /// Copies the range, or its first bytes.
    pub fn read(&self, bytes: &mut [u8]) {
        assert!(bytes.len() <= self.length - self.lead);
        // SAFETY: the mapping is that long, and other users of the memory are outside of Rust.
        unsafe {
            let start = self.start.cast::<u8>().add(self.lead);
            start.copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len());
        }
    }

    /// Stores bytes at an offset within the range.
    pub fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.length - self.lead);
        // SAFETY: as in `read`.
        unsafe {
            let start = self.start.cast::<u8>().add(self.lead + at);
            start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }

    /// msync of the whole mapping.
    pub fn sync(&self, flags: MsyncFlags) -> io::Result<()> {
        // SAFETY: the range is mapped.
        Ok(unsafe { msync(self.start, self.length, flags) }?)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nobody refers to the range any more.
        let unmapped = unsafe { munmap(self.start, self.length) };
        unmapped.expect("the range is mapped");
    }
}
