//! What makes a volume's records durable, and with them the frames that they name.

use super::volume::Volume;
use crate::base::sync::atomic::Ordering;
#[cfg(test)]
use crate::base::sync::{Sabotage, is_sabotaged};
use crate::base::{Lsn, chain};
use crate::block::Reach;
use crate::disk::Step;
use crate::journal::{Journal, RecordKind};
use crate::volume::{FsError, FsResult};

impl Volume {
    /// Everything acknowledged so far is on the medium when it returns.
    ///
    /// Order: the segments that this volume's records name, then the journal. The other way round
    /// a crash between the two leaves durable records whose frames are missing, which costs the
    /// volume a part of what was not acknowledged as durable; that is allowed, but recovery would
    /// have to search for it.
    pub fn sync(&self) -> FsResult<()> {
        if self.settings.read_only {
            return Ok(());
        }
        self.check_poison()?;
        // The state is read before the frames: a record in between adds one that is synced without
        // need, never one that is missed.
        #[cfg(test)]
        let early = is_sabotaged(Sabotage::FramesBeforeState).then(|| self.unsynced_frames());
        let at = self.state.read().at;
        let named = self.unsynced_frames();
        #[cfg(test)]
        let named = early.unwrap_or(named);
        let mut until = at;
        if !named.is_empty() {
            let synced = self
                .shared
                .store
                .sync_reach(&named, Step::SegmentBeforeReply);
            synced.map_err(|error| {
                self.poison(&chain(&error));
                FsError::Block(error)
            })?;
            // Also where others have synced the records already: rot of such a frame must not look
            // like a torn end.
            until = until.max(self.append_watermark(&named)?);
        }
        let journal = self.shared.journal()?;
        journal
            .sync(until, Step::JournalBeforeReply)
            .map_err(|error| self.journal_failed(error))?;
        if !named.is_empty() {
            self.unsynced.lock().synced(&named, at);
        }
        Ok(())
    }

    /// Frames that its records up to `at` name need no sync and no watermark any more, if they are
    /// durable.
    pub(crate) fn forget_durable(&self, named: &Reach, at: Lsn) {
        if !named.is_empty() && self.shared.store.is_durable(named) {
            self.unsynced.lock().synced(named, at);
        }
    }

    /// Tells recovery how far the segments are durable, so that damage below can be told from a
    /// torn end; where the record ends.
    pub(crate) fn append_watermark(&self, named: &Reach) -> FsResult<Lsn> {
        let marks = self.shared.marks(named);
        let journal: &Journal = self.shared.journal()?;
        match journal.append(RecordKind::Watermark, self.settings.id, &[&marks]) {
            Ok(position) => Ok(position.lsn),
            // A hint that finds no room is left out.
            Err(error) if error.is_passing() => Ok(Lsn(0)),
            Err(error) => Err(self.journal_failed(error)),
        }
    }

    /// A copy stands on frames of its source that may not be durable yet: whoever syncs the copy
    /// syncs them too.
    pub(crate) fn inherit_unsynced(&self, source: &Volume, at: Lsn) {
        let source = source.unsynced.lock();
        self.unsynced.lock().inherit(&source, at);
        self.poisonings_seen.store(0, Ordering::Release);
    }

    /// Frames that its records name and that may not be durable yet.
    pub(crate) fn unsynced_frames(&self) -> Reach {
        self.unsynced.lock().reach()
    }
}
