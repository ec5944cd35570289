//! What must hold of a frame and of a segment's file with any bytes.

use xxhash_rust::xxh3::xxh3_64;

use super::compress::{unpack, unpack_to_vec};
use super::frame::{FRAME_HEADER_BYTES, decode_frame};

pub(crate) use super::segment::fuzzing::segment;
#[cfg(test)]
pub(crate) use super::segment::fuzzing::segment_seeds;

/// Byte offset of the payload's length in a header.
const STORED_LEN_AT: usize = 8;
/// Byte offset of the payload's checksum in a header.
const PAYLOAD_CHECKSUM_AT: usize = 48;
/// Byte offset of the header's own checksum, which covers what is before.
const CHECKSUM_AT: usize = 56;

/// A frame is refused, or is what its header and payload encode to; its content has the length
/// that it states.
pub(crate) fn frame(bytes: &[u8]) {
    check_frame(bytes);
    let mut sealed = bytes.to_vec();
    if let Some(payload_bytes) = bytes.len().checked_sub(FRAME_HEADER_BYTES) {
        let stored_len = (payload_bytes as u32).to_le_bytes();
        sealed[STORED_LEN_AT..STORED_LEN_AT + 4].copy_from_slice(&stored_len);
        seal_frame(&mut sealed);
        check_frame(&sealed);
    }
}

fn check_frame(bytes: &[u8]) {
    let Ok((header, payload)) = decode_frame(bytes) else {
        return;
    };
    assert_eq!([&header.encode()[..], payload].concat(), bytes);
    let content = unpack(&header, payload);
    let copy = unpack_to_vec(&header, payload);
    assert_eq!(content.as_deref(), copy.as_deref());
    if let Ok(content) = content {
        assert_eq!(content.len(), header.content_len as usize);
    }
}

/// Corrects the checksums of the frame at the start of `bytes`, so that what is behind them is
/// reached, and returns the frame's length; none if it does not fit.
pub(super) fn seal_frame(bytes: &mut [u8]) -> Option<usize> {
    let header = bytes.get(..FRAME_HEADER_BYTES)?;
    let stored_len = header[STORED_LEN_AT..STORED_LEN_AT + 4].try_into().ok()?;
    let end = FRAME_HEADER_BYTES.checked_add(u32::from_le_bytes(stored_len) as usize)?;
    let payload = bytes.get(FRAME_HEADER_BYTES..end)?;
    let checksum = xxh3_64(payload).to_le_bytes();
    bytes[PAYLOAD_CHECKSUM_AT..CHECKSUM_AT].copy_from_slice(&checksum);
    let checksum = xxh3_64(&bytes[..CHECKSUM_AT]).to_le_bytes();
    bytes[CHECKSUM_AT..FRAME_HEADER_BYTES].copy_from_slice(&checksum);
    Some(end)
}

/// A block that shrinks and one that does not.
#[cfg(test)]
pub(crate) fn frame_seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("lz4", encoded_frame(&b"the same again ".repeat(20))),
        ("raw", encoded_frame(b"short")),
    ]
}

/// A block's frame.
#[cfg(test)]
pub(super) fn encoded_frame(content: &[u8]) -> Vec<u8> {
    use super::frame::{FrameHeader, FrameKind};

    super::compress::with_payload(content, |codec, payload| {
        let id = super::block_id(content);
        let header = FrameHeader::of(FrameKind::Block, codec, content.len(), id, payload);
        [&header.encode()[..], payload].concat()
    })
}
