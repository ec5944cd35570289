//! Clones and forks: what they start from, and what becomes of them when that is lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalog::{Catalog, Replay, VolumeEntry};
use super::cut::{Action, Cut};
use super::records::volume_key;
use crate::base::{Lsn, VolumeId};
use crate::journal::JournalPosition;
use crate::volume::core::layer::Layer;

/// What a copy starts from.
#[derive(Clone)]
pub(crate) struct Birth {
    /// The record that made it.
    pub(crate) at: JournalPosition,
    /// The state that it copied.
    pub(crate) base: Arc<Layer>,
}

impl Catalog {
    /// Copies need what their sources have not made durable. A published snapshot is durable.
    pub(super) fn inherit_unsynced(&self, cut: &Cut, at: Lsn) {
        for action in &cut.actions {
            let (Some(new), Some(source)) = (
                action.new_volume().and_then(|new| self.volumes.get(&new)),
                self.volumes.get(&action.volume()),
            ) else {
                continue;
            };
            let is_durable = match action {
                Action::Clone { snapshot, .. } => source
                    .snapshots
                    .get(snapshot)
                    .is_some_and(|snapshot| snapshot.published),
                _ => false,
            };
            if !is_durable {
                new.volume.inherit_unsynced(&source.volume, at);
            }
        }
    }

    /// Copies that the catalog's tree names without a root, because they could not be sealed when
    /// it was written: they start again from what they copied.
    pub(super) fn restore_copies(
        &mut self,
        bases: &BTreeMap<VolumeId, Birth>,
        lost: &[VolumeId],
        replay: &mut Replay,
    ) {
        let volumes = &mut self.volumes;
        for (id, birth) in bases {
            if let Some(entry) = rootless(volumes, id) {
                let mut state = entry.volume.lock();
                entry.volume.start_from(&mut state, birth.base.clone());
                drop(state);
                entry.birth = Some(birth.clone());
            }
        }
        for id in lost {
            if let Some(entry) = rootless(volumes, id) {
                entry.volume.poison("what it was copied from is lost");
                replay.ended.insert(*id);
            }
        }
    }

    /// A copy of a state that is lost does not come to be, and nothing later applies to it: it was
    /// never acknowledged, because its source was not durable.
    pub(super) fn drop_lost_copies(&mut self, lost: &[VolumeId], replay: &mut Replay) {
        for new in lost {
            log::warn!("the volume that {new} is a copy of ends before the copy: dropped");
            self.delete(volume_key(*new));
            self.changed.insert(volume_key(*new), None);
            replay.ended.insert(*new);
        }
    }
}

/// A volume that has no root in the catalog's tree.
fn rootless<'a>(
    volumes: &'a mut BTreeMap<VolumeId, VolumeEntry>,
    id: &VolumeId,
) -> Option<&'a mut VolumeEntry> {
    volumes
        .get_mut(id)
        .filter(|entry| entry.published.is_none())
}
