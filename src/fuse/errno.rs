//! The only table from outcomes to error numbers, and how loud each is in the log.

use std::error::Error;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use log::Level;
use parking_lot::Mutex;

use super::node::NodeId;
use crate::base::Nature;
use crate::volume::ops::shown;
use crate::volume::{FsError, Volume};

/// A positive error number of Linux.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Errno(pub(crate) i32);

impl Errno {
    /// What a handler that panicked answers.
    pub(crate) const EIO: Errno = Errno(libc::EIO);

    pub(crate) fn of(error: &FsError) -> Errno {
        Errno(match error {
            FsError::NotFound => libc::ENOENT,
            FsError::Exists => libc::EEXIST,
            FsError::NotDirectory(_) => libc::ENOTDIR,
            FsError::IsDirectory(_) => libc::EISDIR,
            FsError::NotEmpty(_) => libc::ENOTEMPTY,
            FsError::NameTooLong => libc::ENAMETOOLONG,
            FsError::Invalid(_) => libc::EINVAL,
            FsError::NoAttribute => libc::ENODATA,
            FsError::Range => libc::ERANGE,
            FsError::TooBig => libc::E2BIG,
            // As ext4 answers: the file is full of attributes, whatever room the disk has.
            FsError::AttributesFull => libc::ENOSPC,
            FsError::PermissionDenied => libc::EACCES,
            FsError::NotPermitted => libc::EPERM,
            FsError::ReadOnly => libc::EROFS,
            FsError::OtherVolume => libc::EXDEV,
            FsError::TooManyLinks => libc::EMLINK,
            FsError::FileTooBig => libc::EFBIG,
            // Not ENOSYS: the kernel would take that as "never ask again".
            FsError::Unsupported(_) => libc::EOPNOTSUPP,
            FsError::NoSuchOffset => libc::ENXIO,
            FsError::NoSpace | FsError::AtLimit { .. } => libc::ENOSPC,
            FsError::Stale => libc::ESTALE,
            FsError::Busy => libc::EBUSY,
            FsError::Poisoned(_) => libc::EIO,
            FsError::Malformed { .. } => libc::EIO,
            // The host's disk or the journal is full: the caller can act on that.
            FsError::Block(_) | FsError::Tree(_) | FsError::Journal(_) if error.is_no_space() => {
                libc::ENOSPC
            }
            FsError::Block(_) | FsError::Tree(_) | FsError::Journal(_) => libc::EIO,
        })
    }
}

impl From<Errno> for fuser::Errno {
    fn from(errno: Errno) -> fuser::Errno {
        fuser::Errno::from_i32(errno.0)
    }
}

fn level(error: &FsError) -> Level {
    if error.is_no_space() {
        return Level::Warn;
    }
    match (error.nature(), error) {
        (_, FsError::Stale) => Level::Info,
        (Nature::Refused, _) => Level::Debug,
        (Nature::Environment | Nature::Corrupt, _) => Level::Error,
    }
}

/// The error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// The line that was logged last, and how often in a row: readahead and the retries of programs
/// meet one damaged block dozens of times.
struct LastLine(Mutex<(String, u64)>);

impl LastLine {
    const fn new() -> LastLine {
        LastLine(Mutex::new((String::new(), 0)))
    }

    /// Whether the line need not be logged: all of a run but the 1st, 2nd, 4th, 8th, ...
    fn repeats(&self, line: &str) -> bool {
        let mut last = self.0.lock();
        if last.0 == line {
            last.1 += 1;
            return !last.1.is_power_of_two();
        }
        *last = (line.to_owned(), 1);
        false
    }
}

/// Volume, inode (`find MOUNT -inum N` has its path), and down to block, segment and offset.
fn line(operation: &str, volume: &str, node: NodeId, error: &FsError) -> String {
    let (inode, chain) = (node.ino(), chain(error));
    format!("volume '{volume}': {operation} of inode {inode}: {chain}")
}

/// Logs what went wrong and says which number to answer. A full disk is met by every write, so
/// that only the 1st, 2nd, 4th, 8th, ... of these is logged.
pub(crate) fn report(operation: &str, volume: &str, node: NodeId, error: &FsError) -> Errno {
    report_with(operation, volume, node, error, &|| None)
}

/// As [`report`]; the path of a damaged file is told where it is found at little cost.
pub(crate) fn report_of(operation: &str, volume: &Volume, node: NodeId, error: &FsError) -> Errno {
    let path = || match error.nature() {
        Nature::Corrupt => volume.path_hint(node.ino()),
        _ => None,
    };
    report_with(operation, &volume.label(), node, error, &path)
}

