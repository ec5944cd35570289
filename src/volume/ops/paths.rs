//! Paths of inodes.
//!
//! Names lead to inodes, and not back; but every inode remembers the folder in which it last got a
//! name, and of a folder that is always the one that holds it. So a path is found by looking
//! through a few folders. Where the memory is wrong (that name was removed, another one is left)
//! or missing (the inode was last named by an older volfs), all folders are searched.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use crate::base::Ino;
use crate::volume::records::{Dirent, FileKind, Inode};
use crate::volume::{FsError, FsResult, Request, Volume, keys};

use super::inodes::{State, load};

/// Names that are looked at for a path that must cost little.
const CHEAP_NAMES: usize = 4096;

impl Volume {
    /// A path of an inode from the volume's root; none if it has no name. Right in every case, and
    /// keeps writers out while it looks, which may be through all folders.
    pub fn path_of(&self, request: &Request, ino: Ino) -> FsResult<Option<Vec<u8>>> {
        self.read(request, |view| Ok(Paths::find(view, [ino])?.of(ino)))
    }

    /// A path of an inode, if the folders that are remembered have it among their first few
    /// thousand names: for messages.
    pub fn path_hint(&self, ino: Ino) -> Option<Vec<u8>> {
        let look = |paths: &mut Paths| {
            self.read(&Request::default(), |view| {
                let mut budget = Budget(Some(CHEAP_NAMES));
                paths.follow(view, vec![ino], &mut budget)
            })
        };
        let mut paths = Paths::default();
        look(&mut paths).ok()?;
        paths.of(ino)
    }
}

