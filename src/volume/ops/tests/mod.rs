//! Tests of the operations, by family, and against a model.

mod access;
mod acl;
mod attr;
mod check;
mod compare;
mod copy;
mod create;
mod dir;
mod io;
mod model;
mod paths;
mod random;
mod remove;
mod rename;
mod restore;
mod space;
mod states;
mod threads;
mod xattr;

use crate::base::{Ino, Timestamp};
use crate::volume::core::testing::Bench;
use crate::volume::{FsError, FsResult, Request, Volume};

use super::{
    Attr, CheckSummary, FileKind, NewNode, RenameMode, Tails, Violation, WriteMode, check_inodes,
};

const ROOT: Request = Request {
    epoch: None,
    unique: 0,
    uid: 0,
    gid: 0,
};
const USER: Request = Request {
    uid: 1000,
    gid: 100,
    ..ROOT
};
const BLOCK: u64 = 4096;

/// A formatted volume with blocks of 4 KiB, and short forms of the operations on it, as root.
struct Fixture {
    bench: Bench,
    /// Whether the volume must be consistent when the test ends.
    ends_sound: bool,
}

impl std::ops::Deref for Fixture {
    type Target = Volume;

    fn deref(&self) -> &Volume {
        &self.bench.volume
    }
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::with_block_size(BLOCK as u32)
    }

    fn with_block_size(block_size: u32) -> Fixture {
        let bench = Bench::new(block_size);
        bench.volume.format(0, 0, 0o755).unwrap();
        Fixture {
            bench,
            ends_sound: true,
        }
    }

    fn make(&self, request: &Request, kind: FileKind, parent: Ino, name: &str) -> FsResult<Attr> {
        let new = NewNode {
            kind,
            perm: 0o777,
            umask: 0o022,
            rdev: 0,
        };
        self.create(request, parent, name.as_bytes(), &new)
    }

    fn file(&self, parent: Ino, name: &str) -> Ino {
        self.make(&ROOT, FileKind::Regular, parent, name)
            .unwrap()
            .ino
    }

    fn folder(&self, parent: Ino, name: &str) -> Ino {
        self.make(&ROOT, FileKind::Directory, parent, name)
            .unwrap()
            .ino
    }

    fn attr(&self, ino: Ino) -> Attr {
        self.getattr(&ROOT, ino).unwrap()
    }

    fn find(&self, parent: Ino, name: &str) -> FsResult<Ino> {
        self.lookup(&ROOT, parent, name.as_bytes())
            .map(|attr| attr.ino)
    }

    fn write(&self, ino: Ino, offset: u64, data: &[u8]) {
        self.write_file(&ROOT, ino, offset, data, WriteMode::default())
            .unwrap();
    }

    fn content(&self, ino: Ino) -> Vec<u8> {
        self.read_file(&ROOT, ino, 0, usize::MAX).unwrap()
    }

    /// Allocated blocks.
    fn blocks(&self, ino: Ino) -> u64 {
        let attr = self.attr(ino);
        attr.blocks_512 * 512 / u64::from(attr.block_size)
    }

    fn mv(&self, from: (Ino, &str), to: (Ino, &str), mode: RenameMode) -> FsResult<()> {
        let from = (from.0, from.1.as_bytes());
        self.rename(&ROOT, from, (to.0, to.1.as_bytes()), mode)
    }

    /// Names of a folder, sorted, without dots.
    fn names(&self, folder: Ino) -> Vec<String> {
        let mut names = Vec::new();
        self.readdir(&ROOT, folder, 2, &mut |entry| {
            names.push(String::from_utf8_lossy(entry.name).into_owned());
            true
        })
        .unwrap();
        names.sort();
        names
    }

    fn checkpoint(&self) {
        self.bench.checkpoint();
    }

    /// Everything that `check_inodes` finds.
    fn violations(&self) -> (Vec<Violation>, CheckSummary) {
        let mut found = Vec::new();
        let summary =
            check_inodes(self, Tails::Read, &mut |violation| found.push(violation)).unwrap();
        (found, summary)
    }

    /// The volume is consistent, in memory and in the tree.
    fn assert_sound(&self) -> CheckSummary {
        let (found, summary) = self.violations();
        assert_eq!(found, []);
        summary
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if self.ends_sound && !std::thread::panicking() {
            self.assert_sound();
            self.checkpoint();
            self.assert_sound();
        }
    }
}

/// The name of an error's variant.
fn name_of<T: std::fmt::Debug>(result: FsResult<T>) -> String {
    match result {
        Ok(value) => format!("Ok({value:?})"),
        Err(error) => variant(&error),
    }
}

fn variant(error: &FsError) -> String {
    let text = format!("{error:?}");
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(text.len());
    text[..end].to_owned()
}

fn at(secs: i64) -> Timestamp {
    Timestamp { secs, nanos: 0 }
}
