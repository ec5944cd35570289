//! Cutting and growing at every place around the borders of blocks and pages.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use fuse_tests::Fixture;
use rustix::fs::OFlags;

use crate::files::{open, read_at, sample};

/// Where the content is when the file is cut.
#[derive(Debug, Clone, Copy)]
enum State {
    /// In the kernel's pages only.
    Dirty,
    /// In the daemon: closed, or written around the cache.
    Written,
    /// In blocks, after a remount.
    Stored,
}

/// Offsets beside a border.
fn around(border: u64) -> impl Iterator<Item = u64> {
    let beside = [-4097_i64, -4096, -513, -1, 0, 1, 512, 4096];
    beside
        .into_iter()
        .filter_map(move |by| border.checked_add_signed(by))
}

/// A file is cut to each place and grown again, and must show zeros from there on.
fn cut_everywhere(block_size: &str, block: u64) {
    let fixture = Fixture::new();
    fixture.ok(&["volume", "create", "data", "--block-size", block_size]);
    let folder = fixture.mount("data");
    let length = 3 * block + block / 2;
    let content = sample(block, length as usize);
    let cuts: Vec<u64> = [block, 2 * block, length]
        .into_iter()
        .flat_map(around)
        .chain([0, 1])
        .collect();
    for state in [State::Dirty, State::Written, State::Stored] {
        let path_of = |cut: &u64| folder.join(format!("{state:?}-{cut}"));
        let files: Vec<File> = cuts
            .iter()
            .map(|cut| fill(&path_of(cut), state, &content))
            .collect();
        let files = match state {
            State::Stored => {
                drop(files);
                fixture.umount("data");
                fixture.mount("data");
                cuts.iter()
                    .map(|cut| open(&path_of(cut), OFlags::empty()))
                    .collect()
            }
            _ => files,
        };
        for (cut, file) in cuts.iter().zip(&files) {
            check_cut(file, *cut, &content, &format!("{state:?}, cut at {cut}"));
        }
        drop(files);
        fixture.umount("data");
        fixture.mount("data");
        for cut in &cuts {
            let file = File::open(path_of(cut)).expect("it is there");
            check_content(&file, *cut, &content, "after a remount");
            let blocks = file.metadata().expect("open").blocks() * 512;
            assert_eq!(
                blocks,
                (*cut).min(length).div_ceil(block) * block,
                "cut at {cut}"
            );
        }
    }
}

fn fill(path: &Path, state: State, content: &[u8]) -> File {
    let file = open(path, OFlags::empty());
    file.write_all_at(content, 0).expect("a write");
    if let State::Written = state {
        drop(file);
        return open(path, OFlags::empty());
    }
    file
}

/// Cuts, grows to a size beyond all that was, and compares.
fn check_cut(file: &File, cut: u64, content: &[u8], what: &str) {
    file.set_len(cut).expect("a cut");
    assert_eq!(file.metadata().expect("open").len(), cut, "{what}");
    file.set_len(grown(content)).expect("growing");
    check_content(file, cut, content, what);
}

fn grown(content: &[u8]) -> u64 {
    content.len() as u64 + 200_000
}

fn check_content(file: &File, cut: u64, content: &[u8], what: &str) {
    let kept = &content[..content.len().min(cut as usize)];
    let read = read_at(file, 0, grown(content) as usize);
    assert!(read[..kept.len()] == *kept, "{what}");
    assert!(read[kept.len()..].iter().all(|byte| *byte == 0), "{what}");
}

/// Blocks of 4 KiB.
#[test]
fn cuts_around_blocks_of_4_kib() {
    cut_everywhere("4K", 4 << 10);
}

/// Blocks of 16 KiB.
#[test]
fn cuts_around_blocks_of_16_kib() {
    cut_everywhere("16K", 16 << 10);
}

/// Blocks of 64 KiB.
#[test]
fn cuts_around_blocks_of_64_kib() {
    cut_everywhere("64K", 64 << 10);
}
