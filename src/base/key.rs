//! Keys and values of the ordered maps: every volume, and the catalog, is one.

use std::fmt;
use std::sync::Arc;

use super::ids::{BlockId, Place, Pointer};

/// `(owner, kind, sub-key)`, ordered as its bytes are.
///
/// In a volume the owner is an inode number; in the catalog it is a volume id. What the kinds
/// mean is known to `volume::keys` and `pool::catalog` only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; Key::BYTES]);

impl Key {
    /// Encoded length in bytes: 8 owner, 1 kind, 8 sub-key, each big-endian.
    pub const BYTES: usize = 17;
    /// The smallest key.
    pub const MIN: Key = Key([0; Key::BYTES]);
    /// The largest key.
    pub const MAX: Key = Key([0xff; Key::BYTES]);

    /// The key of these parts.
    pub fn new(owner: u64, kind: u8, sub: u64) -> Key {
        let mut bytes = [0; Key::BYTES];
        bytes[..8].copy_from_slice(&owner.to_be_bytes());
        bytes[8] = kind;
        bytes[9..].copy_from_slice(&sub.to_be_bytes());
        Key(bytes)
    }

    /// The key with these bytes.
    pub fn from_bytes(bytes: [u8; Key::BYTES]) -> Key {
        Key(bytes)
    }

    /// Bytes whose order is the order of keys.
    pub fn as_bytes(&self) -> &[u8; Key::BYTES] {
        &self.0
    }

    /// Inode number or volume id.
    pub fn owner(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(bytes)
    }

    /// Kind byte.
    pub fn kind(&self) -> u8 {
        self.0[8]
    }

    /// Sub-key: a name's hash, a block index, ...
    pub fn sub(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[9..]);
        u64::from_be_bytes(bytes)
    }

    /// The next key in order; none after [`Key::MAX`].
    pub fn next(&self) -> Option<Key> {
        let mut bytes = self.0;
        for byte in bytes.iter_mut().rev() {
            let (sum, overflowed) = byte.overflowing_add(1);
            *byte = sum;
            if !overflowed {
                return Some(Key(bytes));
            }
        }
        None
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {}, {})", self.owner(), self.kind(), self.sub())
    }
}

/// What a key maps to: bytes, and for block pointers the place of the frame they name.
///
/// A node's id covers the bytes only; the place is a hint that garbage collection may outdate.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    /// The record; for a block pointer its 32-byte id.
    pub bytes: Arc<[u8]>,
    /// Where the named frame lies, when the value is a block pointer.
    pub place: Option<Place>,
}

impl Value {
    /// Longest record in bytes: an xattr of 64 KiB with its name.
    pub const MAX_BYTES: usize = 66 * 1024;

    /// A record without a place.
    pub fn record(bytes: impl Into<Arc<[u8]>>) -> Value {
        Value {
            bytes: bytes.into(),
            place: None,
        }
    }

    /// As [`ValueRef::pointer`].
    pub fn pointer(&self) -> Option<Pointer> {
        ValueRef::from(self).pointer()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes, {:?})", self.bytes.len(), self.place)
    }
}

/// A [`Value`] whose bytes lie in something larger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ValueRef<'a> {
    /// As [`Value::bytes`].
    pub bytes: &'a [u8],
    /// As [`Value::place`].
    pub place: Option<Place>,
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> ValueRef<'a> {
        ValueRef {
            bytes: &value.bytes,
            place: value.place,
        }
    }
}

impl ValueRef<'_> {
    /// The same in memory of its own.
    pub fn to_value(self) -> Value {
        Value {
            bytes: self.bytes.into(),
            place: self.place,
        }
    }

    /// The frame that a block's value names; none for an allocated block of zeros, and for what is
    /// no block.
    pub fn pointer(self) -> Option<Pointer> {
        Some(Pointer {
            id: BlockId(self.bytes.try_into().ok()?),
            place: self.place?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys order by owner, then kind, then sub-key, and give their parts back.
    #[test]
    fn keys_order_by_their_parts() {
        let keys = [
            Key::MIN,
            Key::new(1, 2, 3),
            Key::new(1, 2, 256),
            Key::new(1, 3, 0),
            Key::new(2, 0, 0),
        ];
        assert!(keys.is_sorted());
        assert_eq!(
            (keys[2].owner(), keys[2].kind(), keys[2].sub()),
            (1, 2, 256)
        );
        assert_eq!(Key::new(1, 2, u64::MAX).next(), Some(Key::new(1, 3, 0)));
        assert_eq!(Key::MAX.next(), None);
    }
}
