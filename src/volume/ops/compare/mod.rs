//! What differs between two states of a volume, in words of files.
//!
//! The trees are compared by their ids, so that what they share is not read. What is left is told
//! by inode: one that both states have keeps its identity, whatever its names; its number alone
//! does not tell, since both sides of a rollback, and clones, give out the same ones. A file that
//! was replaced by another one under the same name is told as changed.

mod draft;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::base::{Ino, Key, Value};
use crate::tree;
use crate::volume::records::{Dirent, Inode};
use crate::volume::{Frozen, FsError, FsResult, keys};

use super::inodes::load;
use super::paths::{Named, all_names, each_name};

/// What became of a name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// What it names has changed.
    Changed,
    /// What it names had another name before; it may have changed, too.
    Renamed,
}

/// In what a file has changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Its bytes or its size; of a link the target, of a device the number.
    Content,
    /// Permission bits.
    Mode,
    /// Owner or group.
    Owner,
    /// Time of the last change; of folders it is not told.
    Times,
    /// Extended attributes, ACLs among them.
    Attributes,
}

/// A name that differs between two states. Paths begin with a slash at the volume's root; bytes
/// that are no UTF-8 are `\xNN`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Difference {
    /// What became of it.
    pub change: How,
    /// Its path in the later state; of what is gone in the earlier one.
    pub path: String,
    /// Of what was renamed: its path in the earlier state.
    pub from: Option<String>,
    /// `file`, `folder`, `link`, `fifo`, `socket` or `device`.
    pub kind: String,
    /// Bytes in the earlier state, if it was there.
    pub size_before: Option<u64>,
    /// Bytes in the later state, if it is there.
    pub size_after: Option<u64>,
    /// Bytes of blocks that differ; of what is new or gone, of blocks that it has or had.
    pub bytes_changed: u64,
    /// In what it has changed.
    pub aspects: Vec<Aspect>,
    /// Only the name is new or gone: the file has or had others.
    pub hard_link: bool,
    /// Another file has taken the place of the one that was there.
    pub replaced: bool,
}

/// Compares two states of volumes that descend from each other, in the order of paths. None if
/// more than `most` inodes or names differ.
pub fn compare(
    before: &Frozen<'_>,
    after: &Frozen<'_>,
    most: usize,
) -> FsResult<Option<Vec<Difference>>> {
    let mut seen = Seen::default();
    if !seen.walk(before, after, most)? {
        return Ok(None);
    }
    let mut both = Both {
        before,
        after,
        inodes: HashMap::new(),
    };
    seen.complete(&mut both)?;
    draft::write(seen, both).map(Some)
}

/// What differs of an inode.
#[derive(Default)]
struct Touched {
    /// Blocks that differ.
    blocks: u64,
    /// The last of them.
    last_block: u64,
    has_attributes: bool,
    has_target: bool,
}

/// What differs between two trees, sorted by what it belongs to.
#[derive(Default)]
struct Seen {
    inodes: BTreeMap<Ino, Touched>,
    /// Names that the earlier state has and the later one may not have, and what they name.
    lost: BTreeMap<Named, Ino>,
    /// The same the other way round.
    gained: BTreeMap<Named, Ino>,
    /// Inodes of either state of which one name has been told already.
    told: (BTreeSet<Ino>, BTreeSet<Ino>),
}

