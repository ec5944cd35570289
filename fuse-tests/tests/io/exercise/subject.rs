//! Does the operations to a real file, and compares.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, FallocateFlags, OFlags, SeekFrom, copy_file_range, fadvise, fallocate};
use rustix::mm::MsyncFlags;

use super::ground::Ground;
use super::operation::{Operation, Span, Way};
use super::oracle::Oracle;
use crate::mapping::{Mapping, Share};

/// Buffers for O_DIRECT begin at such addresses.
const ALIGNMENT: usize = 4096;
const NAME: &str = "file";
const OTHER: &str = "other";

/// The file under test, by two descriptors; a second one for copies.
pub struct Subject {
    folder: PathBuf,
    handles: Option<Handles>,
}

struct Handles {
    buffered: File,
    direct: File,
    other: File,
}

fn open(path: &Path, flags: OFlags) -> File {
    let mut options = File::options();
    options.read(true).write(true).create(true);
    options.custom_flags(flags.bits() as i32);
    options.open(path).expect("the folder is mounted")
}

impl Handles {
    fn open(folder: &Path) -> Handles {
        Handles {
            buffered: open(&folder.join(NAME), OFlags::empty()),
            direct: open(&folder.join(NAME), OFlags::DIRECT),
            other: open(&folder.join(OTHER), OFlags::empty()),
        }
    }
}

impl Subject {
    pub fn open(folder: PathBuf) -> Subject {
        let handles = Some(Handles::open(&folder));
        Subject { folder, handles }
    }

    fn handles(&self) -> &Handles {
        self.handles.as_ref().expect("closed in reopen only")
    }

    fn file(&self) -> &File {
        &self.handles().buffered
    }

    /// Does one operation here and to the oracle; Err says what does not agree.
    pub fn apply(
        &mut self,
        operation: &Operation,
        oracle: &mut Oracle,
        ground: &mut impl Ground,
        number: u64,
    ) -> Result<(), String> {
        let failed = |error: io::Error| format!("failed: {error}");
        match *operation {
            Operation::Read(way, span) => {
                let read = self.read(way, span).map_err(failed)?;
                oracle.compare(span, &read, "read")?;
            }
            Operation::Write(way, span) => {
                let bytes = content(number, span.len);
                self.write(way, span.at, &bytes).map_err(failed)?;
                oracle.write(span.at, &bytes);
            }
            Operation::WriteZeros(way, span) => {
                let bytes = vec![0; span.len as usize];
                self.write(way, span.at, &bytes).map_err(failed)?;
                oracle.write(span.at, &bytes);
            }
            Operation::Append(len) => {
                let bytes = content(number, len);
                self.append(&bytes).map_err(failed)?;
                oracle.write(oracle.size(), &bytes);
            }
            Operation::Truncate(size) => {
                self.file().set_len(size).map_err(failed)?;
                oracle.truncate(size);
            }
            Operation::Punch(span) => {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                self.allocate(flags, span).map_err(failed)?;
                oracle.zero(span);
            }
            Operation::ZeroRange { span, keep_size } => {
                let flags = FallocateFlags::ZERO_RANGE | keep(keep_size);
                self.allocate(flags, span).map_err(failed)?;
                oracle.zero(span);
                if !keep_size {
                    oracle.grow(span.end());
                }
            }
            Operation::Allocate { span, keep_size } => {
                self.allocate(keep(keep_size), span).map_err(failed)?;
                if !keep_size {
                    oracle.grow(span.end());
                }
            }
            Operation::Copy { from, to } => {
                // What the copy itself puts behind the end is no source.
                let from = oracle.clip(from);
                let file = self.file();
                let copied = copy(file, from, file, to).map_err(failed)?;
                self.copied(oracle, from, to, copied)?;
            }
            Operation::CopyAround { from, to } => {
                let copied = self.copy_around(from, to).map_err(failed)?;
                self.copied(oracle, from, to, copied)?;
            }
            Operation::Fsync => self.file().sync_all().map_err(failed)?,
            Operation::Fdatasync => self.file().sync_data().map_err(failed)?,
            Operation::WriteOut => self.write_out().map_err(failed)?,
            Operation::DropPages(span) => self.drop_pages(span).map_err(failed)?,
            Operation::Map => self.check_map(oracle, ground).map(|_| ())?,
            Operation::Compare => self.compare_all(oracle)?,
            Operation::Reopen => {
                self.reopen(|| {});
                self.check_blocks(oracle, ground)?;
            }
            Operation::Remount => {
                self.reopen(|| ground.remount());
                self.compare_all(oracle)?;
                self.check_blocks(oracle, ground)?;
            }
            Operation::Snapshot => {
                if let Some(folder) = ground.snapshot(number) {
                    let read = fs::read(folder.join(NAME)).map_err(failed)?;
                    ground.drop_snapshot();
                    oracle.compare(whole(oracle), &read, "the snapshot")?;
                }
            }
        }
        let size = self.file().metadata().map_err(failed)?.len();
        match size == oracle.size() {
            true => Ok(()),
            false => Err(format!("size {size}, expected {}", oracle.size())),
        }
    }

