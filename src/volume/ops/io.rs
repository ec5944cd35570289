//! Reading and writing files.

use std::ops::Range;

use crate::base::{Ino, Key, chain};
use crate::volume::core::admission::Need;
use crate::volume::records::Inode;
use crate::volume::{BlockState, Edit, FsError, FsResult, ReadPlan, Request, Volume, keys};

use super::WriteMode;
use super::inodes::{load_file, store, without_privileges};
use super::space::{Present, range_end};

/// Bytes of one transaction at most: the journal's records are bounded.
pub(super) const WRITE_BYTES_MAX: usize = 1 << 20;
/// From so many bytes in whole blocks on they are stored at once, and the journal names them:
/// bulk data is written once. Below, the journal holds the bytes themselves.
const SEAL_BYTES_MIN: usize = 64 << 10;

/// The parts of a write.
struct Pieces<'a> {
    offset: u64,
    data: &'a [u8],
    block: u64,
}

impl Volume {
    /// At most `len` bytes; less only at the end of the file. It is no access of anybody.
    /// Fails with NotFound, IsDirectory, Invalid (not a file).
    pub fn read_file(
        &self,
        request: &Request,
        ino: Ino,
        offset: u64,
        len: usize,
    ) -> FsResult<Vec<u8>> {
        let _pin = self.pin();
        let (plan, _) = self.plan_file_read(request, ino, offset, len)?;
        plan.map_or_else(|| Ok(Vec::new()), |plan| self.execute(plan))
    }

    /// As `read_file`, to the start of `out`, of any former content; returns how many bytes these
    /// are. Where it `is_access` of the caller, it counts as one.
    pub fn read_file_into(
        &self,
        request: &Request,
        ino: Ino,
        offset: u64,
        out: &mut [u8],
        is_access: bool,
    ) -> FsResult<usize> {
        let pin = self.pin();
        let (plan, inode) = self.plan_file_read(request, ino, offset, out.len())?;
        let len = plan.as_ref().map_or(0, ReadPlan::len);
        if let Some(plan) = plan {
            self.execute_into(plan, &mut out[..len])?;
        }
        drop(pin);
        if is_access {
            self.accessed_as(request, ino, &inode);
        }
        Ok(len)
    }

    /// None: there is nothing to read. The store must be pinned until the plan is executed.
    fn plan_file_read(
        &self,
        request: &Request,
        ino: Ino,
        offset: u64,
        len: usize,
    ) -> FsResult<(Option<ReadPlan>, Inode)> {
        self.read(request, |view| {
            let inode = load_file(view, ino)?;
            let rest = inode.size.saturating_sub(offset);
            let len = usize::try_from(rest).map_or(len, |rest| len.min(rest));
            let plan = match len {
                0 => None,
                _ => Some(view.plan_read(ino, offset, len)?),
            };
            Ok((plan, inode))
        })
    }

    /// Writes bytes; up to 1 MiB is one transaction. Zeros of whole blocks become holes.
    ///
    /// Fails with NotFound, IsDirectory, Invalid (not a file), FileTooBig, NoSpace.
    pub fn write_file(
        &self,
        request: &Request,
        ino: Ino,
        offset: u64,
        data: &[u8],
        mode: WriteMode,
    ) -> FsResult<()> {
        range_end(offset, data.len() as u64)?;
        let mut at = offset;
        for part in data.chunks(WRITE_BYTES_MAX) {
            self.write_part(request, ino, at, part, mode)
                .inspect_err(|error| self.refused(mode, error))?;
            at += part.len() as u64;
        }
        Ok(())
    }

    /// A write has failed. What the kernel has taken from a program before is lost with it: the
    /// kernel tells that to one sync and then knows no more of it, but whoever syncs again must not
    /// hear that all is well.
    fn refused(&self, mode: WriteMode, error: &FsError) {
        if mode.writeback && error.is_failure_of_medium() {
            self.poison(&format!("an accepted write is lost: {}", chain(error)));
        }
    }

