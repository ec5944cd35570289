//! Reading many blocks straight to where the reader wants them.
//!
//! For long stretches: each content is decompressed once, into its room, and the cache is asked but
//! not filled. A stream would only push out what others read again and again, and whoever reads one
//! keeps it himself (the kernel its pages). One thread does it, in runs that stay in its caches: a
//! stream has several requests under way, and handing parts of one to other threads cost more than
//! it gained (docs/benchmarks.md).

use std::sync::Arc;

use super::BlockResult;
use super::frame::FrameKind;
use super::read::{parse, verified_into};
use super::read_many::{RUN_BYTES_MIN, Run, plan};
use super::store::Core;
use crate::base::Pointer;

/// A block that is wanted, and where.
pub struct Target<'a> {
    /// The block.
    pub pointer: Pointer,
    /// Gets the content, as much of it as there is room for; zeros behind it.
    pub room: &'a mut [u8],
}

/// Reads the blocks; the first error is reported, and then the rooms hold anything.
pub(super) fn read_into(core: &Arc<Core>, targets: Vec<Target<'_>>) -> BlockResult<()> {
    let mut missing = Vec::new();
    let mut rooms: Vec<Option<&mut [u8]>> = Vec::with_capacity(targets.len());
    for (at, Target { pointer, room }) in targets.into_iter().enumerate() {
        match core.cache.get(&pointer.id) {
            Some(content) => fill(room, &content),
            None => missing.push((at, pointer)),
        }
        rooms.push(Some(room));
    }
    for run in plan(missing, RUN_BYTES_MIN) {
        let members = run.members.iter();
        let take = |(at, _): &(usize, Pointer)| rooms[*at].take().expect("a block is in one run");
        let mut rooms: Vec<&mut [u8]> = members.map(take).collect();
        core.fill_run(&run, &mut rooms)?;
    }
    Ok(())
}

fn fill(room: &mut [u8], content: &[u8]) {
    let len = content.len().min(room.len());
    room[..len].copy_from_slice(&content[..len]);
    room[len..].fill(0);
}

impl Core {
    /// Reads a run with one pread, each member into its room. What cannot be read or verified that
    /// way is read by itself, wherever it is by now.
    fn fill_run(&self, run: &Run, rooms: &mut [&mut [u8]]) -> BlockResult<()> {
        let filled = self.fill_merged(run, rooms).unwrap_or_default();
        for (number, ((_, pointer), room)) in run.members.iter().zip(rooms).enumerate() {
            if filled.get(number) != Some(&true) {
                fill(room, &self.read_block(pointer)?);
            }
        }
        Ok(())
    }

    /// Which members are in their rooms now; none: the run cannot be read.
    fn fill_merged(&self, run: &Run, rooms: &mut [&mut [u8]]) -> Option<Vec<bool>> {
        self.with_run(run, |bytes| {
            let members = run.members.iter().zip(rooms);
            let filled = members.map(|((_, pointer), room)| {
                fill_verified(run.frame(bytes, pointer), pointer, room)
            });
            filled.collect()
        })
    }
}

/// Whether the frame is the one that is wanted, sound, and not longer than its room, which it then
/// fills.
fn fill_verified(frame: &[u8], pointer: &Pointer, room: &mut [u8]) -> bool {
    let Ok((header, payload)) = parse(frame, &pointer.id, Some(FrameKind::Block)) else {
        return false;
    };
    if header.content_len as usize > room.len() {
        return false;
    }
    match verified_into(&header, payload, room) {
        Ok(len) => {
            room[len..].fill(0);
            true
        }
        Err(_) => false,
    }
}
