//! What frames a segment file holds: from its table of contents, or frame by frame.

use crate::base::{DecodeError, SegmentId};
use crate::block::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameHeader, decode_frame};
use crate::disk::{DiskFile, DiskResult};

use super::FrameEntry;
use super::layout::{FRAMES_MAX, HEADER_BYTES, Owner, TRAILER_BYTES};

/// Bytes that a scan reads at once; several of the largest frames.
const WINDOW_BYTES: usize = 4 << 20;
const _: () = assert!(WINDOW_BYTES >= FRAME_BYTES_MAX);

/// Whether the file ends with a trailer of its own.
pub(super) fn is_closed(file: &dyn DiskFile, owner: &Owner, file_bytes: u64) -> DiskResult<bool> {
    let Some(at) = file_bytes.checked_sub(TRAILER_BYTES as u64) else {
        return Ok(false);
    };
    let mut trailer = [0; TRAILER_BYTES];
    file.read_exact_at(&mut trailer, at)?;
    Ok(owner.decode_trailer(&trailer, file_bytes).is_ok())
}

/// The frames in the file, in ascending order of offset.
///
/// A segment without a table of contents, or with a damaged one, is scanned up to the first frame
/// that is not valid; frames behind it can still be read through their pointers.
pub(super) fn frames(file: &dyn DiskFile, owner: &Owner) -> DiskResult<Vec<FrameEntry>> {
    let file_bytes = file.len()?;
    let mut header = [0; HEADER_BYTES];
    let read = file.read_at(&mut header, 0)?;
    if let Err(problem) = owner.check_header(&header[..read]) {
        warn(owner.segment, &problem);
        return Ok(Vec::new());
    }
    match table(file, owner)? {
        Some(frames) => Ok(frames),
        None => walk(file, file_bytes),
    }
}

fn warn(segment: SegmentId, problem: &DecodeError) {
    log::warn!("segment {segment}: {problem}");
}

/// The frames that the table of contents names, if there is one that can be used.
pub(super) fn table(file: &dyn DiskFile, owner: &Owner) -> DiskResult<Option<Vec<FrameEntry>>> {
    let file_bytes = file.len()?;
    if !is_closed(file, owner, file_bytes)? {
        return Ok(None);
    }
    let decoded = decode_table(file, owner, file_bytes)?;
    if let Err(problem) = &decoded {
        warn(owner.segment, problem);
    }
    Ok(decoded.ok())
}

fn decode_table(
    file: &dyn DiskFile,
    owner: &Owner,
    file_bytes: u64,
) -> DiskResult<Result<Vec<FrameEntry>, DecodeError>> {
    let mut bytes = [0; TRAILER_BYTES];
    file.read_exact_at(&mut bytes, file_bytes - TRAILER_BYTES as u64)?;
    let trailer = match owner.decode_trailer(&bytes, file_bytes) {
        Ok(trailer) => trailer,
        Err(problem) => return Ok(Err(problem)),
    };
    let mut bytes = vec![0; trailer.table_bytes()];
    file.read_exact_at(&mut bytes, u64::from(trailer.offset))?;
    Ok(trailer.decode_table(&bytes))
}

fn walk(file: &dyn DiskFile, file_bytes: u64) -> DiskResult<Vec<FrameEntry>> {
    let mut window = Window {
        file,
        file_bytes,
        bytes: Vec::new(),
        start: 0,
    };
    let mut frames = Vec::new();
    let mut offset = HEADER_BYTES as u64;
    let end = file_bytes.min(u64::from(u32::MAX));
    while offset < end && frames.len() < FRAMES_MAX {
        let Ok(header) = FrameHeader::decode(window.get(offset, FRAME_HEADER_BYTES)?) else {
            break;
        };
        let len = header.frame_len();
        if decode_frame(window.get(offset, len as usize)?).is_err() || offset + u64::from(len) > end
        {
            break;
        }
        frames.push(FrameEntry {
            id: header.id,
            offset: offset as u32,
            len,
        });
        offset += u64::from(len);
    }
    Ok(frames)
}

/// A piece of the file in memory, which moves on as it is asked for.
struct Window<'a> {
    file: &'a dyn DiskFile,
    file_bytes: u64,
    bytes: Vec<u8>,
    start: u64,
}

