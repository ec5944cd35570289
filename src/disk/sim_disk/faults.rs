//! What goes wrong, and when.

use std::io;

use super::State;
use crate::disk::{DiskError, DiskResult};

/// What is to go wrong, once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// After so many further effects every call fails.
    Die(u64),
    /// The sync of a file after so many further ones fails, and what it should have synced is lost.
    FailSync(u64),
    /// The write after so many further ones fails.
    FailWrite(u64),
}

/// The kinds of calls that change something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Write,
    Sync,
    Other,
}

pub(super) fn error(action: &str, path: &str, kind: io::ErrorKind) -> DiskError {
    DiskError::new(action, path, kind.into())
}

pub(super) fn broken(action: &str, path: &str) -> DiskError {
    let source = io::Error::from_raw_os_error(libc::EIO);
    DiskError::new(action, path, source)
}

impl State {
    /// Before each effect: whether it is to fail; an error if nothing is to happen at all.
    pub(super) fn effect(&mut self, kind: Kind, action: &str, path: &str) -> DiskResult<bool> {
        self.alive(action, path)?;
        let due = match &mut self.fault {
            Some(Fault::FailSync(_)) if kind != Kind::Sync => false,
            Some(Fault::FailWrite(_)) if kind != Kind::Write => false,
            Some(Fault::Die(left) | Fault::FailSync(left) | Fault::FailWrite(left)) => {
                let is_due = *left == 0;
                *left = left.saturating_sub(1);
                is_due
            }
            None => false,
        };
        if due && matches!(self.fault, Some(Fault::Die(_))) {
            self.is_dead = true;
            self.has_failed = true;
            return Err(broken(action, path));
        }
        if due {
            self.fault = None;
            self.has_failed = true;
        }
        self.effects += 1;
        Ok(due)
    }

    pub(super) fn alive(&self, action: &str, path: &str) -> DiskResult<()> {
        match self.is_dead {
            true => Err(broken(action, path)),
            false => Ok(()),
        }
    }
}
