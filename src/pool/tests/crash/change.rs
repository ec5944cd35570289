//! Changes of a volume's files.

use std::sync::Arc;

use super::super::WHO;
use super::model::{Entry, Tree};
use crate::base::{Ino, SplitMix64};
use crate::volume::ops::{FileKind, NewNode, RenameMode, SetAttr, WriteMode};
use crate::volume::{FsError, Volume};

const FILES_MAX: usize = 5;
const FILE_BYTES_MAX: u64 = 160 << 10;
const BLOCK: u64 = 4096;

/// A change of files, valid for the tree that it was made for.
pub(super) enum Change {
    Create(String),
    Folder(String),
    Remove(String),
    RemoveFolder(String),
    Rename(String, String),
    Write(String, u64, Vec<u8>),
    Truncate(String, u64),
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Change::Create(path) => write!(f, "create {path}"),
            Change::Folder(path) => write!(f, "mkdir {path}"),
            Change::Remove(path) => write!(f, "unlink {path}"),
            Change::RemoveFolder(path) => write!(f, "rmdir {path}"),
            Change::Rename(from, to) => write!(f, "rename {from} to {to}"),
            Change::Write(path, at, data) => {
                write!(f, "write {path}, {} bytes at {at}", data.len())
            }
            Change::Truncate(path, len) => write!(f, "truncate {path} to {len}"),
        }
    }
}

impl Change {
    pub(super) fn any(random: &mut SplitMix64, tree: &Tree) -> Option<Change> {
        let of = |wanted: fn(&Entry) -> bool| -> Vec<&String> {
            let fitting = tree.iter().filter(|(_, entry)| wanted(entry));
            fitting.map(|(path, _)| path).collect()
        };
        let files = of(|entry| matches!(entry, Entry::File(_)));
        let folders = of(|entry| matches!(entry, Entry::Folder));
        let file = random.pick(&files).map(|path| (*path).clone());
        let folder = random.pick(&folders).map(|path| (*path).clone());
        let mut unused = |stem: &str| {
            let number = random.below(8);
            let path = match &folder {
                Some(folder) if number < 4 => format!("{folder}/{stem}{number}"),
                _ => format!("{stem}{number}"),
            };
            (!tree.contains_key(&path)).then_some(path)
        };
        let (new_file, new_folder) = (unused("f"), format!("d{}", random.below(3)));
        let kind = random.below(100);
        if files.len() < 2 || (kind < 15 && files.len() < FILES_MAX) {
            return new_file.map(Change::Create);
        }
        match kind {
            15..20 => (!tree.contains_key(&new_folder)).then_some(Change::Folder(new_folder)),
            20..27 => file.map(Change::Remove),
            27..30 => {
                let folder = folder?;
                let inside = format!("{folder}/");
                let is_empty = !tree.keys().any(|path| path.starts_with(&inside));
                is_empty.then_some(Change::RemoveFolder(folder))
            }
            30..36 => Some(Change::Rename(file?, new_file?)),
            36..40 => {
                let to = random.pick(&files).map(|path| (*path).clone())?;
                let from = file?;
                (from != to).then_some(Change::Rename(from, to))
            }
            40..43 => {
                let is_new = !tree.contains_key(&new_folder);
                is_new.then_some(Change::Rename(folder?, new_folder))
            }
            43..52 => Some(Change::Truncate(file?, random.below(FILE_BYTES_MAX / 2))),
            52..80 => {
                let len = 1 + random.below(6000) as usize;
                let at = random.below(40_000);
                Some(Change::Write(file?, at, random.bytes(len)))
            }
            _ => Some(Change::large(random, file?)),
        }
    }

