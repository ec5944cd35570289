//! Bounded little-endian reading and writing of bytes.

use super::ids::{BlockId, Place};

/// Bytes that cannot be what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot decode {what} at byte {offset}: {problem}")]
pub struct DecodeError {
    /// The thing that was being decoded.
    pub what: &'static str,
    /// Byte offset in the input.
    pub offset: usize,
    /// What is wrong there.
    pub problem: &'static str,
}

/// Reads little-endian fields from a slice and never past its end.
#[derive(Clone)]
pub struct ByteReader<'a> {
    what: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> ByteReader<'a> {
    /// A reader at the start of `bytes`; `what` names the thing in errors.
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        ByteReader { what, bytes, at: 0 }
    }

    /// An error at the present position.
    pub fn error(&self, problem: &'static str) -> DecodeError {
        DecodeError {
            what: self.what,
            offset: self.at,
            problem,
        }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        if self.remaining() < len {
            return Err(self.error("truncated"));
        }
        let slice = &self.bytes[self.at..self.at + len];
        self.at += len;
        Ok(slice)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Eight bytes, little-endian, signed.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// A 32-bit length and that many bytes, at most `max`.
    pub fn blob(&mut self, max: usize) -> Result<&'a [u8], DecodeError> {
        let len = self.u32()? as usize;
        if len > max {
            return Err(self.error("length above its limit"));
        }
        self.bytes(len)
    }

    /// A blob that must be UTF-8.
    pub fn text(&mut self, max: usize) -> Result<&'a str, DecodeError> {
        let bytes = self.blob(max)?;
        std::str::from_utf8(bytes).map_err(|_| self.error("not UTF-8"))
    }

    /// A block id.
    pub fn block_id(&mut self) -> Result<BlockId, DecodeError> {
        Ok(BlockId(self.array()?))
    }

    /// A place.
    pub fn place(&mut self) -> Result<Place, DecodeError> {
        Ok(Place::from_bytes(&self.array()?))
    }

    /// Succeeds when everything was read.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.remaining() == 0 {
            Ok(())
        } else {
            Err(self.error("trailing bytes"))
        }
    }
}

/// Appends little-endian fields; the mirror of [`ByteReader`].
pub trait PutBytes {
    /// Appends the bytes as they are.
    fn put_bytes(&mut self, bytes: &[u8]);

    /// Appends one byte.
    fn put_u8(&mut self, value: u8) {
        self.put_bytes(&[value]);
    }
    /// Appends two bytes.
    fn put_u16(&mut self, value: u16) {
        self.put_bytes(&value.to_le_bytes());
    }
    /// Appends four bytes.
    fn put_u32(&mut self, value: u32) {
        self.put_bytes(&value.to_le_bytes());
    }
    /// Appends eight bytes.
    fn put_u64(&mut self, value: u64) {
        self.put_bytes(&value.to_le_bytes());
    }
    /// Appends eight bytes, signed.
    fn put_i64(&mut self, value: i64) {
        self.put_bytes(&value.to_le_bytes());
    }
    /// Appends a 32-bit length and the bytes. Panics above 4 GiB, which no caller builds.
    fn put_blob(&mut self, bytes: &[u8]) {
        self.put_u32(u32::try_from(bytes.len()).expect("a blob is below 4 GiB"));
        self.put_bytes(bytes);
    }
    /// Appends a place.
    fn put_place(&mut self, place: &Place) {
        self.put_bytes(&place.to_bytes());
    }
}

impl PutBytes for Vec<u8> {
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SegmentId;

    /// Every field comes back, and every truncation is refused.
    #[test]
    fn fields_round_trip_and_truncation_is_refused() {
        let place = Place {
            segment: SegmentId(7),
            offset: 64,
            len: 4096,
        };
        let mut bytes = Vec::new();
        bytes.put_u8(1);
        bytes.put_u16(2);
        bytes.put_u32(3);
        bytes.put_u64(4);
        bytes.put_i64(-5);
        bytes.put_blob(b"six");
        bytes.put_place(&place);

        let read = |bytes: &[u8]| -> Result<(), DecodeError> {
            let mut reader = ByteReader::new("test", bytes);
            assert_eq!(reader.u8()?, 1);
            assert_eq!(reader.u16()?, 2);
            assert_eq!(reader.u32()?, 3);
            assert_eq!(reader.u64()?, 4);
            assert_eq!(reader.i64()?, -5);
            assert_eq!(reader.blob(3)?, b"six");
            assert_eq!(reader.place()?, place);
            reader.finish()
        };
        read(&bytes).unwrap();
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).is_err(), "{len} bytes were accepted");
        }
        bytes.push(0);
        assert_eq!(read(&bytes).unwrap_err().problem, "trailing bytes");
    }
}
