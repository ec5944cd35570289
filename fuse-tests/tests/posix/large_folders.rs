//! Folders of many entries that are listed while they change. `VOLFS_TEST_ENTRIES` sets their size
//! (`listing_is_stable_while_the_folder_changes` in names.rs uses it too).

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fuse_tests::run::run_for;
use fuse_tests::{Beside, Place};
use rustix::fs::{CWD, Mode, OFlags, RawDir, openat, seek};

/// How many entries a large folder has.
fn entries() -> usize {
    let chosen = std::env::var("VOLFS_TEST_ENTRIES");
    chosen.map_or(8_000, |entries| entries.parse().unwrap())
}

fn fill(folder: &Path, entries: usize) {
    fs::create_dir(folder).unwrap();
    for number in 0..entries {
        File::create_new(folder.join(format!("stays-{number}"))).unwrap();
    }
}

/// How often each name is listed.
fn counts(folder: &Path) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// While names come, go and are renamed, each of several listings shows what stays exactly once,
/// and nothing twice.
#[test]
fn listings_of_a_busy_folder_are_whole() {
    let (entries, place) = (entries(), Place::new());
    let folder = place.path("large");
    fill(&folder, entries);
    place.remount();
    let listed = AtomicBool::new(false);
    thread::scope(|scope| {
        let busy = scope.spawn(|| {
            let mut number = 0;
            while !listed.load(Ordering::Relaxed) {
                let (one, two) = (format!("comes-{number}"), format!("goes-{number}"));
                File::create_new(folder.join(&one)).unwrap();
                fs::rename(folder.join(&one), folder.join(&two)).unwrap();
                if number % 3 != 0 {
                    fs::remove_file(folder.join(&two)).unwrap();
                }
                number += 1;
            }
            number
        });
        let listings: Vec<_> = (0..2).map(|_| scope.spawn(|| counts(&folder))).collect();
        for listing in listings {
            let counts = listing.join().unwrap();
            let stays = counts.keys().filter(|name| name.starts_with("stays-"));
            assert_eq!(stays.count(), entries);
            let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
            assert!(twice.is_empty(), "{twice:?}");
        }
        listed.store(true, Ordering::Relaxed);
        assert!(busy.join().unwrap() > 0, "nothing changed meanwhile");
    });
}

/// `find -delete` and `rm -r` list and remove at once, and leave nothing.
#[test]
fn a_large_folder_is_removed_while_it_is_listed() {
    let (entries, place) = (entries(), Place::new());
    for (name, program) in [
        ("found", "find found -delete"),
        ("removed", "rm -r removed"),
    ] {
        fill(&place.path(name), entries);
        place.remount();
        let mut shell = Command::new("sh");
        let command = shell.args(["-c", program]).current_dir(place.root());
        run_for(command, std::time::Duration::from_secs(600)).ok();
        assert!(!place.path(name).exists(), "{program}");
    }
    assert_eq!(fs::metadata(place.root()).unwrap().len(), 0);
}

/// Entries from the present position, with the position behind each.
fn read_on(folder: &OwnedFd, most: usize) -> Vec<(CString, u64)> {
    let mut buffer = [MaybeUninit::uninit(); 512];
    let mut listing = RawDir::new(folder, &mut buffer);
    let mut read = Vec::new();
    while read.len() < most {
        let Some(entry) = listing.next() else { break };
        let entry = entry.unwrap();
        read.push((entry.file_name().to_owned(), entry.next_entry_cookie()));
    }
    read
}

/// A position in a listing (telldir) stays good: what follows it is the same after names before
/// and behind it came and went, and from another handle.
#[test]
fn positions_in_listings_stay_good() {
    let beside = Beside::new();
    beside.compare(|root, seen| {
        let folder = root.join("folder");
        fill(&folder, 300);
        let open = || {
            openat(
                CWD,
                &folder,
                OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .unwrap()
        };
        let listing = open();
        let all = read_on(&listing, usize::MAX);
        seen.fact("all", all.len());
        let (middle, behind) = (all[150].1, &all[151..]);
        for number in 0..100 {
            File::create(folder.join(format!("new-{number}"))).unwrap();
            fs::remove_file(folder.join(format!("new-{number}"))).unwrap();
        }
        for listing in [&listing, &open()] {
            seek(listing, rustix::fs::SeekFrom::Start(middle)).unwrap();
            let again = read_on(listing, usize::MAX);
            seen.fact("the same follows", again == behind);
            seek(listing, rustix::fs::SeekFrom::Start(0)).unwrap();
            seen.fact("from the start", read_on(listing, usize::MAX) == all);
        }
    });
}
