//! Paths within a volume, and names of the live one.

use std::fmt;
use std::str::FromStr;

use crate::base::Ino;
use crate::volume::records::{Inode, NAME_BYTES_MAX};
use crate::volume::{Frozen, FsError, FsResult, Request, Volume};

use super::super::chain::Slot;
use super::super::inodes::{entry, link_target, load};
use super::{RestoreError, RestoreResult};

/// A path from a volume's root, with or without a slash in front. Links in it are not followed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct RestorePath {
    names: Vec<String>,
}

impl RestorePath {
    /// Its names from the root on; of the root none.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.names.iter().map(String::as_bytes)
    }

    /// Whether it is `other` or lies below it.
    fn is_within(&self, other: &RestorePath) -> bool {
        self.names.starts_with(&other.names)
    }

    /// Those of several that lie within no other one, which go with that; the root if there are
    /// none.
    pub fn outermost(asked: &[RestorePath]) -> Vec<RestorePath> {
        let mut asked = asked.to_vec();
        if asked.is_empty() {
            asked.push(RestorePath::default());
        }
        asked.sort();
        let mut paths: Vec<RestorePath> = Vec::new();
        for path in asked {
            if !paths.last().is_some_and(|last| path.is_within(last)) {
                paths.push(path);
            }
        }
        paths
    }
}

impl fmt::Display for RestorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.names.join("/"))
    }
}

impl FromStr for RestorePath {
    type Err = RestoreError;

    fn from_str(text: &str) -> RestoreResult<RestorePath> {
        let invalid = |problem| RestoreError::Invalid {
            path: text.to_owned(),
            problem,
        };
        if text.is_empty() {
            return Err(invalid("it is empty; the whole volume is '/'"));
        }
        if text.contains('\0') {
            return Err(invalid("no name has a NUL"));
        }
        let names = text.split('/');
        let names: Vec<&str> = names.filter(|name| !matches!(*name, "" | ".")).collect();
        if names.contains(&"..") {
            return Err(invalid("'..' is not followed"));
        }
        if names.iter().any(|name| name.len() > NAME_BYTES_MAX) {
            return Err(invalid("a name has more than 255 bytes"));
        }
        Ok(RestorePath {
            names: names.into_iter().map(str::to_owned).collect(),
        })
    }
}

/// The volume, in the state that the restore began with or one that follows it.
pub(super) struct Target<'a> {
    pub(super) volume: &'a Volume,
    pub(super) request: Request,
}

impl Target<'_> {
    /// What a name names, if there is one.
    pub(super) fn find(&self, folder: Ino, name: &[u8]) -> FsResult<Option<(Ino, Inode)>> {
        self.volume.read(&self.request, |view| {
            match self.volume.dirents().find(view, folder, name)? {
                Slot::Free { .. } => Ok(None),
                Slot::Taken { value, .. } => {
                    let ino = entry(folder, &value.bytes)?.ino;
                    Ok(Some((ino, load(view, ino)?)))
                }
            }
        })
    }

    /// The folder below which everything goes.
    pub(super) fn base(&self, to: Option<&RestorePath>) -> RestoreResult<Ino> {
        let mut folder = Ino::ROOT;
        let Some(to) = to else { return Ok(folder) };
        let mut path = Vec::new();
        for name in to.names() {
            path.push(b'/');
            path.extend_from_slice(name);
            let found = self.find(folder, name);
            match found.map_err(|error| RestoreError::at(&path, error))? {
                None => return Err(RestoreError::no_folder(to.to_string().as_bytes())),
                Some((ino, inode)) if inode.is_folder() => folder = ino,
                Some(_) => return Err(RestoreError::not_folder(&path)),
            }
        }
        Ok(folder)
    }

    /// Where a symbolic link leads to.
    pub(super) fn link_target(&self, ino: Ino) -> FsResult<Option<Vec<u8>>> {
        self.volume
            .read(&self.request, |view| link_target(view, ino))
    }

    /// Lets an inode that has no name go: a restore was broken off.
    pub(super) fn give_up(&self, ino: Ino) {
        let epoch = self.request.epoch.unwrap_or_default();
        if let Err(error) = self.volume.forget(epoch, ino) {
            log::warn!("inode {ino} without a name stays until the next opening: {error}");
        }
    }
}

/// What a name in a state names.
pub(super) fn find_in(
    volume: &Volume,
    state: &Frozen<'_>,
    folder: Ino,
    name: &[u8],
) -> FsResult<Ino> {
    match volume.dirents().find(state, folder, name)? {
        Slot::Free { .. } => Err(FsError::NotFound),
        Slot::Taken { value, .. } => Ok(entry(folder, &value.bytes)?.ino),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slashes and dots do not count; the root is a path, too.
    #[test]
    fn paths_are_read_as_people_write_them() {
        for (text, path) in [
            ("/", "/"),
            ("base/1", "/base/1"),
            ("/base//1/", "/base/1"),
            ("./base/.", "/base"),
            ("...", "/..."),
        ] {
            assert_eq!(text.parse::<RestorePath>().unwrap().to_string(), path);
        }
    }

    /// What goes with another path is not gone through twice; no path is the whole volume.
    #[test]
    fn paths_within_others_go_with_them() {
        let outermost = |texts: &[&str]| {
            let paths: Vec<RestorePath> = texts.iter().map(|text| text.parse().unwrap()).collect();
            let left = RestorePath::outermost(&paths).into_iter();
            left.map(|path| path.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            outermost(&["b/c", "a", "b", "b2", "a"]),
            ["/a", "/b", "/b2"]
        );
        assert_eq!(outermost(&["a", "/"]), ["/"]);
        assert_eq!(outermost(&[]), ["/"]);
    }

    /// What leads out of the volume, and what no name can be, is refused.
    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        let long = "n".repeat(256);
        for text in ["", "..", "a/../b", "a\0b", &long] {
            let refused = text.parse::<RestorePath>();
            assert!(
                matches!(refused, Err(RestoreError::Invalid { .. })),
                "{text:?}"
            );
        }
    }
}
