//! Reading and writing, by every way into a file.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use fuse_tests::Place;
use fuse_tests::promises::{PAGE_BYTES, Page};
use rustix::fs::OFlags;
use rustix::mm::{MapFlags, MsyncFlags, ProtFlags, mmap, msync, munmap};

fn open(path: &Path, flags: OFlags) -> File {
    let flags = flags.bits() as i32;
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .create(true)
        .custom_flags(flags)
        .open(path)
        .unwrap()
}

/// Random writes, truncations and reads at odd places agree with a plain vector of bytes.
#[test]
fn random_calls_agree_with_a_model() {
    let place = Place::new();
    let path = place.path("f");
    let file = open(&path, OFlags::empty());
    let mut model: Vec<u8> = Vec::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit as u64) as usize
    };
    for step in 0..2000 {
        let (at, length) = (below(300_000), below(40_000) + 1);
        match below(10) {
            0 => {
                file.set_len(at as u64).unwrap();
                model.resize(at, 0);
            }
            1..=5 => {
                let bytes = vec![below(255) as u8 + 1; length];
                file.write_all_at(&bytes, at as u64).unwrap();
                model.resize(model.len().max(at + length), 0);
                model[at..at + length].copy_from_slice(&bytes);
            }
            6 => file.sync_data().unwrap(),
            _ => {
                let mut bytes = vec![0; length];
                let count = read_full(&file, &mut bytes, at as u64);
                let end = model.len().min(at + length);
                assert_eq!(
                    bytes[..count],
                    model[at.min(end)..end],
                    "step {step} at {at}"
                );
            }
        }
    }
    drop(file);
    place.remount();
    assert!(
        fs::read(&path).unwrap() == model,
        "the content differs after a remount"
    );
}

fn read_full(file: &File, bytes: &mut [u8], at: u64) -> usize {
    let mut count = 0;
    while count < bytes.len() {
        match file
            .read_at(&mut bytes[count..], at + count as u64)
            .unwrap()
        {
            0 => break,
            more => count += more,
        }
    }
    count
}

/// One write larger than any request arrives whole.
#[test]
fn large_write_arrives_whole() {
    let place = Place::new();
    let bytes: Vec<u8> = (0..5_000_003_u32).map(|n| (n ^ (n >> 11)) as u8).collect();
    let path = place.file("large", &bytes);
    place.remount();
    assert!(fs::read(&path).unwrap() == bytes);
}

/// Two handles that append never write over each other.
#[test]
fn appends_of_two_handles_interleave() {
    let place = Place::new();
    let path = place.path("log");
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let mut file = open(&path, OFlags::APPEND);
            scope.spawn(move || {
                for number in 0..500 {
                    file.write_all(format!("{name}{number:08}\n").as_bytes())
                        .unwrap();
                }
            });
        }
    });
    place.remount();
    let content = fs::read_to_string(&path).unwrap();
    for name in ["a", "b"] {
        let lines = content.lines().filter_map(|line| line.strip_prefix(name));
        let numbers: Vec<u32> = lines.map(|number| number.parse().unwrap()).collect();
        assert_eq!(numbers, (0..500).collect::<Vec<_>>(), "lines of {name}");
    }
    assert_eq!(content.len(), 1000 * 10);
}

/// O_DIRECT reads and writes work at any offset and length that the buffer allows, and agree
/// with buffered access in both directions.
#[test]
fn direct_and_buffered_access_agree() {
    let place = Place::new();
    let path = place.path("f");
    let (direct, buffered) = (open(&path, OFlags::DIRECT), open(&path, OFlags::empty()));
    let pages: Vec<Page> = (0..4).map(|number| Page::new("f", number, 1)).collect();
    for (number, page) in (0..).zip(&pages) {
        direct
            .write_all_at(&page.0, number * PAGE_BYTES as u64)
            .unwrap();
    }
    let mut bytes = vec![0; 4 * PAGE_BYTES];
    buffered.read_exact_at(&mut bytes, 0).unwrap();
    assert!(
        bytes
            .chunks(PAGE_BYTES)
            .zip(&pages)
            .all(|(read, page)| read == page.0)
    );

    buffered.write_all_at(b"buffered", 5000).unwrap();
    let mut page = Page([0; PAGE_BYTES]);
    direct
        .read_exact_at(&mut page.0, PAGE_BYTES as u64)
        .unwrap();
    assert_eq!(&page.0[5000 - PAGE_BYTES..][..8], b"buffered");
    direct.write_all_at(&pages[0].0, 0).unwrap();
    buffered.read_exact_at(&mut bytes[..100], 0).unwrap();
    assert_eq!(bytes[..100], pages[0].0[..100]);

    if !place.is_plain() {
        direct.write_all_at(&pages[0].0[..777], 100_001).unwrap();
        let mut read = vec![0; 777];
        buffered.read_exact_at(&mut read, 100_001).unwrap();
        assert_eq!(read, pages[0].0[..777]);
        direct.read_exact_at(&mut read, 100_001).unwrap();
        assert_eq!(read, pages[0].0[..777]);
        assert_eq!(buffered.metadata().unwrap().len(), 100_778);
    }
}