impl Window<'_> {
    /// The bytes at `offset`: `len` of them (at most [`WINDOW_BYTES`]), less at the file's end.
    fn get(&mut self, offset: u64, len: usize) -> DiskResult<&[u8]> {
        let here =
            offset >= self.start && offset + len as u64 <= self.start + self.bytes.len() as u64;
        if !here {
            let rest = self.file_bytes.saturating_sub(offset);
            self.bytes.resize(rest.min(WINDOW_BYTES as u64) as usize, 0);
            self.start = offset;
            let read = self.file.read_at(&mut self.bytes, offset)?;
            self.bytes.truncate(read);
        }
        let from = (offset - self.start) as usize;
        let to = self.bytes.len().min(from + len);
        Ok(&self.bytes[from..to])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::PoolId;
    use crate::block::block_id;
    use crate::block::frame::{Codec, FrameKind};
    use crate::block::segment::SegmentKind;
    use crate::disk::{Disk, FileDisk};

    const OWNER: Owner = Owner {
        pool: PoolId([3; 16]),
        segment: SegmentId(9),
        kind: SegmentKind::Data,
    };

    struct Fixture {
        _folder: tempfile::TempDir,
        file: Arc<dyn DiskFile>,
        frames: Vec<FrameEntry>,
        end: u64,
    }

    /// A segment with frames of 1 byte to more than a window together.
    fn segment() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let file = FileDisk::new(folder.path()).create("segment").unwrap();
        file.write_at(&[&OWNER.encode_header()], 0).unwrap();
        let mut frames = Vec::new();
        let mut end = HEADER_BYTES as u64;
        for number in 0..8u8 {
            let content = vec![number; 1 + usize::from(number) * 150_000];
            let id = block_id(&content);
            let header = FrameHeader::of(FrameKind::Block, Codec::Raw, content.len(), id, &content);
            file.write_at(&[&header.encode(), &content], end).unwrap();
            frames.push(FrameEntry {
                id,
                offset: end as u32,
                len: header.frame_len(),
            });
            end += u64::from(header.frame_len());
        }
        Fixture {
            _folder: folder,
            file,
            frames,
            end,
        }
    }

    fn flip(file: &dyn DiskFile, at: u64) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_at(&[&[!byte[0]]], at).unwrap();
    }

    /// An unclosed segment gives all its frames, up to where it is cut off or damaged.
    #[test]
    fn an_unclosed_segment_is_scanned_up_to_the_first_invalid_frame() {
        let Fixture {
            _folder,
            file,
            frames: expected,
            end,
        } = segment();
        assert_eq!(frames(&*file, &OWNER).unwrap(), expected);

        file.set_len(end - 1).unwrap();
        assert_eq!(frames(&*file, &OWNER).unwrap(), expected[..7]);
        file.set_len(u64::from(expected[5].offset) + 63).unwrap();
        assert_eq!(frames(&*file, &OWNER).unwrap(), expected[..5]);
        flip(&*file, u64::from(expected[3].offset) + 1000);
        assert_eq!(frames(&*file, &OWNER).unwrap(), expected[..3]);
        flip(&*file, 0);
        assert_eq!(frames(&*file, &OWNER).unwrap(), []);
        file.set_len(10).unwrap();
        assert_eq!(frames(&*file, &OWNER).unwrap(), []);
    }

    /// A closed segment gives what its table says; with a damaged table, trailer or a torn end it
    /// gives what a scan finds, which is the same.
    #[test]
    fn a_damaged_table_of_contents_falls_back_to_a_scan() {
        let Fixture {
            _folder,
            file,
            frames: expected,
            end,
        } = segment();
        let contents = OWNER.encode_contents(&expected, end as u32);
        file.write_at(&[&contents], end).unwrap();
        let file_bytes = end + contents.len() as u64;
        assert!(is_closed(&*file, &OWNER, file_bytes).unwrap());
        assert_eq!(frames(&*file, &OWNER).unwrap(), expected);

        flip(&*file, end + 3);
        assert!(is_closed(&*file, &OWNER, file_bytes).unwrap());
        assert_eq!(frames(&*file, &OWNER).unwrap(), expected);
        flip(&*file, file_bytes - 1);
        assert!(!is_closed(&*file, &OWNER, file_bytes).unwrap());
        assert_eq!(frames(&*file, &OWNER).unwrap(), expected);
        file.set_len(end + 70).unwrap();
        assert_eq!(frames(&*file, &OWNER).unwrap(), expected);
        assert!(!is_closed(&*file, &OWNER, 20).unwrap());
    }
}
