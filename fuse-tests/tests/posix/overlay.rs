//! overlayfs with its upper and work folders on a volume, as container engines use one.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use fuse_tests::{Beside, Difference, Seen, run};
use rustix::fs::{
    CWD, Mode, OFlags, RenameFlags, XattrFlags, lgetxattr, openat, renameat_with, setxattr,
};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

/// An overlay; unmounted when dropped.
struct Overlay(PathBuf);

impl Overlay {
    /// Over `lower`, with the other folders in `root`.
    fn mount(lower: &Path, root: &Path, extra: &str) -> io::Result<Overlay> {
        let folder = |name: &str| root.join(name).display().to_string();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}{extra}",
            lower.display(),
            folder("upper"),
            folder("work")
        );
        let path = root.join("merged");
        let mut mount = Command::new("mount");
        let ran = run(mount
            .args(["-t", "overlay", "overlay", "-o", &options])
            .arg(&path));
        match ran.code {
            0 => Ok(Overlay(path)),
            _ => Err(io::Error::other(ran.stderr)),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

fn fill(lower: &Path) {
    for folder in ["folder/sub", "gone/deep", "moved"] {
        fs::create_dir_all(lower.join(folder)).unwrap();
    }
    for file in [
        "one",
        "two",
        "three",
        "folder/a",
        "folder/b",
        "gone/deep/x",
        "moved/y",
    ] {
        fs::write(lower.join(file), file).unwrap();
    }
    symlink("one", lower.join("link")).unwrap();
}

fn make_room(root: &Path) {
    for folder in ["upper", "work", "merged"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
}

/// Every path below with its kind, mode and content, sorted.
fn tree(root: &Path, seen: &mut Seen, what: &str) {
    let find = ["-mindepth", "1", "-printf", "%P %M %s %l\\n"];
    let mut lines: Vec<String> = run(Command::new("find").arg(root).args(find))
        .ok()
        .lines()
        // The size of a folder is the filesystem's own.
        .map(|line| match line.split_once(" d") {
            Some((path, rest)) => format!("{path} d{}", rest.split(' ').next().unwrap()),
            None => line.to_owned(),
        })
        .collect();
    lines.sort();
    seen.fact(what, lines);
}

/// A whiteout, or an opaque folder.
fn mark(path: &Path) -> io::Result<&'static str> {
    let file = fs::symlink_metadata(path)?.file_type();
    if file.is_char_device() && fs::symlink_metadata(path)?.rdev() == 0 {
        return Ok("whiteout");
    }
    let mut value = [0; 8];
    match lgetxattr(path, "trusted.overlay.opaque", &mut value) {
        Ok(1) if value[0] == b'y' => Ok("opaque"),
        _ => Ok("plain"),
    }
}

/// Creation, copying up, removal, replacement, renames of files and folders, attributes, links:
/// the merged tree, and what lies in the upper folder, are as on ext4, and come back.
fn exercise(beside: &Beside, lower: &dyn Fn(&Path) -> PathBuf, options: &str) {
    beside.compare(|root, seen| {
        make_room(root);
        let overlay = Overlay::mount(&lower(root), root, options);
        let overlay = seen.call("mount", overlay).expect("an overlay");
        tree(&overlay.0, seen, "at first");
        change(&overlay, seen);
        tree(&overlay.0, seen, "afterwards");
        drop(overlay);
        for name in ["two", "three", "gone", "moved", "folder", "one"] {
            seen.value(
                format!("upper {name}"),
                mark(&root.join("upper").join(name)),
            );
        }
    });
    beside.remount();
    beside.compare(|root, seen| {
        let overlay = Overlay::mount(&lower(root), root, options);
        let overlay = seen.call("mount again", overlay).expect("an overlay");
        for _ in 0..2 {
            tree(&overlay.0, seen, "kept");
            seen.value("one", fs::read_to_string(overlay.path("one")));
            seen.value("second", fs::read_to_string(overlay.path("second")));
        }
        // Not the two names of one file: see the test below.
        let remove = "rm -rf folder/a folder/moved folder/sub four gone link new one";
        let mut shell = Command::new("sh");
        let removed = run(shell.args(["-c", remove]).current_dir(&overlay.0));
        seen.fact("remove", removed.code);
        tree(&overlay.0, seen, "nearly empty");
    });
}

fn change(overlay: &Overlay, seen: &mut Seen) {
    let path = |name: &str| overlay.path(name);
    seen.call("create", fs::write(path("new"), "new"));
    seen.call("append", fs::write(path("one"), "changed"));
    seen.call("remove", fs::remove_file(path("two")));
    seen.call(
        "create where one was removed",
        fs::write(path("two"), "again"),
    );
    seen.call("remove once more", fs::remove_file(path("two")));
    seen.call("rename a file", fs::rename(path("three"), path("four")));
    seen.call("remove a folder", fs::remove_dir_all(path("gone")));
    seen.call("make it again", fs::create_dir(path("gone")));
    seen.call(
        "rename a folder",
        fs::rename(path("moved"), path("folder/moved")),
    );
    let closed = fs::Permissions::from_mode(0o600);
    seen.call("chmod", fs::set_permissions(path("folder/a"), closed));
    seen.call("link", fs::hard_link(path("folder/b"), path("second")));
    seen.value(
        "links",
        fs::metadata(path("second")).map(|file| file.nlink()),
    );
    seen.call(
        "an attribute",
        setxattr(path("new"), "user.a", b"v", XattrFlags::empty()),
    );
    let exchange = RenameFlags::EXCHANGE;
    seen.call(
        "exchange",
        renameat_with(CWD, path("new"), CWD, path("four"), exchange),
    );
    let unnamed = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let unnamed = openat(CWD, &overlay.0, unnamed, Mode::RWXU);
    let is_made_or_refused = matches!(unnamed, Ok(_) | Err(Errno::OPNOTSUPP));
    seen.fact(
        "a file without a name, or a plain refusal",
        is_made_or_refused,
    );
}

/// The lower folder is the host's, as an image's layers are.
#[test]
fn an_upper_folder_may_lie_on_a_volume() {
    let beside = Beside::new();
    let lower = beside.place().fixture().folder().join("lower");
    fs::create_dir(&lower).unwrap();
    fill(&lower);
    exercise(&beside, &|_| lower.clone(), "");
}

/// Upper and lower folder are on the volume, which is mounted for that, with every feature of
/// overlayfs that needs more of the upper filesystem.
#[test]
fn all_folders_may_lie_on_one_volume() {
    let beside = Beside::with_options("suid,dev,nohandles");
    for root in beside.roots() {
        fs::create_dir(root.join("lower")).unwrap();
        fill(&root.join("lower"));
    }
    let options = ",redirect_dir=on,index=on,xino=auto";
    exercise(&beside, &|root| root.join("lower"), options);
}

/// overlayfs asks by the first name that it has seen of a file whether the others are still good;
/// with an upper folder on FUSE they are not when that name was removed.
#[test]
fn other_names_are_taken_for_stale() {
    let differs = Difference {
        row: "overlayfs with an upper folder on a volume: the second name of a file whose first was removed",
        call: "the second name",
        ext4: "ok",
        volfs: "ESTALE",
    };
    let beside = Beside::with_options("suid,dev,nohandles");
    beside.compare_except(&[differs], |root, seen| {
        make_room(root);
        fs::create_dir(root.join("lower")).unwrap();
        let overlay = Overlay::mount(&root.join("lower"), root, "").unwrap();
        let (first, second) = (overlay.path("first"), overlay.path("second"));
        fs::write(&first, "content").unwrap();
        fs::hard_link(&first, &second).unwrap();
        seen.value("both", fs::metadata(&second).map(|file| file.nlink()));
        fs::remove_file(&first).unwrap();
        seen.call("the second name", fs::metadata(&second));
        drop(overlay);
        let overlay = Overlay::mount(&root.join("lower"), root, "").unwrap();
        seen.value("mounted again", fs::read_to_string(overlay.path("second")));
    });
}

/// On a volume that is mounted as usual, overlayfs looks an origin up by its handle, and Linux
/// takes what it finds for stale: that is what `nohandles` is for.
#[test]
fn handles_of_overlayfs_are_taken_for_stale() {
    let differs = Difference {
        row: "overlayfs with upper and lower folder on one volume, mounted anew",
        call: "look again",
        ext4: "ok",
        volfs: "ESTALE",
    };
    let beside = Beside::new();
    for root in beside.roots() {
        make_room(&root);
        fs::create_dir(root.join("lower")).unwrap();
        fill(&root.join("lower"));
        let overlay = Overlay::mount(&root.join("lower"), &root, "").unwrap();
        fs::set_permissions(overlay.path("one"), fs::Permissions::from_mode(0o600)).unwrap();
    }
    beside.remount();
    beside.compare_except(&[differs], |root, seen| {
        let overlay = Overlay::mount(&root.join("lower"), root, "").unwrap();
        seen.call("look", fs::metadata(overlay.path("one")));
        seen.call("look again", fs::metadata(overlay.path("one")));
    });
}

/// A snapshot may be the lower folder, also of its own volume.
#[test]
fn a_lower_folder_may_be_a_snapshot() {
    let beside = Beside::new();
    let place = beside.place();
    let root = &beside.roots()[0];
    fs::create_dir(root.join("lower")).unwrap();
    fill(&root.join("lower"));
    place.fixture().ok(&["snapshot", "create", "data", "then"]);
    fs::write(root.join("lower/one"), "since").unwrap();
    let old = place.fixture().mount("data@then").join("t/lower");
    make_room(root);
    for content in ["one", "mine"] {
        let overlay = Overlay::mount(&old, root, "").unwrap();
        for _ in 0..2 {
            assert_eq!(fs::read_to_string(overlay.path("one")).unwrap(), content);
        }
        fs::write(overlay.path("one"), "mine").unwrap();
        let _ = fs::remove_file(overlay.path("two"));
        assert_eq!(fs::read_to_string(overlay.path("one")).unwrap(), "mine");
        assert!(!overlay.path("two").exists());
    }
    assert_eq!(fs::read_to_string(old.join("two")).unwrap(), "two");
}
