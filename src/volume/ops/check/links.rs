//! Second pass: links between inodes.

use std::cmp::Ordering;

use crate::base::{Ino, Key};
use crate::volume::records::{Dirent, FileKind};
use crate::volume::{FsResult, View, keys};

use super::{Counted, Violation};

/// What is noted of an inode.
pub(super) struct Facts {
    pub(super) ino: u64,
    pub(super) parent: u64,
    pub(super) nlink: u32,
    pub(super) kind: FileKind,
}

/// A name of an inode, and where it lies.
pub(super) struct Name {
    pub(super) ino: u64,
    pub(super) folder: u64,
    pub(super) sub: u64,
    pub(super) kind: FileKind,
}

/// All inodes, all names, all marks of orphans.
#[derive(Default)]
pub(super) struct Links {
    /// By ascending number.
    pub(super) inodes: Vec<Facts>,
    pub(super) names: Vec<Name>,
    /// Ascending.
    pub(super) marks: Vec<u64>,
}

/// What is known of a folder's way to the root.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Unknown,
    Walked,
    Leads,
    Broken,
}

impl Links {
    /// Compares what inodes say of one another.
    pub(super) fn check(
        mut self,
        view: &View<'_>,
        report: &mut dyn FnMut(Violation),
    ) -> FsResult<()> {
        self.names
            .sort_unstable_by_key(|name| (name.ino, name.folder, name.sub));
        if !self.inodes.iter().any(|inode| inode.is_root()) {
            report(Violation::NoRoot);
        }
        let mut names = self.names.as_slice();
        for inode in &self.inodes {
            let dangling = names.partition_point(|name| name.ino < inode.ino);
            report_dangling(view, &names[..dangling], report)?;
            names = &names[dangling..];
            let own = names.partition_point(|name| name.ino == inode.ino);
            check_names(view, inode, &names[..own], report)?;
            names = &names[own..];
        }
        report_dangling(view, names, report)?;
        self.check_marks(report);
        self.check_ways(report);
        Ok(())
    }

    /// Marks and inodes without names are the same.
    fn check_marks(&self, report: &mut dyn FnMut(Violation)) {
        let mut orphans = self
            .inodes
            .iter()
            .filter(|inode| inode.nlink == 0)
            .peekable();
        let mut marks = self.marks.iter().peekable();
        loop {
            let order = match (orphans.peek(), marks.peek()) {
                (None, None) => return,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(orphan), Some(mark)) => orphan.ino.cmp(mark),
            };
            if order.is_lt()
                && let Some(orphan) = orphans.peek()
            {
                report(Violation::NotMarked {
                    ino: Ino(orphan.ino),
                });
            }
            if order.is_gt()
                && let Some(mark) = marks.peek()
            {
                report(Violation::WronglyMarked { ino: Ino(**mark) });
            }
            if order.is_le() {
                orphans.next();
            }
            if order.is_ge() {
                marks.next();
            }
        }
    }

    /// Every folder with a name leads to the root by its parents.
    fn check_ways(&self, report: &mut dyn FnMut(Violation)) {
        let mut ways = vec![Way::Unknown; self.inodes.len()];
        let mut walked = Vec::new();
        for start in 0..self.inodes.len() {
            let mut at = Some(start);
            let end = loop {
                let Some(index) = at else {
                    break Way::Broken;
                };
                let inode = &self.inodes[index];
                if inode.is_root() {
                    break Way::Leads;
                }
                match ways[index] {
                    Way::Unknown if inode.kind == FileKind::Directory && inode.nlink > 0 => {
                        ways[index] = Way::Walked;
                        walked.push(index);
                        at = self.index_of(inode.parent);
                    }
                    // Not a folder with a name: nothing lies below it; or a circle.
                    Way::Unknown | Way::Walked => break Way::Broken,
                    known => break known,
                }
            };
            for index in walked.drain(..) {
                ways[index] = end;
                if end == Way::Broken {
                    report(Violation::Unreachable {
                        folder: Ino(self.inodes[index].ino),
                    });
                }
            }
        }
    }

    fn index_of(&self, ino: u64) -> Option<usize> {
        self.inodes
            .binary_search_by_key(&ino, |inode| inode.ino)
            .ok()
    }
}

impl Facts {
    fn is_root(&self) -> bool {
        Ino(self.ino) == Ino::ROOT && self.kind == FileKind::Directory && self.parent == self.ino
    }
}

fn check_names(
    view: &View<'_>,
    inode: &Facts,
    names: &[Name],
    report: &mut dyn FnMut(Violation),
) -> FsResult<()> {
    let ino = Ino(inode.ino);
    for name in names {
        if name.kind != inode.kind {
            let (folder, name) = (Ino(name.folder), text(view, name)?);
            report(Violation::EntryKind { folder, name, ino });
        }
    }
    // A folder's link count was compared with its subfolders; a name it must have is one.
    let stored = match inode.kind {
        FileKind::Directory => u64::from(ino != Ino::ROOT && inode.nlink > 0),
        _ => u64::from(inode.nlink),
    };
    let found = names.len() as u64;
    if found != stored {
        report(Violation::Count {
            ino,
            what: Counted::Links,
            stored,
            found,
        });
    }
    if inode.kind == FileKind::Directory
        && let [name] = names
        && name.folder != inode.parent
    {
        report(Violation::Parent {
            folder: ino,
            stored: Ino(inode.parent),
            found: Ino(name.folder),
        });
    }
    Ok(())
}

fn report_dangling(
    view: &View<'_>,
    names: &[Name],
    report: &mut dyn FnMut(Violation),
) -> FsResult<()> {
    for name in names {
        report(Violation::Dangling {
            folder: Ino(name.folder),
            name: text(view, name)?,
            ino: Ino(name.ino),
        });
    }
    Ok(())
}

/// The name itself, read again: noting all would take much more memory.
fn text(view: &View<'_>, name: &Name) -> FsResult<Vec<u8>> {
    let key = Key::new(name.folder, keys::DIRENT, name.sub);
    let value = view.get(&key)?;
    let dirent = value
        .as_ref()
        .and_then(|value| Dirent::decode(&value.bytes).ok()?);
    Ok(dirent.map_or_else(Vec::new, |dirent| dirent.name.to_vec()))
}