    /// A write that is sealed at once: new bytes, bytes written before (found by dedup), zeros.
    fn large(random: &mut SplitMix64, file: String) -> Change {
        let blocks = 16 + random.below(8);
        let at = random.below(FILE_BYTES_MAX / BLOCK - blocks) * BLOCK + random.below(2) * 100;
        let len = (blocks * BLOCK + BLOCK) as usize;
        let data = match random.below(4) {
            0 => SplitMix64::new(random.below(3)).bytes(len),
            1 => {
                let mut data = vec![0; len];
                let noise = random.bytes(len / 3);
                data[len / 3..][..noise.len()].copy_from_slice(&noise);
                data
            }
            _ => random.bytes(len),
        };
        Change::Write(file, at, data)
    }

    pub(super) fn predict(&self, tree: &mut Tree) {
        let edit = |tree: &mut Tree, path: &String, edit: &dyn Fn(&mut Vec<u8>)| {
            if let Some(Entry::File(data)) = tree.get_mut(path) {
                edit(Arc::make_mut(data));
            }
        };
        match self {
            Change::Create(path) => {
                tree.insert(path.clone(), Entry::File(Arc::default()));
            }
            Change::Folder(path) => {
                tree.insert(path.clone(), Entry::Folder);
            }
            Change::Remove(path) | Change::RemoveFolder(path) => {
                tree.remove(path);
            }
            Change::Rename(from, to) => {
                let below = format!("{from}/");
                let moved: Vec<String> = tree
                    .keys()
                    .filter(|path| *path == from || path.starts_with(&below))
                    .cloned()
                    .collect();
                for path in moved {
                    if let Some(entry) = tree.remove(&path) {
                        tree.insert(format!("{to}{}", &path[from.len()..]), entry);
                    }
                }
            }
            Change::Write(path, at, new) => edit(tree, path, &|data| {
                let (at, end) = (*at as usize, *at as usize + new.len());
                data.resize(data.len().max(end), 0);
                data[at..end].copy_from_slice(new);
            }),
            Change::Truncate(path, len) => edit(tree, path, &|data| data.resize(*len as usize, 0)),
        }
    }

    pub(super) fn perform(&self, volume: &Volume) -> Result<(), FsError> {
        let make = |path: &String, kind| {
            let new = NewNode {
                kind,
                perm: 0o755,
                umask: 0,
                rdev: 0,
            };
            let (parent, name) = place(volume, path)?;
            volume.create(&WHO, parent, name, &new).map(|_| ())
        };
        match self {
            Change::Create(path) => make(path, FileKind::Regular),
            Change::Folder(path) => make(path, FileKind::Directory),
            Change::Remove(path) => {
                let (parent, name) = place(volume, path)?;
                let ino = volume.lookup(&WHO, parent, name)?.ino;
                volume.unlink(&WHO, parent, name)?;
                // Half of them stay as if somebody had them open.
                match ino.0 % 2 {
                    0 => volume.forget(volume.epoch(), ino),
                    _ => Ok(()),
                }
            }
            Change::RemoveFolder(path) => {
                let (parent, name) = place(volume, path)?;
                volume.rmdir(&WHO, parent, name)
            }
            Change::Rename(from, to) => {
                let (from, to) = (place(volume, from)?, place(volume, to)?);
                volume.rename(&WHO, from, to, RenameMode::Replace)
            }
            Change::Write(path, at, data) => {
                let ino = find(volume, path)?;
                volume.write_file(&WHO, ino, *at, data, WriteMode::default())
            }
            Change::Truncate(path, len) => {
                let ino = find(volume, path)?;
                let set = SetAttr {
                    size: Some(*len),
                    ..SetAttr::default()
                };
                volume.setattr(&WHO, ino, &set).map(|_| ())
            }
        }
    }
}

/// The folder and the name in it.
fn place<'a>(volume: &Volume, path: &'a str) -> Result<(Ino, &'a [u8]), FsError> {
    match path.rsplit_once('/') {
        None => Ok((Ino::ROOT, path.as_bytes())),
        Some((folder, name)) => Ok((find(volume, folder)?, name.as_bytes())),
    }
}

fn find(volume: &Volume, path: &str) -> Result<Ino, FsError> {
    let (parent, name) = place(volume, path)?;
    Ok(volume.lookup(&WHO, parent, name)?.ino)
}
