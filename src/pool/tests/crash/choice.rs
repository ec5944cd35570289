//! Random changes: valid ones for a tree, and ones that must be refused.

use super::acl;
use super::change::{BLOCK, Change};
use super::tree::{Content, Node, Tree};
use crate::base::{SplitMix64, Timestamp};
use crate::volume::ops::{FileKind, XattrMode};

const FILES_MAX: usize = 5;
const FILE_BYTES_MAX: u64 = 160 << 10;
/// Copies go through a state per block.
const COPY_BYTES_MAX: u64 = 4 * BLOCK;
/// Attempts to make up a change that is refused.
const TRIES: usize = 6;

/// What there is to choose from.
struct Choice<'a> {
    random: &'a mut SplitMix64,
    tree: &'a Tree,
    /// Large writes often have content that was written before.
    repeats: bool,
}

impl Change {
    /// A change that is valid for this tree; sometimes none is found.
    pub(super) fn any(random: &mut SplitMix64, tree: &Tree, repeats: bool) -> Option<Change> {
        let change = Choice::new(random, tree, repeats).any()?;
        change.states(tree).is_ok().then_some(change)
    }

    /// A change that is refused.
    pub(super) fn refused(random: &mut SplitMix64, tree: &Tree) -> Option<Change> {
        let mut choice = Choice::new(random, tree, false);
        let mut tries = (0..TRIES).filter_map(|_| choice.odd());
        tries.find(|change| change.states(tree).is_err())
    }
}

