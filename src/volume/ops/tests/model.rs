//! A plain file system in memory, to compare with.

use std::collections::{BTreeMap, BTreeSet};

use super::super::XattrMode;
use super::*;

/// An inode.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: FileKind,
    pub(super) perm: u16,
    pub(super) owner: (u32, u32),
    pub(super) nlink: u32,
    /// Of a file its content, of a link its target.
    pub(super) data: Vec<u8>,
    /// Allocated blocks.
    pub(super) blocks: BTreeSet<u64>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) entries: BTreeMap<Vec<u8>, Ino>,
    pub(super) parent: Ino,
}

impl Node {
    fn new(kind: FileKind, perm: u16, owner: (u32, u32), parent: Ino) -> Node {
        Node {
            kind,
            perm,
            owner,
            nlink: if kind == FileKind::Directory { 2 } else { 1 },
            data: Vec::new(),
            blocks: BTreeSet::new(),
            xattrs: BTreeMap::new(),
            entries: BTreeMap::new(),
            parent,
        }
    }

    fn is_folder(&self) -> bool {
        self.kind == FileKind::Directory
    }
}

/// The outcome of an operation: the name of the error's variant.
pub(super) type Outcome<T> = Result<T, &'static str>;

/// All inodes by number.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) nodes: BTreeMap<Ino, Node>,
    pub(super) block: usize,
}

impl Model {
    pub(super) fn new(block: usize) -> Model {
        let root = Node::new(FileKind::Directory, 0o755, (0, 0), Ino::ROOT);
        Model {
            nodes: BTreeMap::from([(Ino::ROOT, root)]),
            block,
        }
    }

    fn node(&self, ino: Ino) -> Outcome<&Node> {
        self.nodes.get(&ino).ok_or("NotFound")
    }

    fn at(&mut self, ino: Ino) -> &mut Node {
        self.nodes.get_mut(&ino).unwrap()
    }

    fn folder(&self, ino: Ino) -> Outcome<&Node> {
        let node = self.node(ino)?;
        match (node.is_folder(), node.nlink) {
            (false, _) => Err("NotDirectory"),
            (true, 0) => Err("NotFound"),
            (true, _) => Ok(node),
        }
    }

    fn file(&self, ino: Ino) -> Outcome<&Node> {
        let node = self.node(ino)?;
        match node.kind {
            FileKind::Regular => Ok(node),
            FileKind::Directory => Err("IsDirectory"),
            _ => Err("Invalid"),
        }
    }

    fn check_name(name: &[u8], dots: &'static str) -> Outcome<()> {
        match name {
            b"" => Err("NotFound"),
            _ if name.len() > 255 => Err("NameTooLong"),
            _ if name.contains(&b'/') => Err("Invalid"),
            b"." | b".." => Err(dots),
            _ => Ok(()),
        }
    }

    pub(super) fn check_new(&self, parent: Ino, name: &[u8]) -> Outcome<()> {
        Model::check_name(name, "Exists")?;
        match self.folder(parent)?.entries.contains_key(name) {
            true => Err("Exists"),
            false => Ok(()),
        }
    }

    /// Adds what the volume has made under this number.
    pub(super) fn add(&mut self, parent: Ino, name: &[u8], ino: Ino, kind: FileKind, perm: u16) {
        let owner = (0, self.nodes[&parent].owner.1);
        let is_sgid = self.nodes[&parent].perm & 0o2000 != 0;
        let gid = if is_sgid { owner.1 } else { 0 };
        let is_folder = kind == FileKind::Directory;
        let perm = perm | if is_sgid && is_folder { 0o2000 } else { 0 };
        let parent_of = if is_folder { parent } else { Ino(0) };
        self.nodes
            .insert(ino, Node::new(kind, perm, (0, gid), parent_of));
        let folder = self.at(parent);
        folder.entries.insert(name.to_vec(), ino);
        folder.nlink += u32::from(is_folder);
    }

