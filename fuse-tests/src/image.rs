//! Container images made of what is installed on this machine: no registry is asked.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fixture::text;
use crate::run::run;

/// The root folder of an image in the making.
#[derive(Debug)]
pub struct Image {
    name: String,
    root: PathBuf,
}

impl Image {
    /// An empty image with the folders that Debian has, made in `folder`.
    #[track_caller]
    pub fn new(folder: &Path, name: &str) -> Image {
        let root = folder.join(format!("image-{name}"));
        fs::create_dir(&root).expect("image names are used once");
        let image = Image {
            name: name.to_owned(),
            root,
        };
        // Libraries are named by paths through /lib64 or /lib, which are links on Debian.
        for name in ["bin", "sbin", "lib", "lib64"] {
            image.folder(&format!("usr/{name}"), 0o755);
            symlink(format!("usr/{name}"), image.root.join(name)).expect("a free name");
        }
        image.folder("etc", 0o755);
        image.folder("tmp", 0o1777);
        image
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds installed programs, by absolute paths, with the libraries that they load.
    #[track_caller]
    pub fn programs(self, programs: &[&str]) -> Image {
        let files = programs
            .iter()
            .flat_map(|program| with_libraries(Path::new(program)));
        for file in files.collect::<BTreeSet<_>>() {
            self.copy(&file);
        }
        self
    }

    /// Adds a folder of this machine with all that is in it.
    #[track_caller]
    pub fn tree(self, path: &str) -> Image {
        let to = self.inside(path);
        fs::create_dir_all(to.parent().expect("below the root")).expect("a new folder");
        run(Command::new("cp").args(["-a", path, text(&to)])).ok();
        self
    }

    /// Adds a file of this content and mode.
    #[track_caller]
    pub fn file(self, path: &str, content: &str, mode: u32) -> Image {
        let to = self.inside(path);
        fs::create_dir_all(to.parent().expect("below the root")).expect("a new folder");
        fs::write(&to, content).expect("a new file");
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).expect("the file is ours");
        self
    }

    /// Packs it for `docker import` and `podman import`.
    #[track_caller]
    pub fn archive(&self) -> PathBuf {
        let archive = self.root.with_extension("tar");
        let pack = ["-C", text(&self.root), "-cf", text(&archive), "."];
        run(Command::new("tar").args(pack)).ok();
        archive
    }

    #[track_caller]
    fn copy(&self, file: &Path) {
        let copy = self.inside(text(file));
        fs::create_dir_all(copy.parent().expect("below the root")).expect("a new folder");
        fs::copy(file, &copy).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    #[track_caller]
    fn folder(&self, path: &str, mode: u32) {
        let path = self.root.join(path);
        fs::create_dir_all(&path).expect("a new folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("the folder is ours");
    }

    fn inside(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

/// A program and the shared libraries that the loader takes for it.
fn with_libraries(program: &Path) -> BTreeSet<PathBuf> {
    let listed = run(Command::new("ldd").arg(program));
    // A program without libraries is "not a dynamic executable", which is no failure here.
    // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)` or `/lib64/ld-linux… (0x…)`
    let libraries = listed
        .stdout
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    libraries
        .map(PathBuf::from)
        .chain([program.to_owned()])
        .collect()
}
