//! Views: snapshots that the kernel knows nodes of.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Snapshot;
use crate::base::{Ino, SnapshotId, Timestamp};
use crate::fuse::node::{NodeId, Realm, VIEW_MAX};
use crate::volume::ops::{Attr, DirEntry};
use crate::volume::{FsError, FsResult, Volume};

/// A snapshot that somebody looks into.
pub(crate) struct View {
    number: u16,
    id: SnapshotId,
    created: Timestamp,
    volume: Arc<Volume>,
}

impl View {
    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn volume(&self) -> &Arc<Volume> {
        &self.volume
    }

    /// Attributes of the snapshot's state as the mount shows them: under the view's number, and
    /// the root with the time at which the snapshot was taken.
    pub(crate) fn mark(&self, mut attr: Attr) -> Attr {
        attr.epoch = Realm::View(self.number).bits();
        // Numbers are given again; a file handle of another snapshot must not lead here.
        attr.generation = self.id.0 as u32;
        if attr.ino == Ino::ROOT {
            attr.mtime = self.created;
        }
        attr
    }

    /// The same for an entry of `folder`.
    pub(crate) fn mark_entry<'a>(&self, folder: Ino, mut entry: DirEntry<'a>) -> DirEntry<'a> {
        entry.epoch = Realm::View(self.number).bits();
        if folder == Ino::ROOT && entry.name == b".." {
            let parent = super::Folder::Snapshots.node();
            (entry.ino, entry.epoch) = (parent.ino(), parent.epoch().unwrap_or_default());
        }
        entry
    }
}

/// All views of a mount, and how many references to each of their nodes the kernel has been given.
/// They grow with the kernel's inode cache, not with the snapshots.
#[derive(Default)]
pub(crate) struct Views(Mutex<State>);

#[derive(Default)]
struct State {
    slots: HashMap<u16, Slot>,
    numbers: HashMap<SnapshotId, u16>,
}

struct Slot {
    /// None: the snapshot was removed, and the kernel has not let go of all its nodes yet.
    view: Option<Arc<View>>,
    known: HashMap<Ino, u64>,
}

/// The number that a snapshot's view bears if it is free, so that a file shows the same inode
/// number each time.
fn usual_number(id: SnapshotId) -> u16 {
    1 + (id.0 % u64::from(VIEW_MAX)) as u16
}

impl State {
    fn free_number(&self, id: SnapshotId) -> Option<u16> {
        let usual = usual_number(id);
        let numbers = (usual..=VIEW_MAX).chain(1..usual);
        numbers
            .into_iter()
            .find(|number| !self.slots.contains_key(number))
    }

    fn enter(&mut self, id: SnapshotId) -> Option<Arc<View>> {
        let slot = self.slots.get_mut(self.numbers.get(&id)?)?;
        let view = slot.view.clone()?;
        *slot.known.entry(Ino::ROOT).or_insert(0) += 1;
        Some(view)
    }

    /// Gives a view up of which nothing is known any more.
    fn give_up(&mut self, number: u16) -> Option<Arc<View>> {
        let slot = self.slots.remove(&number)?;
        if let Some(view) = &slot.view {
            self.numbers.remove(&view.id);
        }
        slot.view
    }
}

impl Views {
    /// The open view of a snapshot, with one more reference to its root.
    pub(crate) fn enter(&self, id: SnapshotId) -> Option<Arc<View>> {
        self.0.lock().enter(id)
    }

    /// Opens a view of a snapshot with one reference to its root, or enters the one that is open
    /// by now. `Busy` when all numbers are taken.
    pub(crate) fn admit(&self, snapshot: &Snapshot, volume: Arc<Volume>) -> FsResult<Arc<View>> {
        let mut state = self.0.lock();
        if let Some(view) = state.enter(snapshot.id) {
            return Ok(view);
        }
        let number = state.free_number(snapshot.id).ok_or(FsError::Busy)?;
        let view = Arc::new(View {
            number,
            id: snapshot.id,
            created: snapshot.created,
            volume,
        });
        let slot = Slot {
            view: Some(view.clone()),
            known: HashMap::from([(Ino::ROOT, 1)]),
        };
        state.slots.insert(number, slot);
        state.numbers.insert(snapshot.id, number);
        Ok(view)
    }

    /// The view that a node belongs to; `Stale` if its snapshot was removed.
    pub(crate) fn get(&self, number: u16) -> FsResult<Arc<View>> {
        let state = self.0.lock();
        let view = state.slots.get(&number).and_then(|slot| slot.view.clone());
        view.ok_or(FsError::Stale)
    }

    /// One more reference to a node; before the reply that carries it.
    pub(crate) fn add(&self, number: u16, ino: Ino) {
        if let Some(slot) = self.0.lock().slots.get_mut(&number) {
            *slot.known.entry(ino).or_insert(0) += 1;
        }
    }

    /// Takes references back, and with the last one of all gives the view up.
    pub(crate) fn forget(&self, number: u16, ino: Ino, references: u64) {
        let mut state = self.0.lock();
        let Some(slot) = state.slots.get_mut(&number) else {
            return;
        };
        if let Entry::Occupied(mut entry) = slot.known.entry(ino) {
            if *entry.get() > references {
                *entry.get_mut() -= references;
            } else {
                entry.remove();
            }
        }
        if slot.known.is_empty() {
            let given_up = state.give_up(number);
            drop(state);
            // Perhaps the last who held the snapshot's state: outside of the lock.
            if let Some(view) = given_up {
                log::debug!("nobody looks into '{}' any more", view.volume.label());
            }
        }
    }

    /// Closes the view of a snapshot that is removed: its nodes are stale from now on, and its
    /// number stays taken until the kernel has let go of them.
    pub(crate) fn close(&self, id: SnapshotId) {
        let mut state = self.0.lock();
        let Some(number) = state.numbers.remove(&id) else {
            return;
        };
        let closed = state
            .slots
            .get_mut(&number)
            .and_then(|slot| slot.view.take());
        drop(state);
        drop(closed);
    }

    /// The number of a snapshot's view; none if nobody looks into it.
    pub(crate) fn number_of(&self, id: SnapshotId) -> Option<u16> {
        self.0.lock().numbers.get(&id).copied()
    }

    /// The root of a snapshot, under the number that its view has or most likely will have.
    pub(crate) fn root_of(&self, id: SnapshotId) -> NodeId {
        let number = self.number_of(id).unwrap_or_else(|| usual_number(id));
        NodeId::new(Realm::View(number).bits(), Ino::ROOT)
    }

    /// How many views are open or wait for the kernel.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().slots.len()
    }
}
