//! What is written to the host is what the volume has, and nothing else of the host is touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::*;
use crate::base::progress::{Progress, Silent};
use crate::base::{Ino, Timestamp};
use crate::volume::core::testing::Bench;
use crate::volume::ops::{FileKind, NewNode, SetAttr, SetTime, WriteMode};
use crate::volume::{Request, Volume};

const WHO: Request = Request {
    epoch: None,
    unique: 0,
    uid: 0,
    gid: 0,
};

/// A volume with files of this user's, and a folder of the host.
struct Fixture {
    bench: Bench,
    folder: TempDir,
    owner: (u32, u32),
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let own = fs::metadata(folder.path()).unwrap();
        let owner = (own.uid(), own.gid());
        let bench = Bench::new(4096);
        bench.volume.format(owner.0, owner.1, 0o755).unwrap();
        Fixture {
            bench,
            folder,
            owner,
        }
    }

    fn volume(&self) -> &Volume {
        &self.bench.volume
    }

    fn make(&self, kind: FileKind, folder: Ino, name: &str) -> Ino {
        let who = Request {
            uid: self.owner.0,
            gid: self.owner.1,
            ..WHO
        };
        let new = NewNode {
            kind,
            perm: 0o640,
            umask: 0,
            rdev: 0,
        };
        let made = self.volume().create(&who, folder, name.as_bytes(), &new);
        made.unwrap().ino
    }

    fn file(&self, folder: Ino, name: &str, content: &[u8]) -> Ino {
        let ino = self.make(FileKind::Regular, folder, name);
        self.write(ino, 0, content);
        ino
    }

    fn write(&self, ino: Ino, at: u64, content: &[u8]) {
        let mode = WriteMode::default();
        self.volume()
            .write_file(&WHO, ino, at, content, mode)
            .unwrap();
    }

    fn root(&self) -> std::path::PathBuf {
        fs::canonicalize(self.folder.path()).unwrap()
    }

    fn export(&self, paths: &[&str], force: bool) -> Result<Exported, ExportError> {
        self.export_with(paths, force, &Silent)
    }

    fn export_with(
        &self,
        paths: &[&str],
        force: bool,
        progress: &dyn Progress,
    ) -> Result<Exported, ExportError> {
        let options = ExportOptions {
            paths: paths.iter().map(|path| path.parse().unwrap()).collect(),
            force,
        };
        let root = self.root();
        let to = HostFolder::open(&root)?;
        export(self.volume(), (to, &root), &options, progress)
    }

    fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        contents(&self.root())
    }
}

/// All files below a folder by their paths; folders end with a slash.
fn contents(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            found.insert(format!("{name}/"), Vec::new());
            let below = contents(&path).into_iter();
            found.extend(below.map(|(below, content)| (format!("{name}/{below}"), content)));
        } else if kind.is_file() {
            found.insert(name, fs::read(&path).unwrap());
        } else {
            found.insert(name, b"no file".to_vec());
        }
    }
    found
}

fn names(contents: &BTreeMap<String, Vec<u8>>) -> Vec<&str> {
    contents.keys().map(String::as_str).collect()
}

/// Stops after so many updates.
struct StopsAfter {
    left: AtomicU64,
}

impl Progress for StopsAfter {
    fn update(&self, done: u64, total: u64) {
        assert!(done <= total, "{done} of {total}");
        self.left.fetch_sub(1, Ordering::SeqCst);
    }