    pub(super) fn link(&mut self, ino: Ino, parent: Ino, name: &[u8]) -> Outcome<()> {
        self.check_new(parent, name)?;
        let node = self.node(ino)?;
        if node.is_folder() {
            return Err("NotPermitted");
        }
        if node.nlink == 0 {
            return Err("NotFound");
        }
        self.at(ino).nlink += 1;
        self.at(parent).entries.insert(name.to_vec(), ino);
        Ok(())
    }

    pub(super) fn unlink(&mut self, parent: Ino, name: &[u8]) -> Outcome<()> {
        Model::check_name(name, "Invalid")?;
        let ino = *self.folder(parent)?.entries.get(name).ok_or("NotFound")?;
        if self.nodes[&ino].is_folder() {
            return Err("IsDirectory");
        }
        self.at(parent).entries.remove(name);
        self.at(ino).nlink -= 1;
        Ok(())
    }

    pub(super) fn rmdir(&mut self, parent: Ino, name: &[u8]) -> Outcome<()> {
        Model::check_name(name, "Invalid")?;
        let ino = *self.folder(parent)?.entries.get(name).ok_or("NotFound")?;
        let node = &self.nodes[&ino];
        if !node.is_folder() {
            return Err("NotDirectory");
        }
        if !node.entries.is_empty() {
            return Err("NotEmpty");
        }
        self.at(parent).entries.remove(name);
        self.at(parent).nlink -= 1;
        self.at(ino).nlink = 0;
        Ok(())
    }

    fn is_below(&self, mut at: Ino, top: Ino) -> bool {
        loop {
            if at == top {
                return true;
            }
            if at == Ino::ROOT {
                return false;
            }
            at = self.nodes[&at].parent;
        }
    }

    pub(super) fn rename(
        &mut self,
        from: (Ino, &[u8]),
        to: (Ino, &[u8]),
        mode: RenameMode,
    ) -> Outcome<()> {
        Model::check_name(from.1, "Invalid")?;
        Model::check_name(to.1, "Invalid")?;
        self.folder(from.0)?;
        self.folder(to.0)?;
        let source = *self.nodes[&from.0].entries.get(from.1).ok_or("NotFound")?;
        let target = self.nodes[&to.0].entries.get(to.1).copied();
        match (target, mode) {
            (Some(_), RenameMode::NoReplace) => return Err("Exists"),
            (None, RenameMode::Exchange) => return Err("NotFound"),
            (Some(target), _) if target == source => return Ok(()),
            _ => {}
        }
        let is_folder = |model: &Model, ino| model.nodes[&ino].is_folder();
        if is_folder(self, source) && self.is_below(to.0, source) {
            return Err("Invalid");
        }
        if let Some(target) = target {
            if mode == RenameMode::Exchange {
                if is_folder(self, target) && self.is_below(from.0, target) {
                    return Err("Invalid");
                }
            } else {
                match (is_folder(self, source), is_folder(self, target)) {
                    (true, false) => return Err("NotDirectory"),
                    (false, true) => return Err("IsDirectory"),
                    (true, true) if !self.nodes[&target].entries.is_empty() => {
                        return Err("NotEmpty");
                    }
                    _ => {}
                }
            }
        }
        self.take(from);
        if target.is_some() {
            self.take(to);
        }
        self.give(to, source);
        match (target, mode) {
            (Some(target), RenameMode::Exchange) => self.give(from, target),
            (Some(target), _) => {
                let node = self.at(target);
                node.nlink = if node.is_folder() { 0 } else { node.nlink - 1 };
            }
            (None, _) => {}
        }
        Ok(())
    }

    fn take(&mut self, (parent, name): (Ino, &[u8])) {
        let ino = self.at(parent).entries.remove(name).unwrap();
        if self.nodes[&ino].is_folder() {
            self.at(parent).nlink -= 1;
        }
    }

    fn give(&mut self, (parent, name): (Ino, &[u8]), ino: Ino) {
        self.at(parent).entries.insert(name.to_vec(), ino);
        if self.nodes[&ino].is_folder() {
            self.at(parent).nlink += 1;
            self.at(ino).parent = parent;
        }
    }