    fn write_part(
        &self,
        request: &Request,
        ino: Ino,
        offset: u64,
        data: &[u8],
        mode: WriteMode,
    ) -> FsResult<()> {
        let pieces = Pieces {
            offset,
            data,
            block: u64::from(self.block_size()),
        };
        let need = match mode.writeback {
            true => Need::Accepted,
            false if self.is_short_of_room() => {
                self.check_room(request, ino, offset..pieces.end())?;
                Need::Overwrite
            }
            false => Need::Room,
        };
        // A look ahead, without keeping others out: what must be found later is found here first.
        let inode = self.read(request, |view| load_file(view, ino))?;
        let _pin = self.pin();
        let sealed = self.seal_whole(need, &pieces)?;
        let mut needed = vec![keys::inode(ino)];
        needed.extend(pieces.keys_to_look_up(ino, &inode));
        self.warm(&needed);

        self.update_with(need, request, |edit| {
            let mut inode = load_file(edit, ino)?;
            let before = inode.clone();
            let present = Present::find(edit, ino, &inode, pieces.blocks())?;
            let delta = pieces.put(edit, ino, &sealed, &present);
            inode.blocks = inode.blocks.saturating_add_signed(delta);
            inode.size = inode.size.max(pieces.end());
            self.written(edit, ino, &mut inode, mode)?;
            // A small overwrite is one change: its bytes.
            if inode != before {
                store(edit, ino, &inode);
            }
            edit.count(delta, 0);
            Ok(())
        })
    }

    /// Times and privileges of a file after a write.
    pub(super) fn written(
        &self,
        edit: &mut Edit<'_>,
        ino: Ino,
        inode: &mut Inode,
        mode: WriteMode,
    ) -> FsResult<()> {
        if mode.direct || mode.kill_priv {
            self.drop_capabilities(edit, ino, inode)?;
        }
        let now = self.now();
        if mode.kill_priv && inode.perm != without_privileges(inode.perm) {
            inode.perm = without_privileges(inode.perm);
            inode.ctime = now;
        }
        if !mode.writeback {
            inode.mtime = now;
            inode.ctime = now;
        }
        if mode.direct {
            inode.direct_write = Some(now);
        }
        Ok(())
    }

    /// Stores the whole blocks of a large write; nothing of a small one.
    fn seal_whole(&self, need: Need, pieces: &Pieces<'_>) -> FsResult<Vec<BlockState>> {
        let whole = pieces.whole();
        if whole.len() < SEAL_BYTES_MIN {
            return Ok(Vec::new());
        }
        let blocks: Vec<&[u8]> = pieces.data[whole].chunks(pieces.block as usize).collect();
        self.seal_with(need, &blocks)
    }
}

impl Pieces<'_> {
    fn end(&self) -> u64 {
        self.offset + self.data.len() as u64
    }

    /// The blocks that are touched.
    fn blocks(&self) -> Range<u64> {
        self.offset / self.block..self.end().div_ceil(self.block)
    }

    /// The bytes of the data that make up whole blocks.
    fn whole(&self) -> Range<usize> {
        let start = self.offset.next_multiple_of(self.block);
        let end = self.end() / self.block * self.block;
        if start >= end {
            return 0..0;
        }
        (start - self.offset) as usize..(end - self.offset) as usize
    }

    /// The block keys of which it must be found out whether they exist.
    fn keys_to_look_up(&self, ino: Ino, inode: &Inode) -> impl Iterator<Item = Key> {
        let mut blocks = self.blocks();
        blocks.end = match Present::known(inode, self.block) {
            Some(_) => blocks.start,
            None => blocks.end.min(inode.size.div_ceil(self.block)),
        };
        blocks.map(move |index| keys::block(ino, index))
    }

    /// Puts the bytes: as the sealed blocks say, zeros as holes, the rest as bytes. Returns the
    /// change of the number of blocks.
    fn put(&self, edit: &mut Edit<'_>, ino: Ino, sealed: &[BlockState], present: &Present) -> i64 {
        let mut sealed = sealed.iter().copied();
        let mut delta = 0;
        // Bytes from here on are not put yet.
        let mut pending = 0;
        let mut at = 0;
        while at < self.data.len() {
            let position = self.offset + at as u64;
            let index = position / self.block;
            let room = (self.block - position % self.block) as usize;
            let end = self.data.len().min(at + room);
            let piece = &self.data[at..end];
            let is_whole = piece.len() as u64 == self.block;
            let state = match is_whole {
                true => sealed
                    .next()
                    .or_else(|| is_zero(piece).then_some(BlockState::Hole)),
                false => None,
            };
            let was_there = present.contains(index);
            delta += match state {
                Some(BlockState::Hole) => -i64::from(was_there),
                _ => i64::from(!was_there),
            };
            if let Some(state) = state {
                edit.write(ino, self.offset + pending as u64, &self.data[pending..at]);
                pending = end;
                if was_there || state != BlockState::Hole {
                    edit.put_block(ino, index, state);
                }
            }
            at = end;
        }
        edit.write(ino, self.offset + pending as u64, &self.data[pending..]);
        delta
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes
        .chunks(64)
        .all(|chunk| chunk.iter().fold(0, |seen, byte| seen | byte) == 0)
}