    fn is_cancelled(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

/// Single paths are written under their whole paths; folders on the way get their own attributes,
/// and what was not asked for is not written.
#[test]
fn single_paths_are_written() {
    let s = Fixture::new();
    let base = s.make(FileKind::Directory, Ino::ROOT, "base");
    let deep = s.make(FileKind::Directory, base, "deep");
    s.file(deep, "wanted", b"content");
    s.file(deep, "other", b"other");
    s.file(Ino::ROOT, "top", b"top");
    let time = Timestamp {
        secs: 1_000_000,
        nanos: 5,
    };
    let set = SetAttr {
        mtime: Some(SetTime::At(time)),
        ..SetAttr::default()
    };
    s.volume().setattr(&WHO, base, &set).unwrap();

    let told = s.export(&["base/deep/wanted", "top"], false).unwrap();
    assert_eq!((told.created, told.replaced, told.bytes), (4, 0, 10));
    let found = s.contents();
    assert_eq!(
        names(&found),
        ["base/", "base/deep/", "base/deep/wanted", "top"]
    );
    assert_eq!(found["base/deep/wanted"], b"content");
    let folder = fs::metadata(s.root().join("base")).unwrap();
    assert_eq!((folder.mtime(), folder.mtime_nsec()), (time.secs, 5));
    assert_eq!(folder.mode() & 0o7777, 0o640);

    let missing = s.export(&["base/none"], false).unwrap_err();
    assert_eq!(missing.to_string(), "the snapshot has no '/base/none'");
    let no_folder = s.export(&["top/x"], false).unwrap_err();
    assert_eq!(no_folder.to_string(), "the snapshot has no '/top/x'");
}

/// Files with holes are as long as they were, and take as little.
#[test]
fn holes_stay_holes() {
    let s = Fixture::new();
    let file = s.make(FileKind::Regular, Ino::ROOT, "holes");
    s.write(file, 5 << 20, b"middle");
    let set = SetAttr {
        size: Some(64 << 20),
        ..SetAttr::default()
    };
    s.volume().setattr(&WHO, file, &set).unwrap();
    s.export(&[], false).unwrap();
    let path = s.root().join("holes");
    let content = fs::read(&path).unwrap();
    assert_eq!(content.len(), 64 << 20);
    assert_eq!(&content[5 << 20..(5 << 20) + 6], b"middle");
    assert_eq!(content.iter().filter(|byte| **byte != 0).count(), 6);
    let blocks = fs::metadata(&path).unwrap().blocks();
    assert!(blocks * 512 < 1 << 20, "{blocks} blocks");
}

/// A folder of more names than are read at once comes whole, each name once.
#[test]
fn large_folders_come_whole() {
    let s = Fixture::new();
    let names: Vec<String> = (0..1000).map(|number| format!("f{number:04}")).collect();
    for name in &names {
        s.file(Ino::ROOT, name, name.as_bytes());
    }
    assert_eq!(s.export(&["/"], false).unwrap().created, 1000);
    let found = s.contents();
    assert_eq!(found.len(), 1000);
    assert!(names.iter().all(|name| found[name] == name.as_bytes()));
}

/// Names of one inode are names of one file, also where these replace what was there.
#[test]
fn hard_links_stay_links() {
    let s = Fixture::new();
    let folder = s.make(FileKind::Directory, Ino::ROOT, "folder");
    let file = s.file(folder, "one", b"linked");
    s.volume().link(&WHO, file, folder, b"two").unwrap();
    s.volume().link(&WHO, file, Ino::ROOT, b"outside").unwrap();
    for (force, told) in [(false, (3, 0)), (true, (0, 2)), (true, (0, 2))] {
        let found = s.export(&["folder"], force).unwrap();
        assert_eq!((found.created, found.replaced), told);
        let stat = |name: &str| fs::metadata(s.root().join("folder").join(name)).unwrap();
        let (one, two) = (stat("one"), stat("two"));
        assert_eq!((one.ino(), one.nlink()), (two.ino(), 2));
        assert_eq!(
            names(&s.contents()),
            ["folder/", "folder/one", "folder/two"]
        );
    }
}

/// What exists is named and left alone; forced, files are replaced by new ones, and who has an old
/// one open keeps it. Folders are filled, and never replaced.
#[test]
fn what_exists_is_replaced_by_force_only() {
    let s = Fixture::new();
    let folder = s.make(FileKind::Directory, Ino::ROOT, "folder");
    for number in 0..7 {
        s.file(folder, &format!("f{number}"), b"then");
    }
    fs::create_dir(s.root().join("folder")).unwrap();
    fs::write(s.root().join("folder/own"), "own").unwrap();
    for number in 0..7 {
        fs::write(s.root().join(format!("folder/f{number}")), "now").unwrap();
    }
    let before = s.contents();
    let error = s.export(&[], false).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("on the host there is already '"), "{text}");
    assert!(text.ends_with(", and 2 more"), "{text}");
    assert_eq!(s.contents(), before);

    let held = fs::File::open(s.root().join("folder/f3")).unwrap();
    let told = s.export(&[], true).unwrap();
    assert_eq!((told.created, told.replaced), (0, 7));
    assert_eq!(std::io::read_to_string(held).unwrap(), "now");
    let after = s.contents();
    assert_eq!(after["folder/f3"], b"then");
    assert_eq!(after["folder/own"], b"own");
    assert_eq!(after.len(), 9);

    fs::remove_file(s.root().join("folder/f3")).unwrap();
    fs::create_dir(s.root().join("folder/f3")).unwrap();
    let error = s.export(&[], true).unwrap_err();
    assert!(matches!(error, ExportError::IsFolder { .. }), "{error}");
    fs::remove_dir_all(s.root().join("folder")).unwrap();
    fs::write(s.root().join("folder"), "a file").unwrap();
    let error = s.export(&[], true).unwrap_err();
    assert!(matches!(error, ExportError::NotFolder { .. }), "{error}");
}

/// A link in the place of a folder, of a file or of the folder that everything goes to leads
/// nowhere: what it points to is not touched.
#[test]
fn links_on_the_host_are_not_followed() {
    let s = Fixture::new();
    let folder = s.make(FileKind::Directory, Ino::ROOT, "folder");
    s.file(folder, "file", b"then");
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), s.root().join("folder")).unwrap();
    for force in [false, true] {
        let error = s.export(&[], force).unwrap_err();
        assert!(matches!(error, ExportError::NotFolder { .. }), "{error}");
    }
    fs::remove_file(s.root().join("folder")).unwrap();
    fs::create_dir(s.root().join("folder")).unwrap();
    let victim = elsewhere.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, s.root().join("folder/file")).unwrap();
    let error = s.export(&[], false).unwrap_err();
    assert!(matches!(error, ExportError::Exists { .. }), "{error}");
    s.export(&[], true).unwrap();
    assert_eq!(s.contents()["folder/file"], b"then");
    assert_eq!(names(&contents(elsewhere.path())), ["victim"]);
    assert_eq!(fs::read(&victim).unwrap(), b"precious");

    let link = elsewhere.path().join("link");
    symlink(s.root(), &link).unwrap();
    let error = HostFolder::open(&link).err().unwrap();
    assert!(matches!(error, ExportError::NotFolder { .. }), "{error}");
}

