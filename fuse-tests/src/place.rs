//! A folder to try POSIX calls in.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::fixture::{Fixture, text};

/// A mounted volume; with `VOLFS_TEST_PLAIN=1` a plain folder of the host instead, which shows
/// that a test asks no more than what the host's filesystem gives.
#[derive(Debug)]
pub struct Place {
    fixture: Fixture,
    root: PathBuf,
    plain: bool,
}

impl Place {
    /// An empty place.
    #[track_caller]
    pub fn new() -> Place {
        Place::with_options(&[])
    }

    /// An empty place mounted with options such as `-o dev`.
    #[track_caller]
    pub fn with_options(options: &[&str]) -> Place {
        let fixture = Fixture::new();
        let plain = env::var_os("VOLFS_TEST_PLAIN").is_some();
        let root = fixture.mount_point("data");
        if !plain {
            fixture.ok(&["volume", "create", "data"]);
            fixture.ok(&[&["mount", "data", text(&root)], options].concat());
        }
        Place {
            fixture,
            root,
            plain,
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A path with a new file of this content.
    #[track_caller]
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a new file can be written");
        path
    }

    /// Unmounts and mounts again: what is seen afterwards comes from the daemon, not from the
    /// kernel's caches.
    #[track_caller]
    pub fn remount(&self) {
        self.remount_with(&[]);
    }

    /// The same with options of `volfs mount`.
    #[track_caller]
    pub fn remount_with(&self, options: &[&str]) {
        if !self.plain {
            self.fixture.umount("data");
            self.fixture
                .ok(&[&["mount", "data", text(&self.root)], options].concat());
        }
    }

    /// Whether this is a folder of the host.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// The pool behind it.
    pub fn fixture(&self) -> &Fixture {
        &self.fixture
    }
}

impl Default for Place {
    fn default() -> Place {
        Place::new()
    }
}
