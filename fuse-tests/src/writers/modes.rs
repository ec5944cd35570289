//! The ways to write, and what each may promise.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::str::FromStr;
use std::time::Instant;

use rustix::fs::OFlags;
use rustix::mm::{MapFlags, MsyncFlags, ProtFlags, mmap, msync, munmap};

use crate::promises::{PAGE_BYTES, Page, TEMPORARY};

/// Pages of a file that is written at random places: 4 MiB.
const FILE_PAGES: u64 = 1024;
/// Longest small write in pages.
const RUN_PAGES: u64 = 4;
/// Pages of a large write: 256 KiB, which volfs stores apart from its journal.
const LARGE_PAGES: u64 = 64;
/// Names that the renaming writer goes round.
const RENAMED_NAMES: u64 = 8;

/// A way to write. A promise is made when the call named has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// pwrite at random places, then fdatasync.
    Fdatasync,
    /// pwrite of much at random places, then fdatasync.
    Large,
    /// pwrite to a file opened with O_DSYNC.
    Dsync,
    /// pwrite with O_DIRECT: acknowledged by the daemon, though not on the medium.
    Direct,
    /// pwrite with O_DIRECT and O_DSYNC.
    DirectDsync,
    /// Append a page, then fsync.
    Append,
    /// Create, write and close a new file: nothing of a closed file is in the kernel alone.
    Closed,
    /// Write a temporary file, fsync, rename over the old one, fsync the folder.
    Renamed,
    /// Store to a shared mapping, then msync(MS_SYNC).
    Msync,
    /// pwrite without any sync; promises nothing and only makes load.
    Buffered,
}

impl Mode {
    /// Every mode that promises something.
    pub const PROMISING: [Mode; 9] = [
        Mode::Fdatasync,
        Mode::Large,
        Mode::Dsync,
        Mode::Direct,
        Mode::DirectDsync,
        Mode::Append,
        Mode::Closed,
        Mode::Renamed,
        Mode::Msync,
    ];

    /// Writes into `folder` until `deadline` or the first error; promises go to `output`.
    pub fn write(
        self,
        folder: &Path,
        seed: u64,
        deadline: Instant,
        output: &mut dyn Write,
    ) -> io::Result<()> {
        let name = format!("{self}-{seed}");
        let mut writing = Writing {
            name,
            sequence: 0,
            random: seed | 1,
            deadline,
            output,
        };
        match self {
            Mode::Fdatasync => {
                writing.in_place(folder, OFlags::empty(), 1..=RUN_PAGES, File::sync_data)
            }
            Mode::Large => {
                let run = LARGE_PAGES..=LARGE_PAGES;
                writing.in_place(folder, OFlags::empty(), run, File::sync_data)
            }
            Mode::Dsync => writing.in_place(folder, OFlags::DSYNC, 1..=RUN_PAGES, |_| Ok(())),
            Mode::Direct => writing.in_place(folder, OFlags::DIRECT, 1..=RUN_PAGES, |_| Ok(())),
            Mode::DirectDsync => {
                let flags = OFlags::DIRECT | OFlags::DSYNC;
                writing.in_place(folder, flags, 1..=RUN_PAGES, |_| Ok(()))
            }
            Mode::Append => writing.append(folder),
            Mode::Closed => writing.closed(folder),
            Mode::Renamed => writing.renamed(folder),
            Mode::Msync => writing.msync(folder),
            Mode::Buffered => writing.buffered(folder),
        }
    }
}

struct Writing<'a> {
    name: String,
    sequence: u64,
    random: u64,
    deadline: Instant,
    output: &'a mut dyn Write,
}

