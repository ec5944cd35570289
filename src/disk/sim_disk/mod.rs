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
//!   In journal files a sector that was being written may also be found garbled; elsewhere volfs
//!   relies on sectors that are written wholly or not at all.
//! * **SIGKILL** ([`SimDisk::kill`]): the live images stay, everything unsynced stays unsynced.
//! * **Death after n effects** ([`Fault::Die`]): every later call fails, which is how the moment of
//!   a power loss or a SIGKILL is put anywhere inside of an operation.
//! * **A failed sync** ([`Fault::FailSync`]): as on Linux, the pages are clean afterwards: they
//!   are readable until the cache is dropped, no later sync brings them to the medium, and no
//!   error is reported a second time. The length is kept for the next sync.
//! * **A failed sync of a folder** ([`Fault::FailFolderSync`]): its names stay unsynced.
//!   (A journaling filesystem that loses names for good takes no more changes at all.)
//! * **A failed write** ([`Fault::FailWrite`]): its first half has been written.
//! * **A failed read** ([`Fault::FailRead`]): an error, and nothing else.
//! * **A full medium** ([`Fault::Full`], [`SimDisk::set_capacity`]): what needs room gets ENOSPC: a
//!   new file, a longer one. A write gets the part that still fits. Overwriting needs no room, but
//!   for the one write that [`Fault::FullWrite`] refuses after its first half; removing a file
//!   makes some. [`Disk::space`] tells what is free.
//! * **Interruptions** ([`Rates::interrupted`]): EINTR and EAGAIN before a call does anything.
//!
//! [`Rates`] let the same happen at random throughout.
//!
//! volfs survives all of that: nothing synced is lost, nothing wrong is read, and at most the calls
//! that failed, and what depends on them, answer errors. The following it can only detect, and so
//! contain: wrong bytes are never given out, what is lost is named, the rest is unharmed.
//!
//! * **A flipped bit at rest** ([`SimDisk::flip`]), in the durable and in the live image.
//! * **A misdirected write** ([`Fault::Misdirect`]): it is answered, and reads see it until the
//!   cache is dropped; but it reached the medium at another sector, of this or of another file.
//!   The superblock's slots lie far apart because of it.
//! * **A short read** ([`Fault::ShortRead`]): the file seems to end early, once.
//!
//! What nobody can survive, and shows that a test would notice if the code did not take it:
//!
//! * **A step left out** ([`SimDisk::leave_out`]).

mod bytes;
mod faults;
mod image;
mod medium;
mod names;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use crate::base::SplitMix64;
use crate::disk::Step;

use faults::in_thousand;
pub(crate) use faults::{Fault, Rates};
use image::Image;
use names::{EntryEffect, Names, parent};
pub(crate) use steps::AtStep;

/// Bytes that are free where there is no capacity.
const UNLIMITED: u64 = 1 << 40;

/// See the module's text. Clones are handles of the same medium.
#[derive(Clone)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone)]
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
    left_out: Option<Step>,
    at_step: Option<AtStep>,
    /// Bytes of the medium; none: more than anybody needs.
    capacity: Option<u64>,
    rates: Rates,
    /// Decides what the rates say.
    random: SplitMix64,
}

impl Default for State {
    fn default() -> State {
        State {
            files: BTreeMap::new(),
            live: Names::default(),
            durable: Names::default(),
            unsynced: Vec::new(),
            next_file: 0,
            fault: None,
            is_dead: false,
            has_failed: false,
            effects: 0,
            left_out: None,
            at_step: None,
            capacity: None,
            rates: Rates::default(),
            random: SplitMix64::new(0),
        }
    }
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

