//! Node ids: what the kernel calls an inode, and how often it knows it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use parking_lot::Mutex;

use crate::base::Ino;
use crate::volume::ops::{Attr, FileKind};
use crate::volume::{EPOCH_MAX, FsError, FsResult};

const INO_BITS: u32 = 48;
const SHARDS: usize = 64;

/// Set in the upper 16 bits of what is no part of the live volume: they never look like an epoch,
/// nor like a negative number.
const OUTSIDE: u16 = EPOCH_MAX + 1;

/// The highest number of a view.
pub(crate) const VIEW_MAX: u16 = OUTSIDE - 1;

/// What a node id says besides the inode number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Realm {
    /// The volume that is mounted.
    Live,
    /// The folders that lead to the snapshots (`browse`): in no volume.
    Entrance,
    /// A snapshot, under the number of its view.
    View(u16),
}

impl Realm {
    /// The upper 16 bits of its node ids; of the live volume they are the rollback epoch.
    pub(crate) fn bits(self) -> u16 {
        match self {
            Realm::Live => 0,
            Realm::Entrance => OUTSIDE,
            Realm::View(number) => OUTSIDE | number,
        }
    }
}

/// `rollback epoch << 48 | inode number`; the root is 1 in every epoch.
///
/// A rollback puts another state under the kernel's feet. What it still knows of the old one bears
/// the old epoch, so that no late request of the old state can touch the new one.
///
/// Snapshots that are seen through the mount have inodes of the same numbers and the same device:
/// their nodes bear `1 << 14 | number of the view` where others have an epoch. Epochs have 14 bits
/// for that reason, and views and epochs cannot be taken for each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) u64);

impl NodeId {
    pub(crate) const ROOT: NodeId = NodeId(Ino::ROOT.0);

    /// The upper bits of an epoch or of [`Realm::bits`] above an inode number.
    pub(crate) fn new(bits: u16, ino: Ino) -> NodeId {
        debug_assert!(
            ino.0 >> INO_BITS == 0,
            "inode number {ino} is above 48 bits"
        );
        if ino == Ino::ROOT && bits & OUTSIDE == 0 {
            return NodeId::ROOT;
        }
        NodeId(u64::from(bits) << INO_BITS | ino.0)
    }

    pub(crate) fn of(attr: &Attr) -> NodeId {
        NodeId::new(attr.epoch, attr.ino)
    }

    pub(crate) fn ino(self) -> Ino {
        Ino(self.0 & ((1 << INO_BITS) - 1))
    }

    /// None for the root, which belongs to every epoch.
    pub(crate) fn epoch(self) -> Option<u16> {
        (self != NodeId::ROOT).then_some((self.0 >> INO_BITS) as u16)
    }

    pub(crate) fn realm(self) -> Realm {
        let bits = (self.0 >> INO_BITS) as u16;
        match bits & !OUTSIDE {
            _ if bits & OUTSIDE == 0 => Realm::Live,
            0 => Realm::Entrance,
            number => Realm::View(number & VIEW_MAX),
        }
    }

    pub(crate) fn is_live(self) -> bool {
        self.realm() == Realm::Live
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.realm(), self.epoch()) {
            (_, None) => f.write_str("root"),
            (Realm::Live, Some(epoch)) => write!(f, "{}@{epoch}", self.ino()),
            (Realm::Entrance, _) => write!(f, "{}@.volfs", self.ino()),
            (Realm::View(number), _) => write!(f, "{}@view {number}", self.ino()),
        }
    }
}

/// The epoch that all these nodes bear. Nodes of two epochs cannot meet in one operation.
pub(crate) fn common_epoch(nodes: &[NodeId]) -> FsResult<Option<u16>> {
    let mut common = None;
    for epoch in nodes.iter().filter_map(|node| node.epoch()) {
        if common.is_some_and(|other| other != epoch) {
            return Err(FsError::Stale);
        }
        common = Some(epoch);
    }
    Ok(common)
}

/// How many references to each node the kernel has been given. It hands them back with FORGET;
/// until then an unlinked inode must stay. Grows with the kernel's inode cache, not the volume.
pub(crate) struct Lookups {
    shards: Box<[Mutex<HashMap<NodeId, Known>>]>,
}

/// What the kernel has been given of a node.
#[derive(Clone, Copy)]
struct Known {
    references: u64,
    kind: FileKind,
}

