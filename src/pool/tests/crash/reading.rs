//! What a pool holds, read from its root folders on.

use std::sync::Arc;

use super::super::WHO;
use super::model::Found;
use super::tree::{Content, Node, Tree};
use super::world::text;
use crate::base::{Ino, Nature};
use crate::pool::Pool;
use crate::volume::ops::{Attr, FileKind};
use crate::volume::{FsResult, Volume};

/// Something that cannot be read.
#[derive(Debug)]
pub(super) struct Unread {
    /// Volume, snapshot and path.
    pub(super) what: String,
    pub(super) nature: Nature,
    #[expect(dead_code, reason = "printed")]
    pub(super) problem: String,
}

/// All of a pool, which must be there to be read.
pub(super) fn read_pool(pool: &Arc<Pool>) -> Found {
    for info in pool.volumes() {
        assert_eq!(info.poisoned, None, "volume {}", info.name);
    }
    let (found, unread) = read_what_is_sound(pool);
    assert!(unread.is_empty(), "{unread:#?}");
    found
}

/// What can be read of a pool, and what cannot.
pub(super) fn read_what_is_sound(pool: &Arc<Pool>) -> (Found, Vec<Unread>) {
    let (mut found, mut unread) = (Found::default(), Vec::new());
    for info in pool.volumes() {
        let volume = pool.open_volume(&info.name).expect("a listed volume");
        let name = info.name.to_string();
        let tree = read_tree(&volume, &name, &mut unread);
        found.volumes.insert(name, tree);
    }
    for info in pool.snapshots(None).expect("the snapshots") {
        let opened = pool.open_snapshot(&info.volume, &info.name);
        let key = (info.volume.to_string(), info.name.to_string());
        let name = format!("{}@{}", key.0, key.1);
        let tree = read_tree(&opened.expect("a listed snapshot"), &name, &mut unread);
        found.snapshots.insert(key, tree);
    }
    (found, unread)
}

/// A volume's names and nodes. Where all could be read, link counts must fit the names.
pub(super) fn read_tree(volume: &Volume, of: &str, unread: &mut Vec<Unread>) -> Tree {
    let mut tree = Tree::default();
    let mut links = Vec::new();
    let mut folders = vec![(String::new(), Ino::ROOT)];
    let before = unread.len();
    while let Some((prefix, folder)) = folders.pop() {
        let mut entries = Vec::new();
        let listed = volume.readdir_plus(&WHO, folder, 2, &mut |entry, attr| {
            let name = String::from_utf8_lossy(entry.name).into_owned();
            entries.push((format!("{prefix}{name}"), *attr));
            true
        });
        note(listed, &format!("{of}: folder '{prefix}'"), unread);
        for (path, attr) in entries {
            if attr.kind == FileKind::Directory {
                folders.push((format!("{path}/"), attr.ino));
            }
            let node = note(read_node(volume, &attr), &format!("{of}: '{path}'"), unread);
            if let Some(node) = node {
                links.push((path.clone(), attr.nlink));
                tree.found(path, attr.ino.0, node);
            }
        }
    }
    if unread.len() == before {
        for (path, nlink) in links {
            assert_eq!(nlink as usize, tree.links(&path), "{of}: names of '{path}'");
        }
    }
    tree
}

fn note<T>(outcome: FsResult<T>, what: &str, unread: &mut Vec<Unread>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(error) => {
            unread.push(Unread {
                what: what.to_owned(),
                nature: error.nature(),
                problem: text(&error),
            });
            None
        }
    }
}

fn read_node(volume: &Volume, attr: &Attr) -> FsResult<Node> {
    let content = match attr.kind {
        FileKind::Directory => Content::Folder,
        FileKind::Symlink => {
            let target = volume.readlink(&WHO, attr.ino)?;
            Content::Link(String::from_utf8_lossy(&target).into_owned())
        }
        FileKind::Regular => {
            let data = volume.read_file(&WHO, attr.ino, 0, attr.size as usize + 1)?;
            assert_eq!(data.len() as u64, attr.size, "inode {}", attr.ino);
            Content::File(Arc::new(data))
        }
        kind => Content::Special(format!("{kind:?}"), attr.rdev),
    };
    let mut node = Node::new(content, attr.perm);
    node.owner = (attr.uid, attr.gid);
    node.times = [Some(attr.atime), Some(attr.mtime)];
    for name in volume.listxattr(&WHO, attr.ino)?.split(|byte| *byte == 0) {
        if !name.is_empty() {
            let value = volume.getxattr(&WHO, attr.ino, name)?;
            let name = String::from_utf8_lossy(name).into_owned();
            node.xattrs.insert(name, value);
        }
    }
    Ok(node)
}
