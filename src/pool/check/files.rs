//! Broken rules between inodes, as violations of the pool.

use super::violation::InodeRule;
use crate::base::Ino;
use crate::volume::ops::{Counted, Violation};

/// The rule that is broken, and the inode that it is about.
pub(super) fn rule_of(violation: &Violation) -> (InodeRule, Option<Ino>) {
    match violation {
        Violation::Malformed { key, .. } => (InodeRule::MalformedRecord, Some(Ino(key.owner()))),
        Violation::NoRoot => (InodeRule::NoRoot, None),
        Violation::Stray { key } => (InodeRule::StrayRecord, Some(Ino(key.owner()))),
        Violation::NotLeased { ino } => (InodeRule::NumberNotLeased, Some(*ino)),
        Violation::Misplaced { owner, .. } => (InodeRule::MisplacedName, Some(*owner)),
        Violation::Dangling { folder, .. } => (InodeRule::DanglingName, Some(*folder)),
        Violation::EntryKind { folder, .. } => (InodeRule::NameKind, Some(*folder)),
        Violation::Count { ino, what, .. } => match what {
            Counted::Links => (InodeRule::LinkCount, Some(*ino)),
            _ => (InodeRule::Count, Some(*ino)),
        },
        Violation::VolumeCount { .. } => (InodeRule::VolumeCount, None),
        Violation::Parent { folder, .. } => (InodeRule::Parent, Some(*folder)),
        Violation::Unreachable { folder } => (InodeRule::Unreachable, Some(*folder)),
        Violation::NotMarked { ino } => (InodeRule::OrphanNotMarked, Some(*ino)),
        Violation::WronglyMarked { ino } => (InodeRule::WronglyMarked, Some(*ino)),
        Violation::BeyondEnd { ino, .. } => (InodeRule::Size, Some(*ino)),
        Violation::DirtyTail { ino } => (InodeRule::Tail, Some(*ino)),
    }
}