fn report_with(
    operation: &str,
    volume: &str,
    node: NodeId,
    error: &FsError,
    path: &dyn Fn() -> Option<Vec<u8>>,
) -> Errno {
    static NO_SPACE: AtomicU64 = AtomicU64::new(0);
    static LAST: LastLine = LastLine::new();
    let level = level(error);
    let repeated =
        error.is_no_space() && !(NO_SPACE.fetch_add(1, Ordering::Relaxed) + 1).is_power_of_two();
    if !repeated && log::log_enabled!(level) {
        let line = line(operation, volume, node, error);
        if level != Level::Error || !LAST.repeats(&line) {
            let path =
                path().map_or_else(String::new, |path| format!(" (file '{}')", shown(&path)));
            log::log!(level, "{line}{path}");
        }
    }
    Errno::of(error)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::base::{BlockId, ByteReader, DecodeError, Ino, Lsn, Place, SegmentId};
    use crate::block::BlockError;
    use crate::disk::DiskError;
    use crate::journal::JournalError;
    use crate::tree::TreeError;

    /// Of a run of equal lines the 1st, 2nd, 4th, ... are logged; another line starts anew.
    #[test]
    fn equal_lines_are_thinned_out() {
        let last = LastLine::new();
        let logged = |line| !last.repeats(line);
        let run: Vec<bool> = (0..8).map(|_| logged("a block is damaged")).collect();
        assert_eq!(run, [true, true, false, true, false, false, false, true]);
        assert!(logged("another block is damaged"));
    }

    /// The line of a damaged block names the volume, the inode, the block and its place.
    #[test]
    fn damage_is_logged_with_its_place() {
        let error = FsError::Block(corrupt());
        let line = line("read", "pgdata", NodeId(17), &error);
        let id = "00".repeat(32);
        let place = "in segment 7 at byte 4096: bad checksum";
        let expected = format!(
            "volume 'pgdata': read of inode 17: the block store failed: block {id} {place}"
        );
        assert_eq!(line, expected);
    }

    fn decode_error() -> DecodeError {
        ByteReader::new("inode", &[]).u8().unwrap_err()
    }

    fn full_disk() -> DiskError {
        DiskError::new(
            "write",
            "segments/1",
            io::Error::from(io::ErrorKind::StorageFull),
        )
    }

    fn corrupt() -> BlockError {
        let place = Place {
            segment: SegmentId(7),
            offset: 4096,
            len: 100,
        };
        BlockError::Corrupt {
            id: BlockId([0; 32]),
            place,
            problem: "bad checksum".into(),
        }
    }

    /// Every outcome has the number that Linux programs expect, and its place in the log.
    #[test]
    fn every_outcome_has_its_number_and_level() {
        use Level::{Debug, Error, Info, Warn};
        let ino = Ino(9);
        let table: [(FsError, i32, Level); 32] = [
            (FsError::NotFound, 2, Debug),
            (FsError::Exists, 17, Debug),
            (FsError::NotDirectory(ino), 20, Debug),
            (FsError::IsDirectory(ino), 21, Debug),
            (FsError::NotEmpty(ino), 39, Debug),
            (FsError::NameTooLong, 36, Debug),
            (FsError::Invalid("offset"), 22, Debug),
            (FsError::NoAttribute, 61, Debug),
            (FsError::Range, 34, Debug),
            (FsError::TooBig, 7, Debug),
            (FsError::AttributesFull, 28, Debug),
            (FsError::PermissionDenied, 13, Debug),
            (FsError::NotPermitted, 1, Debug),
            (FsError::ReadOnly, 30, Debug),
            (FsError::OtherVolume, 18, Debug),
            (FsError::TooManyLinks, 31, Debug),
            (FsError::FileTooBig, 27, Debug),
            (FsError::Unsupported("collapse"), 95, Debug),
            (FsError::NoSuchOffset, 6, Debug),
            (FsError::NoSpace, 28, Warn),
            (FsError::Stale, 116, Info),
            (FsError::Busy, 16, Debug),
            (FsError::Poisoned("sync failed".into()), 5, Error),
            (
                FsError::Malformed {
                    ino,
                    source: decode_error(),
                },
                5,
                Error,
            ),
            (FsError::Block(corrupt()), 5, Error),
            (FsError::Block(BlockError::Folder(full_disk())), 28, Warn),
            (FsError::Tree(TreeError::Block(corrupt())), 5, Error),
            (
                FsError::Tree(TreeError::Block(BlockError::Folder(full_disk()))),
                28,
                Warn,
            ),
            (FsError::Journal(JournalError::Poisoned), 5, Error),
            (
                FsError::Journal(JournalError::Full {
                    used: 1,
                    capacity: 1,
                }),
                28,
                Warn,
            ),
            (FsError::Journal(JournalError::Disk(full_disk())), 28, Warn),
            (
                FsError::Journal(JournalError::NoSpace(full_disk())),
                28,
                Warn,
            ),
        ];
        for (error, number, loudness) in table {
            assert_eq!(Errno::of(&error), Errno(number), "{error}");
            assert_eq!(level(&error), loudness, "{error}");
            assert_eq!(
                fuser::Errno::from(Errno::of(&error)).code(),
                number,
                "{error}"
            );
        }
    }

    /// A log line names the cause with its coordinates, down to the lowest layer.
    #[test]
    fn the_chain_names_every_cause() {
        let error = FsError::Tree(TreeError::Block(corrupt()));
        let text = chain(&error);
        assert!(
            text.starts_with("the tree failed: a tree node cannot be read"),
            "{text}"
        );
        assert!(
            text.ends_with("in segment 7 at byte 4096: bad checksum"),
            "{text}"
        );

        let problem = "gap".to_owned();
        let lost = FsError::Journal(JournalError::Corrupt {
            lsn: Lsn(77),
            problem,
        });
        assert_eq!(
            chain(&lost),
            "the journal failed: the journal is damaged at 77: gap"
        );
    }
}
