//! What programs may expect of files, folders and their attributes.
//!
//! `VOLFS_TEST_PLAIN=1` runs the tests that use a `Place` on a folder of the host. Those that use
//! `Beside` compare a volume with an ext4 in every run.

mod acl;
mod atime;
mod attributes;
mod browse;
mod data;
mod errnos;
mod handles;
mod killed;
mod large_folders;
mod links;
mod locks;
mod names;
mod overlay;
mod permissions;
mod poisoned;
mod rename;
mod rootless;
mod running;
mod space;
mod special;
mod stale;
mod time_moves;
mod time_tools;
mod times;
mod usage;
mod xattrs;

use std::fs;
use std::io;

/// The errno of a call that must fail.
#[track_caller]
fn errno<T>(result: io::Result<T>) -> rustix::io::Errno {
    let error = result.err().expect("the call should have failed");
    rustix::io::Errno::from_io_error(&error).expect("an error of the system")
}

/// Makes the kernel let go of names and inodes that nobody uses, of every filesystem.
fn forget_caches() {
    fs::write("/proc/sys/vm/drop_caches", "2").expect("root may");
}
