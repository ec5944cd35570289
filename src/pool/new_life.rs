//! What a pool does first behind its recovery: everything that is appended from now on is told from
//! what earlier lives have left.

use std::sync::Arc;

use super::recovery::Replayed;
use super::superblock::Superblock;
use super::{Pool, PoolResult};
use crate::base::VolumeId;
use crate::block::Reach;
use crate::disk::{Step, performs};
use crate::journal::{JournalError, RecordKind};
use crate::volume::Volume;
use crate::volume::core::admission::Room;

/// What a first record says, and of whom.
struct Marks {
    body: Vec<u8>,
    named: Vec<(Arc<Volume>, Reach)>,
}

impl Pool {
    /// Makes the incarnation durable, and with it what recovery decided (recovery, step 4).
    pub(super) fn begin_life(&self, replayed: &Replayed) -> PoolResult<()> {
        let disk = &*self.shared.disk;
        let is_cut = !replayed.is_whole || self.journal_cut.is_some();
        let has_replayed = replayed.end.records > 0 || is_cut;
        let publishes = performs(disk, Step::RecoveryPublished);
        let marks = match replayed.has_changes && !is_cut && publishes {
            true => self.marks_to_go_on(),
            false => None,
        };
        if publishes && marks.is_none() {
            self.checkpoint()?;
        }
        if has_replayed && performs(disk, Step::BothSlotsPublished) {
            match &marks {
                Some(_) => self.state_again()?,
                // After a cut of the journal the older slot still needs the damaged part.
                None => self.checkpoint()?,
            }
        }
        if let Some(marks) = marks
            && !self.append_first_record(&marks)?
        {
            // Without its marks what was replayed may be judged anew, from whichever slot.
            self.checkpoint()?;
            self.checkpoint()?;
        }
        Ok(())
    }

    /// The first record of a life that goes on with what was replayed: if neither what opening
    /// appends nor the first who write will have to wait for a checkpoint, and no frame that the
    /// replayed records name will ever be judged anew. One that was found elsewhere would be.
    fn marks_to_go_on(&self) -> Option<Marks> {
        let admission = &self.shared.admission;
        let journal = self.journal().ok()?;
        if !admission.has_ample_room(journal.fill()) {
            return None;
        }
        self.look_for_room();
        if admission.room() != Room::Enough {
            return None;
        }
        let catalog = self.catalog.lock();
        let volumes = catalog.volumes.values().map(|entry| &entry.volume);
        let named: Vec<(Arc<Volume>, Reach)> = volumes
            .map(|volume| (volume.clone(), volume.unsynced_frames()))
            .collect();
        let mut all = Reach::default();
        named.iter().for_each(|(_, reach)| all.merge(reach));
        let store = &self.shared.store;
        let mut frames = all.iter();
        let is_in_place = frames.all(|(segment, end)| store.durable_bytes(segment) >= end);
        is_in_place.then(|| Marks {
            body: self.shared.marks(&all),
            named,
        })
    }

    /// Publishes the newest state once more, into the slot of the one before. Replay from there
    /// would judge what lies before the newest state: where a sync failed, that holds more than
    /// the records before it can bring back.
    fn state_again(&self) -> PoolResult<()> {
        let mut published = self.published.lock();
        let newest = published.newest;
        let again = Superblock {
            generation: newest.generation + 1,
            ..newest
        };
        let disk = &*self.shared.disk;
        published.file.publish(disk, &newest, &again)?;
        published.newest = again;
        Ok(())
    }

    /// Appends and syncs it; false where there is no room for it, or it is too large.
    fn append_first_record(&self, marks: &Marks) -> PoolResult<bool> {
        let (journal, kind) = (self.journal()?, RecordKind::Watermark);
        let before = journal.appended().lsn;
        match journal.append(kind, VolumeId::CATALOG, &[&marks.body]) {
            Ok(position) => journal.sync(position.lsn, Step::FirstRecord)?,
            Err(JournalError::TooLarge { .. }) => return Ok(false),
            Err(error) if error.is_passing() => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        for (volume, reach) in &marks.named {
            volume.forget_durable(reach, before);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;
    use crate::pool::PoolOptions;

    /// A first record that no journal takes is none; the pool goes on, and opens again.
    #[test]
    fn a_first_record_that_is_too_large_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool");
        Pool::create(&path).unwrap();
        let pool = Pool::open(&path, PoolOptions::default()).unwrap();
        let marks = |length| Marks {
            body: vec![0; length],
            named: Vec::new(),
        };
        assert!(
            !pool
                .append_first_record(&marks(Journal::BODY_MAX + 1))
                .unwrap()
        );
        pool.checkpoint().unwrap();
        drop(pool);
        Pool::open(&path, PoolOptions::default()).unwrap();
    }
}
