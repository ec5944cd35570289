//! What a state shows, as far as it can be read; and the paths of its files.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::{Ino, Key, Pointer, Value};
use crate::tree::{self, NodeStore};
use crate::volume::core::changes::{Changes, Found, Point};
use crate::volume::core::dirty_block::Under;
use crate::volume::core::layer::Layer;
use crate::volume::keys;
use crate::volume::records::{Dirent, FileKind};

/// Folders on the way to a file; longer ways are a circle.
const DEPTH_MAX: usize = 4096;

/// Told of a key, its value, and the stored block that shows at least in parts.
pub(super) type EntryVisitor<'a> = dyn FnMut(&Key, &Value, Option<Pointer>) + 'a;

/// Visits every entry of a state that can be read, in no order.
pub(super) fn visit(nodes: &dyn NodeStore, layer: &Layer, entry: &mut EntryVisitor<'_>) {
    let (levels, root) = layer.chain();
    let mut leaf = |key: &Key, value: &Value| {
        if levels.iter().all(|level| shows_through(level, key)) {
            entry(key, value, block_of(key, value));
        }
    };
    tree::check(nodes, root.as_ref(), &mut leaf, &mut |_| {});
    visit_changes(&levels, entry);
}

/// Visits what changes above a tree show, uppermost first.
pub(super) fn visit_changes(levels: &[Arc<Changes>], entry: &mut EntryVisitor<'_>) {
    for (at, level) in levels.iter().enumerate() {
        for (key, point) in level.points() {
            if !levels[..at].iter().all(|above| shows_through(above, key)) {
                continue;
            }
            match point {
                Point::Put(value) => entry(key, value, block_of(key, value)),
                Point::Block(block) => {
                    if let (Under::Stored(pointer), false) = (block.under(), block.is_whole()) {
                        entry(key, &Value::record([]), Some(pointer));
                    }
                }
                Point::Delete => {}
            }
        }
    }
}

/// The stored block that an entry names.
pub(super) fn block_of(key: &Key, value: &Value) -> Option<Pointer> {
    (key.kind() == keys::BLOCK)
        .then(|| value.pointer())
        .flatten()
}

/// Whether what lies below these changes shows, at least in parts.
fn shows_through(changes: &Changes, key: &Key) -> bool {
    match changes.find(key) {
        Found::Below => true,
        Found::Point(Point::Block(block)) => {
            !block.is_whole() && matches!(block.under(), Under::Below)
        }
        Found::Point(_) | Found::Removed => false,
    }
}

/// Names of all folders and of some other inodes.
pub(super) struct Names {
    names: HashMap<u64, (u64, Vec<u8>)>,
}

impl Names {
    /// Of a state; beside folders of the inodes that are `wanted`.
    pub(super) fn of(nodes: &dyn NodeStore, layer: &Layer, wanted: &dyn Fn(u64) -> bool) -> Names {
        let mut names = HashMap::new();
        visit(nodes, layer, &mut |key, value, _| {
            if key.kind() != keys::DIRENT {
                return;
            }
            if let Ok(Some(dirent)) = Dirent::decode(&value.bytes)
                && (dirent.kind == FileKind::Directory || wanted(dirent.ino.0))
            {
                names.insert(dirent.ino.0, (key.owner(), dirent.name.to_vec()));
            }
        });
        Names { names }
    }

    /// A path that leads to the inode.
    pub(super) fn path(&self, ino: u64) -> Option<String> {
        let mut parts = Vec::new();
        let mut at = ino;
        while at != Ino::ROOT.0 {
            let (folder, name) = self.names.get(&at)?;
            parts.push(String::from_utf8_lossy(name));
            if parts.len() > DEPTH_MAX {
                return None;
            }
            at = *folder;
        }
        parts.reverse();
        Some(format!("/{}", parts.join("/")))
    }

    /// Inodes with a name.
    pub(super) fn inodes(&self) -> impl Iterator<Item = u64> {
        self.names.keys().copied()
    }
}
