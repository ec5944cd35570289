//! What a pool does first behind its recovery: everything that is appended from now on is told from
//! what earlier lives have left.

use std::sync::Arc;

use super::recovery::Replayed;
use super::{Pool, PoolResult};
use crate::base::VolumeId;
use crate::block::Reach;
use crate::disk::{Step, performs};
use crate::journal::RecordKind;
use crate::volume::Volume;
use crate::volume::core::admission::Room;

impl Pool {
    /// Makes the incarnation durable, and with it what recovery decided (recovery, step 4).
    pub(super) fn begin_life(&self, replayed: &Replayed) -> PoolResult<()> {
        let disk = &*self.shared.disk;
        let is_cut = !replayed.is_whole || self.journal_cut.is_some();
        if performs(disk, Step::RecoveryPublished) {
            if replayed.has_changes && !is_cut && self.goes_on()? {
                return Ok(());
            }
            self.checkpoint()?;
        }
        // After a cut of the journal the older slot still needs the damaged part.
        let has_replayed = replayed.end.records > 0 || is_cut;
        if has_replayed && performs(disk, Step::BothSlotsPublished) {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Begins this life with a record, if neither what opening appends nor the first who write will
    /// have to wait for a checkpoint; whether it has.
    fn goes_on(&self) -> PoolResult<bool> {
        let admission = &self.shared.admission;
        if !admission.has_ample_room(self.journal()?.fill()) {
            return Ok(false);
        }
        self.look_for_room();
        Ok(admission.room() == Room::Enough && self.append_first_record()?)
    }

    /// Appends and syncs the first record of this life; false where there is no room for it.
    fn append_first_record(&self) -> PoolResult<bool> {
        let catalog = self.catalog.lock();
        let volumes = catalog.volumes.values().map(|entry| &entry.volume);
        let named: Vec<(&Arc<Volume>, Reach)> = volumes
            .map(|volume| (volume, volume.unsynced_frames()))
            .collect();
        let mut durable = Reach::default();
        named.iter().for_each(|(_, reach)| durable.merge(reach));
        let (journal, kind) = (self.journal()?, RecordKind::Watermark);
        let before = journal.appended().lsn;
        let marks = self.shared.marks(&durable);
        match journal.append(kind, VolumeId::CATALOG, &[&marks]) {
            Ok(position) => journal.sync(position.lsn, Step::FirstRecord)?,
            Err(error) if error.is_passing() => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        for (volume, reach) in named {
            volume.forget_durable(&reach, before);
        }
        Ok(true)
    }
}