impl Lookups {
    pub(crate) fn new() -> Lookups {
        Lookups {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    fn shard(&self, node: NodeId) -> &Mutex<HashMap<NodeId, Known>> {
        &self.shards[node.0 as usize % SHARDS]
    }

    /// One more reference; before the reply that carries it, for FORGET may follow at once.
    pub(crate) fn add(&self, node: NodeId, kind: FileKind) {
        let mut shard = self.shard(node).lock();
        let known = shard.entry(node).or_insert(Known {
            references: 0,
            kind,
        });
        known.references += 1;
    }

    /// One more reference if there is one already.
    pub(crate) fn add_if_known(&self, node: NodeId) -> bool {
        match self.shard(node).lock().get_mut(&node) {
            Some(known) => {
                known.references += 1;
                true
            }
            None => false,
        }
    }

    /// Takes references back; true if none is left. A node that is not known counts as forgotten:
    /// the kernel gives all its references back at once when it evicts an inode.
    pub(crate) fn remove(&self, node: NodeId, references: u64) -> bool {
        match self.shard(node).lock().entry(node) {
            Entry::Vacant(_) => true,
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                if known.references > references {
                    known.references -= references;
                    return false;
                }
                entry.remove();
                true
            }
        }
    }

    pub(crate) fn is_known(&self, node: NodeId) -> bool {
        self.shard(node).lock().contains_key(&node)
    }

    /// All known nodes of an epoch, with their kinds; the root belongs to none.
    pub(crate) fn of_epoch(&self, epoch: u16) -> Vec<(NodeId, FileKind)> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let known = shard.iter().map(|(node, known)| (*node, known.kind));
            found.extend(known.filter(|(node, _)| node.epoch() == Some(epoch)));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The epoch sits above 48 bits of inode number; epoch 0 shows plain inode numbers.
    #[test]
    fn node_ids_join_epoch_and_inode() {
        assert_eq!(NodeId::new(0, Ino(7)).0, 7);
        assert_eq!(NodeId::new(3, Ino(7)).0, 0x0003_0000_0000_0007);
        let largest = NodeId::new(EPOCH_MAX, Ino((1 << 48) - 1));
        assert_eq!(largest.0, 0x3fff_ffff_ffff_ffff);
        assert_eq!(
            format!("{:?} {:?}", NodeId::new(3, Ino(7)), NodeId::ROOT),
            "7@3 root"
        );
    }

    /// The root is node 1 whatever the epoch, and binds a request to none.
    #[test]
    fn the_root_belongs_to_every_epoch() {
        assert_eq!(NodeId::new(9, Ino::ROOT), NodeId(1));
        assert_eq!(NodeId::ROOT.epoch(), None);
        assert_eq!(NodeId::ROOT.ino(), Ino::ROOT);
    }

    /// What is outside of the live volume bears numbers that no epoch can have, its roots too.
    #[test]
    fn realms_are_apart() {
        let ino = Ino(7);
        assert_eq!(NodeId::new(EPOCH_MAX, ino).realm(), Realm::Live);
        assert_eq!(NodeId::ROOT.realm(), Realm::Live);
        for realm in [Realm::Entrance, Realm::View(1), Realm::View(VIEW_MAX)] {
            let (root, node) = (
                NodeId::new(realm.bits(), Ino::ROOT),
                NodeId::new(realm.bits(), ino),
            );
            assert_eq!((root.realm(), node.realm()), (realm, realm));
            assert_eq!((root.ino(), node.ino()), (Ino::ROOT, ino));
            assert!(!root.is_live() && root != NodeId::ROOT);
            assert!(root.0 > NodeId::new(EPOCH_MAX, ino).0 && i64::try_from(node.0).is_ok());
        }
        let view = NodeId::new(Realm::View(3).bits(), ino);
        assert_eq!(view.0, 0x4003_0000_0000_0007);
        assert_eq!(format!("{view:?}"), "7@view 3");
    }

    /// A request's epoch is that of its nodes other than the root; two epochs are stale.
    #[test]
    fn nodes_of_two_epochs_do_not_meet() {
        let (old, new) = (NodeId::new(1, Ino(5)), NodeId::new(2, Ino(5)));
        assert_eq!(common_epoch(&[]).unwrap(), None);
        assert_eq!(common_epoch(&[NodeId::ROOT, NodeId::ROOT]).unwrap(), None);
        assert_eq!(common_epoch(&[NodeId::ROOT, old]).unwrap(), Some(1));
        assert_eq!(common_epoch(&[new, NodeId::ROOT, new]).unwrap(), Some(2));
        assert!(matches!(common_epoch(&[old, new]), Err(FsError::Stale)));
    }

    /// A node is forgotten when all references have come back, in one go or in several.
    #[test]
    fn lookups_count_down_to_forgotten() {
        let lookups = Lookups::new();
        let node = NodeId::new(0, Ino(5));
        assert!(!lookups.add_if_known(node));
        lookups.add(node, FileKind::Regular);
        lookups.add(node, FileKind::Regular);
        assert!(lookups.add_if_known(node));
        assert!(!lookups.remove(node, 2));
        assert!(lookups.is_known(node));
        assert!(lookups.remove(node, 1));
        assert!(!lookups.is_known(node));
        assert!(lookups.remove(node, 1), "an unknown node is forgotten");
    }

    /// The nodes of an epoch are found across shards; other epochs and the root are left out.
    #[test]
    fn known_nodes_are_listed_by_epoch() {
        let lookups = Lookups::new();
        lookups.add(NodeId::ROOT, FileKind::Directory);
        for ino in 2..200 {
            let kind = [FileKind::Regular, FileKind::Directory][usize::from(ino == 3)];
            lookups.add(NodeId::new((ino % 2) as u16, Ino(ino)), kind);
        }
        let mut nodes = lookups.of_epoch(1);
        nodes.sort_by_key(|(node, _)| *node);
        assert_eq!(nodes.len(), 99);
        assert_eq!(
            (nodes[0], nodes[98]),
            (
                (NodeId::new(1, Ino(3)), FileKind::Directory),
                (NodeId::new(1, Ino(199)), FileKind::Regular)
            )
        );
    }

    proptest! {
        /// Epoch and inode number survive the way through a node id.
        #[test]
        fn node_ids_round_trip(epoch in 0..=EPOCH_MAX, ino in 2u64..1 << 48) {
            let node = NodeId::new(epoch, Ino(ino));
            prop_assert_eq!((node.epoch(), node.ino()), (Some(epoch), Ino(ino)));
        }
    }
}
