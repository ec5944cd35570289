//! Every way to say "on the medium now", shown by a loss of power right after it.

use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use fuse_tests::fixture::text;
use fuse_tests::promises::Page;
use fuse_tests::{Fixture, HostFs};
use rustix::fs::OFlags;
use rustix::io::{ReadWriteFlags, pwritev2};
use rustix::mm::MsyncFlags;

use crate::files::open;
use crate::mapping::{Mapping, Share};

const LIMIT: Duration = Duration::from_secs(120);

/// A way to write a page that must be durable when it returns.
type Way = (&'static str, fn(&Path, &Page) -> io::Result<()>);

fn with_flags(path: &Path, page: &Page, flags: OFlags) -> io::Result<()> {
    open(path, flags).write_all_at(&page.0, 0)?;
    Ok(())
}

fn vectored(path: &Path, page: &Page, open_flags: OFlags, flags: ReadWriteFlags) -> io::Result<()> {
    let file = open(path, open_flags);
    let written = pwritev2(&file, &[IoSlice::new(&page.0)], 0, flags)?;
    assert_eq!(written, page.0.len());
    Ok(())
}

fn mapped(path: &Path, page: &Page) -> io::Result<()> {
    let file = open(path, OFlags::empty());
    file.set_len(page.0.len() as u64)?;
    let mapping = Mapping::new(&file, Share::Shared, 0, page.0.len())?;
    mapping.write(0, &page.0);
    mapping.sync(MsyncFlags::SYNC)
}

fn synced(path: &Path, page: &Page, sync: fn(&File) -> io::Result<()>) -> io::Result<()> {
    let file = open(path, OFlags::empty());
    file.write_all_at(&page.0, 0)?;
    sync(&file)
}

const WAYS: [Way; 11] = [
    ("o_sync", |path, page| with_flags(path, page, OFlags::SYNC)),
    ("o_dsync", |path, page| {
        with_flags(path, page, OFlags::DSYNC)
    }),
    ("direct_o_sync", |path, page| {
        with_flags(path, page, OFlags::DIRECT | OFlags::SYNC)
    }),
    ("direct_o_dsync", |path, page| {
        with_flags(path, page, OFlags::DIRECT | OFlags::DSYNC)
    }),
    ("append_dsync", |path, page| {
        with_flags(path, page, OFlags::APPEND | OFlags::DSYNC)
    }),
    ("rwf_sync", |path, page| {
        vectored(path, page, OFlags::empty(), ReadWriteFlags::SYNC)
    }),
    ("rwf_dsync", |path, page| {
        vectored(path, page, OFlags::empty(), ReadWriteFlags::DSYNC)
    }),
    ("direct_rwf_dsync", |path, page| {
        vectored(path, page, OFlags::DIRECT, ReadWriteFlags::DSYNC)
    }),
    ("msync", mapped),
    ("fsync", |path, page| synced(path, page, File::sync_all)),
    ("fdatasync", |path, page| {
        synced(path, page, File::sync_data)
    }),
];

/// What each way has written is there after the host's disk has lost power, in both kinds of
/// mount. One loss for each: a flush covers all that came before it.
///
/// A write without such a way is lost, which shows that the loss takes what it can.
fn survives_power_loss(options: &[&str]) {
    let fixture = Fixture::on_disk(HostFs::Ext4, LIMIT);
    fixture.ok(&["volume", "create", "data"]);
    let folder = fixture.mount_point("data");
    let mount = || fixture.ok(&[&["mount", "data", text(&folder)], options].concat());
    mount();
    // The names are made before, for O_DSYNC says nothing of the folder.
    for (name, _) in WAYS {
        open(&folder.join(name), OFlags::empty());
    }
    let synced = File::open(&folder).and_then(|folder| folder.sync_all());
    synced.expect("a folder can be synced");
    let unsynced: Way = ("unsynced", |path, page| {
        with_flags(path, page, OFlags::DIRECT)
    });
    for (name, write) in WAYS.into_iter().chain([unsynced]) {
        let page = Page::new(name, 0, 7);
        write(&folder.join(name), &page).unwrap_or_else(|error| panic!("{name}: {error}"));
        fixture.disk().lose_power();
        fixture.kill_daemon();
        fixture.disk().restart();
        mount();
        let found = fs::read(folder.join(name)).unwrap_or_default();
        let wanted: &[u8] = if name == unsynced.0 { &[] } else { &page.0 };
        assert!(found == wanted, "{name}: {} bytes", found.len());
    }
}

/// With the writeback cache.
#[test]
fn durable_writes_survive_power_loss() {
    survives_power_loss(&[]);
}

/// With every write handed over at once.
#[test]
fn durable_writes_through_survive_power_loss() {
    survives_power_loss(&["--write-through"]);
}
