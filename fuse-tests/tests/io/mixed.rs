//! One file by every way at once: what one has written the others read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Barrier;
use std::thread;

use fuse_tests::Place;
use fuse_tests::promises::{PAGE_BYTES, Page};
use rustix::fs::OFlags;
use rustix::mm::MsyncFlags;

use crate::files::{open, sample};
use crate::mapping::{Mapping, Share};

const PAGE: u64 = PAGE_BYTES as u64;
const PAGES: u64 = 16;

/// A way to read and write one page.
trait Access: Send {
    fn write(&self, number: u64, page: &Page);
    fn read(&self, number: u64) -> Page;
}

struct Descriptor(File);

impl Access for Descriptor {
    fn write(&self, number: u64, page: &Page) {
        self.0
            .write_all_at(&page.0, number * PAGE)
            .expect("a write");
    }

    fn read(&self, number: u64) -> Page {
        let mut page = Page([0; PAGE_BYTES]);
        let read = self.0.read_exact_at(&mut page.0, number * PAGE);
        read.expect("a read");
        page
    }
}

struct Mapped(Mapping);

// SAFETY: the mapping is a range of addresses of the whole process.
unsafe impl Send for Mapped {}

impl Access for Mapped {
    fn write(&self, number: u64, page: &Page) {
        self.0.write((number * PAGE) as usize, &page.0);
    }

    fn read(&self, number: u64) -> Page {
        let mut all = vec![0; (PAGES * PAGE) as usize];
        self.0.read(&mut all);
        let at = (number * PAGE) as usize;
        Page(all[at..at + PAGE_BYTES].try_into().expect("a page"))
    }
}

/// Each in turn writes a page; all the others must see it at once.
#[test]
fn ways_into_a_file_are_coherent() {
    let place = Place::new();
    let path = place.file("f", vec![1; (PAGES * PAGE) as usize]);
    let mapped = |flags| {
        let mapping = Mapping::new(
            &open(&path, flags),
            Share::Shared,
            0,
            (PAGES * PAGE) as usize,
        );
        Box::new(Mapped(mapping.expect("a mapping")))
    };
    let ways: Vec<Box<dyn Access>> = vec![
        Box::new(Descriptor(open(&path, OFlags::empty()))),
        Box::new(Descriptor(open(&path, OFlags::DIRECT))),
        mapped(OFlags::empty()),
        Box::new(Descriptor(open(&path, OFlags::DSYNC))),
        Box::new(Descriptor(open(&path, OFlags::DIRECT | OFlags::DSYNC))),
        mapped(OFlags::DIRECT),
    ];
    let mut sequence = 1;
    for round in 0..30 {
        for (writer, way) in ways.iter().enumerate() {
            sequence += 1;
            let number = (round * 7 + writer as u64 * 3) % PAGES;
            let page = Page::new("f", number, sequence);
            way.write(number, &page);
            for (reader, way) in ways.iter().enumerate() {
                let read = way.read(number);
                assert!(read.0 == page.0, "written by {writer}, read by {reader}");
            }
        }
    }
}

/// Threads that write pages of their own, each by another way, at the same time: every page is
/// whole and the last one in the end, here and after a remount.
#[test]
fn concurrent_ways_keep_to_their_pages() {
    const ROUNDS: u64 = 200;
    let place = Place::new();
    let path = place.file("f", vec![1; (PAGES * PAGE) as usize]);
    let length = (PAGES * PAGE) as usize;
    let mapping = Mapping::new(&open(&path, OFlags::empty()), Share::Shared, 0, length);
    let ways: Vec<Box<dyn Access>> = vec![
        Box::new(Descriptor(open(&path, OFlags::empty()))),
        Box::new(Descriptor(open(&path, OFlags::DIRECT))),
        Box::new(Mapped(mapping.expect("a mapping"))),
        Box::new(Descriptor(open(&path, OFlags::DSYNC))),
    ];
    let (start, count) = (Barrier::new(ways.len()), ways.len() as u64);
    thread::scope(|scope| {
        for (writer, way) in (0..).zip(ways) {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                for sequence in 1..=ROUNDS {
                    // Interleaved, so that neighbours belong to others.
                    let number = writer + count * (sequence % (PAGES / count));
                    let page = Page::new("f", number, sequence);
                    way.write(number, &page);
                    assert!(way.read(number).0 == page.0, "writer {writer}");
                }
            });
        }
    });
    let check = || {
        let file = open(&path, OFlags::empty());
        let all = Descriptor(file);
        for number in 0..PAGES {
            let found = Page::sequence_of(&all.read(number).0, "f", number);
            let turn = number / count;
            let last = (1..=ROUNDS).rfind(|n| n % (PAGES / count) == turn);
            assert_eq!(found, Ok(last.expect("every page has its turn")));
        }
    };
    check();
    place.remount();
    check();
}

