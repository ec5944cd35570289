//! What goes wrong, and when.

use std::io;

use super::State;
use crate::base::SplitMix64;
use crate::disk::{DiskError, DiskResult};

/// What is to go wrong, once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// After so many further effects every call fails.
    Die(u64),
    /// The sync of a file after so many further ones fails, and what it should have synced is lost.
    FailSync(u64),
    /// The sync of a folder after so many further ones fails, and its names stay unsynced.
    FailFolderSync(u64),
    /// The write after so many further ones fails.
    FailWrite(u64),
    /// The write after so many further ones finds no room for its second half, as one into a hole,
    /// or on a host that never writes in place, may.
    FullWrite(u64),
    /// The read after so many further ones fails.
    FailRead(u64),
    /// The read after so many further ones ends early, as if the file did.
    ShortRead(u64),
    /// After so many further calls that need room (a new file, a longer one) the medium is full,
    /// until [`SimDisk::disarm`](super::SimDisk::disarm).
    Full(u64),
    /// The write after so many further ones reaches the medium at another sector of the same or of
    /// another file, which the number chooses. The page cache has it right.
    Misdirect(u64, u64),
}

/// How often calls go wrong, in thousandths.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Rates {
    /// Reads that fail.
    pub(crate) read_error: u64,
    /// Writes that fail.
    pub(crate) write_error: u64,
    /// Syncs of files and of folders that fail.
    pub(crate) sync_error: u64,
    /// Calls that need room and get none.
    pub(crate) no_space: u64,
    /// Reads and writes that are interrupted (EINTR, EAGAIN) at first.
    pub(crate) interrupted: u64,
}

/// The kinds of calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Read,
    Write,
    Sync,
    FolderSync,
    Other,
}

/// How a call ends that does not simply succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// With EIO, having done what the fault model says.
    Fails,
    /// With ENOSPC, having done a part.
    NoRoom,
    /// A read ends early.
    Short,
    /// A write goes elsewhere.
    Misdirected(u64),
}

pub(super) fn error(action: &str, path: &str, kind: io::ErrorKind) -> DiskError {
    DiskError::new(action, path, kind.into())
}

pub(super) fn broken(action: &str, path: &str) -> DiskError {
    let source = io::Error::from_raw_os_error(libc::EIO);
    DiskError::new(action, path, source)
}

pub(super) fn full(action: &str, path: &str) -> DiskError {
    let source = io::Error::from_raw_os_error(libc::ENOSPC);
    DiskError::new(action, path, source)
}

/// Counts down; whether it is time.
fn is_due(left: &mut u64) -> bool {
    let due = *left == 0;
    *left = left.saturating_sub(1);
    due
}

impl Rates {
    fn of(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Read => self.read_error,
            Kind::Write => self.write_error,
            Kind::Sync | Kind::FolderSync => self.sync_error,
            Kind::Other => 0,
        }
    }
}

/// In so many of a thousand cases.
pub(super) fn in_thousand(random: &mut SplitMix64, rate: u64) -> bool {
    rate > 0 && random.below(1000) < rate
}

impl State {
    /// Before each call that changes something: what is to go wrong with it; an error if nothing
    /// is to happen at all.
    pub(super) fn effect(
        &mut self,
        kind: Kind,
        action: &str,
        path: &str,
    ) -> DiskResult<Option<Trouble>> {
        self.alive(action, path)?;
        if let Some(Fault::Die(left)) = &mut self.fault
            && is_due(left)
        {
            self.is_dead = true;
            self.has_failed = true;
            return Err(broken(action, path));
        }
        let trouble = self.trouble(kind);
        self.effects += 1;
        Ok(trouble)
    }

    /// As [`State::effect`], of a call that changes nothing.
    pub(super) fn look(&mut self, action: &str, path: &str) -> DiskResult<Option<Trouble>> {
        self.alive(action, path)?;
        Ok(self.trouble(Kind::Read))
    }

    fn trouble(&mut self, kind: Kind) -> Option<Trouble> {
        let trouble = match (&mut self.fault, kind) {
            (Some(Fault::FailSync(left)), Kind::Sync)
            | (Some(Fault::FailFolderSync(left)), Kind::FolderSync)
            | (Some(Fault::FailWrite(left)), Kind::Write)
            | (Some(Fault::FailRead(left)), Kind::Read) => is_due(left).then_some(Trouble::Fails),
            (Some(Fault::FullWrite(left)), Kind::Write) => is_due(left).then_some(Trouble::NoRoom),
            (Some(Fault::ShortRead(left)), Kind::Read) => is_due(left).then_some(Trouble::Short),
            (Some(Fault::Misdirect(left, to)), Kind::Write) => {
                is_due(left).then_some(Trouble::Misdirected(*to))
            }
            _ => None,
        };
        if trouble.is_some() {
            self.fault = None;
            self.has_failed = true;
            return trouble;
        }
        let fails = in_thousand(&mut self.random, self.rates.of(kind));
        self.has_failed |= fails;
        fails.then_some(Trouble::Fails)
    }

    pub(super) fn alive(&self, action: &str, path: &str) -> DiskResult<()> {
        match self.is_dead {
            true => Err(broken(action, path)),
            false => Ok(()),
        }
    }

    /// How many of `more` further bytes (0: a new name) the medium has room for.
    pub(super) fn room(&mut self, more: u64) -> u64 {
        if let Some(Fault::Full(left)) = &mut self.fault
            && is_due(left)
        {
            self.has_failed = true;
            return 0;
        }
        if in_thousand(&mut self.random, self.rates.no_space) {
            self.has_failed = true;
            return 0;
        }
        let free = self.free();
        if free < more.max(1) {
            self.has_failed = true;
        }
        free
    }

    /// Bytes that are free.
    pub(super) fn free(&self) -> u64 {
        let Some(capacity) = self.capacity else {
            return super::UNLIMITED;
        };
        let named = self.live.files.values();
        let used: u64 = named
            .filter_map(|file| self.files.get(file))
            .map(|image| image.live.len() as u64)
            .sum();
        capacity.saturating_sub(used)
    }
}
