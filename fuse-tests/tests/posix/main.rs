//! What programs may expect of files, folders and their attributes.
//!
//! `VOLFS_TEST_PLAIN=1` runs the same tests on a folder of the host.

mod attributes;
mod data;
mod names;
mod space;
mod special;

use std::io;

/// The errno of a call that must fail.
#[track_caller]
fn errno<T>(result: io::Result<T>) -> rustix::io::Errno {
    let error = result.err().expect("the call should have failed");
    rustix::io::Errno::from_io_error(&error).expect("an error of the system")
}
