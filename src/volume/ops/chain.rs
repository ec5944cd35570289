//! Probe chains: how names find their sub-keys.
//!
//! A name lies at the keyed hash of its bytes or, if other names are there, at the next free value
//! behind. A chain has no gap between a name's hash and its place: a name is removed by a tombstone
//! as long as the value behind it is in use. A name never moves, which makes the sub-key of a
//! directory entry a stable cookie.

use siphasher::sip::SipHasher13;

use crate::base::{DecodeError, Ino, Key, Value};
use crate::volume::records::{Dirent, Xattr};
use crate::volume::{Edit, FsError, FsResult, Volume, keys};

use super::inodes::State;

/// Sub-keys below are not given to names: the cookies of `.` and `..`.
pub(super) const FIRST: u64 = 16;
/// Largest sub-key: cookies are signed 64-bit numbers in the kernel.
pub(super) const LAST: u64 = i64::MAX as u64;

/// Reads the name in a record; none in a tombstone.
type NameOf = for<'a> fn(&'a [u8]) -> Result<Option<&'a [u8]>, DecodeError>;

/// The names of one kind: directory entries or extended attributes.
pub(super) struct Chains {
    kind: u8,
    hasher: SipHasher13,
    name_of: NameOf,
    tombstone: fn() -> Vec<u8>,
}

/// Where a name lies, or would lie.
pub(super) enum Slot {
    /// Its record is here.
    Taken { sub: u64, value: Value },
    /// It does not exist; its record belongs here.
    Free { sub: u64 },
}

impl Volume {
    /// The directory entries' chains.
    pub(super) fn dirents(&self) -> Chains {
        Chains {
            kind: keys::DIRENT,
            hasher: SipHasher13::new_with_key(&self.hash_key()),
            name_of: |bytes| Ok(Dirent::decode(bytes)?.map(|dirent| dirent.name)),
            tombstone: Dirent::tombstone,
        }
    }

    /// The extended attributes' chains.
    pub(super) fn xattrs(&self) -> Chains {
        Chains {
            kind: keys::XATTR,
            hasher: SipHasher13::new_with_key(&self.hash_key()),
            name_of: |bytes| Ok(Xattr::decode(bytes)?.map(|xattr| xattr.name)),
            tombstone: Xattr::tombstone,
        }
    }
}

impl Chains {
    /// The sub-key at which the name's chain starts.
    pub(super) fn start(&self, name: &[u8]) -> u64 {
        let hash = self.hasher.hash(name) >> 1;
        if hash < FIRST { hash + FIRST } else { hash }
    }

    /// The key at which the name's chain starts: most often the name's own.
    pub(super) fn start_key(&self, owner: Ino, name: &[u8]) -> Key {
        self.key(owner, self.start(name))
    }

    /// The key of a slot.
    pub(super) fn key(&self, owner: Ino, sub: u64) -> Key {
        Key::new(owner.0, self.kind, sub)
    }

    /// Finds the name, or the first slot of its chain that may be given to it.
    pub(super) fn find(&self, state: &impl State, owner: Ino, name: &[u8]) -> FsResult<Slot> {
        let mut free = None;
        let mut sub = self.start(name);
        while let Some(value) = state.get(&self.key(owner, sub))? {
            match self.name(owner, &value)? {
                Some(found) if found == name => return Ok(Slot::Taken { sub, value }),
                Some(_) => {}
                None => free = free.or(Some(sub)),
            }
            sub = behind(sub);
        }
        Ok(Slot::Free {
            sub: free.unwrap_or(sub),
        })
    }

    /// Removes the name that lies at `sub`. A tombstone stays if a chain may go on behind it;
    /// otherwise the tombstones before it have lost their reason too.
    pub(super) fn remove(&self, edit: &mut Edit<'_>, owner: Ino, sub: u64) -> FsResult<()> {
        if edit.get(&self.key(owner, behind(sub)))?.is_some() {
            edit.put(self.key(owner, sub), Value::record((self.tombstone)()));
            return Ok(());
        }
        edit.delete(self.key(owner, sub));
        let mut before = ahead(sub);
        while let Some(value) = edit.get(&self.key(owner, before))?
            && self.name(owner, &value)?.is_none()
        {
            edit.delete(self.key(owner, before));
            before = ahead(before);
        }
        Ok(())
    }

    /// The name in a slot's record; none for a tombstone.
    fn name<'a>(&self, owner: Ino, value: &'a Value) -> FsResult<Option<&'a [u8]>> {
        (self.name_of)(&value.bytes).map_err(|source| FsError::Malformed { ino: owner, source })
    }
}

fn behind(sub: u64) -> u64 {
    if sub == LAST { FIRST } else { sub + 1 }
}

fn ahead(sub: u64) -> u64 {
    if sub == FIRST { LAST } else { sub - 1 }
}
