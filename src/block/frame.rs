//! A frame: one block or tree node as it is stored (layout only; `docs/on-disk-format.md`).

use xxhash_rust::xxh3::xxh3_64;

use crate::base::{BlockId, ByteReader, DecodeError, PutBytes};

use super::FRAME_CONTENT_MAX;

/// Length of a frame's header in bytes.
pub(super) const FRAME_HEADER_BYTES: usize = 64;

/// Largest content of any frame in bytes: a block, or a tree node that holds a giant value beside
/// its other entries.
pub(super) const CONTENT_BYTES_MAX: usize = FRAME_CONTENT_MAX + 128 * 1024;

/// Largest frame in bytes; the payload is never longer than the content.
pub(super) const FRAME_BYTES_MAX: usize = FRAME_HEADER_BYTES + CONTENT_BYTES_MAX;

const MAGIC: [u8; 4] = *b"VFRM";
const VERSION: u8 = 1;
/// The part of the header that its checksum covers.
const CHECKED_BYTES: usize = FRAME_HEADER_BYTES - 8;

const _: () = assert!(4 + 4 + 4 + 4 + BlockId::BYTES + 8 + 8 == FRAME_HEADER_BYTES);

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum FrameKind {
    /// File content; its id is the BLAKE3 of it.
    Block = 1,
    /// A tree node; its id is the tree's business.
    Node = 2,
}

/// How the payload encodes the content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Codec {
    /// The content as it is.
    Raw = 0,
    /// One LZ4 block without a size in front.
    Lz4 = 1,
}

/// The header of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FrameHeader {
    /// What the frame holds.
    pub(super) kind: FrameKind,
    /// How the payload encodes it.
    pub(super) codec: Codec,
    /// Length of the payload in bytes.
    pub(super) stored_len: u32,
    /// Length of the content in bytes.
    pub(super) content_len: u32,
    /// Name of the content.
    pub(super) id: BlockId,
    /// XXH3-64 of the payload.
    pub(super) payload_checksum: u64,
}

impl FrameHeader {
    /// The header of a payload; both lengths are below [`CONTENT_BYTES_MAX`].
    pub(super) fn of(
        kind: FrameKind,
        codec: Codec,
        content_len: usize,
        id: BlockId,
        payload: &[u8],
    ) -> FrameHeader {
        debug_assert!((1..=CONTENT_BYTES_MAX).contains(&content_len));
        debug_assert!((1..=content_len).contains(&payload.len()));
        FrameHeader {
            kind,
            codec,
            stored_len: payload.len() as u32,
            content_len: content_len as u32,
            id,
            payload_checksum: xxh3_64(payload),
        }
    }

    /// Length of the whole frame in bytes.
    pub(super) fn frame_len(&self) -> u32 {
        FRAME_HEADER_BYTES as u32 + self.stored_len
    }

    /// The header's bytes.
    pub(super) fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        let mut out = Fill {
            bytes: &mut bytes,
            at: 0,
        };
        out.put_bytes(&MAGIC);
        out.put_u8(VERSION);
        out.put_u8(self.kind as u8);
        out.put_u8(self.codec as u8);
        out.put_u8(0);
        out.put_u32(self.stored_len);
        out.put_u32(self.content_len);
        out.put_bytes(&self.id.0);
        out.put_u64(self.payload_checksum);
        let checksum = xxh3_64(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header at the start of `bytes`, its checksum and every field verified.
    pub(super) fn decode(bytes: &[u8]) -> Result<FrameHeader, DecodeError> {
        let mut reader = ByteReader::new("frame header", bytes);
        let checked = reader.clone().bytes(CHECKED_BYTES)?;
        if reader.array::<4>()? != MAGIC {
            return Err(reader.error("no frame starts here"));
        }
        if reader.u8()? != VERSION {
            return Err(reader.error("unknown version"));
        }
        let kind = match reader.u8()? {
            1 => FrameKind::Block,
            2 => FrameKind::Node,
            _ => return Err(reader.error("unknown kind")),
        };
        let codec = match reader.u8()? {
            0 => Codec::Raw,
            1 => Codec::Lz4,
            _ => return Err(reader.error("unknown codec")),
        };
        if reader.u8()? != 0 {
            return Err(reader.error("a reserved byte is set"));
        }
        let (stored_len, content_len) = (reader.u32()?, reader.u32()?);
        let id = reader.block_id()?;
        let payload_checksum = reader.u64()?;
        if reader.u64()? != xxh3_64(checked) {
            return Err(reader.error("the header's checksum does not match"));
        }
        if content_len == 0 || content_len as usize > CONTENT_BYTES_MAX {
            return Err(reader.error("content length outside its limits"));
        }
        let plausible = match codec {
            Codec::Raw => stored_len == content_len,
            Codec::Lz4 => stored_len > 0 && stored_len < content_len,
        };
        if !plausible {
            return Err(reader.error("stored length does not fit the codec"));
        }
        Ok(FrameHeader {
            kind,
            codec,
            stored_len,
            content_len,
            id,
            payload_checksum,
        })
    }
}

/// A whole frame, `bytes` being exactly it: the header and the payload that its checksum covers.
pub(super) fn decode_frame(bytes: &[u8]) -> Result<(FrameHeader, &[u8]), DecodeError> {
    let header = FrameHeader::decode(bytes)?;
    let mut reader = ByteReader::new("frame", bytes);
    reader.bytes(FRAME_HEADER_BYTES)?;
    let payload = reader.bytes(header.stored_len as usize)?;
    if xxh3_64(payload) != header.payload_checksum {
        return Err(reader.error("the payload's checksum does not match"));
    }
    reader.finish()?;
    Ok((header, payload))
}

/// Fills an array of known size, so that encoding a header allocates nothing.
struct Fill<'a> {
    bytes: &'a mut [u8; FRAME_HEADER_BYTES],
    at: usize,
}