impl<'a> Choice<'a> {
    fn new(random: &'a mut SplitMix64, tree: &'a Tree, repeats: bool) -> Choice<'a> {
        Choice {
            random,
            tree,
            repeats,
        }
    }

    fn of(&mut self, wanted: impl Fn(&Node) -> bool) -> Option<String> {
        let fitting = self.tree.entries().filter(|(_, node)| wanted(node));
        let paths: Vec<&String> = fitting.map(|(path, _)| path).collect();
        self.random.pick(&paths).map(|path| (*path).clone())
    }

    fn file(&mut self) -> Option<String> {
        self.of(Node::is_file)
    }

    fn folder(&mut self) -> Option<String> {
        self.of(Node::is_folder)
    }

    /// A file or a folder.
    fn node(&mut self) -> Option<String> {
        self.of(|node| node.is_file() || node.is_folder())
    }

    fn new_name(&mut self, stem: &str) -> String {
        let folder = self.folder();
        let number = self.random.below(8);
        match folder {
            Some(folder) if number < 4 => format!("{folder}/{stem}{number}"),
            _ => format!("{stem}{number}"),
        }
    }

    fn attribute(&mut self) -> String {
        format!("user.{}", self.random.below(4))
    }

    fn offset(&mut self) -> u64 {
        let offset = self.random.below(FILE_BYTES_MAX / 2);
        match self.random.below(3) {
            0 => offset,
            _ => offset / BLOCK * BLOCK,
        }
    }

    fn any(&mut self) -> Option<Change> {
        let files = self
            .tree
            .entries()
            .filter(|(_, node)| node.is_file())
            .count();
        let kind = self.random.below(100);
        if files < 2 || (kind < 12 && files < FILES_MAX) {
            return Some(Change::Create(self.new_name("f")));
        }
        match kind {
            12..32 => self.names(kind),
            32..52 => self.parts(kind),
            52..60 => self.attributes(kind),
            60..82 => {
                let (at, len) = (self.random.below(40_000), 1 + self.random.below(6000));
                let data = self.random.bytes(len as usize);
                Some(Change::Write(self.file()?, at, data))
            }
            _ => self.large(),
        }
    }

    fn names(&mut self, kind: u64) -> Option<Change> {
        let new_folder = format!("d{}", self.random.below(3));
        Some(match kind {
            12..14 => Change::Folder(new_folder),
            14 => {
                let (kind, rdev) = match self.random.below(3) {
                    0 => (FileKind::Fifo, 0),
                    1 => (FileKind::CharDevice, 0x103),
                    _ => (FileKind::BlockDevice, 0x801),
                };
                Change::Special(self.new_name("p"), kind, rdev)
            }
            15..19 => Change::Remove(self.of(|node| !node.is_folder())?),
            19..21 => Change::RemoveFolder(self.folder()?),
            21 => Change::Rename(self.file()?, self.new_name("f")),
            22 => Change::RenameNew(self.file()?, self.new_name("f")),
            23 => Change::RenameAway(self.file()?, self.new_name("f")),
            24..26 => Change::Rename(self.file()?, self.file()?),
            26..28 => Change::Rename(self.folder()?, new_folder),
            28..29 => Change::Exchange(self.of(|_| true)?, self.of(|_| true)?),
            29..31 => Change::Link(self.file()?, self.new_name("h")),
            _ => Change::Symlink(self.new_name("l"), self.new_name("f")),
        })
    }

    /// Truncates, punches, zeroes, copies.
    fn parts(&mut self, kind: u64) -> Option<Change> {
        let (file, offset) = (self.file()?, self.offset());
        let len = 1 + self.random.below(5 * BLOCK);
        Some(match kind {
            32..38 => Change::Truncate(file, offset),
            38 => Change::Allocate(file, offset, len),
            39 => Change::AllocateKeepSize(file, offset, len),
            40..43 => Change::Punch(file, offset, len),
            43..45 => Change::Zero(file, offset, len),
            45 => Change::ZeroInside(file, offset, len),
            _ => {
                let from = (self.file()?, self.offset());
                let len = match self.random.below(2) {
                    0 => len.min(COPY_BYTES_MAX),
                    _ => len.min(COPY_BYTES_MAX).next_multiple_of(BLOCK),
                };
                Change::Copy(from, (file, offset), len)
            }
        })
    }

    fn attributes(&mut self, kind: u64) -> Option<Change> {
        let (node, name) = (self.node()?, self.attribute());
        Some(match kind {
            52..55 => {
                let len = [0, 20, 300, 5000][self.random.below(4) as usize];
                let value = self.random.bytes(len);
                Change::SetXattr(node, name, value, XattrMode::Any)
            }
            55 => self.acl()?,
            56 => Change::RemoveXattr(node, name),
            57 => Change::Chmod(node, self.random.below(0o1000) as u16),
            58 => {
                let (uid, gid) = (self.random.below(3), self.random.below(3));
                Change::Chown(self.of(|_| true)?, uid as u32, 100 + gid as u32)
            }
            _ => {
                // Before 1970 and after 2038, too.
                let mut time = || Timestamp {
                    secs: self.random.below(1 << 33) as i64 - (1 << 31),
                    nanos: self.random.below(1_000_000_000) as u32,
                };
                let (atime, mtime) = (time(), time());
                Change::Times(self.of(|_| true)?, atime, mtime)
            }
        })
    }

    /// An ACL is set, or goes.
    fn acl(&mut self) -> Option<Change> {
        let (node, name) = match self.random.below(2) {
            0 => (self.node()?, acl::ACCESS),
            _ => (self.folder()?, acl::DEFAULT),
        };
        if self.random.chance(20) {
            return Some(Change::RemoveXattr(node, name.to_owned()));
        }
        let value = acl::acl([(); 5].map(|()| self.random.below(8) as u16));
        let mode = XattrMode::Any;
        Some(Change::SetXattr(node, name.to_owned(), value, mode))
    }

    /// A write that is sealed at once: new bytes, bytes written before (found by dedup), zeros.
    fn large(&mut self) -> Option<Change> {
        let file = self.file()?;
        let random = &mut *self.random;
        let blocks = 16 + random.below(8);
        let at = random.below(FILE_BYTES_MAX / BLOCK - blocks) * BLOCK + random.below(2) * 100;
        let len = (blocks * BLOCK + BLOCK) as usize;
        let data = match random.below(4) {
            0 => SplitMix64::new(random.below(3)).bytes(len),
            _ if self.repeats && random.chance(60) => SplitMix64::new(0).bytes(len),
            1 => {
                let mut data = vec![0; len];
                let noise = random.bytes(len / 3);
                data[len / 3..][..noise.len()].copy_from_slice(&noise);
                data
            }
            _ => random.bytes(len),
        };
        Some(Change::Write(file, at, data))
    }

    /// Something that is often refused.
    fn odd(&mut self) -> Option<Change> {
        let missing = format!("missing{}", self.random.below(3));
        Some(match self.random.below(24) {
            0 => Change::Create(self.of(|_| true)?),
            1 => Change::Folder(self.of(|_| true)?),
            2 => Change::Remove(missing),
            3 => Change::Remove(self.folder()?),
            4 => Change::RemoveFolder(self.node()?),
            5 => Change::Rename(self.file()?, self.folder()?),
            6 => Change::Rename(self.folder()?, self.node()?),
            7 => {
                let folder = self.folder()?;
                let inside = format!("{folder}/inside");
                Change::Rename(folder, inside)
            }
            8 => Change::Write(self.folder()?, 0, vec![1; 10]),
            9 => Change::Lookup(format!("{}/below", self.file()?)),
            10 => Change::Create("n".repeat(256)),
            11 => Change::Folder(format!("{}/{}", self.folder()?, "n".repeat(300))),
            12 => Change::Link(self.folder()?, self.new_name("h")),
            13 => Change::Link(self.file()?, self.of(|_| true)?),
            14 => Change::RemoveXattr(self.node()?, "user.missing".to_owned()),
            15 => {
                let (node, name) = (self.node()?, self.attribute());
                let mode = [XattrMode::Create, XattrMode::Replace][self.random.below(2) as usize];
                Change::SetXattr(node, name, vec![1; 9], mode)
            }
            16 => Change::Truncate(self.folder()?, 5),
            17 => {
                let file = self.file()?;
                Change::Copy((file.clone(), 0), (file, 10), 100)
            }
            18 => Change::Symlink(format!("{}/below", self.file()?), "x".to_owned()),
            19 => Change::RenameNew(self.file()?, self.of(|_| true)?),
            20 => Change::Allocate(self.folder()?, 0, 10),
            21 => {
                let (file, value) = (self.file()?, acl::acl([7; 5]));
                Change::SetXattr(file, acl::DEFAULT.to_owned(), value, XattrMode::Any)
            }
            22 => {
                let special = |node: &Node| matches!(node.content, Content::Special(..));
                Change::Write(self.of(special)?, 0, vec![1; 10])
            }
            _ => Change::Exchange(self.of(|_| true)?, missing),
        })
    }
}
