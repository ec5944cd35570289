//! File handles (name_to_handle_at, open_by_handle_at), as NFS servers and backup tools use them.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fuse_tests::{Beside, Place, User};

use crate::forget_caches;

/// Room for any filesystem's handle: `MAX_HANDLE_SZ`.
const HANDLE_BYTES: usize = 128;

/// `struct file_handle`.
#[repr(C)]
#[derive(Clone)]
struct Handle {
    bytes: libc::c_uint,
    kind: libc::c_int,
    data: [u8; HANDLE_BYTES],
}

fn handle_of(path: &Path) -> io::Result<Handle> {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let mut handle = Handle {
        bytes: HANDLE_BYTES as libc::c_uint,
        kind: 0,
        data: [0; HANDLE_BYTES],
    };
    let mut mount = 0_i32;
    // SAFETY: the structure is laid out as the kernel's and says how long it is.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            path.as_ptr(),
            &raw mut handle,
            &raw mut mount,
            0,
        )
    };
    if outcome < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(handle)
    }
}

/// Opens what the handle names; `mount` is any file of the filesystem.
fn open_handle(mount: &File, handle: &Handle, flags: libc::c_int) -> io::Result<File> {
    // SAFETY: as above; the descriptor that comes back is nobody else's.
    unsafe {
        let descriptor = libc::syscall(
            libc::SYS_open_by_handle_at,
            mount.as_raw_fd(),
            handle,
            // What another test starts meanwhile would hold the mount.
            flags | libc::O_CLOEXEC,
        );
        match descriptor {
            ..0 => Err(io::Error::last_os_error()),
            descriptor => Ok(File::from_raw_fd(descriptor as i32)),
        }
    }
}

fn read(mut file: File) -> io::Result<String> {
    let mut content = String::new();
    file.read_to_string(&mut content)?;
    Ok(content)
}

/// Handles outlive renames, writes, the kernel's caches and a remount, and end with their file.
#[test]
fn handles_last_as_long_as_files() {
    let beside = Beside::new();
    let names = ["file", "folder", "folder/deep", "removed", "link"];
    let mut handles = Vec::new();
    for root in beside.roots() {
        fs::create_dir(root.join("folder")).unwrap();
        for name in ["file", "folder/deep", "removed"] {
            fs::write(root.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("file", root.join("link")).unwrap();
        handles.push(names.map(|name| handle_of(&root.join(name)).expect("handles are offered")));
    }
    let [volfs, _] = beside.roots();
    let handles_of = |root: &Path| &handles[usize::from(root != volfs)];
    let open_all = |root: &Path, seen: &mut fuse_tests::Seen, when: &str| {
        let mount = File::open(root).unwrap();
        for (name, handle) in names.iter().zip(handles_of(root)) {
            let opened = open_handle(&mount, handle, libc::O_RDONLY).and_then(read);
            seen.value(format!("{name} {when}"), opened);
            let path = open_handle(&mount, handle, libc::O_PATH);
            let path = path
                .and_then(|file| file.metadata())
                .map(|it| (it.mode(), it.nlink()));
            seen.value(format!("{name} {when}, as a path"), path);
        }
        let bad = open_handle(
            &mount,
            &Handle {
                bytes: 3,
                ..handles_of(root)[0].clone()
            },
            0,
        );
        seen.call("a handle that is too short", bad);
    };
    beside.compare(|root, seen| {
        let mount = File::open(root).unwrap();
        open_all(root, seen, "at first");
        fs::rename(root.join("file"), root.join("folder/moved")).unwrap();
        fs::write(root.join("folder/moved"), "written").unwrap();
        let held = File::open(root.join("removed")).unwrap();
        fs::remove_file(root.join("removed")).unwrap();
        let removed = open_handle(&mount, &handles_of(root)[3], libc::O_RDONLY).and_then(read);
        seen.value("removed, still open", removed);
        drop(held);
        open_all(root, seen, "after changes");
        User::new(1000).run(|| {
            let mount = File::open(root).unwrap();
            seen.call(
                "by a normal user",
                open_handle(&mount, &handles_of(root)[0], libc::O_RDONLY),
            );
        });
    });
    forget_caches();
    beside.compare(|root, seen| open_all(root, seen, "without caches"));
    beside.remount();
    forget_caches();
    beside.compare(|root, seen| open_all(root, seen, "after a remount"));
}

/// A new file never answers to the handle of a removed one, however many come and go.
#[test]
fn handles_are_not_reused() {
    let place = Place::new();
    let mount = File::open(place.root()).unwrap();
    let old: Vec<Handle> = (0..50)
        .map(|number| {
            let path = place.file(&format!("old-{number}"), "old");
            let handle = handle_of(&path).unwrap();
            fs::remove_file(path).unwrap();
            handle
        })
        .collect();
    drop(mount);
    place.remount();
    for number in 0..200 {
        place.file(&format!("new-{number}"), "new");
    }
    let mount = File::open(place.root()).unwrap();
    for handle in &old {
        let opened = open_handle(&mount, handle, libc::O_RDONLY).and_then(read);
        assert_eq!(
            opened.map_err(|error| error.raw_os_error()),
            Err(Some(libc::ESTALE))
        );
    }
}

/// A handle of a file in a snapshot leads to that file or nowhere: not to the live one, and not to
/// another snapshot of the same name.
#[test]
fn handles_into_snapshots_lead_nowhere_else() {
    let place = Place::new();
    if place.is_plain() {
        return;
    }
    let live = place.file("file", "then");
    place.fixture().ok(&["snapshot", "create", "data@s"]);
    fs::write(&live, "now").unwrap();
    let then = place.path(".volfs/snapshots/s/file");
    let mount = File::open(place.root()).unwrap();
    let [handle, other] = [&then, &live].map(|path| handle_of(path).unwrap());
    let open = |handle| open_handle(&mount, handle, libc::O_RDONLY).and_then(read);
    let held = File::open(&then).unwrap();
    assert_eq!(open(&handle).unwrap(), "then");
    assert_eq!(open(&other).unwrap(), "now");
    drop(held);
    let stale = |outcome: io::Result<String>| {
        outcome.is_err_and(|error| error.raw_os_error() == Some(libc::ESTALE))
    };
    for _ in 0..2 {
        forget_caches();
        match open(&handle) {
            Ok(content) => assert_eq!(content, "then"),
            outcome => assert!(stale(outcome)),
        }
    }
    place.fixture().ok(&["snapshot", "rm", "data@s"]);
    assert!(stale(open(&handle)));
    place.fixture().ok(&["snapshot", "create", "data@s"]);
    assert_eq!(fs::read_to_string(&then).unwrap(), "now");
    assert!(stale(open(&handle)));
    assert_eq!(open(&other).unwrap(), "now");
}