/// A path for people: UTF-8 as it is, other bytes as `\xNN`.
pub fn shown(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// How many names may still be looked at; none: as many as there are.
struct Budget(Option<usize>);

impl Budget {
    fn is_spent(&mut self) -> bool {
        match &mut self.0 {
            None => false,
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }
}

/// One name of each of some inodes, and of the folders above them.
#[derive(Default)]
pub(super) struct Paths {
    names: HashMap<Ino, (Ino, Vec<u8>)>,
}

impl Paths {
    /// Finds a name of each of these inodes, and of all folders above.
    pub(super) fn find(state: &impl State, inos: impl IntoIterator<Item = Ino>) -> FsResult<Paths> {
        let mut paths = Paths::default();
        let mut wanted: Vec<Ino> = inos.into_iter().collect();
        while !wanted.is_empty() {
            let astray = paths.follow(state, wanted, &mut Budget(None))?;
            wanted = paths.search(state, astray)?;
        }
        Ok(paths)
    }

    /// The path, with a slash in front; of the root a slash.
    pub(super) fn of(&self, ino: Ino) -> Option<Vec<u8>> {
        let mut names = Vec::new();
        let mut at = ino;
        while at != Ino::ROOT {
            let (folder, name) = self.names.get(&at)?;
            names.push(name);
            // Folders that form a circle lead nowhere.
            if names.len() > self.names.len() {
                return None;
            }
            at = *folder;
        }
        let mut path = Vec::new();
        for name in names.into_iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Some(path)
    }

    /// The path of a name in a folder.
    pub(super) fn of_name(&self, folder: Ino, name: &[u8]) -> Option<Vec<u8>> {
        let mut path = self.of(folder)?;
        if path != b"/" {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Some(path)
    }

    /// Finds names in the folders that are remembered, upwards to the root. Returns the inodes
    /// that should have a name and have none there.
    fn follow(
        &mut self,
        state: &impl State,
        mut wanted: Vec<Ino>,
        budget: &mut Budget,
    ) -> FsResult<Vec<Ino>> {
        let mut astray = Vec::new();
        while !wanted.is_empty() {
            let mut by_folder: BTreeMap<Ino, HashSet<Ino>> = BTreeMap::new();
            for ino in wanted.drain(..) {
                if ino == Ino::ROOT || self.names.contains_key(&ino) {
                    continue;
                }
                match load(state, ino) {
                    Ok(inode) if inode.nlink == 0 => {}
                    Ok(inode) if inode.parent == Ino(0) => astray.push(ino),
                    Ok(inode) => {
                        by_folder.entry(inode.parent).or_default().insert(ino);
                    }
                    Err(FsError::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
            for (folder, mut sought) in by_folder {
                let before = sought.len();
                each_name(state, folder, &mut |dirent| {
                    if sought.remove(&dirent.ino) {
                        self.names
                            .insert(dirent.ino, (folder, dirent.name.to_vec()));
                    }
                    Ok(match sought.is_empty() || budget.is_spent() {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    })
                })?;
                if sought.len() < before {
                    wanted.push(folder);
                }
                astray.extend(sought);
            }
        }
        Ok(astray)
    }

    /// Finds names in all folders. Returns the folders in which there were some.
    fn search(&mut self, state: &impl State, sought: Vec<Ino>) -> FsResult<Vec<Ino>> {
        let mut sought: HashSet<Ino> = sought.into_iter().collect();
        let mut found = Vec::new();
        if sought.is_empty() {
            return Ok(found);
        }
        each_folder(state, &mut |folder| {
            each_name(state, folder, &mut |dirent| {
                if sought.remove(&dirent.ino) {
                    self.names
                        .insert(dirent.ino, (folder, dirent.name.to_vec()));
                    found.push(folder);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(match sought.is_empty() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        })?;
        Ok(found)
    }
}

/// A folder and a name in it.
pub(super) type Named = (Ino, Vec<u8>);

/// All names of these inodes. Where the folders that are remembered do not have as many of them as
/// there must be, all folders are searched.
pub(super) fn all_names(
    state: &impl State,
    inos: &BTreeMap<Ino, Inode>,
) -> FsResult<Vec<(Named, Ino)>> {
    let mut names = Vec::new();
    let folders: BTreeSet<Ino> = inos.values().map(|inode| inode.parent).collect();
    for folder in folders {
        names_in(state, folder, inos, &mut names)?;
    }
    let wanted = |inode: &Inode| match inode.is_folder() {
        true => 1,
        false => u64::from(inode.nlink),
    };
    if names.len() as u64 == inos.values().map(wanted).sum::<u64>() {
        return Ok(names);
    }
    names.clear();
    each_folder(state, &mut |folder| {
        names_in(state, folder, inos, &mut names)?;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(names)
}

fn names_in(
    state: &impl State,
    folder: Ino,
    inos: &BTreeMap<Ino, Inode>,
    names: &mut Vec<(Named, Ino)>,
) -> FsResult<()> {
    each_name(state, folder, &mut |dirent| {
        if inos.contains_key(&dirent.ino) {
            names.push(((folder, dirent.name.to_vec()), dirent.ino));
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// Visits all folders from the root on.
fn each_folder(
    state: &impl State,
    visit: &mut dyn FnMut(Ino) -> FsResult<ControlFlow<()>>,
) -> FsResult<()> {
    let mut folders = vec![Ino::ROOT];
    let mut seen = HashSet::new();
    while let Some(folder) = folders.pop() {
        if !seen.insert(folder) {
            continue;
        }
        if visit(folder)?.is_break() {
            return Ok(());
        }
        each_name(state, folder, &mut |dirent| {
            if dirent.kind == FileKind::Directory {
                folders.push(dirent.ino);
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(())
}

/// Visits the names of a folder in the order of their sub-keys.
pub(super) fn each_name(
    state: &impl State,
    folder: Ino,
    visit: &mut dyn FnMut(&Dirent<'_>) -> FsResult<ControlFlow<()>>,
) -> FsResult<()> {
    let (from, to) = keys::all(folder, keys::DIRENT);
    state.scan(&from, &to, &mut |_, value| {
        let malformed = |source| FsError::Malformed {
            ino: folder,
            source,
        };
        match Dirent::decode(&value.bytes).map_err(malformed)? {
            Some(dirent) => visit(&dirent),
            None => Ok(ControlFlow::Continue(())),
        }
    })
}
