//! A filesystem of one file, which answers without looking at anything.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEntry, ReplyOpen,
    Request,
};
use tempfile::TempDir;

use super::{FILE, FILE_BYTES, READERS};
use crate::store::BLOCK_BYTES;

const FILE_NUMBER: INodeNo = INodeNo(2);
/// Nothing ever changes.
const VALID: Duration = Duration::from_secs(1 << 20);
static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

struct Nothing;

fn attributes(number: INodeNo) -> FileAttr {
    let is_file = number == FILE_NUMBER;
    FileAttr {
        ino: number,
        size: if is_file { FILE_BYTES } else { 0 },
        blocks: FILE_BYTES / 512,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: if is_file {
            FileType::RegularFile
        } else {
            FileType::Directory
        },
        perm: 0o755,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK_BYTES as u32,
        flags: 0,
    }
}

impl Filesystem for Nothing {
    fn lookup(&self, _request: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match name == FILE {
            true => reply.entry(&VALID, &attributes(FILE_NUMBER), Generation(0)),
            false => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&VALID, &attributes(ino));
    }

    fn open(&self, _request: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let flags = FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES;
        reply.opened(FileHandle(0), flags);
    }

    fn read(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        reply.data(&ZEROS[..ZEROS.len().min(size as usize)]);
    }
}

/// It, mounted. Dropped, it is unmounted.
pub(super) struct Mounted {
    session: Option<BackgroundSession>,
    folder: TempDir,
}

impl Mounted {
    pub(super) fn new() -> Mounted {
        let folder = tempfile::tempdir().expect("a mount point");
        let mut config = Config::default();
        config.n_threads = Some(READERS);
        let session = fuser::spawn_mount(Nothing, folder.path(), &config).expect("a mount");
        Mounted {
            session: Some(session),
            folder,
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let session = self.session.take();
        if let Some(Err(error)) = session.map(BackgroundSession::umount_and_join) {
            eprintln!("the filesystem that does nothing stays mounted: {error}");
        }
    }
}
