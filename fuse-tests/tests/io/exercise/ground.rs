//! Where the file lies.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fuse_tests::fixture::text;
use fuse_tests::{Fixture, HostDisk, HostFs, report};

/// A filesystem to exercise.
pub trait Ground {
    /// What the report calls it.
    fn name(&self) -> String;

    /// A folder in it.
    fn folder(&self) -> PathBuf;

    /// Unmounts and mounts again; no file of it is open.
    fn remount(&mut self);

    /// A snapshot, if there are such here: its folder, until [`Ground::drop_snapshot`].
    fn snapshot(&mut self, number: u64) -> Option<PathBuf>;

    fn drop_snapshot(&mut self);

    /// Whether st_blocks counts exactly the blocks that SEEK_DATA finds.
    fn counts_blocks_exactly(&self) -> bool;
}

/// A volume, and a snapshot of it while one is looked at.
pub struct Volume {
    fixture: Fixture,
    options: &'static [&'static str],
    mounted: Option<String>,
}

impl Volume {
    /// Mounted with these options.
    pub fn new(block_size: &str, options: &'static [&'static str], limit: Duration) -> Volume {
        let fixture = Fixture::with_limit(limit);
        fixture.ok(&["volume", "create", "data", "--block-size", block_size]);
        let volume = Volume {
            fixture,
            options,
            mounted: None,
        };
        volume.mount();
        volume
    }

    fn mount(&self) {
        let path = self.folder();
        let mount = ["mount", "data", text(&path)];
        self.fixture.ok(&[&mount[..], self.options].concat());
    }
}

impl Ground for Volume {
    fn name(&self) -> String {
        [&[report::VOLFS][..], self.options].concat().join(" ")
    }

    fn folder(&self) -> PathBuf {
        self.fixture.mount_point("data")
    }

    fn remount(&mut self) {
        self.fixture.umount("data");
        self.mount();
    }

    fn snapshot(&mut self, number: u64) -> Option<PathBuf> {
        let name = format!("s{number}");
        self.fixture.ok(&["snapshot", "create", "data", &name]);
        let source = format!("data@{name}");
        let folder = self.fixture.mount(&source);
        self.mounted = Some(source);
        Some(folder)
    }

    fn drop_snapshot(&mut self) {
        let source = self.mounted.take().expect("a snapshot was made");
        self.fixture.umount(&source);
        self.fixture.ok(&["snapshot", "rm", &source]);
    }

    fn counts_blocks_exactly(&self) -> bool {
        true
    }
}

/// An ext4 of its own.
pub struct Ext4 {
    disk: HostDisk,
    // Behind the disk, which lies in its folder.
    _fixture: Fixture,
}

impl Ext4 {
    pub fn new(limit: Duration) -> Ext4 {
        let fixture = Fixture::with_limit(limit);
        let disk = HostDisk::new(fixture.folder(), HostFs::Ext4);
        Ext4 {
            disk,
            _fixture: fixture,
        }
    }

    fn inner(&self) -> &Path {
        self.disk.path()
    }
}

impl Ground for Ext4 {
    fn name(&self) -> String {
        "ext4".to_owned()
    }

    fn folder(&self) -> PathBuf {
        let folder = self.inner().join("files");
        fs::create_dir_all(&folder).expect("the disk is mounted");
        folder
    }

    fn remount(&mut self) {
        self.disk.restart();
    }

    fn snapshot(&mut self, _number: u64) -> Option<PathBuf> {
        None
    }

    fn drop_snapshot(&mut self) {}

    fn counts_blocks_exactly(&self) -> bool {
        false
    }
}