/// A shared mapping shows writes, writes show the mapping, and msync makes it last.
#[test]
fn shared_mapping_is_coherent() {
    let place = Place::new();
    let path = place.file("f", vec![b'.'; 3 * PAGE_BYTES]);
    let file = open(&path, OFlags::empty());
    let length = 3 * PAGE_BYTES;
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at a place of the kernel's choice; unmapped once below.
    unsafe {
        let shared = mmap(
            std::ptr::null_mut(),
            length,
            protection,
            MapFlags::SHARED,
            &file,
            0,
        );
        let shared = shared.unwrap().cast::<u8>();
        let private = mmap(
            std::ptr::null_mut(),
            length,
            protection,
            MapFlags::PRIVATE,
            &file,
            0,
        );
        let private = private.unwrap().cast::<u8>();

        shared
            .add(PAGE_BYTES)
            .copy_from_nonoverlapping(b"mapped".as_ptr(), 6);
        private
            .add(2 * PAGE_BYTES)
            .copy_from_nonoverlapping(b"hidden".as_ptr(), 6);
        let mut read = [0; 6];
        file.read_exact_at(&mut read, PAGE_BYTES as u64).unwrap();
        assert_eq!(&read, b"mapped");
        file.write_all_at(b"write!", 10).unwrap();
        assert_eq!(std::slice::from_raw_parts(shared.add(10), 6), b"write!");

        msync(shared.cast(), length, MsyncFlags::SYNC).unwrap();
        munmap(shared.cast(), length).unwrap();
        munmap(private.cast(), length).unwrap();
    }
    drop(file);
    place.remount();
    let mut expected = vec![b'.'; length];
    expected[10..16].copy_from_slice(b"write!");
    expected[PAGE_BYTES..PAGE_BYTES + 6].copy_from_slice(b"mapped");
    assert!(fs::read(&path).unwrap() == expected);
}

/// Dirty pages of a mapping that was never synced are there after an unmount.
#[test]
fn unsynced_mapping_survives_an_unmount() {
    let place = Place::new();
    let path = place.file("f", vec![0; PAGE_BYTES]);
    let file = open(&path, OFlags::empty());
    // SAFETY: a new mapping, unmapped before the file is closed.
    unsafe {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let start = mmap(
            std::ptr::null_mut(),
            PAGE_BYTES,
            protection,
            MapFlags::SHARED,
            &file,
            0,
        )
        .unwrap();
        start.cast::<u8>().write(b'!');
        munmap(start, PAGE_BYTES).unwrap();
    }
    drop(file);
    place.remount();
    assert_eq!(fs::read(&path).unwrap()[0], b'!');
}

/// O_TRUNC empties, O_EXCL refuses, O_NOFOLLOW and O_DIRECTORY look at the kind.
#[test]
fn open_flags_are_honoured() {
    let place = Place::new();
    let path = place.file("f", "content");
    std::os::unix::fs::symlink("f", place.path("link")).unwrap();
    drop(open(&path, OFlags::TRUNC));
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    let error = |flags: OFlags, name: &str| {
        let path = place.path(name);
        rustix::fs::open(path, flags | OFlags::CLOEXEC, rustix::fs::Mode::RWXU)
            .expect_err("must be refused")
    };
    assert_eq!(
        error(OFlags::CREATE | OFlags::EXCL, "f"),
        rustix::io::Errno::EXIST
    );
    assert_eq!(error(OFlags::NOFOLLOW, "link"), rustix::io::Errno::LOOP);
    assert_eq!(error(OFlags::DIRECTORY, "f"), rustix::io::Errno::NOTDIR);
}

/// copy_file_range copies within the volume, also where the ranges are not aligned.
#[test]
fn ranges_are_copied_within_the_volume() {
    let place = Place::new();
    let content: Vec<u8> = (0..1_000_000_u32).map(|n| (n / 7) as u8).collect();
    let source = File::open(place.file("source", &content)).unwrap();
    let mut target = open(&place.path("target"), OFlags::empty());
    target.write_all(b"head").unwrap();
    let (mut from, mut to, mut left) = (1001, 4, 900_000);
    while left > 0 {
        let copied =
            rustix::fs::copy_file_range(&source, Some(&mut from), &target, Some(&mut to), left);
        left -= copied.unwrap();
    }
    drop((source, target));
    place.remount();
    let copied = fs::read(place.path("target")).unwrap();
    assert!(copied[4..] == content[1001..901_001]);
}

/// Seeking past the end reads nothing and writing there leaves zeros between.
#[test]
fn write_past_the_end_leaves_zeros() {
    let place = Place::new();
    let path = place.file("f", "start");
    let mut file = open(&path, OFlags::empty());
    file.seek(SeekFrom::Start(100_000)).unwrap();
    assert_eq!(file.read(&mut [0; 10]).unwrap(), 0);
    file.write_all(b"end").unwrap();
    drop(file);
    place.remount();
    let content = fs::read(&path).unwrap();
    assert_eq!(
        (content.len(), &content[..5], &content[100_000..]),
        (100_003, &b"start"[..], &b"end"[..])
    );
    assert!(content[5..100_000].iter().all(|byte| *byte == 0));
    assert_eq!(fs::metadata(&path).unwrap().size(), 100_003);
}
