//! SEEK_DATA and SEEK_HOLE on writable mounts, and tools that trust them.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fuse_tests::Place;
use fuse_tests::fixture::text;
use fuse_tests::run::run;
use rustix::fs::{OFlags, SeekFrom, seek};
use rustix::io::Errno;

use crate::files::{MIB, open, sample};
use crate::mapping::{Mapping, Share};

/// The pieces of data, in MiB: start and end.
fn data(file: &File) -> Vec<(u64, u64)> {
    let pieces = crate::exercise::data_pieces(file).expect("seeking works");
    let in_mib = |piece: &crate::exercise::Span| (piece.at / MIB, piece.end() / MIB);
    pieces.iter().map(in_mib).collect()
}

/// Data in the kernel's pages only, in the daemon's memory and in its blocks are all data, all
/// else is a hole, and neither is moved by what becomes of the data.
#[test]
fn dirty_data_is_found_exactly() {
    let place = Place::new();
    let path = place.path("f");
    let file = open(&path, OFlags::empty());
    file.set_len(16 * MIB).expect("a file can grow");
    assert_eq!(data(&file), []);
    let put = |at: u64| {
        let written = file.write_all_at(&sample(at, MIB as usize), at * MIB);
        written.expect("a write");
    };
    put(3);
    assert_eq!(data(&file), [(3, 4)], "only the kernel had it");
    put(4);
    put(9);
    assert_eq!(data(&file), [(3, 5), (9, 10)]);
    file.sync_all().expect("fsync");
    assert_eq!(data(&file), [(3, 5), (9, 10)]);
    put(15);
    put(17);
    let whole = [(3, 5), (9, 10), (15, 16), (17, 18)];
    assert_eq!(data(&file), whole, "behind the end that was synced");
    let mapping = Mapping::new(&file, Share::Shared, 12 * MIB, MIB as usize).expect("a mapping");
    mapping.write(0, &sample(12, MIB as usize));
    let whole = [(3, 5), (9, 10), (12, 13), (15, 16), (17, 18)];
    assert_eq!(data(&file), whole, "a store into a mapping");
    drop((mapping, file));
    place.remount();
    assert_eq!(data(&open(&path, OFlags::empty())), whole);
}

/// Where nothing is left the answer is ENXIO, the end of a file is a hole, and offsets within a
/// piece are their own answer.
#[test]
fn seeking_keeps_to_the_rules() {
    let place = Place::new();
    let file = open(&place.path("f"), OFlags::empty());
    file.write_all_at(&vec![1; MIB as usize], 2 * MIB)
        .expect("a write");
    file.set_len(8 * MIB).expect("a file can grow");
    let find = |position| seek(&file, position);
    for _ in 0..2 {
        assert_eq!(find(SeekFrom::Data(0)), Ok(2 * MIB));
        assert_eq!(find(SeekFrom::Data(2 * MIB + 5)), Ok(2 * MIB + 5));
        assert_eq!(find(SeekFrom::Hole(2 * MIB)), Ok(3 * MIB));
        assert_eq!(find(SeekFrom::Hole(7)), Ok(7));
        assert_eq!(find(SeekFrom::Data(3 * MIB)), Err(Errno::NXIO));
        assert_eq!(find(SeekFrom::Hole(8 * MIB)), Err(Errno::NXIO));
        assert_eq!(find(SeekFrom::Data(9 * MIB)), Err(Errno::NXIO));
        file.sync_all().expect("fsync");
    }
    file.set_len(3 * MIB).expect("a file can be cut");
    assert_eq!(find(SeekFrom::Hole(2 * MIB)), Ok(3 * MIB), "the end");
}

fn allocated(path: &Path) -> u64 {
    fs::metadata(path).expect("it is there").blocks() * 512
}