    fn read(&self, way: Way, span: Span) -> io::Result<Vec<u8>> {
        let len = span.len as usize;
        match way {
            Way::Buffered => read_full(self.file(), span.at, &mut vec![0; len]),
            Way::Direct => {
                // Short only at the end, where going on would be unaligned.
                let mut memory = Vec::new();
                let buffer = aligned(&mut memory, len);
                let count = self.handles().direct.read_at(buffer, span.at)?;
                Ok(buffer[..count].to_vec())
            }
            Way::Mapped if len == 0 => Ok(Vec::new()),
            Way::Mapped => {
                let mut bytes = vec![0; len];
                Mapping::new(self.file(), Share::Shared, span.at, len)?.read(&mut bytes);
                Ok(bytes)
            }
        }
    }

    fn write(&self, way: Way, at: u64, bytes: &[u8]) -> io::Result<()> {
        match way {
            Way::Buffered => self.file().write_all_at(bytes, at),
            Way::Direct => {
                let mut memory = Vec::new();
                let buffer = aligned(&mut memory, bytes.len());
                buffer.copy_from_slice(bytes);
                self.handles().direct.write_all_at(buffer, at)
            }
            Way::Mapped if bytes.is_empty() => Ok(()),
            Way::Mapped => {
                let mapping = Mapping::new(self.file(), Share::Shared, at, bytes.len())?;
                mapping.write(0, bytes);
                // Some are written out at once, the others whenever the kernel likes.
                match bytes.len() % 4 {
                    0 => mapping.sync(MsyncFlags::SYNC),
                    1 => mapping.sync(MsyncFlags::ASYNC),
                    _ => Ok(()),
                }
            }
        }
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let file = open(&self.folder.join(NAME), OFlags::APPEND);
        io::Write::write_all(&mut &file, bytes)
    }

    fn allocate(&self, flags: FallocateFlags, span: Span) -> io::Result<()> {
        Ok(fallocate(self.file(), flags, span.at, span.len)?)
    }

    fn copy_around(&self, from: Span, to: u64) -> io::Result<u64> {
        let (file, other) = (self.file(), &self.handles().other);
        let copied = copy(file, from, other, from.at)?;
        let back = Span {
            len: copied,
            ..from
        };
        copy(other, back, file, to)
    }

    /// What was copied is what was there before.
    fn copied(&self, oracle: &mut Oracle, from: Span, to: u64, copied: u64) -> Result<(), String> {
        let bytes = oracle.read(from).to_vec();
        if copied != bytes.len() as u64 {
            return Err(format!("copied {copied}, expected {}", bytes.len()));
        }
        oracle.write(to, &bytes);
        Ok(())
    }