/// Wherever it is interrupted, what has its name is whole, and nothing else is left behind.
#[test]
fn an_interruption_leaves_whole_files() {
    let s = Fixture::new();
    let folder = s.make(FileKind::Directory, Ino::ROOT, "folder");
    let content: Vec<u8> = (0..3 << 20)
        .map(|at: u32| at.to_le_bytes()[1] | 1)
        .collect();
    for name in ["a", "b"] {
        s.file(folder, name, &content);
    }
    let mut last = 0;
    for updates in 1.. {
        let _ = fs::remove_dir_all(s.root().join("folder"));
        let left = AtomicU64::new(updates);
        let ended = s.export_with(&[], false, &StopsAfter { left });
        let found = s.contents();
        assert!(names(&found).iter().all(|name| name.starts_with("folder/")));
        let files = found.iter().filter(|(name, _)| !name.ends_with('/'));
        let whole = files.map(|(name, bytes)| assert!(*bytes == content, "{name}"));
        last = last.max(whole.count());
        match ended {
            Err(ExportError::BrokenOff) => {}
            Err(error) => panic!("{error}"),
            Ok(_) => break,
        }
    }
    assert_eq!(last, 2);
}

/// What has no content comes as what it is.
#[test]
fn pipes_sockets_and_links_come_as_they_are() {
    let s = Fixture::new();
    s.make(FileKind::Fifo, Ino::ROOT, "pipe");
    s.make(FileKind::Socket, Ino::ROOT, "socket");
    let who = Request {
        uid: s.owner.0,
        gid: s.owner.1,
        ..WHO
    };
    s.volume()
        .symlink(&who, Ino::ROOT, b"link", b"no/where")
        .unwrap();
    s.export(&[], false).unwrap();
    use std::os::unix::fs::FileTypeExt;
    let kind = |name: &str| {
        let found = fs::symlink_metadata(s.root().join(name)).unwrap();
        (found.file_type(), found.mode() & 0o7777)
    };
    let (pipe, perm) = kind("pipe");
    assert!(pipe.is_fifo() && perm == 0o640);
    assert!(kind("socket").0.is_socket());
    let link = fs::read_link(s.root().join("link")).unwrap();
    assert_eq!(link, Path::new("no/where"));
}
