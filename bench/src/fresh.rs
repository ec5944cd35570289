//! Bytes that were never written before.

use std::fs;
use std::io;
use std::path::Path;

use blake3::{Hasher, OutputReader};

/// What is compressible to half of it.
const CHUNK_BYTES: usize = 4096;

/// An endless sequence of bytes, another one for each seed.
pub struct Bytes(OutputReader);

impl Bytes {
    /// Of a seed.
    pub fn of(seed: u64) -> Bytes {
        Bytes(Hasher::new().update(&seed.to_le_bytes()).finalize_xof())
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// The next so many hexadecimal digits.
    pub fn digits(&mut self, count: usize) -> String {
        let mut bytes = vec![0; count.div_ceil(2)];
        self.0.fill(&mut bytes);
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        digits.collect::<String>()[..count].to_owned()
    }

    /// Fills a buffer: the first half of each chunk of 4 KiB, the other half is zeros.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(CHUNK_BYTES) {
            let (random, zeros) = chunk.split_at_mut(chunk.len().div_ceil(2));
            self.0.fill(random);
            zeros.fill(0);
        }
    }
}

/// Makes an empty folder of what may be there already.
pub fn empty_folder(folder: &Path) -> io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A seed has its own bytes, the same each time.
    #[test]
    fn a_seed_has_its_own_bytes() {
        let of = |seed| {
            let (mut bytes, mut buffer) = (Bytes::of(seed), [1; 64]);
            bytes.fill(&mut buffer);
            (buffer, bytes.number(), bytes.digits(5))
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert_eq!(of(1).0[32..], [0; 32]);
        assert_eq!(of(1).2.len(), 5);
    }
}