impl Writing<'_> {
    fn goes_on(&mut self) -> bool {
        self.sequence += 1;
        Instant::now() < self.deadline
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    /// `count` pages from `first` on, as the current write leaves them.
    fn pages(&self, file: &str, first: u64, count: u64) -> Vec<Page> {
        (first..first + count)
            .map(|number| Page::new(file, number, self.sequence))
            .collect()
    }

    fn promise(&mut self, file: &str, first: u64, count: u64) -> io::Result<()> {
        let sequence = self.sequence;
        (first..first + count)
            .try_for_each(|page| writeln!(self.output, "{file} {page} {sequence}"))
    }

    fn random_run(&mut self, lengths: &RangeInclusive<u64>) -> (u64, u64) {
        let (shortest, longest) = (*lengths.start(), *lengths.end());
        let count = shortest + self.below(longest - shortest + 1);
        (self.below(FILE_PAGES - count + 1), count)
    }

    fn in_place(
        &mut self,
        folder: &Path,
        flags: OFlags,
        lengths: RangeInclusive<u64>,
        sync: impl Fn(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        let name = self.name.clone();
        let file = open(&folder.join(&name), flags)?;
        while self.goes_on() {
            let (first, count) = self.random_run(&lengths);
            let pages = self.pages(&name, first, count);
            file.write_all_at(bytes_of(&pages), first * PAGE_BYTES as u64)?;
            sync(&file)?;
            self.promise(&name, first, count)?;
        }
        Ok(())
    }

    fn append(&mut self, folder: &Path) -> io::Result<()> {
        let name = self.name.clone();
        let mut file = open(&folder.join(&name), OFlags::APPEND)?;
        while self.goes_on() {
            let number = self.sequence - 1;
            file.write_all(&Page::new(&name, number, self.sequence).0)?;
            file.sync_all()?;
            self.promise(&name, number, 1)?;
        }
        Ok(())
    }

    fn closed(&mut self, folder: &Path) -> io::Result<()> {
        while self.goes_on() {
            let name = format!("{}-{}", self.name, self.sequence);
            let count = 1 + self.below(16);
            let pages = self.pages(&name, 0, count);
            let mut file = open(&folder.join(&name), OFlags::empty())?;
            file.write_all(bytes_of(&pages))?;
            close(file)?;
            self.promise(&name, 0, count)?;
        }
        Ok(())
    }

    fn renamed(&mut self, folder: &Path) -> io::Result<()> {
        let temporary = folder.join(format!("{}{TEMPORARY}", self.name));
        while self.goes_on() {
            let name = format!("{}-{}", self.name, self.sequence % RENAMED_NAMES);
            let pages = self.pages(&name, 0, RUN_PAGES);
            let mut file = open(&temporary, OFlags::empty())?;
            file.write_all(bytes_of(&pages))?;
            file.sync_all()?;
            fs::rename(&temporary, folder.join(&name))?;
            File::open(folder)?.sync_all()?;
            self.promise(&name, 0, RUN_PAGES)?;
        }
        Ok(())
    }

    fn msync(&mut self, folder: &Path) -> io::Result<()> {
        let name = self.name.clone();
        let file = open(&folder.join(&name), OFlags::empty())?;
        let length = FILE_PAGES as usize * PAGE_BYTES;
        file.set_len(length as u64)?;
        // SAFETY: a new mapping at a place of the kernel's choice overlaps nothing.
        let start = unsafe {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            mmap(
                std::ptr::null_mut(),
                length,
                protection,
                MapFlags::SHARED,
                &file,
                0,
            )?
        };
        while self.goes_on() {
            let number = self.below(FILE_PAGES);
            let page = Page::new(&name, number, self.sequence);
            // SAFETY: `number` is below FILE_PAGES, so the page lies inside the mapping, which
            // nothing else in this process refers to.
            unsafe {
                let place = start.cast::<u8>().add(number as usize * PAGE_BYTES);
                place.copy_from_nonoverlapping(page.0.as_ptr(), PAGE_BYTES);
                msync(place.cast(), PAGE_BYTES, MsyncFlags::SYNC)?;
            }
            self.promise(&name, number, 1)?;
        }
        // SAFETY: the whole mapping from above, not used any more.
        unsafe { Ok(munmap(start, length)?) }
    }

    fn buffered(&mut self, folder: &Path) -> io::Result<()> {
        let name = self.name.clone();
        let file = open(&folder.join(&name), OFlags::empty())?;
        while self.goes_on() {
            let (first, count) = self.random_run(&(1..=RUN_PAGES));
            let pages = self.pages(&name, first, count);
            file.write_all_at(bytes_of(&pages), first * PAGE_BYTES as u64)?;
        }
        Ok(())
    }
}

fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags.bits() as i32;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .custom_flags(flags)
        .open(path)
}

/// close(2) with its error, which `drop` would hide.
fn close(file: File) -> io::Result<()> {
    use std::os::fd::IntoRawFd;
    // SAFETY: the descriptor was owned by `file`, which has given it up.
    unsafe { Ok(rustix::io::try_close(file.into_raw_fd())?) }
}

fn bytes_of(pages: &[Page]) -> &[u8] {
    // SAFETY: a page is exactly its bytes, aligned to its own size, so a slice has no padding.
    unsafe { std::slice::from_raw_parts(pages.as_ptr().cast(), size_of_val(pages)) }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Fdatasync => "fdatasync",
            Mode::Large => "large",
            Mode::Dsync => "dsync",
            Mode::Direct => "direct",
            Mode::DirectDsync => "direct-dsync",
            Mode::Append => "append",
            Mode::Closed => "closed",
            Mode::Renamed => "renamed",
            Mode::Msync => "msync",
            Mode::Buffered => "buffered",
        })
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(name: &str) -> Result<Mode, String> {
        let all = Mode::PROMISING.into_iter().chain([Mode::Buffered]);
        all.into_iter()
            .find(|mode| mode.to_string() == name)
            .ok_or_else(|| format!("no way to write is called '{name}'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promises::Promises;

    /// Every mode keeps its promises on the host's filesystem and can be named.
    #[test]
    fn every_mode_keeps_its_promises() {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        for mode in Mode::PROMISING {
            assert_eq!(mode.to_string().parse::<Mode>().unwrap(), mode);
            let deadline = Instant::now() + std::time::Duration::from_millis(50);
            let mut output = Vec::new();
            mode.write(folder.path(), 3, deadline, &mut output).unwrap();
            let mut promises = Promises::default();
            let lines = String::from_utf8(output).unwrap();
            lines
                .lines()
                .for_each(|line| promises.add_line(line).unwrap());
            assert!(promises.made() > 0, "{mode}");
            promises.check(folder.path()).unwrap();
        }
    }
}
