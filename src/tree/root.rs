//! The root of a tree, as superblock and catalog keep it.

use super::codec::HEIGHT_MAX;
use crate::base::{BlockId, ByteReader, DecodeError, Place, Pointer, PutBytes};

/// The root of a non-empty tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TreeRoot {
    /// The topmost node.
    pub node: Pointer,
    /// Levels below the topmost node; 0: it is a leaf.
    pub height: u8,
}

impl TreeRoot {
    /// Encoded length in bytes.
    pub const BYTES: usize = BlockId::BYTES + Place::BYTES + 1;

    /// Appends id, place and height.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_bytes(&self.node.id.0);
        out.put_place(&self.node.place);
        out.put_u8(self.height);
    }

    /// Reads what [`TreeRoot::encode`] wrote; an error when bytes are missing or no tree can be
    /// that high.
    pub fn decode(reader: &mut ByteReader<'_>) -> Result<TreeRoot, DecodeError> {
        let node = Pointer {
            id: reader.block_id()?,
            place: reader.place()?,
        };
        let height = reader.u8()?;
        if height > HEIGHT_MAX {
            return Err(reader.error("tree height above its limit"));
        }
        Ok(TreeRoot { node, height })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SegmentId;

    /// A root's bytes are id, place and height; truncations and absurd heights are refused.
    #[test]
    fn root_bytes_are_fixed() {
        let place = Place {
            segment: SegmentId(0x0102),
            offset: 0x30,
            len: 0x40,
        };
        let root = TreeRoot {
            node: Pointer {
                id: BlockId([7; 32]),
                place,
            },
            height: 3,
        };
        let mut bytes = Vec::new();
        root.encode(&mut bytes);

        let mut expected = vec![7; 32];
        expected.extend([2, 1, 0, 0, 0, 0, 0, 0, 0x30, 0, 0, 0, 0x40, 0, 0, 0, 3]);
        assert_eq!(bytes, expected);
        assert_eq!(bytes.len(), TreeRoot::BYTES);
        assert_eq!(
            TreeRoot::decode(&mut ByteReader::new("root", &bytes)),
            Ok(root)
        );

        for len in 0..bytes.len() {
            assert!(TreeRoot::decode(&mut ByteReader::new("root", &bytes[..len])).is_err());
        }
        bytes[48] = 33;
        assert!(TreeRoot::decode(&mut ByteReader::new("root", &bytes)).is_err());
    }
}
