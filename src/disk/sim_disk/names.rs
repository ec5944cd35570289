//! Names of files and folders, and the changes of them that are not synced.

use std::collections::{BTreeMap, BTreeSet};

/// Files and folders by path.
#[derive(Clone, Default)]
pub(super) struct Names {
    pub(super) files: BTreeMap<String, u64>,
    pub(super) folders: BTreeSet<String>,
}

#[derive(Clone)]
pub(super) enum EntryEffect {
    Create(String, u64),
    CreateFolder(String),
    Remove(String),
    Rename(String, String, u64),
}

/// The folder of a path.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl EntryEffect {
    /// The folder whose sync makes it durable.
    pub(super) fn folder(&self) -> &str {
        match self {
            EntryEffect::Create(path, _)
            | EntryEffect::CreateFolder(path)
            | EntryEffect::Remove(path)
            | EntryEffect::Rename(_, path, _) => parent(path),
        }
    }

    pub(super) fn apply(&self, names: &mut Names) {
        match self {
            EntryEffect::Create(path, file) => {
                names.files.insert(path.clone(), *file);
            }
            EntryEffect::CreateFolder(path) => {
                names.folders.insert(path.clone());
            }
            EntryEffect::Remove(path) => {
                names.files.remove(path);
            }
            EntryEffect::Rename(from, to, file) => {
                names.files.remove(from);
                names.files.insert(to.clone(), *file);
            }
        }
    }
}
