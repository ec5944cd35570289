//! Owners, modes, times and extended attributes: read from the snapshot, set on the host.

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{
    AtFlags, CWD, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, removexattr,
    setxattr, utimensat,
};
use rustix::io::Errno;

use super::error::{ExportError, ExportResult};
use super::host::path_of;
use crate::base::Timestamp;
use crate::volume::ops::{Attr, FileKind};
use crate::volume::{FsResult, Request, Volume};

/// What a new file inherits from its folder.
const INHERITED: [&str; 2] = ["system.posix_acl_access", "system.posix_acl_default"];

/// Extended attributes: names and values.
type Extended = Vec<(Vec<u8>, Vec<u8>)>;

fn extended(volume: &Volume, attr: &Attr) -> FsResult<Extended> {
    let request = Request::default();
    let names = volume.listxattr(&request, attr.ino)?;
    let names = names.split(|byte| *byte == 0).filter(|it| !it.is_empty());
    let with_value = |name: &[u8]| {
        let value = volume.getxattr(&request, attr.ino, name)?;
        Ok((name.to_vec(), value))
    };
    names.map(with_value).collect()
}

/// Gives what was made all attributes of an inode of the snapshot. A new owner ends suid and
/// capabilities, and each change but that of the times moves these: hence the order.
pub(super) fn set(
    volume: &Volume,
    attr: &Attr,
    made: BorrowedFd<'_>,
    path: &[u8],
) -> ExportResult<()> {
    let attributes = extended(volume, attr).map_err(ExportError::source(path))?;
    let file = path_of(made);
    let failed = |action| move |errno: Errno| ExportError::host(action, path, errno);
    let owner = (Uid::from_raw(attr.uid), Gid::from_raw(attr.gid));
    chownat(CWD, &file, Some(owner.0), Some(owner.1), AtFlags::empty())
        .map_err(failed("set the owner of"))?;
    for name in INHERITED {
        let is_set = attributes.iter().any(|(own, _)| own == name.as_bytes());
        if !is_set {
            drop_inherited(&file, name).map_err(failed("drop the inherited ACL of"))?;
        }
    }
    for (name, value) in &attributes {
        setxattr(&file, OsStr::from_bytes(name), value, XattrFlags::empty())
            .map_err(failed(action_of(name)))?;
    }
    if attr.kind != FileKind::Symlink {
        let mode = Mode::from_raw_mode(u32::from(attr.perm));
        chmodat(CWD, &file, mode, AtFlags::empty()).map_err(failed("set the mode of"))?;
    }
    let times = Timestamps {
        last_access: timespec(attr.atime),
        last_modification: timespec(attr.mtime),
    };
    utimensat(CWD, &file, &times, AtFlags::empty()).map_err(failed("set the times of"))
}

fn drop_inherited(file: &str, name: &str) -> Result<(), Errno> {
    match removexattr(file, name) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}

fn action_of(name: &[u8]) -> &'static str {
    match INHERITED.iter().any(|acl| acl.as_bytes() == name) {
        true => "set the ACL of",
        false => "set an extended attribute of",
    }
}

fn timespec(time: Timestamp) -> Timespec {
    Timespec {
        tv_sec: time.secs,
        tv_nsec: i64::from(time.nanos),
    }
}
