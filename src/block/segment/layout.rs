//! The bytes of a segment file beside its frames (layout only; `docs/on-disk-format.md`): a header
//! at the front, and once the segment is closed a table of contents and a trailer at the end.

use xxhash_rust::xxh3::xxh3_64;

use crate::base::{BlockId, ByteReader, DecodeError, PoolId, PutBytes, SegmentId};
use crate::block::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES};

use super::{FrameEntry, SegmentKind};

/// Length of the file's header in bytes: where the first frame starts.
pub(super) const HEADER_BYTES: usize = 64;
/// Length of one entry of the table of contents in bytes.
pub(super) const ENTRY_BYTES: usize = 40;
/// Length of the trailer in bytes.
pub(super) const TRAILER_BYTES: usize = 64;
/// Most frames in one segment; bounds the table of contents (10 MiB) in memory and on disk.
pub(super) const FRAMES_MAX: usize = 1 << 18;
/// Most bytes of frames in one segment; behind them a table of contents still has 32-bit offsets.
pub(super) const FRAMES_END_MAX: u32 = 2 << 30;

const HEADER_MAGIC: [u8; 8] = *b"VOLFSSEG";
/// First bytes of the trailer.
pub(super) const TRAILER_MAGIC: [u8; 8] = *b"VOLFSTOC";
const VERSION: u16 = 1;
const CHECKSUM_BYTES: usize = 8;

const _: () = assert!(8 + 2 + 1 + 5 + 16 + 8 + 16 + CHECKSUM_BYTES == HEADER_BYTES);
const _: () = assert!(BlockId::BYTES + 4 + 4 == ENTRY_BYTES);
const _: () = assert!(8 + 2 + 1 + 1 + 4 + 4 + 4 + 8 + 16 + 8 + CHECKSUM_BYTES == TRAILER_BYTES);
const _: () = assert!(
    (FRAMES_END_MAX as u64) + (FRAMES_MAX * ENTRY_BYTES + TRAILER_BYTES) as u64 <= u32::MAX as u64
);

/// Whose file it is; every part of a segment file names it, so that a file that was copied under
/// another name or into another pool is told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Owner {
    /// The pool.
    pub(super) pool: PoolId,
    /// The segment's number.
    pub(super) segment: SegmentId,
    /// Its kind.
    pub(super) kind: SegmentKind,
}

impl Owner {
    /// The file's header.
    pub(super) fn encode_header(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.put_bytes(&HEADER_MAGIC);
        bytes.put_u16(VERSION);
        bytes.put_u8(self.kind as u8);
        bytes.put_bytes(&[0; 5]);
        bytes.put_bytes(&self.pool.0);
        bytes.put_u64(self.segment.0);
        bytes.put_bytes(&[0; 16]);
        seal(&mut bytes);
        bytes
    }

    /// Verifies that `bytes` are this file's header.
    pub(super) fn check_header(&self, bytes: &[u8]) -> Result<(), DecodeError> {
        let reader = ByteReader::new("segment header", bytes);
        if reader.remaining() != HEADER_BYTES {
            return Err(reader.error("truncated"));
        }
        if bytes[..8] != HEADER_MAGIC {
            return Err(reader.error("not a segment file"));
        }
        if bytes[8..10] != VERSION.to_le_bytes() {
            return Err(reader.error("unknown version"));
        }
        if bytes != self.encode_header() {
            return Err(reader.error("damaged, or another segment's"));
        }
        Ok(())
    }

    /// The table of contents and the trailer, to be written at `offset`, behind the last frame.
    pub(super) fn encode_contents(&self, frames: &[FrameEntry], offset: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(frames.len() * ENTRY_BYTES + TRAILER_BYTES);
        for frame in frames {
            bytes.put_bytes(&frame.id.0);
            bytes.put_u32(frame.offset);
            bytes.put_u32(frame.len);
        }
        let table_checksum = xxh3_64(&bytes);
        let trailer = Trailer {
            count: frames.len() as u32,
            offset,
            table_checksum,
        };
        bytes.put_bytes(&self.encode_trailer(&trailer));
        bytes
    }