/// cp and tar copy a sparse file of which a part is in the kernel's pages only, byte by byte, and
/// the copies have its holes.
#[test]
fn tools_copy_dirty_sparse_files() {
    let place = Place::new();
    let path = place.path("f");
    let file = open(&path, OFlags::empty());
    file.set_len(64 * MIB).expect("a file can grow");
    let mut expected = vec![0; 64 * MIB as usize];
    let put = |expected: &mut [u8], at: u64, len: usize| {
        let bytes = sample(at, len);
        file.write_all_at(&bytes, at).expect("a write");
        expected[at as usize..at as usize + len].copy_from_slice(&bytes);
    };
    put(&mut expected, 20 * MIB, MIB as usize);
    file.sync_all().expect("fsync");
    put(&mut expected, 5 * MIB + 100, 9000);
    put(&mut expected, 40 * MIB, MIB as usize);
    let outside = place.fixture().folder();
    for (name, arguments) in [("auto", "--sparse=auto"), ("always", "--sparse=always")] {
        put(&mut expected, 60 * MIB + name.len() as u64 * 4096, 10);
        for copy in [place.path(name), outside.join(name)] {
            run(Command::new("cp").args([arguments, text(&path), text(&copy)])).ok();
            assert!(
                fs::read(&copy).expect("a copy") == expected,
                "cp {arguments}"
            );
            assert!(allocated(&copy) < 4 * MIB, "{} bytes", allocated(&copy));
        }
    }
    put(&mut expected, 50 * MIB, 10);
    let archive = outside.join("archive");
    let folder = text(place.root());
    run(Command::new("tar").args(["-S", "-C", folder, "-cf", text(&archive), "f"])).ok();
    let unpacked = outside.join("unpacked");
    fs::create_dir(&unpacked).expect("the folder is ours");
    run(Command::new("tar").args(["-C", text(&unpacked), "-xf", text(&archive)])).ok();
    assert!(
        fs::read(unpacked.join("f")).expect("a copy") == expected,
        "tar"
    );
    assert!(fs::metadata(&archive).expect("an archive").len() < 4 * MIB);
    drop(file);
}

/// tar takes a file without blocks for one hole and reads nothing of it: a file that has just been
/// written must not look like that, however it came to be.
#[test]
fn a_file_just_written_is_no_hole() {
    let place = Place::new();
    let archive = place.fixture().folder().join("archive");
    let made_before = place.file("before", "");
    let cut = place.file("cut", "content");
    place.remount();
    let stat = |path: &Path| fs::metadata(path).expect("it is there").blocks();
    assert_eq!(
        (stat(&made_before), place.is_plain() || stat(&cut) > 0),
        (0, true)
    );
    let files = [
        open(&place.path("new"), OFlags::empty()),
        open(&made_before, OFlags::empty()),
        open(&cut, OFlags::TRUNC),
    ];
    for file in &files {
        file.write_all_at(b"content of a log", 0).expect("a write");
    }
    let folder = text(place.root());
    let names = ["new", "before", "cut"];
    run(Command::new("tar")
        .args(["-S", "-C", folder, "-cf", text(&archive)])
        .args(names))
    .ok();
    for name in names {
        let ran = run(Command::new("tar").args(["-xOf", text(&archive), name]));
        assert_eq!(ran.ok(), "content of a log", "{name}");
    }
    drop(files);
    // Closed, an empty file shows none again.
    let empty = place.file("empty", "");
    fuse_tests::run::eventually("no blocks", std::time::Duration::from_secs(10), || {
        stat(&empty) == 0
    });
}

/// Seeking beside a writer that never rests: no deadlock, and what was there before stays data.
#[test]
fn seeking_beside_writers_ends() {
    let place = Place::new();
    let path = place.path("f");
    let file = open(&path, OFlags::empty());
    file.set_len(64 * MIB).expect("a file can grow");
    file.write_all_at(&vec![1; MIB as usize], 32 * MIB)
        .expect("a write");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (file, done) = (&file, &done);
        for start in 0..2 {
            scope.spawn(move || {
                let mapping = Mapping::new(file, Share::Shared, 0, 16 * MIB as usize);
                let mapping = mapping.expect("a mapping");
                let mut at = start * 12_345_678;
                while !done.load(Ordering::Relaxed) {
                    at = (at + 7_654_321) % (16 * MIB);
                    mapping.write(at as usize, &[2]);
                    file.write_all_at(&[3; 100], 40 * MIB + at)
                        .expect("a write");
                }
            });
        }
        for _ in 0..40 {
            let found = seek(open(&path, OFlags::empty()), SeekFrom::Data(32 * MIB));
            assert_eq!(found, Ok(32 * MIB));
            let hole = seek(file, SeekFrom::Hole(32 * MIB));
            assert!(hole.expect("the end at least") >= 33 * MIB);
            seek(file, SeekFrom::Data(17 * MIB)).expect("there is data behind");
        }
        done.store(true, Ordering::Relaxed);
    });
}