    fn write_out(&self) -> io::Result<()> {
        let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
            | libc::SYNC_FILE_RANGE_WRITE
            | libc::SYNC_FILE_RANGE_WAIT_AFTER;
        // SAFETY: the descriptor is open, and no memory is passed.
        match unsafe { libc::sync_file_range(self.file().as_raw_fd(), 0, 0, flags) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn drop_pages(&self, span: Span) -> io::Result<()> {
        let len = std::num::NonZeroU64::new(span.len);
        Ok(fadvise(self.file(), span.at, len, Advice::DontNeed)?)
    }

    /// Closes everything, and opens it again after `between`.
    fn reopen(&mut self, between: impl FnOnce()) {
        self.handles = None;
        between();
        self.handles = Some(Handles::open(&self.folder));
    }

    fn compare_all(&self, oracle: &Oracle) -> Result<(), String> {
        let all = whole(oracle);
        let read = self.read(Way::Buffered, all);
        let read = read.map_err(|error| format!("failed: {error}"))?;
        oracle.compare(all, &read, "the whole file")
    }

    /// Compares what SEEK_DATA and SEEK_HOLE tell; returns the bytes of data.
    fn check_map(&self, oracle: &Oracle, ground: &impl Ground) -> Result<u64, String> {
        let block = match ground.counts_blocks_exactly() {
            true => self.file().metadata().map_or(1, |found| found.blksize()),
            false => 1,
        };
        let data = data_pieces(self.file()).map_err(|error| format!("failed: {error}"))?;
        oracle.check_map(&data, block)?;
        let blocks = |piece: &Span| piece.end().div_ceil(block) - piece.at / block;
        Ok(data.iter().map(blocks).sum::<u64>() * block)
    }

    /// What is allocated is what is there.
    fn check_blocks(&self, oracle: &Oracle, ground: &impl Ground) -> Result<(), String> {
        let data = self.check_map(oracle, ground)?;
        let found = self.file().metadata().expect("it is open").blocks() * 512;
        // A file without blocks that is open for writing shows one.
        if !ground.counts_blocks_exactly() || data == 0 || found == data {
            return Ok(());
        }
        Err(format!("{found} bytes are allocated, {data} are data"))
    }
}

fn whole(oracle: &Oracle) -> Span {
    Span {
        at: 0,
        len: oracle.size(),
    }
}

fn keep(keep_size: bool) -> FallocateFlags {
    match keep_size {
        true => FallocateFlags::KEEP_SIZE,
        false => FallocateFlags::empty(),
    }
}

/// Bytes that tell which operation wrote them, and where in it; none is zero.
fn content(number: u64, len: u64) -> Vec<u8> {
    let byte = |at| ((number * 31 + at / 7) % 255) as u8 + 1;
    (0..len).map(byte).collect()
}

/// A part of `memory` of `len` bytes at an aligned address.
fn aligned(memory: &mut Vec<u8>, len: usize) -> &mut [u8] {
    memory.resize(len + ALIGNMENT, 0);
    let lead = memory.as_ptr().align_offset(ALIGNMENT);
    &mut memory[lead..lead + len]
}

fn read_full(file: &File, at: u64, bytes: &mut [u8]) -> io::Result<Vec<u8>> {
    let mut count = 0;
    while count < bytes.len() {
        match file.read_at(&mut bytes[count..], at + count as u64)? {
            0 => break,
            more => count += more,
        }
    }
    Ok(bytes[..count].to_vec())
}

/// Copies the range, or what there is of it; returns how much.
fn copy(source: &File, from: Span, target: &File, to: u64) -> io::Result<u64> {
    let (mut at, mut to, mut copied) = (from.at, to, 0);
    while copied < from.len {
        let left = (from.len - copied) as usize;
        match copy_file_range(source, Some(&mut at), target, Some(&mut to), left)? {
            0 => break,
            more => copied += more as u64,
        }
    }
    Ok(copied)
}

/// The pieces of data that the file has.
pub fn data_pieces(file: &File) -> io::Result<Vec<Span>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    loop {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => return Ok(pieces),
            Err(error) => return Err(error.into()),
        };
        at = rustix::fs::seek(file, SeekFrom::Hole(start))?;
        pieces.push(Span {
            at: start,
            len: at - start,
        });
    }
}
