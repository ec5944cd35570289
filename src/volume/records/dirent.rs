//! An entry of a folder.

use crate::base::{ByteReader, DecodeError, Ino, PutBytes};

use super::FileKind;

/// Longest name of a directory entry in bytes.
pub const NAME_BYTES_MAX: usize = 255;

const VERSION: u8 = 1;
/// In the place of the kind: the slot is free, and names behind it may be in use.
const TOMBSTONE: u8 = 0;

/// A name in a folder and the inode that it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dirent<'a> {
    /// The inode.
    pub ino: Ino,
    /// The inode's kind, so that a listing needs no inode.
    pub kind: FileKind,
    /// 1 to 255 bytes, neither NUL nor `/`.
    pub name: &'a [u8],
}

impl<'a> Dirent<'a> {
    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(10 + self.name.len());
        out.put_u8(VERSION);
        out.put_u8(self.kind.number());
        out.put_u64(self.ino.0);
        out.put_bytes(self.name);
        out
    }

    /// The record of a removed entry that keeps a probe chain whole.
    pub fn tombstone() -> Vec<u8> {
        vec![VERSION, TOMBSTONE]
    }

    /// The entry of a record; none for a tombstone.
    pub fn decode(bytes: &'a [u8]) -> Result<Option<Dirent<'a>>, DecodeError> {
        let mut reader = ByteReader::new("directory entry", bytes);
        if reader.u8()? != VERSION {
            return Err(reader.error("unknown version"));
        }
        let number = reader.u8()?;
        if number == TOMBSTONE {
            reader.finish()?;
            return Ok(None);
        }
        let kind =
            FileKind::from_number(number).ok_or_else(|| reader.error("unknown file kind"))?;
        let ino = Ino(reader.u64()?);
        let name = reader.bytes(reader.remaining())?;
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(reader.error("a name of no or too many bytes"));
        }
        if name.iter().any(|byte| matches!(byte, 0 | b'/')) {
            return Err(reader.error("a name with NUL or a slash"));
        }
        Ok(Some(Dirent { ino, kind, name }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of an entry and of a tombstone are those of the format's table.
    #[test]
    fn golden_bytes() {
        let entry = Dirent {
            ino: Ino(0x0102),
            kind: FileKind::Regular,
            name: b"ab",
        };
        assert_eq!(entry.encode(), [1, 8, 2, 1, 0, 0, 0, 0, 0, 0, b'a', b'b']);
        assert_eq!(Dirent::decode(&entry.encode()).unwrap(), Some(entry));
        assert_eq!(Dirent::tombstone(), [1, 0]);
        assert_eq!(Dirent::decode(&[1, 0]).unwrap(), None);
    }

    /// What no operation writes is refused.
    #[test]
    fn impossible_entries_are_refused() {
        let refused = |bytes: &[u8]| Dirent::decode(bytes).unwrap_err().problem;
        assert_eq!(refused(&[]), "truncated");
        assert_eq!(refused(&[2, 0]), "unknown version");
        assert_eq!(refused(&[1, 0, 0]), "trailing bytes");
        assert_eq!(
            refused(&[1, 3, 1, 0, 0, 0, 0, 0, 0, 0, b'a']),
            "unknown file kind"
        );
        assert_eq!(refused(&[1, 8, 1, 0, 0, 0, 0, 0, 0]), "truncated");
        let named = |name: &[u8]| [&[1, 8, 1, 0, 0, 0, 0, 0, 0, 0], name].concat();
        assert_eq!(refused(&named(b"")), "a name of no or too many bytes");
        assert_eq!(
            refused(&named(&[b'x'; 256])),
            "a name of no or too many bytes"
        );
        assert_eq!(refused(&named(b"a/b")), "a name with NUL or a slash");
    }
}