    /// A write; whole blocks of zeros become holes.
    pub(super) fn write(&mut self, ino: Ino, offset: usize, data: &[u8]) -> Outcome<()> {
        self.file(ino)?;
        let (block, end) = (self.block, offset + data.len());
        let node = self.at(ino);
        node.data.resize(node.data.len().max(end), 0);
        node.data[offset..end].copy_from_slice(data);
        for index in offset / block..end.div_ceil(block) {
            let (first, last) = (index * block, (index + 1) * block);
            let is_whole = offset <= first && last <= end;
            if is_whole && node.data[first..last].iter().all(|byte| *byte == 0) {
                node.blocks.remove(&(index as u64));
            } else {
                node.blocks.insert(index as u64);
            }
        }
        Ok(())
    }

    pub(super) fn truncate(&mut self, ino: Ino, size: usize, is_user: bool) -> Outcome<()> {
        self.file(ino)?;
        let block = self.block;
        let node = self.at(ino);
        if is_user {
            node.perm = unprivileged(node.perm);
        }
        node.data.resize(size, 0);
        node.blocks
            .retain(|index| *index < size.div_ceil(block) as u64);
        Ok(())
    }

    pub(super) fn punch(&mut self, ino: Ino, offset: usize, len: usize, grow: bool) -> Outcome<()> {
        self.file(ino)?;
        let block = self.block;
        let node = self.at(ino);
        let size = node.data.len();
        let end = (offset + len).min(size);
        if offset < end {
            node.data[offset..end].fill(0);
            node.blocks.retain(|index| {
                let (first, last) = (*index as usize * block, (*index as usize + 1) * block);
                !(offset <= first && last.min(size) <= end)
            });
        }
        if grow {
            node.data.resize(size.max(offset + len), 0);
        }
        Ok(())
    }

    /// The number of bytes that a copy copies, which it does. Which of them are allocated depends
    /// on what is in memory: the caller sees to that.
    pub(super) fn copy(
        &mut self,
        from: (Ino, usize),
        to: (Ino, usize),
        len: usize,
    ) -> Outcome<usize> {
        let source = self.file(from.0)?;
        self.file(to.0)?;
        let len = len.min(source.data.len().saturating_sub(from.1));
        let is_apart = from.1 + len <= to.1 || to.1 + len <= from.1;
        if len > 0 && from.0 == to.0 && !is_apart {
            return Err("Invalid");
        }
        if len > 0 {
            let data = source.data[from.1..from.1 + len].to_vec();
            self.write(to.0, to.1, &data)?;
        }
        Ok(len)
    }

    pub(super) fn setxattr(
        &mut self,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
    ) -> Outcome<()> {
        let exists = self.node(ino)?.xattrs.contains_key(name);
        match (mode, exists) {
            (XattrMode::Create, true) => Err("Exists"),
            (XattrMode::Replace, false) => Err("NoAttribute"),
            _ => {
                self.at(ino).xattrs.insert(name.to_vec(), value.to_vec());
                Ok(())
            }
        }
    }

    pub(super) fn removexattr(&mut self, ino: Ino, name: &[u8]) -> Outcome<()> {
        self.node(ino)?;
        self.at(ino)
            .xattrs
            .remove(name)
            .map(|_| ())
            .ok_or("NoAttribute")
    }

    pub(super) fn chmod(&mut self, ino: Ino, perm: u16) -> Outcome<()> {
        self.node(ino)?;
        self.at(ino).perm = perm;
        Ok(())
    }

    pub(super) fn chown(&mut self, ino: Ino, owner: (u32, u32)) -> Outcome<()> {
        self.node(ino)?;
        let node = self.at(ino);
        node.owner = owner;
        if !node.is_folder() {
            node.perm = unprivileged(node.perm);
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, ino: Ino) {
        self.nodes.retain(|at, node| *at != ino || node.nlink > 0);
    }
}

fn unprivileged(perm: u16) -> u16 {
    if perm & 0o010 != 0 {
        perm & !0o6000
    } else {
        perm & !0o4000
    }
}