    /// An empty medium, with the same step left out.
    pub(crate) fn cleared(&self) -> SimDisk {
        SimDisk::from(State {
            left_out: self.state.lock().left_out,
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
            left_out: state.left_out,
            capacity: state.capacity,
            rates: state.rates,
            random: state.random.clone(),
            live: names.clone(),
            durable: names,
            ..State::default()
        };
        for (path, file) in &after.live.files {
            if let Some(image) = state.files.get(file) {
                let bytes = match path.starts_with("journal/") {
                    true => image.survive_garbled(&mut random),
                    false => image.survive(&mut random),
                };
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

    /// As [`SimDisk::crash`], where the power loss takes everything that it may take.
    pub(crate) fn lose_all(&self) -> SimDisk {
        let state = self.state.lock();
        let durable = |image: &Image| Image {
            live: image.durable.clone(),
            durable: image.durable.clone(),
            unsynced: Vec::new(),
        };
        let files = state.files.iter();
        SimDisk::from(State {
            files: files.map(|(file, image)| (*file, durable(image))).collect(),
            live: state.durable.clone(),
            durable: state.durable.clone(),
            next_file: state.next_file,
            left_out: state.left_out,
            ..State::default()
        })
    }

    /// The medium that the death of the process leaves: the host goes on with its page cache.
    pub(crate) fn kill(&self) -> SimDisk {
        SimDisk::from(State {
            fault: None,
            at_step: None,
            is_dead: false,
            has_failed: false,
            effects: 0,
            ..self.state.lock().clone()
        })
    }

    /// Arms a fault.
    pub(crate) fn arm(&self, fault: Fault) {
        self.state.lock().fault = Some(fault);
    }

    /// Nothing goes wrong any more, unless it has already. A medium that was full has room again.
    pub(crate) fn disarm(&self) {
        let mut state = self.state.lock();
        state.fault = None;
        state.at_step = None;
    }

    /// How often calls go wrong from now on, and after every outage.
    pub(crate) fn set_rates(&self, rates: Rates, seed: u64) {
        let mut state = self.state.lock();
        state.rates = rates;
        state.random = SplitMix64::new(seed);
    }

    /// Size of the medium in bytes; none: without bounds.
    pub(crate) fn set_capacity(&self, capacity: Option<u64>) {
        self.state.lock().capacity = capacity;
    }

    /// Whether it has bounds.
    pub(crate) fn is_bounded(&self) -> bool {
        self.state.lock().capacity.is_some()
    }

    /// The files that reads see, and their lengths in bytes.
    pub(crate) fn files(&self) -> Vec<(String, u64)> {
        let state = self.state.lock();
        let len = |file| state.files.get(file).map_or(0, |image| image.live.len());
        let named = state.live.files.iter();
        named
            .map(|(path, file)| (path.clone(), len(file) as u64))
            .collect()
    }

    /// Turns over the bits of `mask` in a byte of a file, as rot does: on the medium and in what
    /// reads see. False where there is no such byte.
    pub(crate) fn flip(&self, path: &str, offset: u64, mask: u8) -> bool {
        let mut state = self.state.lock();
        let Some(file) = state.live.files.get(path).copied() else {
            return false;
        };
        state.image(file).flip(offset as usize, mask)
    }

    /// Whether the fault that was armed has happened.
    pub(crate) fn has_failed(&self) -> bool {
        self.state.lock().has_failed
    }

    /// Whether every call fails.
    pub(crate) fn is_dead(&self) -> bool {
        self.state.lock().is_dead
    }

    /// Effects so far: writes, lengths, syncs, and changes of names.
    pub(crate) fn effects(&self) -> u64 {
        self.state.lock().effects
    }

    /// Tells media apart by what they hold durably.
    pub(crate) fn fingerprint(&self) -> u64 {
        let state = self.state.lock();
        let mut parts = Vec::new();
        for (path, file) in &state.durable.files {
            let hash = state
                .files
                .get(file)
                .map_or(0, |image| image.durable.hash());
            parts.extend_from_slice(path.as_bytes());
            parts.extend_from_slice(&hash.to_le_bytes());
        }
        xxh3_64(&parts)
    }
}
