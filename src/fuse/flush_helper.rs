//! The helper process of `flush`: it is a client of the mount like any other program.

use std::collections::HashMap;
use std::ffi::c_int;
use std::io::{self, BufRead, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, makedev, openat, statx};

use super::flush::Outcome;
use super::holders::{descriptor_links, process_folders};
use super::node::NodeId;

/// Name of the hidden subcommand: `volfs flush-open-files MOUNT_POINT DEVICE_NUMBER`.
pub const SUBCOMMAND: &str = "flush-open-files";

/// Files written out at a time.
const THREADS: usize = 4;

/// Body of the hidden subcommand; `args` are what follows its name. Exit code 0: all flushed, 1:
/// not all, 2: wrong arguments.
pub fn helper_main(args: &[String]) -> i32 {
    let [path, device] = args else { return 2 };
    let Ok(device) = device.parse() else { return 2 };
    let nodes = io::stdin().lock().lines().map_while(Result::ok);
    let nodes: Vec<NodeId> = nodes
        .filter_map(|line| line.parse().ok())
        .map(NodeId)
        .collect();
    let files = OpenFiles::find(Path::new(path), device);

    let (next, all_flushed) = (AtomicUsize::new(0), AtomicBool::new(true));
    let work = || {
        while let Some(node) = nodes.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = flush_one(&files, *node);
            if !matches!(outcome, Outcome::Flushed(_)) {
                all_flushed.store(false, Ordering::Relaxed);
            }
            // Nobody listens any more if the daemon has gone: nothing is left to do for it.
            let mut line = outcome.to_line();
            line.push('\n');
            let mut output = io::stdout().lock();
            let _ = output
                .write_all(line.as_bytes())
                .and_then(|()| output.flush());
        }
    };
    thread::scope(|scope| {
        for _ in 0..THREADS.min(nodes.len()) {
            scope.spawn(work);
        }
    });
    i32::from(!all_flushed.into_inner())
}

fn flush_one(files: &OpenFiles, node: NodeId) -> Outcome {
    let file = match files.open(node) {
        Ok(Some(file)) => file,
        Ok(None) => return Outcome::Missing(node),
        Err(error) => return Outcome::Failed(node, format!("cannot be opened: {error}")),
    };
    match write_out(&file) {
        Ok(()) => Outcome::Flushed(node),
        Err(error) => Outcome::Failed(node, format!("{}: {error}", name_of(&file))),
    }
}

fn name_of(file: &OwnedFd) -> String {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    std::fs::read_link(link).map_or_else(|_| "?".into(), |path| path.display().to_string())
}

/// Hands all dirty pages to the daemon and waits until it has answered. No fsync: the snapshot
/// makes everything durable at once.
fn write_out(file: &OwnedFd) -> io::Result<()> {
    const FLAGS: u32 = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: the call takes no pointers, and the descriptor is open.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, FLAGS) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Ways to the files of the mount.
struct OpenFiles {
    /// Some folder of the mount, which names it to open_by_handle_at(2).
    root: Option<OwnedFd>,
    /// Links in `/proc/PID/fd` to files of the mount, by node id.
    links: HashMap<NodeId, PathBuf>,
}

impl OpenFiles {
    fn find(path: &Path, device: u64) -> OpenFiles {
        let root = open_root(path, device);
        OpenFiles {
            root,
            links: links_into(device),
        }
    }

