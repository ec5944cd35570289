//! What a program was told is safe, and the check that it is still there.
//!
//! Writers fill files with pages that name themselves: file, page number and a sequence number
//! that only rises. When a write has been acknowledged in the way that the writer is about, it
//! makes a promise. After a crash every promised page must hold its sequence number or a later
//! one, and no page may hold anything but a whole page of its own place.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a page: what the kernel writes back as one, unless it is written to meanwhile.
pub const PAGE_BYTES: usize = 4096;
/// How the names of files begin that are never synced.
pub(crate) const UNSYNCED: &str = "buffered-";
/// How many writes may lie between the two that a torn page is of. A file of 1,024 pages that are
/// written to at random sees all of them again long before.
const TORN_WRITES_MAX: u64 = 20_000;
/// How the names of files end whose pages are those of another name.
pub(crate) const TEMPORARY: &str = "-new";
/// File hash, page number and sequence number at the front, a checksum at the end.
const HEADER_BYTES: usize = 24;
const CHECKSUM_AT: usize = PAGE_BYTES - 8;

/// A page in memory as O_DIRECT wants it.
#[derive(Clone, Copy)]
#[repr(C, align(4096))]
pub struct Page(pub [u8; PAGE_BYTES]);

impl Page {
    /// The page `number` of `file` as the write with this sequence number leaves it.
    pub fn new(file: &str, number: u64, sequence: u64) -> Page {
        let mut bytes = [0; PAGE_BYTES];
        bytes[..8].copy_from_slice(&xxh3_64(file.as_bytes()).to_le_bytes());
        bytes[8..16].copy_from_slice(&number.to_le_bytes());
        bytes[16..24].copy_from_slice(&sequence.to_le_bytes());
        let mut state = xxh3_64(&bytes[..HEADER_BYTES]) | 1;
        // Half of it random and half text-like, so that compression is neither idle nor certain.
        for word in bytes[HEADER_BYTES..CHECKSUM_AT / 2].chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let checksum = xxh3_64(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        Page(bytes)
    }

    /// The sequence number of a whole page in its own place; 0 for a page never written.
    pub fn sequence_of(bytes: &[u8], file: &str, number: u64) -> Result<u64, String> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(0);
        }
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        if bytes.len() != PAGE_BYTES || word(CHECKSUM_AT) != xxh3_64(&bytes[..CHECKSUM_AT]) {
            if file.starts_with(UNSYNCED) && is_torn(bytes, file, number) {
                return Ok(1);
            }
            return Err(format!("page {number} of {file} is torn or damaged"));
        }
        if word(0) != xxh3_64(file.as_bytes()) || word(8) != number {
            return Err(format!(
                "page {number} of {file} holds a page of another place"
            ));
        }
        Ok(word(16))
    }
}

/// Whether every word of the page is that of one of two writes to this very page, near each other;
/// one of them may be the hole before the first.
fn is_torn(bytes: &[u8], file: &str, number: u64) -> bool {
    let words = |bytes: &[u8]| -> Vec<u64> {
        let words = bytes.chunks_exact(8);
        words
            .map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes")))
            .collect()
    };
    if bytes.len() != PAGE_BYTES {
        return false;
    }
    let found = words(bytes);
    let of_write = |sequence: u64| match sequence {
        0 => vec![0; PAGE_BYTES / 8],
        _ => words(&Page::new(file, number, sequence).0),
    };
    let one = of_write(found[2]);
    let others = found[2].saturating_sub(TORN_WRITES_MAX)..found[2] + TORN_WRITES_MAX;
    others.into_iter().any(|sequence| {
        let other = of_write(sequence);
        let mut pairs = found.iter().zip(one.iter().zip(&other));
        pairs.all(|(is, (one, other))| is == one || is == other)
    })
}

/// By file name and page number, the sequence number that must be there at least.
#[derive(Debug, Default, Clone)]
pub struct Promises {
    files: BTreeMap<String, BTreeMap<u64, u64>>,
    made: usize,
}

impl Promises {
    /// Adds a line `FILE PAGE SEQUENCE`, as writers print it.
    pub fn add_line(&mut self, line: &str) -> Option<()> {
        let mut fields = line.split(' ');
        let (file, page, sequence) = (fields.next()?, fields.next()?, fields.next()?);
        let (page, sequence) = (page.parse().ok()?, sequence.parse().ok()?);
        self.files
            .entry(file.to_owned())
            .or_default()
            .insert(page, sequence);
        self.made += 1;
        Some(())
    }

    /// How often a page was promised, also when it was the same one again.
    pub fn made(&self) -> usize {
        self.made
    }

    /// Takes over the promises of another writer, which has other files.
    pub fn extend(&mut self, other: Promises) {
        self.files.extend(other.files);
        self.made += other.made;
    }

    /// Checks every page of every file that was promised something; the error says the first
    /// promise that was broken.
    pub fn check(&self, folder: &Path) -> Result<(), String> {
        self.files
            .iter()
            .try_for_each(|(name, pages)| check_file(folder, name, pages))
    }
}

/// What a folder of pages holds, of which nothing was promised.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    /// Whole pages, each in its own place.
    pub whole: u64,
    /// Pages never written.
    pub empty: u64,
    /// Pages whose reading ends with EIO.
    pub unreadable: u64,
}

