//! Short forms for files of a test.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// 1 MiB.
pub const MIB: u64 = 1 << 20;

/// Opens a file to be read and written, with more flags, and makes it if it is missing.
#[track_caller]
pub fn open(path: &Path, flags: OFlags) -> File {
    let mut options = File::options();
    options.read(true).write(true).create(true);
    options.custom_flags(flags.bits() as i32);
    options.open(path).expect("the file can be opened")
}

/// Bytes without a zero that differ from place to place and compress badly.
pub fn sample(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let byte = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8 | 1
    };
    (0..len).map(byte).collect()
}

/// A range of a file, which must be there whole.
#[track_caller]
pub fn read_at(file: &File, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![1; len];
    file.read_exact_at(&mut bytes, at)
        .expect("the range is there");
    bytes
}

/// Whether a range of a file is zeros.
#[track_caller]
pub fn is_zero(file: &File, at: u64, len: usize) -> bool {
    read_at(file, at, len).iter().all(|byte| *byte == 0)
}
