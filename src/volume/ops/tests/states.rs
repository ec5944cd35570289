//! States of a volume, walked in full, and random changes between them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::{AllocateMode, SetAttr, SetTime, XattrMode};
use super::*;
use crate::base::SplitMix64;
use crate::tree::TreeRoot;
use crate::volume::core::layer::Layer;
use crate::volume::core::seal::Sealing;
use crate::volume::core::volume::VolumeSettings;

/// An inode, as far as anybody can see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Node {
    pub(super) attr: Attr,
    pub(super) content: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A whole state.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) nodes: BTreeMap<Ino, Node>,
    pub(super) names: BTreeMap<(Ino, Vec<u8>), Ino>,
    /// Of folders, with a slash behind.
    folders: BTreeMap<Ino, String>,
}

impl Tree {
    pub(super) fn walk(volume: &Volume) -> Tree {
        let mut tree = Tree::default();
        let mut ways = vec![(Ino::ROOT, "/".to_owned())];
        tree.nodes.insert(Ino::ROOT, node(volume, Ino::ROOT));
        while let Some((folder, path)) = ways.pop() {
            for (name, ino, kind) in names(volume, folder) {
                if kind == FileKind::Directory {
                    let text = String::from_utf8(name.clone()).unwrap();
                    ways.push((ino, format!("{path}{text}/")));
                }
                tree.names.insert((folder, name), ino);
                tree.nodes.entry(ino).or_insert_with(|| node(volume, ino));
            }
            tree.folders.insert(folder, path);
        }
        tree
    }

    pub(super) fn path(&self, named: &(Ino, Vec<u8>)) -> String {
        let name = String::from_utf8_lossy(&named.1);
        format!("{}{name}", self.folders[&named.0])
    }

    /// All names by path.
    pub(super) fn paths(&self) -> BTreeMap<String, Ino> {
        let path = |(named, ino): (&(Ino, Vec<u8>), &Ino)| (self.path(named), *ino);
        self.names.iter().map(path).collect()
    }

    /// Whether a number means the same inode in both.
    pub(super) fn is_one(&self, other: &Tree, ino: Ino) -> bool {
        let id = |node: &Node| (node.attr.generation, node.attr.kind);
        let ids = (self.nodes.get(&ino).map(id), other.nodes.get(&ino).map(id));
        match ids {
            (Some(ours), Some(theirs)) => ino == Ino::ROOT || ours == theirs,
            _ => false,
        }
    }
}

fn node(volume: &Volume, ino: Ino) -> Node {
    let attr = volume.getattr(&ROOT, ino).unwrap();
    let list = volume.listxattr(&ROOT, ino).unwrap();
    let listed = list
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    Node {
        attr,
        content: match attr.kind {
            FileKind::Regular => volume.read_file(&ROOT, ino, 0, usize::MAX).unwrap(),
            _ => Vec::new(),
        },
        target: match attr.kind {
            FileKind::Symlink => volume.readlink(&ROOT, ino).unwrap(),
            _ => Vec::new(),
        },
        xattrs: listed
            .map(|name| (name.to_vec(), volume.getxattr(&ROOT, ino, name).unwrap()))
            .collect(),
    }
}

pub(super) fn names(volume: &Volume, folder: Ino) -> Vec<(Vec<u8>, Ino, FileKind)> {
    let mut names = Vec::new();
    volume
        .readdir(&ROOT, folder, 2, &mut |entry| {
            names.push((entry.name.to_vec(), entry.ino, entry.kind));
            true
        })
        .unwrap();
    names
}

/// The state of a volume as a layer and as a tree.
pub(super) fn sealed(fixture: &Fixture, volume: &Volume) -> (Arc<Layer>, Option<TreeRoot>) {
    let shared = &fixture.bench.shared;
    let layer = volume.lock().freeze(shared);
    let tree = Sealing::new(shared).seal(&layer, volume.block_size());
    let root = tree.unwrap().root;
    (layer, root)
}

/// A writable volume that starts from a layer.
pub(super) fn branch(fixture: &Fixture, layer: Arc<Layer>) -> Arc<Volume> {
    let settings = VolumeSettings {
        id: crate::base::VolumeId(2),
        label: "branch".to_owned(),
        block_size: fixture.block_size(),
        hash_key: fixture.hash_key(),
        read_only: false,
    };
    Volume::new(settings, fixture.bench.shared.clone(), layer)
}

/// Random changes, many of them refused.
pub(super) struct Chaos(pub(super) SplitMix64);

impl Chaos {
    pub(super) fn run(&mut self, volume: &Volume, steps: usize) {
        for _ in 0..steps {
            self.step(volume);
        }
    }