impl Seen {
    /// Walks what differs. False if that is too much.
    fn walk(&mut self, before: &Frozen<'_>, after: &Frozen<'_>, most: usize) -> FsResult<bool> {
        let mut failed = None;
        let mut is_too_much = false;
        tree::diff(
            after.nodes(),
            before.root(),
            after.root(),
            &mut |key, old, new| {
                let noted = self.note(&key, old, new);
                is_too_much =
                    self.inodes.len().max(self.lost.len()) > most || self.gained.len() > most;
                failed = noted.err();
                match failed.is_some() || is_too_much {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            },
        )?;
        match failed {
            Some(error) => Err(error),
            None => Ok(!is_too_much),
        }
    }

    fn note(&mut self, key: &Key, old: Option<&Value>, new: Option<&Value>) -> FsResult<()> {
        let ino = Ino(key.owner());
        match key.kind() {
            keys::INODE => {
                self.inodes.entry(ino).or_default();
            }
            keys::SYMLINK => self.inodes.entry(ino).or_default().has_target = true,
            keys::XATTR => self.inodes.entry(ino).or_default().has_attributes = true,
            keys::DIRENT => {
                note_name(&mut self.lost, ino, old)?;
                note_name(&mut self.gained, ino, new)?;
            }
            keys::BLOCK => {
                // A block of zeros that is allocated reads as the hole that it may have been.
                let has_bytes =
                    |value: Option<&Value>| value.is_some_and(|it| !it.bytes.is_empty());
                if has_bytes(old) || has_bytes(new) {
                    let touched = self.inodes.entry(ino).or_default();
                    touched.blocks += 1;
                    touched.last_block = key.sub();
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds what follows from what was seen, and leaves out names that mean the same in both
    /// states.
    fn complete(&mut self, both: &mut Both<'_, '_>) -> FsResult<()> {
        for ino in self.lost.values().chain(self.gained.values()) {
            self.inodes.entry(*ino).or_default();
        }
        // Numbers that mean two inodes: what is equal in both states was not seen, though it means
        // something else.
        let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
        for ino in self.inodes.keys() {
            let pair = both.load(*ino)?;
            if !pair.is_one()
                && let (Some(before), Some(after)) = (pair.before, pair.after)
            {
                old.insert(*ino, before);
                new.insert(*ino, after);
            }
        }
        complete_names(both.before, &old, &mut self.lost)?;
        complete_names(both.after, &new, &mut self.gained)?;
        for ino in self.lost.values().chain(self.gained.values()) {
            self.inodes.entry(*ino).or_default();
        }
        for named in self.lost.keys().cloned().collect::<Vec<_>>() {
            let (was, is) = (self.lost.get(&named), self.gained.get(&named));
            if let (Some(was), Some(is)) = (was, is)
                && was == is
                && both.load(named.0)?.is_one()
                && both.load(*was)?.is_one()
            {
                self.lost.remove(&named);
                self.gained.remove(&named);
            }
        }
        Ok(())
    }
}

fn note_name(names: &mut BTreeMap<Named, Ino>, folder: Ino, value: Option<&Value>) -> FsResult<()> {
    let Some(value) = value else { return Ok(()) };
    let malformed = |source| FsError::Malformed {
        ino: folder,
        source,
    };
    if let Some(dirent) = Dirent::decode(&value.bytes).map_err(malformed)? {
        names.insert((folder, dirent.name.to_vec()), dirent.ino);
    }
    Ok(())
}

/// Adds all names of some inodes and, if they are folders, all names in them.
fn complete_names(
    state: &Frozen<'_>,
    inodes: &BTreeMap<Ino, Inode>,
    names: &mut BTreeMap<Named, Ino>,
) -> FsResult<()> {
    if inodes.is_empty() {
        return Ok(());
    }
    names.extend(all_names(state, inodes)?);
    for (folder, _) in inodes.iter().filter(|(_, inode)| inode.is_folder()) {
        each_name(state, *folder, &mut |dirent| {
            names.insert((*folder, dirent.name.to_vec()), dirent.ino);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(())
}

/// An inode number in both states; none where it has no name.
#[derive(Clone)]
struct Pair {
    before: Option<Inode>,
    after: Option<Inode>,
    ino: Ino,
}

impl Pair {
    /// Whether it is the same inode in both states.
    fn is_one(&self) -> bool {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => {
                let is_twin = before.generation == after.generation && before.kind == after.kind;
                self.ino == Ino::ROOT || is_twin
            }
            _ => false,
        }
    }
}

/// Both states, and the inodes that were looked at.
struct Both<'b, 's> {
    before: &'b Frozen<'s>,
    after: &'b Frozen<'s>,
    inodes: HashMap<Ino, Pair>,
}

impl Both<'_, '_> {
    fn load(&mut self, ino: Ino) -> FsResult<Pair> {
        if let Some(pair) = self.inodes.get(&ino) {
            return Ok(pair.clone());
        }
        let named = |state: &Frozen<'_>| match load(state, ino) {
            Ok(inode) => Ok(Some(inode).filter(|inode| inode.nlink > 0)),
            Err(FsError::NotFound) => Ok(None),
            Err(error) => Err(error),
        };
        let pair = Pair {
            before: named(self.before)?,
            after: named(self.after)?,
            ino,
        };
        self.inodes.insert(ino, pair.clone());
        Ok(pair)
    }
}
