//! Reading many blocks at once: neighbours in one pread, runs of them in parallel.

use std::sync::Arc;

use crate::base::{Pointer, SegmentId};

use super::BlockResult;
use super::frame::{FRAME_BYTES_MAX, FrameKind};
use super::read::{Reading, parse, verified_block, with_buffer};
use super::store::Core;
use super::workers::Workers;

/// Most bytes that one pread of several frames reads.
const RUN_BYTES_MAX: u64 = 1 << 20;
/// A run is not made shorter than this for the sake of parallel work, in bytes.
pub(super) const RUN_BYTES_MIN: u64 = 128 << 10;
/// Bytes between two frames up to which reading over them costs less than another pread.
const GAP_BYTES_MAX: u64 = 16 << 10;

const _: () = assert!(FRAME_BYTES_MAX as u64 >= RUN_BYTES_MAX);

/// Frames of one segment that are read together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) segment: SegmentId,
    pub(super) start: u64,
    pub(super) end: u64,
    /// Positions in the request, and the frames wanted there.
    pub(super) members: Vec<(usize, Pointer)>,
}

type Found = Vec<(usize, BlockResult<Arc<[u8]>>)>;

/// Reads the blocks, in the order of the pointers; the first error is reported.
pub(super) fn read_blocks(
    core: &Arc<Core>,
    workers: &Workers,
    pointers: &[Pointer],
) -> BlockResult<Vec<Arc<[u8]>>> {
    let mut slots: Vec<Option<Arc<[u8]>>> = pointers
        .iter()
        .map(|pointer| core.cache.get(&pointer.id))
        .collect();
    let missing: Vec<(usize, Pointer)> = slots
        .iter()
        .zip(pointers)
        .enumerate()
        .filter(|(_, (slot, _))| slot.is_none())
        .map(|(at, (_, pointer))| (at, *pointer))
        .collect();
    let run_bytes = share(&missing, workers.parallelism());
    let runs = plan(missing, run_bytes);
    let found = workers.map(
        &runs,
        |run| core.read_run(run),
        |run| {
            let (core, run) = (core.clone(), run.clone());
            Box::new(move || core.read_run(&run))
        },
    );
    for (at, content) in found.into_iter().flatten() {
        slots[at] = Some(content?);
    }
    Ok(slots
        .into_iter()
        .map(|slot| slot.expect("every block is in a run or cached"))
        .collect())
}

/// Bytes of a run: as many as one pread may read, and as few as give every thread its share.
fn share(wanted: &[(usize, Pointer)], threads: usize) -> u64 {
    let lens = wanted
        .iter()
        .map(|(_, pointer)| u64::from(pointer.place.len));
    (lens.sum::<u64>() / threads as u64).clamp(RUN_BYTES_MIN, RUN_BYTES_MAX)
}

/// Sorts the wanted frames by place and joins neighbours into runs of at most so many bytes, but
/// for a frame that is longer by itself.
pub(super) fn plan(mut wanted: Vec<(usize, Pointer)>, run_bytes: u64) -> Vec<Run> {
    wanted.sort_unstable_by_key(|(_, pointer)| (pointer.place.segment, pointer.place.offset));
    let mut runs: Vec<Run> = Vec::new();
    for (at, pointer) in wanted {
        let start = u64::from(pointer.place.offset);
        let end = start + u64::from(pointer.place.len);
        if let Some(run) = runs.last_mut()
            && run.segment == pointer.place.segment
            && start <= run.end + GAP_BYTES_MAX
            && end.max(run.end) - run.start <= run_bytes
        {
            run.end = run.end.max(end);
            run.members.push((at, pointer));
            continue;
        }
        let segment = pointer.place.segment;
        runs.push(Run {
            segment,
            start,
            end,
            members: vec![(at, pointer)],
        });
    }
    runs
}

