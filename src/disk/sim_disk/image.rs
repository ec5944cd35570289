//! One file: what reads see, what the medium holds, and the effects between the two.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bytes::Bytes;
use crate::base::SplitMix64;

/// Bytes that the medium writes whole.
pub(super) const SECTOR: usize = 512;

#[derive(Clone, Default)]
pub(super) struct Image {
    pub(super) live: Bytes,
    pub(super) durable: Bytes,
    pub(super) unsynced: Vec<FileEffect>,
}

#[derive(Clone)]
pub(super) enum FileEffect {
    Write { offset: usize, bytes: Arc<Vec<u8>> },
    Length(usize),
}

/// A write's pieces, each within one sector.
fn pieces(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let first = (SECTOR - offset % SECTOR).min(bytes.len());
    let (head, rest) = bytes.split_at(first);
    let head = (!head.is_empty()).then_some((offset, head));
    let sectors = rest.chunks(SECTOR).enumerate();
    head.into_iter()
        .chain(sectors.map(move |(index, piece)| (offset + first + index * SECTOR, piece)))
}

impl Image {
    pub(super) fn write(&mut self, offset: usize, bytes: Vec<u8>) {
        let end = offset + bytes.len();
        if end > self.live.len() {
            self.unsynced.push(FileEffect::Length(end));
        }
        self.live.put(offset, &bytes);
        let bytes = Arc::new(bytes);
        self.unsynced.push(FileEffect::Write { offset, bytes });
    }

    /// As [`Image::write`], but on its way to the medium it goes to `astray`; what was there in its
    /// place stays.
    pub(super) fn write_astray(&mut self, offset: usize, bytes: Vec<u8>, astray: Option<usize>) {
        self.write(offset, bytes);
        if let Some(FileEffect::Write { bytes, .. }) = self.unsynced.pop()
            && let Some(offset) = astray
        {
            self.unsynced.push(FileEffect::Write { offset, bytes });
        }
    }

    /// What another file's write leaves here, unseen until the cache is dropped.
    pub(super) fn receive(&mut self, offset: usize, bytes: Vec<u8>) {
        let bytes = Arc::new(bytes);
        self.unsynced.push(FileEffect::Write { offset, bytes });
    }

    pub(super) fn flip(&mut self, offset: usize, mask: u8) -> bool {
        self.durable.flip(offset, mask);
        self.live.flip(offset, mask)
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.live.resize(len);
        self.unsynced.push(FileEffect::Length(len));
    }

    pub(super) fn sync(&mut self) {
        for effect in std::mem::take(&mut self.unsynced) {
            match effect {
                FileEffect::Write { offset, bytes } => self.durable.put(offset, &bytes),
                FileEffect::Length(len) => self.durable.resize(len),
            }
        }
    }

    pub(super) fn unsynced_bytes(&self) -> u64 {
        let written = |effect: &FileEffect| match effect {
            FileEffect::Write { bytes, .. } => bytes.len() as u64,
            FileEffect::Length(_) => 0,
        };
        self.unsynced.iter().map(written).sum()
    }

    pub(super) fn lose_pages(&mut self) {
        let is_length = |effect: &FileEffect| matches!(effect, FileEffect::Length(_));
        self.unsynced.retain(is_length);
    }

    /// What a reader finds after the clean pages were dropped.
    pub(super) fn reread(&mut self) {
        let mut again = self.clone();
        again.sync();
        self.live = again.durable;
    }

    /// As [`Image::survive`], with some of the sectors that were being written garbled.
    pub(super) fn survive_garbled(&self, random: &mut SplitMix64) -> Bytes {
        let mut data = self.survive(random);
        for effect in &self.unsynced {
            let FileEffect::Write { offset, bytes } = effect else {
                continue;
            };
            for (at, _) in pieces(*offset, bytes) {
                let sector = at / SECTOR * SECTOR;
                if sector < data.len() && random.chance(2) {
                    let len = SECTOR.min(data.len() - sector);
                    data.put(sector, &[0xa5; SECTOR][..len]);
                }
            }
        }
        data
    }

    /// What a power loss leaves of it.
    pub(super) fn survive(&self, random: &mut SplitMix64) -> Bytes {
        // Many losses are of one kind throughout: the medium wrote all, or none, of this file.
        let kept = [0, 50, 90, 100][random.below(4) as usize];
        let mut versions: BTreeMap<usize, u64> = BTreeMap::new();
        let mut lengths = 0;
        for effect in &self.unsynced {
            match effect {
                FileEffect::Write { offset, bytes } => {
                    for (at, _) in pieces(*offset, bytes) {
                        *versions.entry(at / SECTOR).or_default() += 1;
                    }
                }
                FileEffect::Length(_) => lengths += 1,
            }
        }
        let mut choose = |count: &mut u64| {
            if !random.chance(kept) {
                *count = if kept == 0 {
                    0
                } else {
                    random.below(*count + 1)
                };
            }
        };
        versions.values_mut().for_each(&mut choose);
        choose(&mut lengths);

        let mut data = self.durable.clone();
        let mut len = data.len();
        for effect in &self.unsynced {
            match effect {
                FileEffect::Write { offset, bytes } => {
                    for (at, piece) in pieces(*offset, bytes) {
                        let left = versions.entry(at / SECTOR).or_default();
                        if *left > 0 {
                            *left -= 1;
                            data.put(at, piece);
                        }
                    }
                }
                FileEffect::Length(new) if lengths > 0 => {
                    lengths -= 1;
                    len = *new;
                    if *new < data.len() {
                        data.resize(*new);
                    }
                }
                FileEffect::Length(_) => {}
            }
        }
        data.resize(len);
        data
    }
}
