//! An extended attribute.

use crate::base::{ByteReader, DecodeError, PutBytes};

/// Longest name of an extended attribute in bytes, with its namespace.
pub const XATTR_NAME_BYTES_MAX: usize = 255;
/// Longest value of an extended attribute in bytes.
pub const XATTR_VALUE_BYTES_MAX: usize = 64 * 1024;

const VERSION: u8 = 1;
/// In the place of the name's length: the slot is free, and names behind it may be in use.
const TOMBSTONE: u8 = 0;

/// A name and a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Xattr<'a> {
    /// 1 to 255 bytes, namespace included, no NUL.
    pub name: &'a [u8],
    /// Up to 64 KiB.
    pub value: &'a [u8],
}

impl<'a> Xattr<'a> {
    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 + self.name.len() + self.value.len());
        out.put_u8(VERSION);
        out.put_u8(u8::try_from(self.name.len()).expect("names are at most 255 bytes"));
        out.put_bytes(self.name);
        out.put_bytes(self.value);
        out
    }

    /// The record of a removed attribute that keeps a probe chain whole.
    pub fn tombstone() -> Vec<u8> {
        vec![VERSION, TOMBSTONE]
    }

    /// The attribute of a record; none for a tombstone.
    pub fn decode(bytes: &'a [u8]) -> Result<Option<Xattr<'a>>, DecodeError> {
        let mut reader = ByteReader::new("extended attribute", bytes);
        if reader.u8()? != VERSION {
            return Err(reader.error("unknown version"));
        }
        let name_bytes = reader.u8()?;
        if name_bytes == TOMBSTONE {
            reader.finish()?;
            return Ok(None);
        }
        let name = reader.bytes(usize::from(name_bytes))?;
        if name.contains(&0) {
            return Err(reader.error("a name with NUL"));
        }
        let value = reader.bytes(reader.remaining())?;
        if value.len() > XATTR_VALUE_BYTES_MAX {
            return Err(reader.error("a value above its limit"));
        }
        Ok(Some(Xattr { name, value }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of an attribute and of a tombstone are those of the format's table.
    #[test]
    fn golden_bytes() {
        let xattr = Xattr {
            name: b"user.a",
            value: b"xyz",
        };
        assert_eq!(xattr.encode(), b"\x01\x06user.axyz");
        assert_eq!(Xattr::decode(&xattr.encode()).unwrap(), Some(xattr));
        let empty = Xattr {
            name: b"user.b",
            value: b"",
        };
        assert_eq!(Xattr::decode(&empty.encode()).unwrap(), Some(empty));
        assert_eq!(Xattr::tombstone(), [1, 0]);
        assert_eq!(Xattr::decode(&[1, 0]).unwrap(), None);
    }

    /// What no operation writes is refused.
    #[test]
    fn impossible_attributes_are_refused() {
        let refused = |bytes: &[u8]| Xattr::decode(bytes).unwrap_err().problem;
        assert_eq!(refused(&[1]), "truncated");
        assert_eq!(refused(&[0, 0]), "unknown version");
        assert_eq!(refused(&[1, 0, 0]), "trailing bytes");
        assert_eq!(refused(&[1, 2, b'a']), "truncated");
        assert_eq!(refused(&[1, 2, b'a', 0]), "a name with NUL");
        let long = [&[1, 1, b'a'], &*vec![0; 64 * 1024 + 1]].concat();
        assert_eq!(refused(&long), "a value above its limit");
    }
}
