//! Bytes of a file, in pages that copies share until one of them is written to.

use std::sync::{Arc, OnceLock};

use xxhash_rust::xxh3::xxh3_64;

/// Unit of sharing in bytes; a multiple of a sector.
const PAGE: usize = 4096;

/// Bytes like those of a `Vec<u8>`, whose copies cost nothing. What was never written is zeros.
#[derive(Clone, Default)]
pub(super) struct Bytes {
    pages: Arc<Vec<Option<Arc<Page>>>>,
    len: usize,
}

struct Page {
    bytes: [u8; PAGE],
    hash: OnceLock<u64>,
}

impl Clone for Page {
    /// The copy is about to be changed.
    fn clone(&self) -> Page {
        Page {
            bytes: self.bytes,
            hash: OnceLock::new(),
        }
    }
}

/// The parts of a range within one page each: page, first byte in it, bytes.
fn parts(offset: usize, len: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let end = offset + len;
    let mut at = offset;
    std::iter::from_fn(move || {
        let (page, first) = (at / PAGE, at % PAGE);
        let part = (PAGE - first).min(end - at);
        at += part;
        (part > 0).then_some((page, first, part))
    })
}

impl Bytes {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Copies from `offset` on into `buf`, as much as there is; how many bytes.
    pub(super) fn read(&self, offset: usize, buf: &mut [u8]) -> usize {
        let len = self.len.saturating_sub(offset).min(buf.len());
        let mut rest = &mut buf[..len];
        for (page, first, part) in parts(offset, len) {
            let (here, behind) = rest.split_at_mut(part);
            match &self.pages[page] {
                Some(page) => here.copy_from_slice(&page.bytes[first..first + part]),
                None => here.fill(0),
            }
            rest = behind;
        }
        len
    }

    /// Writes, and lengthens where that is needed.
    pub(super) fn put(&mut self, offset: usize, new: &[u8]) {
        if self.len < offset + new.len() {
            self.resize(offset + new.len());
        }
        let mut rest = new;
        for (page, first, part) in parts(offset, new.len()) {
            let (here, behind) = rest.split_at(part);
            if self.pages[page].is_some() || here.iter().any(|byte| *byte != 0) {
                self.page(page)[first..first + part].copy_from_slice(here);
            }
            rest = behind;
        }
    }

    /// Cuts off, or adds zeros.
    pub(super) fn resize(&mut self, len: usize) {
        let pages = len.div_ceil(PAGE);
        if len < self.len && !len.is_multiple_of(PAGE) && self.pages[pages - 1].is_some() {
            self.page(pages - 1)[len % PAGE..].fill(0);
        }
        self.len = len;
        if self.pages.len() != pages {
            Arc::make_mut(&mut self.pages).resize(pages, None);
        }
    }

    /// Turns over the bits of `mask`; false where there is no such byte.
    pub(super) fn flip(&mut self, offset: usize, mask: u8) -> bool {
        if offset >= self.len {
            return false;
        }
        self.page(offset / PAGE)[offset % PAGE] ^= mask;
        true
    }

    /// Tells contents apart.
    pub(super) fn hash(&self) -> u64 {
        let mut hashes = vec![self.len as u64];
        hashes.extend(self.pages.iter().map(|page| match page {
            Some(page) => *page.hash.get_or_init(|| xxh3_64(&page.bytes)),
            None => 0,
        }));
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
        xxh3_64(&bytes)
    }

    /// A page that is this one's own.
    fn page(&mut self, page: usize) -> &mut [u8; PAGE] {
        let page = Arc::make_mut(&mut self.pages)[page].get_or_insert_with(|| {
            Arc::new(Page {
                bytes: [0; PAGE],
                hash: OnceLock::new(),
            })
        });
        let page = Arc::make_mut(page);
        page.hash = OnceLock::new();
        &mut page.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SplitMix64;

    fn all(bytes: &Bytes) -> Vec<u8> {
        let mut all = vec![1; bytes.len()];
        assert_eq!(bytes.read(0, &mut all), all.len());
        all
    }

    /// Random changes do to these bytes what they do to plain ones, and nothing to copies.
    #[test]
    fn they_are_as_plain_ones() {
        let mut random = SplitMix64::new(7);
        let (mut bytes, mut plain) = (Bytes::default(), Vec::new());
        for _ in 0..3000 {
            let (copy, before) = (bytes.clone(), plain.clone());
            let at = random.below(20_000) as usize;
            match random.below(4) {
                0 => {
                    bytes.resize(at);
                    plain.resize(at, 0);
                }
                1 => {
                    let done = bytes.flip(at, 3);
                    assert_eq!(done, at < plain.len());
                    plain
                        .iter_mut()
                        .skip(at)
                        .take(1)
                        .for_each(|byte| *byte ^= 3);
                }
                _ => {
                    let len = random.below(9000) as usize;
                    let new = match random.chance(30) {
                        true => vec![0; len],
                        false => random.bytes(len),
                    };
                    bytes.put(at, &new);
                    plain.resize(plain.len().max(at + len), 0);
                    plain[at..at + len].copy_from_slice(&new);
                }
            }
            assert!(all(&bytes) == plain);
            assert!(all(&copy) == before);
        }
    }

    /// Equal contents have equal hashes after a change and its opposite; others have not.
    #[test]
    fn hashes_follow_the_content() {
        let mut bytes = Bytes::default();
        bytes.put(5000, &[7; 6000]);
        let before = bytes.hash();
        assert!(bytes.flip(9000, 1));
        assert_ne!(bytes.hash(), before);
        assert!(bytes.flip(9000, 1));
        assert_eq!(bytes.hash(), before);
        bytes.resize(20_000);
        assert_ne!(bytes.hash(), before);
    }
}