    /// Opens a file of the mount; None if it is gone or nobody is known to have it open.
    ///
    /// By its handle, which root may do and which finds unlinked and merely mapped files too;
    /// otherwise through the descriptor of a process that has it open.
    fn open(&self, node: NodeId) -> io::Result<Option<OwnedFd>> {
        if let Some(root) = &self.root {
            match open_by_handle(root, node) {
                Ok(file) => return Ok(Some(file)),
                Err(error) if error.raw_os_error() == Some(libc::ESTALE) => return Ok(None),
                Err(_) => {}
            }
        }
        let Some(link) = self.links.get(&node) else {
            return Ok(None);
        };
        for access in [OFlags::RDONLY, OFlags::WRONLY] {
            match openat(
                CWD,
                link,
                access | OFlags::CLOEXEC | OFlags::NONBLOCK,
                Mode::empty(),
            ) {
                Ok(file) => return Ok(Some(file)),
                Err(rustix::io::Errno::ACCESS) if access == OFlags::RDONLY => {}
                Err(rustix::io::Errno::NOENT) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

/// The mount's root, unless another filesystem lies at the path by now.
fn open_root(path: &Path, device: u64) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let root = openat(CWD, path, flags, Mode::empty()).ok()?;
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = statx(root.as_fd(), c"", flags, StatxFlags::empty()).ok()?;
    (makedev(stat.stx_dev_major, stat.stx_dev_minor) == device).then_some(root)
}

/// Open files of all processes on this filesystem. Their inode number is the node id, because
/// attributes reach the kernel with the one for the other (`convert::file_attr`).
fn links_into(device: u64) -> HashMap<NodeId, PathBuf> {
    let links = process_folders().flat_map(|(_, folder)| descriptor_links(&folder));
    let of_mount = links.filter_map(|link| {
        let stat = statx(CWD, &link, AtFlags::STATX_DONT_SYNC, StatxFlags::INO).ok()?;
        let found = makedev(stat.stx_dev_major, stat.stx_dev_minor) == device;
        found.then_some((NodeId(stat.stx_ino), link))
    });
    of_mount.collect()
}

/// `struct file_handle` with the 12 bytes that FUSE puts behind it: node id, high half first, and
/// generation, each in the host's byte order.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct FileHandle {
    bytes: u32,
    kind: c_int,
    node_high: u32,
    node_low: u32,
    generation: u32,
}

/// FILEID_INO64_GEN: what FUSE's handles without a parent are.
const HANDLE_KIND: c_int = 0x81;

fn file_handle(node: NodeId) -> FileHandle {
    FileHandle {
        bytes: 12,
        kind: HANDLE_KIND,
        node_high: (node.0 >> 32) as u32,
        node_low: node.0 as u32,
        // `convert::GENERATION`
        generation: 0,
    }
}

fn open_by_handle(root: &OwnedFd, node: NodeId) -> io::Result<OwnedFd> {
    let mut handle = file_handle(node);
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: `handle` is laid out as struct file_handle with `bytes` bytes behind its two fields,
    // lives across the call, and the kernel only reads it.
    let file =
        unsafe { libc::open_by_handle_at(root.as_raw_fd(), (&raw mut handle).cast(), flags) };
    if file < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given this descriptor to nobody but us.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::base::Ino;

    /// A handle is laid out as the kernel's fuse_encode_fh does it.
    #[test]
    fn handles_are_encoded_as_fuse_does() {
        let handle = file_handle(NodeId::new(3, Ino(0x0000_0607_0809_0a0b)));
        let expected = FileHandle {
            bytes: 12,
            kind: 0x81,
            node_high: 0x0003_0607,
            node_low: 0x0809_0a0b,
            generation: 0,
        };
        assert_eq!(handle, expected);
        assert_eq!(size_of::<FileHandle>(), 20);
        assert_eq!(std::mem::offset_of!(FileHandle, node_high), 8);
    }

    /// An open file is found among the descriptors of all processes, and can be written out.
    #[test]
    fn open_files_are_found_by_device_and_inode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("open");
        fs::write(&path, "dirty").unwrap();
        let file = fs::File::open(&path).unwrap();
        let stat = file.metadata().unwrap();
        let (device, node) = (stat.dev(), NodeId(stat.ino()));

        let files = OpenFiles {
            root: None,
            links: links_into(device),
        };
        assert_eq!(flush_one(&files, node), Outcome::Flushed(node));
        drop(file);
        let files = OpenFiles {
            root: None,
            links: links_into(device),
        };
        assert_eq!(flush_one(&files, node), Outcome::Missing(node));
    }

    /// The root is only used if the path still leads to the mount.
    #[test]
    fn another_filesystem_at_the_path_is_noticed() {
        let device = fs::metadata("/proc").unwrap().dev();
        assert!(open_root(Path::new("/proc"), device).is_some());
        assert!(open_root(Path::new("/proc"), device + 1).is_none());
        assert!(open_root(Path::new("/no/such/folder"), device).is_none());
    }

    /// Wrong arguments are told apart from files that could not be flushed.
    #[test]
    fn wrong_arguments_are_refused() {
        assert_eq!(helper_main(&[]), 2);
        assert_eq!(helper_main(&["/mnt".into(), "x".into()]), 2);
    }
}