    pub(super) fn encode_trailer(&self, trailer: &Trailer) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TRAILER_BYTES);
        bytes.put_bytes(&TRAILER_MAGIC);
        bytes.put_u16(VERSION);
        bytes.put_u8(self.kind as u8);
        bytes.put_u8(0);
        bytes.put_u32(trailer.count);
        bytes.put_u32(trailer.offset);
        bytes.put_u32(0);
        bytes.put_u64(self.segment.0);
        bytes.put_bytes(&self.pool.0);
        bytes.put_u64(trailer.table_checksum);
        seal(&mut bytes);
        bytes
    }

    /// The trailer that the last [`TRAILER_BYTES`] of a file of `file_bytes` are.
    pub(super) fn decode_trailer(
        &self,
        bytes: &[u8],
        file_bytes: u64,
    ) -> Result<Trailer, DecodeError> {
        let mut reader = ByteReader::new("segment trailer", bytes);
        if reader.bytes(8)? != TRAILER_MAGIC {
            return Err(reader.error("the segment was not closed"));
        }
        reader.bytes(4)?;
        let (count, offset) = (reader.u32()?, reader.u32()?);
        reader.bytes(4 + 8 + 16)?;
        let table_checksum = reader.u64()?;
        let trailer = Trailer {
            count,
            offset,
            table_checksum,
        };
        if bytes != self.encode_trailer(&trailer) {
            return Err(reader.error("damaged, of an unknown version or another segment's"));
        }
        if count as usize > FRAMES_MAX || offset > FRAMES_END_MAX {
            return Err(reader.error("count or offset above its limit"));
        }
        let table_bytes = trailer.table_bytes() as u64;
        if u64::from(offset) + table_bytes + TRAILER_BYTES as u64 != file_bytes {
            return Err(reader.error("the table does not fill the file"));
        }
        Ok(trailer)
    }
}

/// The end of a closed segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Trailer {
    /// Number of frames.
    pub(super) count: u32,
    /// Byte offset of the table of contents: where the frames end.
    pub(super) offset: u32,
    table_checksum: u64,
}

impl Trailer {
    /// The trailer behind this table, with these fields whether they fit it or not.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn over(table: &[u8], count: u32, offset: u32) -> Trailer {
        Trailer {
            count,
            offset,
            table_checksum: xxh3_64(table),
        }
    }

    /// Length of the table in bytes.
    pub(super) fn table_bytes(&self) -> usize {
        self.count as usize * ENTRY_BYTES
    }

    /// The frames that the table names, in ascending order of offset and apart from each other.
    pub(super) fn decode_table(&self, bytes: &[u8]) -> Result<Vec<FrameEntry>, DecodeError> {
        let mut reader = ByteReader::new("table of contents", bytes);
        if bytes.len() != self.table_bytes() || xxh3_64(bytes) != self.table_checksum {
            return Err(reader.error("the table's checksum does not match"));
        }
        let mut frames = Vec::with_capacity(self.count as usize);
        let mut end = HEADER_BYTES as u32;
        while reader.remaining() > 0 {
            let (id, offset, len) = (reader.block_id()?, reader.u32()?, reader.u32()?);
            let fits = offset >= end
                && len as usize > FRAME_HEADER_BYTES
                && len as usize <= FRAME_BYTES_MAX
                && u64::from(offset) + u64::from(len) <= u64::from(self.offset);
            if !fits {
                return Err(reader.error("a frame lies where none can be"));
            }
            let frame = FrameEntry { id, offset, len };
            end = frame.end();
            frames.push(frame);
        }
        Ok(frames)
    }
}

