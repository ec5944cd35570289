//! A simulated medium that loses power, is killed, dies and fails, repeatably from a seed.
//!
//! # Fault model
//!
//! Each file has a live image (what reads see: the page cache), a durable image (what the medium
//! holds) and the unsynced effects between the two, in order. Names are kept apart from files in
//! the same way.
//!
//! * **Power loss** ([`SimDisk::crash`]). Writes are cut into sectors of 512 bytes. Each sector is
//!   found as it was after any number of its unsynced writes, independently of all others: dropped,
//!   kept, torn, reordered. Bytes of one sector are never mixed from different moments, because
//!   the page cache writes whole sectors. The length is decided apart from the data: kept data
//!   beyond a lost growth is cut off, and grown space whose data is lost reads as zeros. Entries
//!   of a folder (create, remove, rename) are each kept or lost, independently, until its
//!   [`sync_dir`](Disk::sync_dir); the sync of a file does nothing for its name. A rename is
//!   atomic. A file whose name is durable but whose data never was is empty. A folder that is lost
//!   takes its entries with it.
//! * **SIGKILL** ([`SimDisk::kill`]): the live images stay, everything unsynced stays unsynced.
//! * **Death after n effects** ([`Fault::Die`]): every later call fails, which is how the moment of
//!   a power loss or a SIGKILL is put anywhere inside of an operation.
//! * **A failed sync** ([`Fault::FailSync`]): as on Linux, the pages are clean afterwards: they
//!   are readable until the cache is dropped, no later sync brings them to the medium, and no
//!   error is reported a second time. The length is kept for the next sync.
//! * **A failed write** ([`Fault::FailWrite`]): its first half has been written.
//!
//! * **A sync that does nothing** ([`SimDisk::ignore_syncs`]): volfs cannot survive it; it shows
//!   that a test would notice a missing sync.
//!
//! Otherwise what was synced is never lost or changed: rotten bits and misdirected writes are not
//! simulated here. Space is unlimited.

mod faults;
mod image;
mod medium;
mod names;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::SplitMix64;

pub(crate) use faults::Fault;
use image::Image;
use names::{EntryEffect, Names, parent};

/// See the module's text. Clones are handles of the same medium.
#[derive(Clone)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    files: BTreeMap<u64, Image>,
    live: Names,
    durable: Names,
    unsynced: Vec<EntryEffect>,
    next_file: u64,
    fault: Option<Fault>,
    is_dead: bool,
    has_failed: bool,
    effects: u64,
    lie: Option<&'static str>,
}

impl SimDisk {
    /// An empty medium.
    pub(crate) fn new() -> SimDisk {
        SimDisk::from(State::default())
    }

    fn from(state: State) -> SimDisk {
        SimDisk {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// An empty medium with the same lie.
    pub(crate) fn cleared(&self) -> SimDisk {
        SimDisk::from(State {
            lie: self.state.lock().lie,
            ..State::default()
        })
    }

    /// The medium that a power loss at this moment leaves. This one stays as it is, so that whoever
    /// still holds it can do no harm to the new one.
    pub(crate) fn crash(&self, seed: u64) -> SimDisk {
        let state = self.state.lock();
        let mut random = SplitMix64::new(seed);
        let mut names = state.durable.clone();
        let kept = [0, 50, 90, 100][random.below(4) as usize];
        for effect in &state.unsynced {
            if random.chance(kept) {
                effect.apply(&mut names);
            }
        }
        let folders = names.folders.clone();
        names
            .files
            .retain(|path, _| parent(path).is_empty() || folders.contains(parent(path)));
        let mut after = State {
            next_file: state.next_file,
            lie: state.lie,
            live: names.clone(),
            durable: names,
            ..State::default()
        };
        for file in after.live.files.values() {
            if let Some(image) = state.files.get(file) {
                let bytes = image.survive(&mut random);
                let image = Image {
                    live: bytes.clone(),
                    durable: bytes,
                    unsynced: Vec::new(),
                };
                after.files.insert(*file, image);
            }
        }
        SimDisk::from(after)
    }

    /// The medium that the death of the process leaves: the host goes on with its page cache.
    pub(crate) fn kill(&self) -> SimDisk {
        SimDisk::from(State {
            fault: None,
            is_dead: false,
            has_failed: false,
            effects: 0,
            ..self.state.lock().clone()
        })
    }

    /// From now on, and after every outage, syncs below this path are answered and do nothing:
    /// those of files whose path starts with it, or of the folder, where it is `folder/.`. So a
    /// test sees whether it would notice that a sync is missing above.
    pub(crate) fn ignore_syncs(&self, below: &'static str) {
        self.state.lock().lie = Some(below);
    }

    /// Arms a fault.
    pub(crate) fn arm(&self, fault: Fault) {
        self.state.lock().fault = Some(fault);
    }

    /// Nothing goes wrong any more, unless it has already.
    pub(crate) fn disarm(&self) {
        self.state.lock().fault = None;
    }

    /// Whether the fault that was armed has happened.
    pub(crate) fn has_failed(&self) -> bool {
        self.state.lock().has_failed
    }

    /// Effects so far: writes, lengths, syncs, and changes of names.
    pub(crate) fn effects(&self) -> u64 {
        self.state.lock().effects
    }

    /// Tells media apart by what they hold durably.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let state = self.state.lock();
        let mut hash = blake3::Hasher::new();
        for (path, file) in &state.durable.files {
            let durable = state
                .files
                .get(file)
                .map_or(&[][..], |image| &image.durable);
            hash.update(path.as_bytes());
            hash.update(&(durable.len() as u64).to_le_bytes());
            hash.update(durable);
        }
        *hash.finalize().as_bytes()
    }
}