impl Pages {
    /// Reads every page of every file in `folder`, but those on their way to another name
    /// (`-new`); the error says the first that is torn, misplaced, or fails otherwise than with
    /// EIO.
    pub fn count(folder: &Path) -> Result<Pages, String> {
        let fail = |error: io::Error| format!("{}: {error}", folder.display());
        let mut pages = Pages::default();
        for entry in fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let name = path
                .file_name()
                .expect("entries have names")
                .to_string_lossy();
            if name.ends_with(TEMPORARY) {
                continue;
            }
            let file = fs::File::open(&path).map_err(fail)?;
            let length = file.metadata().map_err(fail)?.len();
            for number in 0..length.div_ceil(PAGE_BYTES as u64) {
                let mut bytes = [0; PAGE_BYTES];
                match file.read_at(&mut bytes, number * PAGE_BYTES as u64) {
                    Ok(read) => match Page::sequence_of(&bytes[..read], &name, number)? {
                        0 => pages.empty += 1,
                        _ => pages.whole += 1,
                    },
                    Err(error) if error.raw_os_error() == Some(5) => pages.unreadable += 1,
                    Err(error) => return Err(format!("page {number} of {name}: {error}")),
                }
            }
        }
        Ok(pages)
    }
}

fn check_file(folder: &Path, name: &str, promised: &BTreeMap<u64, u64>) -> Result<(), String> {
    let mut file = fs::File::open(folder.join(name)).map_err(|error| format!("{name}: {error}"))?;
    let mut content = Vec::new();
    file.read_to_end(&mut content)
        .map_err(|error| format!("{name}: {error}"))?;
    let mut found = BTreeMap::new();
    for (number, bytes) in (0..).zip(content.chunks(PAGE_BYTES)) {
        found.insert(number, Page::sequence_of(bytes, name, number)?);
    }
    for (number, sequence) in promised {
        let is = found.get(number).copied().unwrap_or(0);
        if is < *sequence {
            return Err(format!(
                "page {number} of {name} holds write {is}, but write {sequence} was acknowledged"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(lines: &[&str]) -> Promises {
        let mut promises = Promises::default();
        lines
            .iter()
            .for_each(|line| promises.add_line(line).unwrap());
        promises
    }

    /// A kept promise passes; a lost, torn or misplaced page does not.
    #[test]
    fn broken_promises_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let (first, second) = (Page::new("f", 0, 7).0, Page::new("f", 1, 8).0);
        fs::write(&path, [first, second].concat()).unwrap();
        promise(&["f 0 7", "f 1 8"]).check(folder.path()).unwrap();
        promise(&["f 0 6"]).check(folder.path()).unwrap();

        let lost = promise(&["f 1 9"]).check(folder.path()).unwrap_err();
        assert_eq!(
            lost,
            "page 1 of f holds write 8, but write 9 was acknowledged"
        );
        assert!(
            promise(&["f 2 1"]).check(folder.path()).is_err(),
            "a page past the end"
        );
        assert!(
            promise(&["g 0 1"]).check(folder.path()).is_err(),
            "a missing file"
        );

        fs::write(&path, [second, first].concat()).unwrap();
        let moved = promise(&["f 0 1"]).check(folder.path()).unwrap_err();
        assert_eq!(moved, "page 0 of f holds a page of another place");
        let torn = [&first[..2048], &second[2048..]].concat();
        fs::write(&path, torn).unwrap();
        let torn = promise(&["f 0 1"]).check(folder.path()).unwrap_err();
        assert_eq!(torn, "page 0 of f is torn or damaged");
    }

    /// A page of two writes passes where nobody syncs, and only there; damage does not, nor does a
    /// page of another place.
    #[test]
    fn pages_that_nobody_syncs_may_be_torn() {
        let torn = |old: &Page, new: &Page, at: usize| [&new.0[..at], &old.0[at..]].concat();
        let page = |number, sequence| Page::new("buffered-1", number, sequence);
        let (old, new) = (page(5, 400), page(5, 1000));
        let of = |bytes: &[u8]| Page::sequence_of(bytes, "buffered-1", 5);
        for at in [8, 24, 64, 1000, 2040, 4088] {
            assert!(of(&torn(&old, &new, at)).is_ok(), "{at}");
            assert!(of(&torn(&new, &old, at)).is_ok(), "{at}");
            let begun = of(&torn(&Page([0; PAGE_BYTES]), &new, at));
            assert!(begun.is_ok(), "over a hole: {at}");
        }
        let mut damaged = torn(&old, &new, 1000);
        damaged[1500] ^= 1;
        assert!(of(&damaged).is_err());
        assert!(of(&torn(&old, &page(6, 1000), 1000)).is_err());
        assert!(of(&torn(&old, &new, 1000)[..2048]).is_err());
        let (old, new) = (Page::new("f", 5, 400), Page::new("f", 5, 1000));
        assert!(Page::sequence_of(&torn(&old, &new, 1000), "f", 5).is_err());
    }

    /// Pages without promises are counted; a torn one is not let pass.
    #[test]
    fn pages_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let first = Page::new("f", 0, 7).0;
        fs::write(folder.path().join("f"), [first, [0; PAGE_BYTES]].concat()).unwrap();
        let expected = Pages {
            whole: 1,
            empty: 1,
            unreadable: 0,
        };
        assert_eq!(Pages::count(folder.path()), Ok(expected));
        fs::write(folder.path().join("f"), &first[..4000]).unwrap();
        let torn = Pages::count(folder.path()).unwrap_err();
        assert_eq!(torn, "page 0 of f is torn or damaged");
    }
}
