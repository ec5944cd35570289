//! What must hold of a segment's file with any bytes.

use crate::base::{PoolId, SegmentId};
use crate::block::fuzzing::seal_frame;
use crate::disk::{Disk, ImageDisk};

use super::layout::{HEADER_BYTES, Owner, TRAILER_BYTES, Trailer};
use super::{SegmentKind, scan};

const OWNER: Owner = Owner {
    pool: PoolId([3; 16]),
    segment: SegmentId(9),
    kind: SegmentKind::Data,
};
/// Byte offset of the number of frames in a trailer; that of the table follows.
const COUNT_AT: usize = 12;

/// A segment's file gives frames that lie in it, one behind the other; a table of contents that
/// is accepted is what its frames encode to.
pub(crate) fn segment(bytes: &[u8]) {
    check_file(bytes);
    check_file(&sealed(bytes));
}

fn check_file(bytes: &[u8]) {
    let path = super::path(OWNER.segment, OWNER.kind);
    let disk = ImageDisk::new([(path.clone(), bytes.to_vec())]);
    let file = disk.open(&path).expect("the file is there");
    let mut end = HEADER_BYTES as u64;
    for frame in scan::frames(&*file, &OWNER).expect("a file in memory can be read") {
        assert!(u64::from(frame.offset) >= end);
        end = u64::from(frame.offset) + u64::from(frame.len);
    }
    assert!(end <= bytes.len().max(HEADER_BYTES) as u64);

    let Some((front, trailer)) = bytes.split_last_chunk::<TRAILER_BYTES>() else {
        return;
    };
    let Ok(trailer) = OWNER.decode_trailer(trailer, bytes.len() as u64) else {
        return;
    };
    let table = trailer.offset as usize;
    if let Ok(frames) = trailer.decode_table(&front[table..]) {
        let encoded = OWNER.encode_contents(&frames, trailer.offset);
        assert_eq!(encoded, bytes[table..]);
    }
}

/// The file with a right header, and right checksums of its frames, of its table and in its
/// trailer, as far as they can be told.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() < HEADER_BYTES + TRAILER_BYTES {
        return bytes;
    }
    bytes[..HEADER_BYTES].copy_from_slice(&OWNER.encode_header());
    let trailer_at = bytes.len() - TRAILER_BYTES;
    let mut at = HEADER_BYTES;
    while let Some(len) = seal_frame(&mut bytes[at..]) {
        at += len;
    }
    let number = |at: usize| {
        let field = &bytes[trailer_at + at..trailer_at + at + 4];
        u32::from_le_bytes([field[0], field[1], field[2], field[3]])
    };
    let (count, offset) = (number(COUNT_AT), number(COUNT_AT + 4));
    if let Some(table) = bytes.get(offset as usize..trailer_at) {
        let trailer = OWNER.encode_trailer(&Trailer::over(table, count, offset));
        bytes[trailer_at..].copy_from_slice(&trailer);
    }
    bytes
}

/// A closed segment, and one that a crash has cut off.
#[cfg(test)]
pub(crate) fn segment_seeds() -> Vec<(&'static str, Vec<u8>)> {
    use super::FrameEntry;
    use crate::block::{block_id, fuzzing::encoded_frame};

    let mut file = OWNER.encode_header();
    let mut frames = Vec::new();
    for content in [&b"first"[..], &[7; 300]] {
        let frame = encoded_frame(content);
        frames.push(FrameEntry {
            id: block_id(content),
            offset: file.len() as u32,
            len: frame.len() as u32,
        });
        file.extend(frame);
    }
    let contents = OWNER.encode_contents(&frames, file.len() as u32);
    let torn = file[..file.len() - 3].to_vec();
    vec![("closed", [file, contents].concat()), ("torn", torn)]
}
