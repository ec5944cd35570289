//! A range of a segment that one thread may write.

use std::sync::Arc;

use crate::base::Place;
use crate::disk::{DiskError, DiskFile, DiskResult};

use super::Segment;

/// What is written there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Content {
    /// Frames, one behind the other.
    Frames,
    /// The table of contents.
    Contents,
}

/// A range of the file that one thread may write.
pub(super) struct Reservation {
    pub(super) segment: Arc<Segment>,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) offset: u32,
    pub(super) len: u32,
    pub(super) content: Content,
    /// It was written, or given up.
    pub(super) ended: bool,
}

impl Reservation {
    /// Where it is.
    pub(super) fn place(&self) -> Place {
        Place {
            segment: self.segment.id(),
            offset: self.offset,
            len: self.len,
        }
    }

    /// Takes what was written of it from the file, which ends with it.
    pub(super) fn cut(&self) -> DiskResult<()> {
        let offset = u64::from(self.offset);
        if self.file.len()? > offset {
            self.file.set_len(offset)?;
        }
        Ok(())
    }

    /// Writes it; `parts` are as long as the reservation.
    pub(super) fn write(mut self, parts: &[&[u8]]) -> Result<(), DiskError> {
        debug_assert_eq!(
            parts.iter().map(|part| part.len()).sum::<usize>(),
            self.len as usize
        );
        let result = self.file.write_at(parts, u64::from(self.offset));
        self.ended = true;
        match &result {
            Ok(()) => {
                if let Some((offset, len)) = self.segment.complete(&self) {
                    self.file.start_writeback(offset, len);
                }
            }
            Err(error) => self.segment.abandon(&self, error.is_no_space()),
        }
        result
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.ended {
            self.segment.abandon(self, false);
        }
    }
}