/// Appends the checksum of what is there.
fn seal(bytes: &mut Vec<u8>) {
    let checksum = xxh3_64(bytes);
    bytes.put_u64(checksum);
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner {
        pool: PoolId([3; 16]),
        segment: SegmentId(0x1234),
        kind: SegmentKind::Node,
    };

    fn frames() -> Vec<FrameEntry> {
        vec![
            FrameEntry {
                id: BlockId([1; 32]),
                offset: 64,
                len: 100,
            },
            FrameEntry {
                id: BlockId([2; 32]),
                offset: 170,
                len: 65,
            },
        ]
    }

    /// The file's header is the bytes of the format's description, for ever.
    #[test]
    fn golden_header() {
        let bytes = OWNER.encode_header();
        assert_eq!(&bytes[..16], b"VOLFSSEG\x01\x00\x02\x00\x00\x00\x00\x00");
        assert_eq!(&bytes[16..32], [3; 16]);
        assert_eq!(&bytes[32..40], [0x34, 0x12, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[40..56], [0; 16]);
        assert_eq!(&bytes[56..], b"\xaa\xd6\x00\x49\xa5\x0e\x8b\xe7");
    }

    /// Table and trailer are the bytes of the format's description, for ever.
    #[test]
    fn golden_contents() {
        let bytes = OWNER.encode_contents(&frames(), 235);
        assert_eq!(bytes.len(), 2 * 40 + 64);
        assert_eq!(
            &bytes[..40],
            [[1; 32].as_slice(), &[64, 0, 0, 0, 100, 0, 0, 0]].concat()
        );
        assert_eq!(
            &bytes[40..80],
            [[2; 32].as_slice(), &[170, 0, 0, 0, 65, 0, 0, 0]].concat()
        );
        assert_eq!(&bytes[80..96], b"VOLFSTOC\x01\x00\x02\x00\x02\x00\x00\x00");
        assert_eq!(&bytes[96..104], [235, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[104..112], [0x34, 0x12, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[112..128], [3; 16]);
        assert_eq!(&bytes[128..136], b"\x06\xef\x80\x31\xba\x78\x34\xc4");
        assert_eq!(&bytes[136..], b"\xcf\x58\x8e\x51\x3d\x22\xdb\xd4");
    }

    /// Any flipped byte or truncation of the header, and any other owner, is refused.
    #[test]
    fn damaged_headers_are_refused() {
        let bytes = OWNER.encode_header();
        OWNER.check_header(&bytes).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(OWNER.check_header(&damaged).is_err(), "byte {at}");
            assert!(OWNER.check_header(&bytes[..at]).is_err(), "{at} bytes");
        }
        for other in [
            Owner {
                pool: PoolId([4; 16]),
                ..OWNER
            },
            Owner {
                segment: SegmentId(1),
                ..OWNER
            },
            Owner {
                kind: SegmentKind::Data,
                ..OWNER
            },
        ] {
            assert!(other.check_header(&bytes).is_err());
        }
    }

    fn decode(
        owner: &Owner,
        bytes: &[u8],
        frames_end: u64,
    ) -> Result<Vec<FrameEntry>, DecodeError> {
        let table_end = bytes.len().saturating_sub(TRAILER_BYTES);
        let file_bytes = frames_end + bytes.len() as u64;
        let trailer = owner.decode_trailer(&bytes[table_end..], file_bytes)?;
        trailer.decode_table(&bytes[..table_end])
    }

    /// A table comes back as it was; any flipped byte, truncation or other owner is refused.
    #[test]
    fn damaged_contents_are_refused() {
        let bytes = OWNER.encode_contents(&frames(), 235);
        assert_eq!(decode(&OWNER, &bytes, 235).unwrap(), frames());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(decode(&OWNER, &damaged, 235).is_err(), "byte {at}");
            assert!(decode(&OWNER, &bytes[..at], 235).is_err(), "{at} bytes");
        }
        assert!(decode(&OWNER, &bytes, 236).is_err());
        assert!(
            decode(
                &Owner {
                    pool: PoolId([4; 16]),
                    ..OWNER
                },
                &bytes,
                235
            )
            .is_err()
        );
        assert_eq!(
            decode(&OWNER, &OWNER.encode_contents(&[], 64), 64).unwrap(),
            []
        );
    }

    /// Frames that overlap, lie outside or are too short are refused under a valid checksum too.
    #[test]
    fn impossible_tables_are_refused() {
        let refused = |frames: &[FrameEntry]| {
            decode(&OWNER, &OWNER.encode_contents(frames, 235), 235).is_err()
        };
        let frame = |offset, len| FrameEntry {
            id: BlockId([1; 32]),
            offset,
            len,
        };
        assert!(!refused(&[frame(64, 171)]));
        assert!(refused(&[frame(63, 100)]));
        assert!(refused(&[frame(64, 172)]));
        assert!(refused(&[frame(64, 64)]));
        assert!(refused(&[frame(64, u32::MAX)]));
        assert!(refused(&[frame(64, 80), frame(143, 65)]));
    }
}
