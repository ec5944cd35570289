//! What of a page that a database overwrites can be in a cut: a snapshot, or what an outage
//! leaves. This is what docs/databases.md says about full_page_writes and doublewrite.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use fuse_tests::Fixture;
use fuse_tests::chance::{Chance, rounds, seed};
use fuse_tests::fixture::{built, text};
use fuse_tests::run::eventually;
use fuse_tests::server::Server;
use rustix::fs::OFlags;

use crate::common::LIMIT;

const KERNEL_PAGE: usize = 4096;
const INNODB_PAGE: usize = 16384;
const PAGES: u64 = 64;

/// The kernel sends a database's page in parts if it likes: an outage between them leaves a page
/// that is half new. volfs does not take the place of full_page_writes for buffered writes.
#[test]
fn a_buffered_page_may_be_half_written() {
    let (fixture, folder) = Fixture::mounted();
    let log = fixture.folder().join("writer.log");
    let path = folder.join("file");
    let writer = Server::start(None, &built("volfs-test-half-page"), &[text(&path)], log);
    eventually("half a page is synced", LIMIT, || writer.log() == "half\n");
    fixture.kill_daemon();
    drop(writer);
    fixture.mount("data");
    let page = fs::read(path).unwrap();
    let (front, back) = page.split_at(KERNEL_PAGE);
    assert!(
        front.iter().all(|byte| *byte == 2),
        "the half that was sent"
    );
    assert!(back.iter().all(|byte| *byte == 1), "the half that was not");
}

/// Memory for O_DIRECT, one page of InnoDB.
#[repr(align(4096))]
struct Aligned([u8; INNODB_PAGE]);

/// An O_DIRECT write of one page, as InnoDB makes it, is one operation of the volume: whole or not
/// at all in each snapshot and after SIGKILL of the daemon.
#[test]
fn a_direct_page_is_whole_in_every_cut() {
    let (fixture, folder) = Fixture::mounted();
    let mut chance = Chance::new(seed());
    let writes = AtomicU64::new(0);
    for round in 0..rounds(3) {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let chance = Chance::new(chance.below(u64::MAX));
            scope.spawn(|| overwrite(&folder.join("file"), &stop, &writes, chance));
            for cut in 0..3 {
                let seen = writes.load(Ordering::SeqCst);
                eventually("pages are overwritten", LIMIT, || {
                    writes.load(Ordering::SeqCst) > seen + 2 * PAGES
                });
                let name = format!("data@cut-{round}-{cut}");
                fixture.ok(&["snapshot", "create", "--no-flush", &name]);
                check(&fixture.mount(&name).join("file"));
                fixture.umount(&name);
            }
            fixture.kill_daemon();
            stop.store(true, Ordering::SeqCst);
        });
        fixture.mount("data");
        check(&folder.join("file"));
    }
}

/// Overwrites random pages until an error or until told to stop.
fn overwrite(path: &Path, stop: &AtomicBool, writes: &AtomicU64, mut chance: Chance) {
    let direct = OFlags::DIRECT.bits() as i32;
    let mut options = OpenOptions::new();
    options.write(true).create(true).custom_flags(direct);
    let file = options.open(path).expect("the volume is mounted");
    let mut page = Box::new(Aligned([0; INNODB_PAGE]));
    while !stop.load(Ordering::SeqCst) {
        let number = writes.fetch_add(1, Ordering::SeqCst);
        page.0.fill((number % 251) as u8);
        let place = chance.below(PAGES) * INNODB_PAGE as u64;
        if file.write_all_at(&page.0, place).is_err() {
            return;
        }
    }
}

/// Every page holds the bytes of one write, or was never written.
#[track_caller]
fn check(path: &Path) {
    let content = fs::read(path).unwrap();
    assert_eq!(content.len() % INNODB_PAGE, 0);
    for (number, page) in content.chunks(INNODB_PAGE).enumerate() {
        let torn = page.iter().position(|byte| *byte != page[0]);
        assert_eq!(torn, None, "page {number} holds two writes");
    }
}