impl PutBytes for Fill<'_> {
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: FrameKind, codec: Codec, content_len: usize, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader::of(kind, codec, content_len, BlockId([7; 32]), payload);
        [header.encode().as_slice(), payload].concat()
    }

    /// The bytes of a small frame are what the format's description says, for ever.
    #[test]
    fn golden_bytes() {
        let bytes = frame(FrameKind::Node, Codec::Lz4, 16, b"payload");
        assert_eq!(&bytes[..8], b"VFRM\x01\x02\x01\x00");
        assert_eq!(&bytes[8..16], [7, 0, 0, 0, 16, 0, 0, 0]);
        assert_eq!(&bytes[16..48], [7; 32]);
        assert_eq!(&bytes[48..56], b"\x7b\x8d\x2d\x5b\xf0\x61\xfe\x32");
        assert_eq!(&bytes[56..64], b"\x17\x69\xd8\x78\x32\x03\x84\x86");
        assert_eq!(&bytes[64..], b"payload");
    }

    /// No single flipped bit of a frame goes unnoticed, and no truncation or extension either.
    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let bytes = frame(FrameKind::Block, Codec::Raw, 21, b"twenty-one bytes long");
        decode_frame(&bytes).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert!(
                    decode_frame(&damaged).is_err(),
                    "bit {bit} of byte {at} went unnoticed"
                );
            }
            assert!(
                decode_frame(&bytes[..at]).is_err(),
                "{at} bytes were accepted"
            );
        }
        assert!(decode_frame(&[bytes.as_slice(), b"x"].concat()).is_err());
    }

    /// Lengths that no writer produces are refused even under a valid checksum.
    #[test]
    fn impossible_lengths_are_refused() {
        let header = FrameHeader::of(FrameKind::Block, Codec::Raw, 4, BlockId([1; 32]), b"1234");
        let refused = |change: &dyn Fn(&mut FrameHeader)| {
            let mut changed = header;
            change(&mut changed);
            FrameHeader::decode(&changed.encode()).is_err()
        };
        assert!(!refused(&|_| {}));
        assert!(refused(&|header| header.stored_len = 3));
        assert!(refused(
            &|header| (header.stored_len, header.content_len) = (0, 0)
        ));
        assert!(refused(&|header| header.codec = Codec::Lz4));
        let above = CONTENT_BYTES_MAX as u32 + 1;
        assert!(refused(
            &|header| (header.stored_len, header.content_len) = (above, above)
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// What is encoded comes back, whatever the payload.
        #[test]
        fn frames_round_trip(
            payload in proptest::collection::vec(any::<u8>(), 1..600),
            id in any::<[u8; 32]>(),
            extra in 0usize..1000,
        ) {
            let codec = if extra == 0 { Codec::Raw } else { Codec::Lz4 };
            let content_len = payload.len() + extra;
            let header =
                FrameHeader::of(FrameKind::Block, codec, content_len, BlockId(id), &payload);
            let bytes = [header.encode().as_slice(), &payload].concat();
            prop_assert_eq!(bytes.len(), header.frame_len() as usize);
            prop_assert_eq!(decode_frame(&bytes).unwrap(), (header, payload.as_slice()));
        }

        /// Arbitrary bytes are refused without a panic.
        #[test]
        fn noise_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode_frame(&bytes).is_err());
        }
    }
}
