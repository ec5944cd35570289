//! Writing anew what a segment file has beside its frames, which all of it derives from.

use std::ops::ControlFlow;

use crate::base::SegmentId;
use crate::block::{BlockError, BlockResult};
use crate::disk::{DiskFile, DiskResult, Step};

use super::SegmentSet;
use super::examine::{Depth, End, Examined, Examiner};
use super::layout::{FRAMES_END_MAX, HEADER_BYTES, Owner};

impl SegmentSet {
    /// Writes the file's header; durable when this returns.
    pub(in crate::block) fn rewrite_header(&self, id: SegmentId) -> BlockResult<()> {
        self.at(id, |file, owner| {
            write_durably(file, &owner.encode_header(), 0)?;
            Ok(true)
        })
        .map(drop)
    }

    /// Writes the header if a power loss took it: what was never synced may miss any sector, also
    /// the first one of a file whose frames are there. Durable when this returns.
    ///
    /// Where the medium has no room for it, it stays missing: frames are read without it, and a
    /// full disk is no reason not to open a pool.
    pub(super) fn mend_torn_header(&self, id: SegmentId) -> BlockResult<()> {
        if !self.at(id, |file, _| is_header_torn(file))? {
            return Ok(());
        }
        match self.rewrite_header(id) {
            Ok(()) => log::info!("segment {id}: a power loss took its header: written anew"),
            Err(error) if error.is_no_space() => log::warn!(
                "segment {id}: a power loss took its header, and the disk has no room for a new \
                 one; make room, then run `volfs check --repair`"
            ),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Writes a table of contents of exactly the sound frames; `false`: it has that already.
    /// Durable when this returns.
    ///
    /// A table of the old one's length goes to the old one's place, any other behind the end of
    /// the file, so that not a byte is lost that may have been a frame. A crash leaves a damaged
    /// table, or a file that looks as if it had never been closed: this can be repeated.
    pub(in crate::block) fn rewrite_contents(&self, id: SegmentId) -> BlockResult<bool> {
        self.at(id, write_contents)
    }

    fn at(
        &self,
        id: SegmentId,
        work: impl FnOnce(&dyn DiskFile, &Owner) -> DiskResult<bool>,
    ) -> BlockResult<bool> {
        let fail = |source| BlockError::Disk {
            segment: id,
            source,
        };
        let segment = self
            .get(id)
            .ok_or(BlockError::UnknownSegment { segment: id })?;
        let Some(file) = self.file(id).map_err(fail)? else {
            return Ok(false);
        };
        let outcome = work(&*file, &self.owner(id, segment.kind())).map_err(fail);
        self.forget_table(id);
        outcome
    }
}

/// Whether the sector with the header was never written, though something behind it was.
pub(super) fn is_header_torn(file: &dyn DiskFile) -> DiskResult<bool> {
    let mut header = [0; HEADER_BYTES];
    let read = file.read_at(&mut header, 0)?;
    Ok(read == HEADER_BYTES && header == [0; HEADER_BYTES])
}

fn write_contents(file: &dyn DiskFile, owner: &Owner) -> DiskResult<bool> {
    let mut go_on = |_| ControlFlow::Continue(());
    let mut examiner = Examiner::new(file, owner, Depth::Contents, &mut go_on);
    let ControlFlow::Continue(end) = examiner.whole()? else {
        return Ok(false);
    };
    let Examined { sound, end, .. } = examiner.into_examined(end);
    let file_bytes = file.len()?;
    let contents_at = |offset: u64| {
        let at = u32::try_from(offset).ok()?;
        (at <= FRAMES_END_MAX).then(|| (at, owner.encode_contents(&sound, at)))
    };
    let in_place = match end {
        End::Unclosed => None,
        End::Closed { offset } | End::Damaged { offset } => contents_at(offset),
    };
    let ends_the_file =
        |at: u32, contents: &[u8]| u64::from(at) + contents.len() as u64 == file_bytes;
    let chosen = in_place
        .filter(|(at, contents)| ends_the_file(*at, contents))
        .or_else(|| contents_at(file_bytes));
    let Some((at, contents)) = chosen else {
        log::warn!("segment {}: no room for a table of contents", owner.segment);
        return Ok(false);
    };
    let mut present = vec![0; contents.len()];
    let read = file.read_at(&mut present, u64::from(at))?;
    if present[..read] == contents[..] {
        return Ok(false);
    }
    write_durably(file, &contents, u64::from(at))?;
    Ok(true)
}

fn write_durably(file: &dyn DiskFile, bytes: &[u8], at: u64) -> DiskResult<()> {
    file.write_at(&[bytes], at)?;
    file.sync(Step::SegmentMended)
}