/// O_DIRECT at any offset and length, from and to memory at any address, in any order.
#[test]
fn unaligned_direct_access_works() {
    let place = Place::new();
    if place.is_plain() {
        return;
    }
    let path = place.path("f");
    let (direct, buffered) = (open(&path, OFlags::DIRECT), open(&path, OFlags::empty()));
    let memory = sample(3, 300_000);
    let mut expected = Vec::new();
    for (at, lead, len) in [
        (0, 1, 1),
        (1, 3, 511),
        (513, 7, 8191),
        (8192, 511, 4097),
        (65_535, 13, 2),
        (12_289, 0, 100_000),
        (200_001, 4095, 70_000),
        (100, 9, 250_000),
    ] {
        let bytes = &memory[lead..lead + len];
        direct.write_all_at(bytes, at as u64).expect("a write");
        expected.resize(expected.len().max(at + len), 0);
        expected[at..at + len].copy_from_slice(bytes);
        for (name, file) in [("direct", &direct), ("buffered", &buffered)] {
            let mut read = vec![0; expected.len() + 1];
            // Into memory at an odd address.
            let count = file.read_at(&mut read[1..], 0).expect("a read");
            assert!(read[1..=count] == expected, "{name}, {at}+{len}");
        }
    }
    drop((direct, buffered));
    place.remount();
    assert!(std::fs::read(&path).expect("it is there") == expected);
}

/// A direct read in a hole of a file whose end only the kernel knows yet is zeros, not the end.
#[test]
fn direct_reads_reach_the_unwritten_end() {
    let place = Place::new();
    let path = place.path("f");
    let (direct, buffered) = (open(&path, OFlags::DIRECT), open(&path, OFlags::empty()));
    let mut page = Page([1; PAGE_BYTES]);
    buffered.write_all_at(b"end", 100 * PAGE).expect("a write");
    assert_eq!(
        direct.read_at(&mut page.0, 10 * PAGE).expect("a read"),
        PAGE_BYTES
    );
    assert!(page.0 == [0; PAGE_BYTES]);
    buffered.write_all_at(b"end", 200 * PAGE).expect("a write");
    assert_eq!(direct.read_at(&mut page.0, 200 * PAGE).expect("a read"), 3);
    assert_eq!(direct.read_at(&mut page.0, 201 * PAGE).expect("a read"), 0);
}

/// A private mapping shows the file until it is stored to, and never changes it.
#[test]
fn private_mappings_keep_to_themselves() {
    let place = Place::new();
    let path = place.file("f", vec![b'.'; 3 * PAGE_BYTES]);
    for flags in [OFlags::empty(), OFlags::DIRECT] {
        let file = open(&path, flags);
        let private = Mapping::new(&file, Share::Private, 0, 3 * PAGE_BYTES).expect("a mapping");
        private.write(10, b"private");
        private
            .sync(MsyncFlags::SYNC)
            .expect("msync of it is no error");
        let mut read = vec![0; 3 * PAGE_BYTES];
        private.read(&mut read);
        assert_eq!(&read[8..19], b"..private..");
        assert!(std::fs::read(&path).expect("a file") == vec![b'.'; 3 * PAGE_BYTES]);
    }
}

/// msync(MS_ASYNC), MS_SYNC and MS_INVALIDATE of a shared mapping are accepted, and a reader by
/// descriptor sees the stores in any case.
#[test]
fn msync_flags_are_accepted() {
    let place = Place::new();
    let path = place.file("f", vec![b'.'; 2 * PAGE_BYTES]);
    let file = open(&path, OFlags::empty());
    let mapping = Mapping::new(&file, Share::Shared, 0, 2 * PAGE_BYTES).expect("a mapping");
    let flags = [
        MsyncFlags::ASYNC,
        MsyncFlags::SYNC,
        MsyncFlags::ASYNC | MsyncFlags::INVALIDATE,
        MsyncFlags::SYNC | MsyncFlags::INVALIDATE,
    ];
    for (number, flags) in flags.into_iter().enumerate() {
        mapping.write(PAGE_BYTES - 2, &[b'0' + number as u8; 4]);
        mapping.sync(flags).expect("msync");
        let read = crate::files::read_at(&file, PAGE - 2, 4);
        assert_eq!(read, [b'0' + number as u8; 4]);
    }
}
