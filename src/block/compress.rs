//! LZ4 with buffers kept per thread, or the content as it is where LZ4 does not pay.

use std::cell::Cell;
use std::sync::Arc;

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size,
};

use super::frame::{Codec, FrameHeader};

/// Contents from this length on need LZ4's larger table.
const LARGE_BYTES: usize = u16::MAX as usize;

/// What a thread keeps for compressing: the output (up to the longest content it has seen) and
/// LZ4's tables (8 and 16 KiB), so that a block costs no allocation.
struct Compressor {
    output: Vec<u8>,
    small: CompressTable,
    large: CompressTable,
}

thread_local! {
    static COMPRESSOR: Cell<Option<Box<Compressor>>> = const { Cell::new(None) };
}

impl Compressor {
    fn new() -> Box<Compressor> {
        Box::new(Compressor {
            output: Vec::new(),
            small: CompressTable::small(),
            large: CompressTable::large(),
        })
    }

    /// The payload for this content: LZ4 if that saves at least an eighth, so that reading what
    /// hardly shrinks costs no decompression.
    fn payload<'a>(&'a mut self, content: &'a [u8]) -> (Codec, &'a [u8]) {
        let room = get_maximum_output_size(content.len());
        if self.output.len() < room {
            self.output.resize(room, 0);
        }
        let table = if content.len() < LARGE_BYTES {
            &mut self.small
        } else {
            &mut self.large
        };
        match compress_into_with_table(content, &mut self.output, table) {
            Ok(len) if len <= content.len() - content.len().div_ceil(8) => {
                (Codec::Lz4, &self.output[..len])
            }
            _ => (Codec::Raw, content),
        }
    }
}

/// Calls `sink` with the payload for this content.
pub(super) fn with_payload<R>(content: &[u8], sink: impl FnOnce(Codec, &[u8]) -> R) -> R {
    let mut compressor = COMPRESSOR.take().unwrap_or_else(Compressor::new);
    let (codec, payload) = compressor.payload(content);
    let result = sink(codec, payload);
    COMPRESSOR.set(Some(compressor));
    result
}

/// The content of a payload, or what is wrong with it.
pub(super) fn unpack(header: &FrameHeader, payload: &[u8]) -> Result<Arc<[u8]>, String> {
    match header.codec {
        Codec::Raw => Ok(Arc::from(payload)),
        Codec::Lz4 => {
            let zeroes = std::iter::repeat_n(0, header.content_len as usize);
            let mut content: Arc<[u8]> = zeroes.collect();
            let room = Arc::get_mut(&mut content).expect("a new Arc has one owner");
            decompress(payload, room)?;
            Ok(content)
        }
    }
}

/// As [`unpack`], into a vector.
pub(super) fn unpack_to_vec(header: &FrameHeader, payload: &[u8]) -> Result<Vec<u8>, String> {
    match header.codec {
        Codec::Raw => Ok(payload.to_vec()),
        Codec::Lz4 => {
            let mut content = vec![0; header.content_len as usize];
            decompress(payload, &mut content)?;
            Ok(content)
        }
    }
}

/// As [`unpack`], to the start of `out`, which is at least as long as the content.
pub(super) fn unpack_into(
    header: &FrameHeader,
    payload: &[u8],
    out: &mut [u8],
) -> Result<usize, String> {
    let content = &mut out[..header.content_len as usize];
    match header.codec {
        Codec::Raw => content.copy_from_slice(payload),
        Codec::Lz4 => decompress(payload, content)?,
    }
    Ok(content.len())
}

fn decompress(payload: &[u8], content: &mut [u8]) -> Result<(), String> {
    match decompress_into(payload, content) {
        Ok(len) if len == content.len() => Ok(()),
        Ok(len) => Err(format!(
            "decompresses to {len} bytes instead of {}",
            content.len()
        )),
        Err(error) => Err(format!("does not decompress: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::BlockId;
    use crate::block::frame::FrameKind;
    use proptest::prelude::*;

    fn round_trip(content: &[u8]) -> Codec {
        with_payload(content, |codec, payload| {
            let id = BlockId([0; 32]);
            let header = FrameHeader::of(FrameKind::Block, codec, content.len(), id, payload);
            assert_eq!(&*unpack(&header, payload).unwrap(), content);
            assert_eq!(unpack_to_vec(&header, payload).unwrap(), content);
            let mut out = vec![7; content.len() + 1];
            assert_eq!(unpack_into(&header, payload, &mut out), Ok(content.len()));
            assert_eq!(out.pop(), Some(7));
            assert_eq!(out, content);
            codec
        })
    }

    /// Text shrinks; noise, and what would save less than an eighth, is stored as it is.
    #[test]
    fn lz4_only_where_it_pays() {
        let mut noise = vec![0; 8192];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        assert_eq!(round_trip(&b"the same again ".repeat(500)), Codec::Lz4);
        assert_eq!(round_trip(&noise), Codec::Raw);
        noise[7400..].fill(0);
        assert_eq!(round_trip(&noise), Codec::Raw);
        noise[6800..].fill(0);
        assert_eq!(round_trip(&noise), Codec::Lz4);
        assert_eq!(round_trip(b"x"), Codec::Raw);
    }

    /// A payload that decompresses to another length is refused.
    #[test]
    fn wrong_lengths_are_refused() {
        with_payload(&[5; 1000], |codec, payload| {
            for content_len in [999, 1001] {
                let id = BlockId([0; 32]);
                let header = FrameHeader::of(FrameKind::Block, codec, content_len, id, payload);
                assert!(unpack(&header, payload).is_err());
                assert!(unpack_to_vec(&header, payload).is_err());
                assert!(unpack_into(&header, payload, &mut [0; 2000]).is_err());
            }
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Contents on both sides of the tables' border come back, in any order.
        #[test]
        fn contents_round_trip(
            runs in proptest::collection::vec((any::<u8>(), 1usize..9000), 1..20),
        ) {
            let content: Vec<u8> =
                runs.iter().flat_map(|&(byte, len)| std::iter::repeat_n(byte, len)).collect();
            round_trip(&content);
            round_trip(&content[..content.len().min(100)]);
        }
    }
}
