//! First pass: each inode's own records.

use crate::base::{ByteReader, DecodeError, Ino, Key, Value};
use crate::volume::records::{Dirent, FileKind, Inode, Xattr};
use crate::volume::{FsError, FsResult, View, Volume, keys};

use super::super::chain::{Chains, Slot};
use super::super::xattr::listed_bytes;
use super::links::{Facts, Links, Name};
use super::{CheckSummary, Counted, TailPlans, Violation};

/// Numbers below this one are the root's and reserved ones, which are never leased.
const FIRST_LEASED: u64 = 16;

/// The inode whose records are being visited, and what was found of them.
struct Current {
    ino: Ino,
    inode: Inode,
    entries: u64,
    subfolders: u64,
    blocks: u64,
    list_bytes: u64,
    target_bytes: u64,
    has_tail_block: bool,
}

/// Visits all records in key order.
pub(super) struct Records {
    dirents: Chains,
    xattrs: Chains,
    block: u64,
    reads_tails: bool,
    /// First inode number that was not leased.
    lease_end: u64,
    current: Option<Current>,
    tails: TailPlans,
    links: Links,
    summary: CheckSummary,
}

impl Records {
    pub(super) fn new(volume: &Volume, reads_tails: bool) -> Records {
        Records {
            dirents: volume.dirents(),
            xattrs: volume.xattrs(),
            block: u64::from(volume.block_size()),
            reads_tails,
            lease_end: FIRST_LEASED,
            current: None,
            tails: Vec::new(),
            links: Links::default(),
            summary: CheckSummary::default(),
        }
    }

    /// Tails of the files that were visited since the last call.
    pub(super) fn take_tails(&mut self) -> TailPlans {
        std::mem::take(&mut self.tails)
    }

    /// Looks at the next record.
    pub(super) fn visit(
        &mut self,
        view: &View<'_>,
        key: &Key,
        value: &Value,
        report: &mut dyn FnMut(Violation),
    ) -> FsResult<()> {
        let ino = Ino(key.owner());
        if self.current.as_ref().is_some_and(|now| now.ino != ino) {
            self.finish_inode(view, report)?;
        }
        let problem = match (key.kind(), key.sub()) {
            (keys::META, 0) if ino.0 == 0 => self.lease(value),
            (keys::ORPHAN, marked) if ino.0 == 0 => {
                self.links.marks.push(marked);
                Ok(true)
            }
            (keys::INODE, 0) => self.inode(ino, value, report),
            (kind, sub) => match &mut self.current {
                None => Ok(false),
                Some(current) => match (kind, current.inode.kind) {
                    (keys::SYMLINK, FileKind::Symlink) if sub == 0 => {
                        current.target_bytes = value.bytes.len() as u64;
                        Ok(true)
                    }
                    (keys::XATTR, _) => self.xattr(view, key, value, report)?,
                    (keys::DIRENT, FileKind::Directory) => self.dirent(view, key, value, report)?,
                    (keys::BLOCK, FileKind::Regular) => {
                        self.file_block(sub, report);
                        Ok(true)
                    }
                    _ => Ok(false),
                },
            },
        };
        match problem {
            Ok(true) => {}
            Ok(false) => report(Violation::Stray { key: *key }),
            Err(source) => report(Violation::Malformed { key: *key, source }),
        }
        Ok(())
    }

    /// What the second pass needs.
    pub(super) fn into_parts(self) -> (Links, CheckSummary) {
        (self.links, self.summary)
    }

    fn lease(&mut self, value: &Value) -> Result<bool, DecodeError> {
        let mut reader = ByteReader::new("inode lease", &value.bytes);
        self.lease_end = reader.u64()?;
        reader.finish()?;
        Ok(true)
    }

    fn inode(
        &mut self,
        ino: Ino,
        value: &Value,
        report: &mut dyn FnMut(Violation),
    ) -> Result<bool, DecodeError> {
        let inode = Inode::decode(&value.bytes)?;
        if ino != Ino::ROOT && ino.0 >= self.lease_end {
            report(Violation::NotLeased { ino });
        }
        self.summary.inodes += 1;
        self.links.inodes.push(Facts {
            ino: ino.0,
            parent: inode.parent.0,
            nlink: inode.nlink,
            kind: inode.kind,
        });
        self.current = Some(Current {
            ino,
            inode,
            entries: 0,
            subfolders: 0,
            blocks: 0,
            list_bytes: 0,
            target_bytes: 0,
            has_tail_block: false,
        });
        Ok(true)
    }

