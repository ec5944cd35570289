//! Words of FUSE to words of a volume, and back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, Generation, INodeNo, RenameFlags, TimeOrNow, WriteFlags};

use super::browse::is_fleeting;
use super::handles::Handle;
use super::node::{NodeId, Realm};
use crate::base::Timestamp;
use crate::volume::ops::{
    AllocateMode, Attr, FileKind, NewNode, RenameMode, Seek, SetTime, WriteMode, XattrMode,
};
use crate::volume::{FsError, FsResult};

/// How long the kernel may believe a name or attributes: we are the only ones who change them.
pub(crate) const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A node id of the live volume is never used twice on a connection, so that it needs no
/// generation.
pub(crate) const GENERATION: Generation = Generation(0);

/// The generation of a node: a view's tells whose it is, for its number is given again.
pub(crate) fn generation(attr: &Attr) -> Generation {
    match NodeId::of(attr).realm() {
        Realm::View(_) => Generation(attr.generation.into()),
        Realm::Live | Realm::Entrance => GENERATION,
    }
}

/// How long the kernel may believe the name that has led to a node.
pub(crate) fn name_ttl(attr: &Attr) -> Duration {
    match is_fleeting(NodeId::of(attr)) {
        true => Duration::ZERO,
        false => FOREVER,
    }
}

/// How long the kernel may believe a node's attributes.
pub(crate) fn attr_ttl(attr: &Attr) -> Duration {
    match NodeId::of(attr).realm() {
        Realm::Entrance => Duration::ZERO,
        Realm::Live | Realm::View(_) => FOREVER,
    }
}

/// Permission bits with suid, sgid and sticky.
const PERM_MASK: u32 = 0o7777;

pub(crate) fn file_attr(attr: &Attr) -> FileAttr {
    FileAttr {
        // fuser takes both the node id and st_ino from here. So st_ino bears the epoch's bits
        // after a rollback of a mounted volume; before one it is the plain inode number. What is
        // seen of a snapshot bears its view's number, as it must: the device is the same.
        ino: INodeNo(NodeId::of(attr).0),
        size: attr.size,
        blocks: attr.blocks_512,
        atime: attr.atime.into(),
        mtime: attr.mtime.into(),
        ctime: attr.ctime.into(),
        crtime: UNIX_EPOCH,
        kind: file_type(attr.kind),
        perm: attr.perm,
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: attr.rdev,
        blksize: attr.block_size,
        flags: 0,
    }
}

/// An entry that says: no such name, and remember that.
pub(crate) fn negative_entry() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

pub(crate) fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Regular => FileType::RegularFile,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::Socket => FileType::Socket,
        FileKind::CharDevice => FileType::CharDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
    }
}

/// What mknod(2) may make.
fn kind_of_mode(mode: u32) -> FsResult<FileKind> {
    match mode & libc::S_IFMT {
        // mknod(2): type 0 is a regular file.
        0 | libc::S_IFREG => Ok(FileKind::Regular),
        libc::S_IFIFO => Ok(FileKind::Fifo),
        libc::S_IFSOCK => Ok(FileKind::Socket),
        libc::S_IFCHR => Ok(FileKind::CharDevice),
        libc::S_IFBLK => Ok(FileKind::BlockDevice),
        _ => Err(FsError::Invalid("file type")),
    }
}

pub(crate) fn perm(mode: u32) -> u16 {
    (mode & PERM_MASK) as u16
}

/// What mknod(2) and CREATE ask for.
pub(crate) fn new_node(mode: u32, umask: u32, rdev: u32) -> FsResult<NewNode> {
    Ok(NewNode {
        kind: kind_of_mode(mode)?,
        perm: perm(mode),
        umask: perm(umask),
        rdev,
    })
}

pub(crate) fn new_folder(mode: u32, umask: u32) -> NewNode {
    NewNode {
        kind: FileKind::Directory,
        perm: perm(mode),
        umask: perm(umask),
        rdev: 0,
    }
}