impl Run {
    /// The bytes of a member's frame, given those of the run.
    pub(super) fn frame<'a>(&self, bytes: &'a [u8], pointer: &Pointer) -> &'a [u8] {
        let from = (u64::from(pointer.place.offset) - self.start) as usize;
        &bytes[from..from + pointer.place.len as usize]
    }
}

impl Core {
    /// Reads a run with one pread; none: it cannot be read.
    pub(super) fn with_run<R>(&self, run: &Run, work: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let file = self.set.file(run.segment).ok()??;
        let len = usize::try_from(run.end - run.start).ok()?;
        if len > FRAME_BYTES_MAX {
            return None;
        }
        with_buffer(len, |buffer| {
            self.note_read();
            let (_, first) = run.members.first()?;
            self.read_in(&file, &first.place, Reading::Block, buffer)
                .ok()?;
            Some(work(buffer))
        })
    }

    /// Reads a run with one pread. What cannot be read or verified that way is read by itself,
    /// wherever it is by now.
    fn read_run(&self, run: &Run) -> Found {
        let merged = match run.members.as_slice() {
            [_] => None,
            _ => self.read_merged(run),
        };
        let singly = |(at, pointer): &(usize, Pointer)| (*at, self.read_block(pointer));
        merged.unwrap_or_else(|| run.members.iter().map(singly).collect())
    }

    fn read_merged(&self, run: &Run) -> Option<Found> {
        let contents: Vec<Option<Arc<[u8]>>> = self.with_run(run, |bytes| {
            let content = |(_, pointer): &(usize, Pointer)| {
                let frame = run.frame(bytes, pointer);
                let (header, payload) = parse(frame, &pointer.id, Some(FrameKind::Block)).ok()?;
                verified_block(&header, payload).ok()
            };
            run.members.iter().map(content).collect()
        })?;
        let found = run
            .members
            .iter()
            .zip(contents)
            .map(|((at, pointer), content)| {
                let content = match content {
                    Some(content) => {
                        self.cache.insert(&pointer.id, &content);
                        Ok(content)
                    }
                    None => self.read_block(pointer),
                };
                (*at, content)
            });
        Some(found.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{BlockId, Place};

    fn planned(frames: &[(u64, u32, u32)], threads: usize) -> Vec<(u64, u64, u64, Vec<usize>)> {
        let wanted = frames
            .iter()
            .enumerate()
            .map(|(at, &(segment, offset, len))| {
                let place = Place {
                    segment: SegmentId(segment),
                    offset,
                    len,
                };
                (
                    at,
                    Pointer {
                        id: BlockId([0; 32]),
                        place,
                    },
                )
            });
        let wanted: Vec<_> = wanted.collect();
        let run_bytes = share(&wanted, threads);
        plan(wanted, run_bytes)
            .into_iter()
            .map(|run| {
                let members = run.members.iter().map(|(at, _)| *at).collect();
                (run.segment.0, run.start, run.end, members)
            })
            .collect()
    }

    /// Neighbours are read together, in whatever order they are asked for; other segments, far
    /// frames and what would make a run too long are not.
    #[test]
    fn neighbours_are_joined() {
        assert_eq!(planned(&[], 3), []);
        assert_eq!(
            planned(
                &[(1, 200, 100), (2, 300, 50), (1, 100, 100), (1, 100, 100)],
                3
            ),
            [(1, 100, 300, vec![2, 3, 0]), (2, 300, 350, vec![1])]
        );
        assert_eq!(planned(&[(1, 0, 100), (1, 16_484, 100)], 1).len(), 1);
        assert_eq!(planned(&[(1, 0, 100), (1, 16_485, 100)], 1).len(), 2);
        let row: Vec<_> = (0..256).map(|at| (1, at * 8192, 8192)).collect();
        assert_eq!(planned(&row, 1).len(), 2);
        assert_eq!(planned(&row, 4).len(), 4);
        assert_eq!(planned(&row, 64).len(), 16);
        let end = u32::MAX;
        assert_eq!(
            planned(&[(1, end, end)], 1),
            [(1, end.into(), 2 * u64::from(end), vec![0])]
        );
    }
}