    fn xattr(
        &mut self,
        view: &View<'_>,
        key: &Key,
        value: &Value,
        report: &mut dyn FnMut(Violation),
    ) -> FsResult<Result<bool, DecodeError>> {
        let name = match Xattr::decode(&value.bytes) {
            Err(error) => return Ok(Err(error)),
            Ok(None) => return Ok(Ok(true)),
            Ok(Some(xattr)) => xattr.name,
        };
        if let Some(current) = &mut self.current {
            current.list_bytes += u64::from(listed_bytes(name));
        }
        check_place(&self.xattrs, view, key, name, report)?;
        Ok(Ok(true))
    }

    fn dirent(
        &mut self,
        view: &View<'_>,
        key: &Key,
        value: &Value,
        report: &mut dyn FnMut(Violation),
    ) -> FsResult<Result<bool, DecodeError>> {
        let dirent = match Dirent::decode(&value.bytes) {
            Err(error) => return Ok(Err(error)),
            Ok(None) => return Ok(Ok(true)),
            Ok(Some(dirent)) => dirent,
        };
        if let Some(current) = &mut self.current {
            current.entries += 1;
            current.subfolders += u64::from(dirent.kind == FileKind::Directory);
        }
        self.summary.names += 1;
        self.links.names.push(Name {
            ino: dirent.ino.0,
            folder: key.owner(),
            sub: key.sub(),
            kind: dirent.kind,
        });
        check_place(&self.dirents, view, key, dirent.name, report)?;
        Ok(Ok(true))
    }

    fn file_block(&mut self, index: u64, report: &mut dyn FnMut(Violation)) {
        let Some(current) = &mut self.current else {
            return;
        };
        let size = current.inode.size;
        current.blocks += 1;
        current.has_tail_block |= index == size / self.block;
        if index >= size.div_ceil(self.block) {
            report(Violation::BeyondEnd {
                ino: current.ino,
                index,
                size,
            });
        }
    }

    /// Compares an inode's counts with what was found: when all its records were visited.
    pub(super) fn finish_inode(
        &mut self,
        view: &View<'_>,
        report: &mut dyn FnMut(Violation),
    ) -> FsResult<()> {
        let Some(current) = self.current.take() else {
            return Ok(());
        };
        let (ino, inode) = (current.ino, &current.inode);
        self.summary.blocks += current.blocks;
        let list_bytes = u64::from(inode.xattr_list_bytes);
        let mut counts = vec![
            (Counted::Entries, inode.entries, current.entries),
            (Counted::Blocks, inode.blocks, current.blocks),
            (Counted::AttributeListBytes, list_bytes, current.list_bytes),
        ];
        if inode.kind == FileKind::Symlink {
            counts.push((Counted::TargetBytes, inode.size, current.target_bytes));
        }
        if inode.is_folder() && inode.nlink > 0 {
            let nlink = u64::from(inode.nlink);
            counts.push((Counted::Links, nlink, 2 + current.subfolders));
        }
        for (what, stored, found) in counts {
            if stored != found {
                report(Violation::Count {
                    ino,
                    what,
                    stored,
                    found,
                });
            }
        }
        let within = inode.size % self.block;
        if self.reads_tails && current.has_tail_block && within > 0 {
            let plan = view.plan_read(ino, inode.size, (self.block - within) as usize)?;
            self.tails.push((ino, plan));
        }
        Ok(())
    }
}

/// A name must be found by looking for it.
fn check_place(
    chains: &Chains,
    view: &View<'_>,
    key: &Key,
    name: &[u8],
    report: &mut dyn FnMut(Violation),
) -> FsResult<()> {
    let owner = Ino(key.owner());
    // A malformed record on the way is told where it lies.
    match chains.find(view, owner, name) {
        Ok(Slot::Taken { sub, .. }) if sub == key.sub() => {}
        Ok(_) => report(Violation::Misplaced {
            owner,
            name: name.to_vec(),
        }),
        Err(FsError::Malformed { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