/// A time of SETATTR. fuser 0.18 makes `-(secs + fraction)` of a time before 1970, where
/// `-secs + fraction` is meant; this takes the parts out as they came.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Timestamp {
            secs: after.as_secs() as i64,
            nanos: after.subsec_nanos(),
        },
        Err(error) => {
            let before = error.duration();
            let secs = (before.as_secs() as i64).wrapping_neg();
            Timestamp {
                secs,
                nanos: before.subsec_nanos(),
            }
        }
    }
}

pub(crate) fn set_time(time: TimeOrNow) -> SetTime {
    match time {
        TimeOrNow::Now => SetTime::Now,
        TimeOrNow::SpecificTime(time) => SetTime::At(timestamp(time)),
    }
}

pub(crate) fn rename_mode(flags: RenameFlags) -> FsResult<RenameMode> {
    const NO_REPLACE: u32 = libc::RENAME_NOREPLACE;
    const EXCHANGE: u32 = libc::RENAME_EXCHANGE;
    const WHITEOUT: u32 = libc::RENAME_WHITEOUT;
    const WHITEOUT_NO_REPLACE: u32 = WHITEOUT | NO_REPLACE;
    match flags.bits() {
        0 => Ok(RenameMode::Replace),
        NO_REPLACE => Ok(RenameMode::NoReplace),
        EXCHANGE => Ok(RenameMode::Exchange),
        WHITEOUT => Ok(RenameMode::Whiteout),
        WHITEOUT_NO_REPLACE => Ok(RenameMode::WhiteoutNoReplace),
        _ => Err(FsError::Invalid("rename flags")),
    }
}

pub(crate) fn allocate_mode(mode: i32) -> FsResult<AllocateMode> {
    const KEEP_SIZE: i32 = libc::FALLOC_FL_KEEP_SIZE;
    const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    const ZERO: i32 = libc::FALLOC_FL_ZERO_RANGE;
    const ZERO_KEEP: i32 = libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE;
    match mode {
        0 => Ok(AllocateMode::Allocate),
        KEEP_SIZE => Ok(AllocateMode::KeepSize),
        PUNCH => Ok(AllocateMode::PunchHole),
        ZERO => Ok(AllocateMode::ZeroRange { keep_size: false }),
        ZERO_KEEP => Ok(AllocateMode::ZeroRange { keep_size: true }),
        _ => Err(FsError::Unsupported("mode of fallocate")),
    }
}

/// Only these two reach us; the kernel does the others itself.
pub(crate) fn seek(whence: i32) -> FsResult<Seek> {
    match whence {
        libc::SEEK_DATA => Ok(Seek::Data),
        libc::SEEK_HOLE => Ok(Seek::Hole),
        _ => Err(FsError::Invalid("whence of lseek")),
    }
}

pub(crate) fn xattr_mode(flags: i32) -> FsResult<XattrMode> {
    const BOTH: i32 = libc::XATTR_CREATE | libc::XATTR_REPLACE;
    match flags {
        0 => Ok(XattrMode::Any),
        libc::XATTR_CREATE => Ok(XattrMode::Create),
        libc::XATTR_REPLACE => Ok(XattrMode::Replace),
        BOTH => Ok(XattrMode::CreateAndReplace),
        _ => Err(FsError::Invalid("flags of setxattr")),
    }
}

pub(crate) fn write_mode(handle: Handle, flags: WriteFlags) -> WriteMode {
    let writeback = flags.contains(WriteFlags::FUSE_WRITE_CACHE);
    WriteMode {
        writeback,
        // The handle of a write from writeback is a guess.
        direct: handle.is_direct() && !writeback,
        kill_priv: flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID),
    }
}

/// Whether a READ moves the access time. The kernel also reads the page around a small write, which
/// shows when the file is open for writing only; O_NOATIME is the kernel's word, checked by it.
pub(crate) fn is_access(handle: Handle, open_flags: i32) -> bool {
    handle.is_readable() && open_flags & libc::O_NOATIME == 0
}

