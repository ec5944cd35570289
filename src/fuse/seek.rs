//! SEEK_DATA and SEEK_HOLE beside pages that only the kernel has.
//!
//! While a file is open for writing the kernel may hold dirty pages that the daemon has not seen,
//! and it does not write them out before it sends LSEEK. Where the volume has data there is data,
//! whatever the kernel holds; what it shows as a hole may be one or not. So the kernel is made to
//! write out its pages of that hole, and then the volume is asked again. The kernel holds the
//! inode's lock while it waits for LSEEK, so that no write(2) comes in between; stores into a
//! shared mapping may, and count as earlier or later as with any other filesystem.
//! (docs/decisions/0004)

use std::ops::Range;

use crate::base::Ino;
use crate::volume::ops::Seek;
use crate::volume::{FsError, FsResult, Request, Volume};

/// Holes that are written out one by one before the whole rest of the file is.
const STEPS_MAX: usize = 16;

/// Makes the kernel hand over its dirty pages of a range of bytes; the end may be `u64::MAX`.
/// Returns when they have been written.
pub(crate) type WriteOut<'a> = &'a dyn Fn(Range<u64>) -> FsResult<()>;

/// The next data or hole of a file that may have dirty pages in the kernel.
pub(crate) fn seek(
    volume: &Volume,
    request: &Request,
    ino: Ino,
    (offset, what): (u64, Seek),
    write_out: WriteOut<'_>,
) -> FsResult<u64> {
    let find = |offset, what| match volume.seek(request, ino, offset, what) {
        Ok(found) => Ok(Some(found)),
        Err(FsError::NoSuchOffset) => Ok(None),
        Err(error) => Err(error),
    };
    let found = match what {
        Seek::Data => {
            let data = find(offset, Seek::Data)?;
            if data == Some(offset) {
                return Ok(offset);
            }
            write_out(offset..data.unwrap_or(u64::MAX))?;
            find(offset, Seek::Data)?
        }
        Seek::Hole => {
            for _ in 0..STEPS_MAX {
                // Behind the end that the volume knows there may be pages, too.
                let start = find(offset, Seek::Hole)?.unwrap_or(offset);
                let end = find(start, Seek::Data)?;
                write_out(start..end.unwrap_or(u64::MAX))?;
                let hole = find(offset, Seek::Hole)?;
                // Otherwise the hole is filled, and the next one has not been looked into.
                if end.is_none() || hole.is_none() || hole < end {
                    return hole.ok_or(FsError::NoSuchOffset);
                }
            }
            write_out(offset..u64::MAX)?;
            find(offset, Seek::Hole)?
        }
    };
    found.ok_or(FsError::NoSuchOffset)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::volume::core::testing::Bench;
    use crate::volume::ops::{FileKind, NewNode, WriteMode};

    const BLOCK: u64 = 4096;

    /// A file of a volume, and dirty pages of it that a kernel would hold.
    struct Scene {
        bench: Bench,
        ino: Ino,
        dirty: RefCell<Vec<u64>>,
        written_out: RefCell<Vec<Range<u64>>>,
    }

    impl Scene {
        fn new(blocks: &[u64], dirty: &[u64]) -> Scene {
            let bench = Bench::new(BLOCK as u32);
            bench.volume.format(0, 0, 0o755).unwrap();
            let new = NewNode {
                kind: FileKind::Regular,
                perm: 0o644,
                umask: 0,
                rdev: 0,
            };
            let made = bench
                .volume
                .create(&Request::default(), Ino::ROOT, b"f", &new);
            let scene = Scene {
                bench,
                ino: made.unwrap().ino,
                dirty: RefCell::new(dirty.to_vec()),
                written_out: RefCell::default(),
            };
            blocks.iter().for_each(|index| scene.write(*index));
            scene
        }

        fn write(&self, index: u64) {
            let mode = WriteMode::default();
            let (request, offset) = (Request::default(), index * BLOCK);
            let written = self
                .bench
                .volume
                .write_file(&request, self.ino, offset, &[7; 4096], mode);
            written.unwrap();
        }

        /// What the kernel does: it writes its dirty pages of the range.
        fn write_out(&self, range: Range<u64>) -> FsResult<()> {
            let (mut dirty, mut rest) = (self.dirty.borrow_mut(), Vec::new());
            for index in dirty.drain(..) {
                if range.contains(&(index * BLOCK)) {
                    self.write(index);
                } else {
                    rest.push(index);
                }
            }
            *dirty = rest;
            self.written_out.borrow_mut().push(range);
            Ok(())
        }

        fn seek(&self, index: u64, what: Seek) -> Option<u64> {
            let request = Request::default();
            let write_out = |range| self.write_out(range);
            let at = (index * BLOCK, what);
            match seek(&self.bench.volume, &request, self.ino, at, &write_out) {
                Ok(found) => Some(found / BLOCK),
                Err(FsError::NoSuchOffset) => None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Data that only the kernel has is found, behind the end that the volume knows, too; where
    /// there is data already, nothing is written out.
    #[test]
    fn dirty_pages_are_data() {
        let scene = Scene::new(&[0, 9], &[4, 20]);
        assert_eq!(scene.seek(0, Seek::Data), Some(0));
        assert!(scene.written_out.borrow().is_empty());
        assert_eq!(scene.seek(1, Seek::Data), Some(4));
        let written_out = scene.written_out.take();
        assert_eq!(
            (written_out.len(), &written_out[0]),
            (1, &(BLOCK..9 * BLOCK))
        );
        assert_eq!(*scene.dirty.borrow(), [20], "only the hole is written out");
        assert_eq!(scene.seek(10, Seek::Data), Some(20));
        assert_eq!(scene.seek(21, Seek::Data), None);
    }

    /// A hole is one when no dirty page lies in its first block: partly filled it begins later,
    /// filled up it is another one.
    #[test]
    fn dirty_pages_end_holes() {
        let scene = Scene::new(&[0, 3, 6], &[1, 4, 5, 7]);
        assert_eq!(scene.seek(0, Seek::Hole), Some(2));
        assert_eq!(scene.seek(3, Seek::Hole), Some(8), "the end of the file");
        assert_eq!(scene.seek(8, Seek::Hole), None);
        let scene = Scene::new(&[0], &[5]);
        assert_eq!(scene.seek(3, Seek::Hole), Some(3), "behind the known end");
        assert_eq!(scene.seek(6, Seek::Hole), None);
    }

    /// A file of many filled holes is written out at once after some steps.
    #[test]
    fn many_filled_holes_end_in_one_step() {
        let even: Vec<u64> = (0..100).map(|index| index * 2).collect();
        let odd: Vec<u64> = (0..100).map(|index| index * 2 + 1).collect();
        let scene = Scene::new(&even, &odd);
        assert_eq!(scene.seek(0, Seek::Hole), Some(200));
        assert_eq!(scene.written_out.borrow().len(), STEPS_MAX + 1);
    }

    /// A failure to write out is an answer: a hole that may hide data is none.
    #[test]
    fn a_failed_write_out_is_an_error() {
        let scene = Scene::new(&[0, 2], &[]);
        let fails = |_| Err(FsError::NoSpace);
        for what in [Seek::Data, Seek::Hole] {
            let request = Request::default();
            let at = (BLOCK, what);
            let outcome = seek(&scene.bench.volume, &request, scene.ino, at, &fails);
            assert!(matches!(outcome, Err(FsError::NoSpace)), "{outcome:?}");
        }
    }
}
