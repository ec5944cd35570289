//! Typed ids, so that a segment number can never be passed where an inode is meant.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        pub struct $name(pub u64);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number_id!(
    /// Number of a segment file; never reused within a pool.
    SegmentId
);
number_id!(
    /// Log sequence number: the byte position in the pool's endless journal at which a record
    /// *ends*. A record is durable when the journal is durable up to its LSN.
    Lsn
);
number_id!(
    /// Number of a volume; never reused within a pool. 0 is the catalog.
    VolumeId
);
number_id!(
    /// Number of a snapshot; never reused within a pool.
    SnapshotId
);
number_id!(
    /// Inode number within a volume; the root folder is 1; below 2^48.
    Ino
);

impl VolumeId {
    /// The catalog, which is a map of the same kind as a volume.
    pub const CATALOG: VolumeId = VolumeId(0);
}

impl Ino {
    /// The root folder of every volume.
    pub const ROOT: Ino = Ino(1);
}

/// BLAKE3 of a block's uncompressed bytes, or of a tree node's canonical bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(pub [u8; BlockId::BYTES]);

impl BlockId {
    /// Length of an id in bytes.
    pub const BYTES: usize = 32;
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlockId(")?;
        write_hex(f, &self.0[..6])?;
        f.write_str("..)")
    }
}

/// As 64 hexadecimal digits.
impl Serialize for BlockId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlockId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<BlockId, D::Error> {
        let text = String::deserialize(deserializer)?;
        let refuse = || de::Error::custom("an id has 64 hexadecimal digits");
        if text.len() != 2 * BlockId::BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        let mut id = [0; BlockId::BYTES];
        for (at, byte) in id.iter_mut().enumerate() {
            let digits = &text[2 * at..2 * at + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| refuse())?;
        }
        Ok(BlockId(id))
    }
}

/// Identity of a pool, random, given at creation.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolId(pub [u8; 16]);

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolId({self})")
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Where a frame lies: a hint beside an id, checked by whoever reads there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Place {
    /// The segment file.
    pub segment: SegmentId,
    /// Byte offset of the frame's header in the segment.
    pub offset: u32,
    /// Length of the whole frame in bytes, header included.
    pub len: u32,
}

impl Place {
    /// Encoded length in bytes.
    pub const BYTES: usize = 16;

    /// Segment, offset and length, each little-endian.
    pub fn to_bytes(self) -> [u8; Place::BYTES] {
        let mut bytes = [0; Place::BYTES];
        bytes[..8].copy_from_slice(&self.segment.0.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.offset.to_le_bytes());
        bytes[12..].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }

    /// The place that was encoded by [`Place::to_bytes`].
    pub fn from_bytes(bytes: &[u8; Place::BYTES]) -> Place {
        // One number of 16 bytes: low bits first, as they lie there.
        let all = u128::from_le_bytes(*bytes);
        Place {
            segment: SegmentId(all as u64),
            offset: (all >> 64) as u32,
            len: (all >> 96) as u32,
        }
    }
}

/// A frame's name and where it was last seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Pointer {
    /// The content's id; the truth.
    pub id: BlockId,
    /// Where the frame was written; a hint.
    pub place: Place,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An id is 64 hexadecimal digits in JSON, and everything else is refused.
    #[test]
    fn ids_survive_json() {
        let id = BlockId([0xa5; 32]);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{}\"", "a5".repeat(32)));
        assert_eq!(serde_json::from_str::<BlockId>(&json).unwrap(), id);
        for bad in ["\"\"", "\"a5\"", &format!("\"{}\"", "+5".repeat(32)), "5"] {
            assert!(serde_json::from_str::<BlockId>(bad).is_err(), "{bad}");
        }
        assert_eq!(serde_json::to_string(&SegmentId(7)).unwrap(), "7");
    }
}