    fn pick(&mut self, volume: &Volume, kinds: &[FileKind]) -> Option<(Ino, Vec<u8>, Ino)> {
        let mut found = Vec::new();
        let mut folders = vec![Ino::ROOT];
        while let Some(folder) = folders.pop() {
            for (name, ino, kind) in names(volume, folder) {
                if kind == FileKind::Directory {
                    folders.push(ino);
                }
                if kinds.is_empty() || kinds.contains(&kind) {
                    found.push((folder, name, ino));
                }
            }
        }
        self.0.pick(&found).cloned()
    }

    fn folder(&mut self, volume: &Volume) -> Ino {
        let folder = self.pick(volume, &[FileKind::Directory]);
        match self.0.chance(40) {
            true => Ino::ROOT,
            false => folder.map_or(Ino::ROOT, |(_, _, ino)| ino),
        }
    }

    fn name(&mut self) -> Vec<u8> {
        format!("n{}", self.0.below(9)).into_bytes()
    }

    fn make(&mut self, volume: &Volume, kind: FileKind) -> Option<Ino> {
        let (folder, name) = (self.folder(volume), self.name());
        let new = NewNode {
            kind,
            perm: 0o755,
            umask: 0,
            rdev: 0,
        };
        let made = volume.create(&ROOT, folder, &name, &new);
        made.ok().map(|attr| attr.ino)
    }

    fn write(&mut self, volume: &Volume, ino: Ino) {
        let offset = self.0.below(8) * BLOCK + self.0.below(3);
        let len = 1 + self.0.below(3 * BLOCK) as usize;
        let bytes = match self.0.chance(20) {
            true => vec![0; len],
            false => self.0.bytes(len),
        };
        volume
            .write_file(&ROOT, ino, offset, &bytes, WriteMode::default())
            .unwrap();
    }

    fn step(&mut self, volume: &Volume) {
        use FileKind::{Directory, Fifo, Regular};
        match self.0.below(15) {
            0 | 1 => {
                if let Some(ino) = self.make(volume, Regular) {
                    self.write(volume, ino);
                }
            }
            2 => drop(self.make(volume, Directory)),
            3 => drop(self.make(volume, Fifo)),
            4 => {
                let (folder, name) = (self.folder(volume), self.name());
                let target = self.name();
                let _ = volume.symlink(&ROOT, folder, &name, &target);
            }
            5 | 6 => {
                let Some((from, old, _)) = self.pick(volume, &[]) else {
                    return;
                };
                let (to, new) = (self.folder(volume), self.name());
                let mode = match self.0.chance(25) {
                    true => RenameMode::Exchange,
                    false => RenameMode::Replace,
                };
                let _ = volume.rename(&ROOT, (from, &old), (to, &new), mode);
            }
            7 => {
                if let Some((_, _, ino)) = self.pick(volume, &[Regular, Fifo]) {
                    let (folder, name) = (self.folder(volume), self.name());
                    let _ = volume.link(&ROOT, ino, folder, &name);
                }
            }
            8 => {
                if let Some((folder, name, ino)) = self.pick(volume, &[]) {
                    let _ = volume.unlink(&ROOT, folder, &name);
                    let _ = volume.rmdir(&ROOT, folder, &name);
                    if self.0.chance(70) {
                        volume.forget(volume.epoch(), ino).unwrap();
                    }
                }
            }
            9 => self.set_attributes(volume),
            10 => {
                if let Some((_, _, ino)) = self.pick(volume, &[]) {
                    let name = format!("user.{}", self.0.below(3)).into_bytes();
                    let value = self.0.bytes(5);
                    let _ = match self.0.chance(70) {
                        true => volume.setxattr(&ROOT, ino, &name, &value, XattrMode::Any),
                        false => volume.removexattr(&ROOT, ino, &name),
                    };
                }
            }
            11 => {
                if let Some((_, _, ino)) = self.pick(volume, &[Regular]) {
                    let set = SetAttr {
                        size: Some(self.0.below(10 * BLOCK)),
                        ..SetAttr::default()
                    };
                    volume.setattr(&ROOT, ino, &set).unwrap();
                }
            }
            12 => {
                if let Some((_, _, ino)) = self.pick(volume, &[Regular]) {
                    let (at, len) = (self.0.below(6) * BLOCK, 1 + self.0.below(3 * BLOCK));
                    let mode = AllocateMode::PunchHole;
                    volume.allocate(&ROOT, ino, at, len, mode).unwrap();
                }
            }
            _ => {
                if let Some((_, _, ino)) = self.pick(volume, &[Regular]) {
                    self.write(volume, ino);
                }
            }
        }
    }

    fn set_attributes(&mut self, volume: &Volume) {
        let Some((_, _, ino)) = self.pick(volume, &[]) else {
            return;
        };
        let mut set = SetAttr::default();
        match self.0.below(4) {
            0 => set.perm = Some(0o700 + self.0.below(8) as u16),
            1 => set.uid = Some(self.0.below(3) as u32),
            2 => set.atime = Some(SetTime::Now),
            _ => set.mtime = Some(SetTime::At(at(self.0.below(1000) as i64))),
        }
        volume.setattr(&ROOT, ino, &set).unwrap();
    }
}