/// Whether a WRITE must be on the medium before it is answered: on files opened O_DIRECT no FSYNC
/// follows. O_SYNC contains the bit of O_DSYNC. A write from writeback carries no flags of its own.
pub(crate) fn is_durable(mode: WriteMode, open_flags: i32) -> bool {
    open_flags & libc::O_DSYNC != 0 && !mode.writeback
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Ino;

    fn attr() -> Attr {
        Attr {
            ino: Ino(42),
            epoch: 3,
            kind: FileKind::Regular,
            perm: 0o4755,
            nlink: 2,
            uid: 70,
            gid: 71,
            size: 8193,
            blocks_512: 24,
            rdev: 0,
            atime: Timestamp { secs: 1, nanos: 2 },
            mtime: Timestamp {
                secs: -5,
                nanos: 250_000_000,
            },
            ctime: Timestamp { secs: 5, nanos: 6 },
            generation: 0,
            block_size: 8192,
        }
    }

    /// Attributes reach the kernel unchanged, under the node id of their epoch.
    #[test]
    fn attributes_are_translated() {
        let got = file_attr(&attr());
        assert_eq!(got.ino, INodeNo(0x0003_0000_0000_002a));
        assert_eq!((got.size, got.blocks, got.blksize), (8193, 24, 8192));
        assert_eq!((got.perm, got.nlink, got.uid, got.gid), (0o4755, 2, 70, 71));
        assert_eq!(got.kind, FileType::RegularFile);
        assert_eq!(got.atime, UNIX_EPOCH + Duration::new(1, 2));
        assert_eq!(got.mtime, UNIX_EPOCH - Duration::new(4, 750_000_000));
        assert_eq!(got.ctime, UNIX_EPOCH + Duration::new(5, 6));
        assert_eq!(negative_entry().ino, INodeNo(0));
    }

    /// Names that lead to snapshots are asked for each time; what is in one stays as it is, and
    /// tells by its generation of which it is.
    #[test]
    fn snapshots_come_and_go_and_do_not_change() {
        let of = |realm: Realm, ino| Attr {
            ino: Ino(ino),
            epoch: realm.bits(),
            generation: 77,
            ..attr()
        };
        let told = |attr: &Attr| (name_ttl(attr), attr_ttl(attr), generation(attr).0);
        let (never, view) = (Duration::ZERO, Realm::View(3));
        assert_eq!(told(&attr()), (FOREVER, FOREVER, 0));
        assert_eq!(told(&of(Realm::Live, 1)), (FOREVER, FOREVER, 0));
        assert_eq!(told(&of(Realm::Entrance, 1)), (never, never, 0));
        assert_eq!(told(&of(view, 1)), (never, FOREVER, 77));
        assert_eq!(told(&of(view, 2)), (FOREVER, FOREVER, 77));
    }

    /// Times of SETATTR come through as the kernel sent them, before 1970 too, where fuser errs.
    #[test]
    fn times_of_setattr_survive_fuser() {
        let as_fuser_builds = |secs: i64, nanos: u32| {
            if secs >= 0 {
                UNIX_EPOCH + Duration::new(secs as u64, nanos)
            } else {
                UNIX_EPOCH - Duration::new(secs.unsigned_abs(), nanos)
            }
        };
        for (secs, nanos) in [
            (0, 0),
            (7, 999_999_999),
            (-1, 0),
            (-1, 1),
            (-5, 250_000_000),
        ] {
            let time = as_fuser_builds(secs, nanos);
            assert_eq!(timestamp(time), Timestamp { secs, nanos });
        }
        assert_eq!(set_time(TimeOrNow::Now), SetTime::Now);
    }

    /// mknod makes everything but folders and links; a mode without a type is a regular file.
    #[test]
    fn modes_name_the_kind_of_a_new_node() {
        let kind = |mode| new_node(mode, 0o22, 0x0103).map(|new| new.kind);
        assert_eq!(kind(0o644).unwrap(), FileKind::Regular);
        assert_eq!(kind(libc::S_IFREG | 0o644).unwrap(), FileKind::Regular);
        assert_eq!(kind(libc::S_IFIFO).unwrap(), FileKind::Fifo);
        assert_eq!(kind(libc::S_IFSOCK).unwrap(), FileKind::Socket);
        assert_eq!(kind(libc::S_IFCHR).unwrap(), FileKind::CharDevice);
        assert_eq!(kind(libc::S_IFBLK).unwrap(), FileKind::BlockDevice);
        assert!(kind(libc::S_IFDIR).is_err() && kind(libc::S_IFLNK).is_err());

        let new = new_node(libc::S_IFREG | 0o6755, 0o27, 0).unwrap();
        assert_eq!((new.perm, new.umask, new.rdev), (0o6755, 0o27, 0));
        assert_eq!(new_folder(libc::S_IFDIR | 0o1777, 0o2).perm, 0o1777);
    }

    /// Every way to rename, allocate, seek and set an attribute has its flag; others are refused.
    #[test]
    fn flags_are_translated_or_refused() {
        let rename = |bits| rename_mode(RenameFlags::from_bits_retain(bits));
        assert_eq!(rename(0).unwrap(), RenameMode::Replace);
        assert_eq!(rename(1).unwrap(), RenameMode::NoReplace);
        assert_eq!(rename(2).unwrap(), RenameMode::Exchange);
        assert_eq!(rename(4).unwrap(), RenameMode::Whiteout);
        assert_eq!(rename(5).unwrap(), RenameMode::WhiteoutNoReplace);
        for refused in [3, 6, 8] {
            assert!(matches!(rename(refused), Err(FsError::Invalid(_))));
        }

        assert_eq!(allocate_mode(0).unwrap(), AllocateMode::Allocate);
        assert_eq!(allocate_mode(1).unwrap(), AllocateMode::KeepSize);
        assert_eq!(allocate_mode(3).unwrap(), AllocateMode::PunchHole);
        assert_eq!(
            allocate_mode(16).unwrap(),
            AllocateMode::ZeroRange { keep_size: false }
        );
        assert_eq!(
            allocate_mode(17).unwrap(),
            AllocateMode::ZeroRange { keep_size: true }
        );
        for refused in [2, 8, 32, 64, 18] {
            assert!(matches!(
                allocate_mode(refused),
                Err(FsError::Unsupported(_))
            ));
        }

        assert_eq!(
            (seek(3).unwrap(), seek(4).unwrap()),
            (Seek::Data, Seek::Hole)
        );
        assert!(matches!(seek(0), Err(FsError::Invalid(_))));
        assert_eq!(xattr_mode(0).unwrap(), XattrMode::Any);
        assert_eq!(xattr_mode(1).unwrap(), XattrMode::Create);
        assert_eq!(xattr_mode(2).unwrap(), XattrMode::Replace);
        assert_eq!(xattr_mode(3).unwrap(), XattrMode::CreateAndReplace);
        assert!(matches!(xattr_mode(4), Err(FsError::Invalid(_))));
    }

    /// Reads of whoever only writes, and of whoever asks for it, are no accesses.
    #[test]
    fn accesses_follow_handle_and_flags() {
        let opened = |flags| is_access(Handle::from_open_flags(flags), flags);
        assert!(opened(libc::O_RDONLY) && opened(libc::O_RDWR | libc::O_DIRECT));
        assert!(!opened(libc::O_WRONLY));
        assert!(!opened(libc::O_RDONLY | libc::O_NOATIME));
    }

    /// Writeback's writes are never direct nor durable, whatever handle the kernel guessed.
    #[test]
    fn write_modes_follow_flags_and_handle() {
        let direct = Handle::from_open_flags(libc::O_RDWR | libc::O_DIRECT);
        let cache = write_mode(direct, WriteFlags::FUSE_WRITE_CACHE);
        assert!(cache.writeback && !cache.direct && !cache.kill_priv);
        assert!(!is_durable(cache, libc::O_SYNC));

        let write = write_mode(direct, WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        assert!(!write.writeback && write.direct && write.kill_priv);
        assert!(is_durable(
            write,
            libc::O_RDWR | libc::O_DIRECT | libc::O_DSYNC
        ));
        assert!(is_durable(write, libc::O_RDWR | libc::O_SYNC));
        assert!(!is_durable(write, libc::O_RDWR | libc::O_DIRECT));
        assert!(!write_mode(Handle(1), WriteFlags::empty()).direct);
    }
}
